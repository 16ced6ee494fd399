"""How an address that came free is remembered."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from appliance.api.address import parse_address
from appliance.api.meta import Metadata
from appliance.api.pierhead import Layer2, VirtualIP, VirtualIPService, VirtualIPSpec
from appliance.ipam.ledger import Ledger
from appliance.ipam.quarantine import FREED_AT, Rest, freed, rest_of, taken
from appliance.ipam.reason import Reason
from tests.unit.ipam.sample import addresses, pool, serve, service, texts

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HELD = VirtualIP(
    metadata=Metadata(name="10.0.0.0", resource_version="7", annotations={"a": "b"}),
    spec=VirtualIPSpec(
        address=parse_address("10.0.0.0"),
        pool="a",
        services=(VirtualIPService(namespace="default", name="x"),),
        layer2=Layer2(candidates=("h",)),
    ),
)


def test_freed_address_is_announced_nowhere_and_names_nobody() -> None:
    """What stays is the address, its pool, and when and by whom it was given back."""
    found = freed(HELD, "default/x", NOW)
    assert found.spec == VirtualIPSpec(address=parse_address("10.0.0.0"), pool="a")
    assert found.metadata.resource_version == "7"
    assert rest_of(found, 60.0, NOW) == Rest(NOW + MINUTE, "default/x")


@pytest.mark.parametrize(("seconds", "after", "is_resting"), [(60.0, 59, True), (60.0, 60, False), (0.0, 0, False)])
def test_quarantine_ends(seconds: float, after: int, is_resting: bool) -> None:
    """It lasts as long as the pool says now, to the moment."""
    found = rest_of(freed(HELD, "default/x", NOW), seconds, NOW + timedelta(seconds=after))
    assert (found is not None) is is_resting


def test_address_that_is_listed_does_not_rest() -> None:
    """A note left from before says nothing of an address that somebody has; taking it takes the note away."""
    listed = replace(freed(HELD, "default/x", NOW), spec=HELD.spec)
    assert rest_of(listed, 60.0, NOW) is None
    assert dict(taken(listed).metadata.annotations) == {"a": "b"}


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01T00:00:00"])
def test_unreadable_moment_is_no_quarantine(text: str) -> None:
    """A VirtualIP without a moment that can be read keeps nothing back."""
    unlisted = freed(HELD, "default/x", NOW)
    marked = replace(unlisted, metadata=replace(unlisted.metadata, annotations={FREED_AT: text}))
    assert rest_of(marked, 60.0, NOW) is None


def test_resting_address_is_refused_with_its_reason_but_to_its_last_holder() -> None:
    """By name only the last holder gets it before the time."""
    ledger = Ledger((pool("a", "10.0.0.0/31"),))
    ledger.close(addresses("10.0.0.0")[0], "default/x", is_resting=True)
    refused = serve(ledger, service("y", wanted="10.0.0.0")).refusal
    assert refused is not None
    assert (refused.reason, refused.subject) == (Reason.QUARANTINED, "10.0.0.0")
    assert texts(serve(ledger, service("x", wanted="10.0.0.0")).addresses) == "10.0.0.0"


def test_exhaustion_counts_what_is_kept_back() -> None:
    """A pool without a free address says how many are given, reserved and in quarantine; then the counts fall."""
    ledger = Ledger()
    ledger.set_pools((pool("a", "10.0.0.0/30"),), reserved={addresses("10.0.0.0")[0]: "default/later"})
    resting = addresses("10.0.0.1")[0]
    ledger.close(resting, is_resting=True)
    for name in "xy":
        serve(ledger, service(name))
    refused = serve(ledger, service("z")).refusal
    expected = "every pool it may use is full: a full (2 of 4 given, 1 reserved, 1 in quarantine)"
    assert str(refused) == expected
    serve(ledger, service("later"))
    ledger.open(resting)
    assert (ledger.stocks["a"].reserved, ledger.stocks["a"].resting) == (0, 0)
    ledger.release("default/later")
    assert ledger.stocks["a"].reserved == 1
