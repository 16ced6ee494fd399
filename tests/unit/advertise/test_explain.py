"""Where the chain breaks: each of the links by a case of its own."""

import pytest

from appliance.advertise.explain import (
    Assigned,
    BreakReason,
    ChainLink,
    Finding,
    Gap,
    LinkVerdict,
    explain,
    first_broken,
)
from appliance.advertise.reason import ServiceReason
from appliance.api.address import parse_address
from appliance.ipam.reason import Reason, Refusal, Skip, Tried
from appliance.ipam.request import Unserved
from tests.unit.advertise.site import BGP, L2, POOLS, endpoint, host, reasons, service, site, slices

GIVEN = Assigned((parse_address("10.0.0.1"),), "a")
FULL = Refusal(Reason.EXHAUSTED, tried=(Tried("a", Skip.FULL, 256, 256),))
READY = slices(endpoint("x"))
WHOLE = POOLS + L2 % ("l", "") + host("x") + service() + READY


def findings_of(text: str, assigned: Assigned) -> tuple[Finding, ...]:
    """The chain of the Service in a text."""
    place, services = site(text)
    return explain(services[0], assigned, place)


ROWS: list[tuple[str, str, Assigned, ChainLink, BreakReason]] = [
    ("not ours", WHOLE, Assigned(unserved=Unserved.OTHER_CLASS), ChainLink.IMPLEMENTATION, Unserved.OTHER_CLASS),
    ("no pool", service(), Assigned(), ChainLink.POOL, Reason.NO_POOLS),
    ("no pool admits it", WHOLE, Assigned(refusal=Refusal(Reason.NO_ADMITTING_POOL)), ChainLink.POOL,
     Reason.NO_ADMITTING_POOL),
    ("pool full", WHOLE, Assigned(refusal=FULL), ChainLink.ADDRESS, Reason.EXHAUSTED),
    ("no allocator", WHOLE, Assigned(pool="a"), ChainLink.ADDRESS, Gap.NOT_GIVEN_YET),
    ("no advertisement", POOLS + host("x") + service() + READY, GIVEN, ChainLink.ADVERTISEMENT,
     ServiceReason.NO_ADVERTISEMENT),
    ("no peer", POOLS + BGP % ("b", "") + host("x") + service() + READY, GIVEN, ChainLink.ADVERTISEMENT, Gap.NO_PEER),
    ("not selected", POOLS + L2 % ("l", "serviceSelectors: [{matchLabels: {a: b}}]") + host("x") + service() + READY,
     GIVEN, ChainLink.ADVERTISEMENT, ServiceReason.SERVICE_NOT_SELECTED),
    ("no agent", POOLS + L2 % ("l", "") + service() + READY, GIVEN, ChainLink.HOST, ServiceReason.NO_HOST),
    ("no host selected", POOLS + L2 % ("l", "nodeSelectors: [{matchLabels: {a: b}}]") + host("x") + service() + READY,
     GIVEN, ChainLink.HOST, ServiceReason.NO_ELIGIBLE_HOST),
    ("no host with an endpoint", POOLS + L2 % ("l", "") + host("x") + service("Local") + slices(endpoint("y")), GIVEN,
     ChainLink.HOST, ServiceReason.NO_ELIGIBLE_HOST),
    ("no endpoint", POOLS + L2 % ("l", "") + host("x") + service(), GIVEN, ChainLink.ENDPOINTS,
     ServiceReason.NO_ENDPOINTS),
    ("no endpoint under Local", POOLS + L2 % ("l", "") + host("x") + service("Local"), GIVEN, ChainLink.ENDPOINTS,
     ServiceReason.NO_ENDPOINTS),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "assigned", "link", "reason"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_broken_link(text: str, assigned: Assigned, link: ChainLink, reason: BreakReason) -> None:
    """The first broken link is named with its reason."""
    broken = first_broken(findings_of(text, assigned))
    assert broken is not None
    assert (broken.link, broken.reason) == (link, reason)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_link_is_told(row: tuple[str, str, Assigned, ChainLink, BreakReason]) -> None:
    """All links come, in order, whatever is broken."""
    assert [finding.link for finding in findings_of(row[1], row[2])] == list(ChainLink)


def test_whole_chain() -> None:
    """Where all links hold there is nothing to mend."""
    findings = findings_of(WHOLE, GIVEN)
    assert {finding.state for finding in findings} == {LinkVerdict.HELD}
    assert first_broken(findings) is None


def test_hosts_are_listed_with_reasons() -> None:
    """The link about hosts says of each host what became of it."""
    text = POOLS + L2 % ("l", "nodeSelectors: [{matchLabels: {a: b}}]") + host("x", "a: b") + host("y")
    (found,) = (entry for entry in findings_of(text + service() + READY, GIVEN) if entry.link is ChainLink.HOST)
    assert reasons({entry.host: entry.reason for entry in found.hosts}) == {"x": "ELIGIBLE", "y": "NOT_SELECTED"}


def test_exhaustion_tells_how_full_each_pool_is() -> None:
    """The refusal comes with the pools tried."""
    broken = first_broken(findings_of(WHOLE, Assigned(refusal=FULL)))
    assert broken is not None
    assert broken.refusal == FULL


def test_each_address_has_its_own_links() -> None:
    """Of two addresses one may be served and the other not."""
    both = Assigned((*GIVEN.addresses, parse_address("fc00::1")), "a")
    findings = findings_of(WHOLE, both)
    broken = [(entry.link, str(entry.address)) for entry in findings if entry.state is LinkVerdict.BROKEN]
    assert broken == [(ChainLink.ENDPOINTS, "fc00::1")]


def test_held_address_outlives_a_refusal() -> None:
    """A Service that keeps its address while asking for another has a whole chain."""
    kept = Assigned(GIVEN.addresses, "a", refusal=Refusal(Reason.IN_USE, "10.0.0.2"))
    assert first_broken(findings_of(WHOLE, kept)) is None
