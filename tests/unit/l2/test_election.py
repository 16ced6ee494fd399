"""Whose turn it is."""

from ipaddress import IPv4Address, ip_address

import pytest

from appliance.l2.election import fallback_order, outranks, succession
from appliance.l2.plan import VipPlan
from appliance.l2.verdict import Standing

VIP = IPv4Address("192.168.1.240")
ABC = VipPlan(VIP, ("a", "b", "c"))


def standing(text: str) -> dict[str, Standing]:
    """Read `a=able` as `a`, draining as `b~`, gone as `c!`."""
    kinds = {"~": Standing.DRAINING, "!": Standing.GONE}
    return {word[0]: kinds.get(word[1:], Standing.ABLE) for word in text.split()}


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
        (None, "b", "a b! c", "a c"),
        (None, "b", "a b~ c", "a c b"),
        (None, None, "a~ b! c", "c a"),
        (None, None, "a! b! c!", ""),
        ("a", None, "a b c", ""),
        ("c", "a", "a b c", ""),
        ("a", None, "a~ b c", "b c"),
        ("a", None, "a~ b~ c", "c"),
        ("a", None, "a~ b~ c!", ""),
        ("x", None, "a b c x", "a b c"),
        ("x", None, "a~ b! c~ x", "a c"),
        ("x", None, "a! b! c! x", ""),
    ],
)
def test_succession(owner: str | None, recorded: str | None, hosts: str, expected: str) -> None:
    """The owner keeps it while it can; else who may claim, the recorded owner first, draining hosts last."""
    vip = VipPlan(VIP, ABC.hosts, recorded_owner=recorded)
    assert succession(vip, owner, standing(hosts).__getitem__) == tuple(expected.split())


@pytest.mark.parametrize(
    ("host", "rival", "hosts", "expected"),
    [
        ("a", "b", "a b c", True),
        ("b", "a", "a b c", False),
        ("a", "b", "a~ b c", False),
        ("a", "b", "a~ b~ c", True),
        ("c", "x", "a b c~ x", True),
        ("x", "y", "a b c x y", True),
    ],
)
def test_outranks(host: str, rival: str, hosts: str, expected: bool) -> None:
    """Listed before unlisted, staying before draining, then the planned order; never both and never neither."""
    table = standing(hosts).__getitem__
    assert outranks(ABC, host, rival, table) is expected
    assert outranks(ABC, rival, host, table) is not expected
