"""What a host must look like."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network

from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata
from appliance.api.metallb import BGPPeer, BGPPeerSpec
from appliance.api.pierhead import (
    Host,
    HostInterface,
    HostSpec,
    HostStatus,
    Layer2,
    Owner,
    Route,
    VirtualIP,
    VirtualIPSpec,
    VirtualIPStatus,
)
from appliance.bird.model import Announcement, Watch
from appliance.desired.announcement import BGPReason
from appliance.desired.decide import Here, decide
from appliance.desired.feed import feed_of
from appliance.l2.election import fallback_order
from appliance.l2.plan import Fellow, Interface, VipPlan

ADDRESS = ip_address("192.0.2.240")
LINK = Interface("eth0", bytes(6), up=True, addresses=(ip_interface("192.0.2.11/24"),))
HERE = Here(name="node-a", router_id=IPv4Address("192.0.2.11"), links=(LINK,))


def host(name: str, number: int, drain: bool = False, **labels: str) -> Host:
    """A host of the LAN."""
    interface = HostInterface(
        name="eth0",
        hardware_address=bytes((2, 0, 0, 0, 0, number)),
        addresses=(ip_interface(f"192.0.2.{number}/24"),),
    )
    return Host(
        metadata=Metadata(name=name, labels=labels),
        spec=HostSpec(drain=drain),
        status=HostStatus(interfaces=(interface,)),
    )


HOSTS = (host("node-a", 11), host("node-b", 12), host("node-c", 13))


def vip(layer2: Layer2 | None = None, routes: tuple[Route, ...] = (), owner: str = "") -> VirtualIP:
    """A VIP, owned by some host."""
    return VirtualIP(
        metadata=Metadata(name=str(ADDRESS)),
        spec=VirtualIPSpec(address=ADDRESS, pool="p", layer2=layer2, bgp=routes),
        status=VirtualIPStatus(owner=Owner(host=owner) if owner else None),
    )


def planned(layer2: Layer2, owner: str = "") -> VipPlan:
    """The layer-2 plan of a feed with one VIP."""
    return decide(feed_of((*HOSTS, vip(layer2, owner=owner))), HERE).layer2.vips[ADDRESS]


def test_candidates_come_first_and_the_others_in_metallbs_order() -> None:
    """A host beyond the candidates is a fallback."""
    hosts = planned(Layer2(candidates=("node-c",))).hosts
    assert hosts == ("node-c", *fallback_order(("node-a", "node-b"), ADDRESS))


def test_selectors_bound_the_fallback() -> None:
    """A host the selectors leave out is never asked."""
    only_c = LabelSelector(match_labels={"kubernetes.io/hostname": "node-c"})
    assert planned(Layer2(candidates=("node-b",), node_selectors=(only_c,))).hosts == ("node-b", "node-c")


def test_a_candidate_nobody_knows_is_left_out() -> None:
    """A host without an object has no address to be probed at."""
    only_b = LabelSelector(match_labels={"kubernetes.io/hostname": "node-b"})
    assert planned(Layer2(candidates=("gone", "node-b"), node_selectors=(only_b,))).hosts == ("node-b",)


def test_no_candidates_means_nobody() -> None:
    """Without a candidate there is no fallback either."""
    assert planned(Layer2()).hosts == ()


def test_the_recorded_owner_is_told() -> None:
    """Who answered last is known after a restart."""
    assert planned(Layer2(candidates=("node-a",)), owner="node-b").recorded_owner == "node-b"


def test_a_vip_without_layer_2_is_not_planned() -> None:
    """A BGP address is answered for by nobody."""
    assert decide(feed_of((*HOSTS, vip())), HERE).layer2.vips == {}


def test_fellows_are_told_with_their_addresses_and_drains() -> None:
    """The layer-2 core learns how to probe and how to recognise each fellow."""
    feed = feed_of((HOSTS[0], host("node-b", 12, drain=True)))
    expected = Fellow("node-b", (ip_address("192.0.2.12"),), (bytes.fromhex("02000000000c"),), draining=True)
    assert decide(feed, HERE).layer2.fellows == {"node-b": expected}


def test_every_fellow_on_the_lan_is_watched() -> None:
    """Also those that are no candidate of any VIP: the forwarder's ring needs to know."""
    watches = decide(feed_of(HOSTS), HERE).bird.watches
    assert watches == tuple(
        Watch(name, ip_address(f"192.0.2.{number}"), "eth0") for name, number in (("node-b", 12), ("node-c", 13))
    )


def test_routes_become_announcements_for_the_peers_of_this_host() -> None:
    """A feed with a peer and a route gives BIRD both."""
    peer = BGPPeer(
        metadata=Metadata(name="tor"), spec=BGPPeerSpec(my_asn=1, peer_asn=2, peer_address=ip_address("192.0.2.1"))
    )
    bird = decide(feed_of((*HOSTS, peer, vip(routes=(Route(prefix=ip_network("192.0.2.240/32")),)))), HERE).bird
    expected = (Announcement(ip_network("192.0.2.240/32")),)
    assert (tuple(session.name for session in bird.sessions), bird.announcements) == (("tor",), expected)


def test_what_this_host_cannot_deliver_it_does_not_announce() -> None:
    """Until the forwarder has rules for a VIP, routers and neighbours are not led here; other hosts are."""
    peer = BGPPeer(metadata=Metadata(name="tor"), spec=BGPPeerSpec(my_asn=1, peer_asn=2, interface="eth0"))
    announced = vip(Layer2(candidates=("node-a", "node-b")), (Route(prefix=ip_network("192.0.2.240/32")),))
    feed = feed_of((*HOSTS, peer, announced))
    before, after = (decide(feed, replace(HERE, forwarded=frozenset(which))) for which in ((), (ADDRESS,)))
    assert (before.vips[ADDRESS].bgp.reason, before.layer2.vips[ADDRESS].hosts) == (
        BGPReason.NOT_FORWARDED,
        ("node-b", "node-c"),
    )
    assert (after.vips[ADDRESS].bgp.reason, after.layer2.vips[ADDRESS].hosts[0]) == (BGPReason.ANNOUNCED, "node-a")


def test_what_was_decided_before_changes_no_answer() -> None:
    """Saved work is used where nothing changed, and only there."""
    feed = feed_of((*HOSTS, vip(Layer2(candidates=("node-a", "node-b")))))
    moved = feed_of((host("node-a", 11), host("node-b", 12, rack="2"), vip(Layer2(candidates=("node-a", "node-b")))))
    first = decide(feed, HERE)
    same, other = decide(feed, HERE, first), decide(moved, HERE, first)
    assert (same.vips[ADDRESS] is first.vips[ADDRESS], other) == (True, decide(moved, HERE))
