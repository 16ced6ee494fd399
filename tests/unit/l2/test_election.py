"""Whose turn it is."""

from ipaddress import IPv4Address, ip_address

import pytest

from appliance.l2.election import Eligibility, fallback_order, has_successor, place
from appliance.l2.event import VipPlan

VIP = IPv4Address("192.168.1.240")
ABC = VipPlan(VIP, ("a", "b", "c"))


def eligibility(text: str) -> dict[str, Eligibility]:
    """Read `a` as able, `b~` as draining, `c!` as gone."""
    kinds = {"~": Eligibility.DRAINING, "!": Eligibility.GONE}
    return {word[0]: kinds.get(word[1:], Eligibility.ABLE) for word in text.split()}


@pytest.mark.parametrize(
    ("hosts", "address", "expected"),
    [
        ("node-a node-b node-c", "10.0.0.1", "node-b node-a node-c"),
        ("node-a node-b node-c", "10.0.0.2", "node-b node-c node-a"),
        ("node-a node-b node-c", "fc00::1", "node-b node-c node-a"),
        ("iris1 iris2", "10.20.30.1", "iris2 iris1"),
        ("iris1 iris2", "10.20.30.2", "iris1 iris2"),
        ("edge-a edge-b worker-a worker-b", "10.20.30.1", "edge-b worker-a edge-a worker-b"),
        ("edge-a edge-b worker-a worker-b", "10.20.30.2", "worker-b edge-b worker-a edge-a"),
    ],
)
def test_fallback_order_is_metallbs(hosts: str, address: str, expected: str) -> None:
    """Hosts are ordered by SHA-256 of `host#address`, whatever order they come in."""
    assert fallback_order(reversed(hosts.split()), ip_address(address)) == tuple(expected.split())


@pytest.mark.parametrize(
    ("owner", "recorded", "hosts", "expected"),
    [
        (None, None, "a b c", "a b c"),
        (None, "b", "a b c", "b a c"),
        (None, "c", "a b c", "c a b"),
        (None, "b", "a b! c", "a c"),
        (None, "b", "a b~ c", "a c b"),
        (None, "x", "a b c", "a b c"),
        (None, None, "a~ b! c", "c a"),
        (None, None, "a~ b~ c~", "a b c"),
        (None, None, "a! b! c!", ""),
        ("a", None, "a b c", "b c"),
        ("a", None, "a~ b c", "b c"),
        ("a", None, "a~ b~ c", "c"),
        ("a", None, "a b~ c", "c b"),
        ("x", None, "a b~ c x~", "a c b"),
        ("a", "c", "a b c", "b c"),
        ("x", None, "a b c x", "a b c"),
        ("x", None, "a~ b! c~ x", "a c"),
    ],
)
def test_place(owner: str | None, recorded: str | None, hosts: str, expected: str) -> None:
    """Who claims in which order: the store's owner first where nobody answers, draining hosts last."""
    vip = VipPlan(VIP, ABC.hosts, recorded_owner=recorded)
    places = {host: place(vip, host, owner, eligibility(hosts).__getitem__) for host in "abc"}
    ordered = sorted((at, host) for host, at in places.items() if at is not None)
    assert [host for _, host in ordered] == expected.split()
    assert [at for at, _ in ordered] == list(range(len(ordered)))


def test_an_unlisted_host_has_no_place() -> None:
    """Whatever else is so."""
    assert place(ABC, "x", None, eligibility("a! b! c! x").__getitem__) is None


@pytest.mark.parametrize(
    ("excluded", "hosts", "expected", "as_a_last_resort"),
    [
        ("a", "a~ b c", True, True),
        ("a", "a~ b~ c!", False, True),
        ("a", "a b! c!", False, False),
        ("ab", "a~ b c!", False, False),
        ("ab", "a~ b c", True, True),
        ("x", "a~ b! c!", False, True),
        ("x", "a! b! c!", False, False),
    ],
)
def test_has_successor(excluded: str, hosts: str, expected: bool, as_a_last_resort: bool) -> None:
    """A host that is not excluded and does not drain; as a last resort one that drains."""
    table = eligibility(hosts).__getitem__
    assert has_successor(ABC, tuple(excluded), table, is_last_resort=False) is expected
    assert has_successor(ABC, tuple(excluded), table, is_last_resort=True) is as_a_last_resort
