"""The planned order of the hosts that may own an address."""

from ipaddress import ip_network

import pytest

from appliance.advertise import plan
from appliance.advertise.host import SiteHost
from appliance.advertise.plan import CandidateOrder, present_owner, ranked_hosts
from appliance.api.address import IPAddress, parse_address, vip_name
from appliance.api.kind import ref_of
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import PreferredNodeSelector
from appliance.api.pierhead import CANDIDATES_MAX, Layer2, Owner, VirtualIP, VirtualIPSpec, VirtualIPStatus
from appliance.config.model import L2Ad

AD = L2Ad(ref=Ref("L2Advertisement", "m", "l"), pools=("a",))
IP = parse_address("10.0.0.1")

VECTORS = [
    (("node-a", "node-b", "node-c"), "10.0.0.1", "node-b node-a node-c"),
    (("node-a", "node-b", "node-c"), "10.0.0.2", "node-b node-c node-a"),
    (("node-a", "node-b", "node-c"), "fc00::1", "node-b node-c node-a"),
    (("iris1", "iris2"), "10.20.30.1", "iris2 iris1"),
    (("iris1", "iris2"), "10.20.30.2", "iris1 iris2"),
    (("edge-a", "edge-b", "worker-a", "worker-b"), "10.20.30.1", "edge-b worker-a edge-a worker-b"),
    (("edge-a", "edge-b", "worker-a", "worker-b"), "10.20.30.2", "worker-b edge-b worker-a edge-a"),
]


def hosts(*names: str) -> list[SiteHost]:
    """Hosts without any trait."""
    return [SiteHost(name) for name in names]


def candidates(  # noqa: PLR0917  # as the tests read best
    address: IPAddress,
    some: list[SiteHost],
    ads: list[L2Ad],
    owner: str = "",
    load: dict[str, int] | None = None,
    order: CandidateOrder = CandidateOrder.SPREAD,
) -> tuple[str, ...]:
    """The plan of hosts for an address of some advertisements."""
    return plan.candidates(address, ranked_hosts(some, ads, order), owner, load, order=order)


def preferring(weight: int, **labels: str) -> L2Ad:
    """An advertisement that prefers hosts with some labels."""
    preferred = PreferredNodeSelector(weight=weight, preference=LabelSelector(match_labels=labels))
    return L2Ad(ref=AD.ref, pools=AD.pools, preferences=(preferred,))


@pytest.mark.parametrize(("names", "address", "expected"), VECTORS)
def test_metallb_order(names: tuple[str, ...], address: str, expected: str) -> None:
    """The tie-break is MetalLB's order."""
    assert " ".join(candidates(parse_address(address), hosts(*names), [AD], order=CandidateOrder.HASH)) == expected


def test_order_of_hosts_does_not_matter() -> None:
    """The same hosts in another order give the same plan."""
    forth = candidates(IP, hosts("a", "b", "c"), [AD])
    assert candidates(IP, hosts("c", "a", "b"), [AD]) == forth


def test_least_loaded_is_first() -> None:
    """The first host is the one that is first for the fewest addresses; the rest keep MetalLB's order."""
    load = {"node-a": 3, "node-b": 3, "node-c": 2}
    assert candidates(IP, hosts("node-a", "node-b", "node-c"), [AD], load=load) == ("node-c", "node-b", "node-a")


def test_spread_is_even() -> None:
    """Planned one after the other, addresses are spread to within one."""
    load = dict.fromkeys("abc", 0)
    for number in range(30):
        address = parse_address(f"10.0.0.{number}")
        load[candidates(address, hosts(*load), [AD], load=load)[0]] += 1
    assert load == {"a": 10, "b": 10, "c": 10}


def test_seconds_are_spread_too() -> None:
    """The heirs of one host's addresses differ."""
    heirs = {candidates(parse_address(f"10.0.0.{n}"), hosts(*"abcd"), [AD], "a")[1] for n in range(30)}
    assert heirs == {"b", "c", "d"}


def test_owner_is_kept() -> None:
    """The present owner stays first whatever it carries."""
    assert candidates(IP, hosts("a", "b", "c"), [AD], "b", {"b": 100})[0] == "b"


def test_owner_that_may_not_is_not_kept() -> None:
    """A host that is no longer eligible is not in the plan."""
    assert candidates(IP, hosts("a"), [AD], "b") == ("a",)


def test_owner_stays_among_the_candidates() -> None:
    """Better hosts go first, but an owner that may stay is not thrown out."""
    some = [*(SiteHost(f"p{number}", labels={"p": ""}) for number in range(9)), SiteHost("owner")]
    planned = candidates(IP, some, [preferring(1, p="")], "owner")
    assert (len(planned), planned[-1]) == (CANDIDATES_MAX, "owner")


def test_preference_adds_up() -> None:
    """Weights of all matching entries count together."""
    ads = [preferring(60, x="1"), preferring(50, y="1"), preferring(20, x="1")]
    some = [SiteHost("x", labels={"x": "1"}), SiteHost("y", labels={"y": "1"}), SiteHost("z")]
    assert candidates(IP, some, ads, load={"x": 9}) == ("x", "y", "z")


def test_preference_of_an_advertisement_that_is_not_for_the_host() -> None:
    """Weights count only where the advertisement's own selectors admit the host."""
    selectors = (LabelSelector(match_labels={"rack": "r1"}),)
    ad = L2Ad(ref=AD.ref, pools=AD.pools, node_selectors=selectors, preferences=preferring(9, x="1").preferences)
    some = [SiteHost("x", labels={"x": "1"}), SiteHost("y")]
    assert candidates(IP, some, [ad, AD], load={"x": 1})[0] == "y"


def test_hosts_in_the_subnet_rank_first() -> None:
    """A host without the subnet stays a candidate behind those that have it."""
    near = SiteHost("near", networks={"eth0": (ip_network("10.0.0.0/24"),)})
    far = SiteHost("far", networks={"eth0": (ip_network("10.1.0.0/24"),)}, labels={"x": "1"})
    assert candidates(IP, [far, near], [preferring(100, x="1")], load={"near": 9}) == ("near", "far")


def test_nobody() -> None:
    """No host, no candidate."""
    assert candidates(IP, [], [AD]) == ()


def test_present_owner_is_told_else_planned() -> None:
    """What hosts report goes before what was planned."""
    spec = VirtualIPSpec(address=IP, pool="a", layer2=Layer2(candidates=("planned",)))
    planned = VirtualIP(metadata=Metadata(name=vip_name(IP)), spec=spec)
    told = VirtualIP(metadata=planned.metadata, spec=spec, status=VirtualIPStatus(owner=Owner(host="told")))
    assert [present_owner(vip) for vip in (None, planned, told)] == ["", "planned", "told"]
    assert ref_of(told) == Ref("VirtualIP", "", "10.0.0.1")


def test_address_goes_by_canonical_text() -> None:
    """However an address was written, its order is the same."""
    texts = ("FC00:0:0::1", "fc00::1")
    orders = {candidates(parse_address(text), hosts(*"abc"), [AD], order=CandidateOrder.HASH) for text in texts}
    assert len(orders) == 1
