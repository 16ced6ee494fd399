"""How an address that came free is remembered."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from appliance.api.address import parse_address
from appliance.api.core import ObjectReference
from appliance.api.pierhead import Freed, Layer2, VirtualIPService, VirtualIPSpec
from appliance.ipam.ledger import Ledger, Terms
from appliance.ipam.quarantine import Quarantine, freed, quarantine_of
from appliance.ipam.reason import Reason
from appliance.ipam.withheld import Withheld
from tests.unit.ipam.sample import addresses, pool, serve, service, texts

NOW = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
X = ObjectReference(namespace="default", name="x")
HELD = VirtualIPSpec(
    address=parse_address("10.0.0.0"),
    pool="a",
    services=(VirtualIPService(namespace="default", name="x"),),
    layer2=Layer2(candidates=("h",)),
)


def test_freed_address_is_announced_nowhere_and_names_nobody() -> None:
    """What stays is the address, its pool, and when and by whom it was given back."""
    found = freed(HELD, X, NOW)
    mark = Freed(at="2026-01-01T00:00:00.000+00:00", by=X)
    assert found == VirtualIPSpec(address=parse_address("10.0.0.0"), pool="a", freed=mark)
    assert quarantine_of(found, 60.0, NOW) == Quarantine(NOW + 60, "default/x")


@pytest.mark.parametrize(("seconds", "after", "is_kept"), [(60.0, 59, True), (60.0, 60, False), (0.0, 0, False)])
def test_quarantine_ends(seconds: float, after: int, is_kept: bool) -> None:
    """It lasts as long as the pool says now, to the moment."""
    assert (quarantine_of(freed(HELD, X, NOW), seconds, NOW + after) is not None) is is_kept


def test_address_that_is_listed_is_in_no_quarantine() -> None:
    """A mark left from before says nothing of an address that somebody has."""
    assert quarantine_of(replace(freed(HELD, X, NOW), services=HELD.services), 60.0, NOW) is None


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01T00:00:00"])
def test_unreadable_moment_is_no_quarantine(text: str) -> None:
    """A VirtualIP without a moment that can be read keeps nothing back."""
    unlisted = freed(HELD, X, NOW)
    assert quarantine_of(replace(unlisted, freed=Freed(at=text, by=X)), 60.0, NOW) is None


def test_quarantined_address_is_refused_with_its_reason_but_to_its_last_holder() -> None:
    """By name only the last holder gets it before the time."""
    ledger = Ledger((pool("a", "10.0.0.0/31"),))
    ledger.withhold(addresses("10.0.0.0")[0], Withheld(Reason.QUARANTINED, "default/x"))
    refused = serve(ledger, service("y", wanted="10.0.0.0")).refusal
    assert refused is not None
    assert (refused.reason, refused.subject) == (Reason.QUARANTINED, "10.0.0.0")
    assert texts(serve(ledger, service("x", wanted="10.0.0.0")).addresses) == "10.0.0.0"


def test_exhaustion_counts_what_is_withheld() -> None:
    """A pool without a free address says how many are given, reserved and in quarantine; then the counts fall."""
    ledger = Ledger()
    reserved, quarantined, hosts = addresses("10.0.0.0 10.0.0.1 10.0.0.4")
    terms = Terms(reserved={reserved: "default/later"}, taken={hosts: Reason.HOST_ADDRESS})
    ledger.set_pools((pool("a", "10.0.0.0-10.0.0.4"),), terms)
    ledger.withhold(quarantined, Withheld(Reason.QUARANTINED))
    for name in "xy":
        serve(ledger, service(name))
    expected = (
        "every pool it may use is full: a full (2 of 5 given, 1 reserved, 1 in quarantine, 1 of hosts and routers)"
    )
    assert str(serve(ledger, service("z")).refusal) == expected
    serve(ledger, service("later"))
    ledger.withhold(quarantined, None)
    counts = ledger.stocks["a"].withheld
    assert (counts[Reason.RESERVED], counts[Reason.QUARANTINED]) == (0, 0)
    ledger.release("default/later")
    assert counts[Reason.RESERVED] == 1
