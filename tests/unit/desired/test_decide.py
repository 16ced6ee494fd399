"""What a host must look like."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.address import Family, vip_name
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata
from appliance.api.pierhead import (
    BGPSession,
    BGPSessionSpec,
    Condition,
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
from appliance.bird.model import AnnouncedRoute, Drain, Watch
from appliance.desired.announcement import BGPReason
from appliance.desired.decide import Here, decide
from appliance.desired.feed import updated
from appliance.desired.interface import Layer2Refusal, Unusable, unusable_addresses
from appliance.l2.election import fallback_order
from appliance.l2.event import HostPlan, Interface, VipPlan
from tests.unit.desired.feed import feed_of

ADDRESS = ip_address("192.0.2.240")
LINK = Interface(2, "eth0", bytes(6), up=True, addresses=(ip_interface("192.0.2.11/24"),))
SESSION = BGPSessionSpec(local_asn=1, peer_asn=2, interface="eth0", families=(Family.IPV4,))
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


def test_other_hosts_are_told_with_their_addresses_and_drains() -> None:
    """The layer-2 core learns how to probe and how to recognise each host."""
    told_so = host("node-b", 12)
    told_so = replace(told_so, status=replace(told_so.status, conditions=(Condition(type="Drained", status="True"),)))
    expected = HostPlan("node-b", (ip_address("192.0.2.12"),), (bytes.fromhex("02000000000c"),), draining=True)
    for drained in (host("node-b", 12, drain=True), told_so):
        assert decide(feed_of((HOSTS[0], drained)), HERE).layer2.hosts == {"node-b": expected}


def test_every_host_on_the_lan_is_watched() -> None:
    """Also those that are no candidate of any VIP: the forwarder's ring needs to know."""
    watches = decide(feed_of(HOSTS), HERE).bird.watches
    assert watches == tuple(
        Watch(name, ip_address(f"192.0.2.{number}"), "eth0") for name, number in (("node-b", 12), ("node-c", 13))
    )


def test_routes_become_announcements_for_the_peers_of_this_host() -> None:
    """A feed with a peer and a route gives BIRD both."""
    peer = BGPSession(metadata=Metadata(name="tor"), spec=replace(SESSION, neighbor=ip_address("192.0.2.1")))
    bird = decide(feed_of((*HOSTS, peer, vip(routes=(Route(prefix=ip_network("192.0.2.240/32")),)))), HERE).bird
    expected = (AnnouncedRoute(ip_network("192.0.2.240/32")),)
    assert (tuple(session.name for session in bird.sessions), bird.announcements) == (("tor",), expected)


def test_what_this_host_cannot_deliver_it_does_not_announce() -> None:
    """Until the forwarder has rules for a VIP, routers and neighbours are not led here; other hosts are."""
    peer = BGPSession(metadata=Metadata(name="tor"), spec=SESSION)
    announced = vip(Layer2(candidates=("node-a", "node-b")), (Route(prefix=ip_network("192.0.2.240/32")),))
    feed = feed_of((*HOSTS, peer, announced))
    before, after = (decide(feed, replace(HERE, forwarded=frozenset(which))) for which in ((), (ADDRESS,)))
    assert (before.vips[ADDRESS].bgp.reason, before.layer2.vips[ADDRESS].hosts) == (
        BGPReason.NOT_FORWARDED,
        ("node-b", "node-c"),
    )
    assert (after.vips[ADDRESS].bgp.reason, after.layer2.vips[ADDRESS].hosts[0]) == (BGPReason.ANNOUNCED, "node-a")


PEER = BGPSession(metadata=Metadata(name="tor"), spec=SESSION)


def numbered(number: int, preference: int, aggregate: bool) -> VirtualIP:
    """One of some VIPs, announced by itself or as a part of an aggregate."""
    address = ip_address(f"198.51.100.{number}")
    prefix = ip_network("198.51.100.0/24" if aggregate else f"{address}/32")
    spec = VirtualIPSpec(
        address=address,
        pool="p",
        layer2=Layer2(candidates=("node-a", "node-b")),
        bgp=(Route(prefix=prefix, local_preference=preference),),
    )
    return VirtualIP(metadata=Metadata(name=str(address)), spec=spec)


ALL = frozenset(ip_address(f"198.51.100.{number}") for number in range(1, 7))


@given(
    st.lists(
        st.tuples(
            st.dictionaries(
                st.integers(1, 6), st.builds(lambda *how: how, st.integers(0, 2), st.booleans()), max_size=6
            ),
            st.none() | st.frozensets(st.integers(1, 6)),
            st.sampled_from(Drain),
        ),
        max_size=6,
    )
)
def test_saved_work_changes_no_answer(
    history: list[tuple[dict[int, tuple[int, bool]], frozenset[int] | None, Drain]],
) -> None:
    """Whatever came, went or changed: what is decided on top of the last answer is what is decided from nothing."""
    known: dict[tuple[int, int, bool], VirtualIP] = {}
    before = told = None
    for vips, forwarded, drain in history:
        keys = [(number, *how) for number, how in vips.items()]
        feed = feed_of((*HOSTS, PEER, *(known.setdefault(key, numbered(*key)) for key in keys)))
        delivered = None if forwarded is None else frozenset(ip_address(f"198.51.100.{number}") for number in forwarded)
        here = replace(HERE, forwarded=delivered, drain=drain)
        told, before = decide(feed, here, told, ALL), decide(feed, here, before)
        assert [told, before] == [decide(feed, here)] * 2
        assert before.announced == sum(decided.bgp.is_announced for decided in before.vips.values())


def test_an_aggregate_stays_as_long_as_one_of_its_vips() -> None:
    """It is announced once, whatever the number of VIPs under it."""
    both, one = [numbered(number, 0, True) for number in (1, 2)], [numbered(2, 0, True)]
    first = decide(feed_of((*HOSTS, PEER, *both)), HERE)
    second = decide(feed_of((*HOSTS, PEER, *one)), HERE, first)
    third = decide(feed_of((*HOSTS, PEER)), HERE, second)
    assert [desired.bird.announcements for desired in (first, second, third)] == [
        (AnnouncedRoute(ip_network("198.51.100.0/24")),),
        (AnnouncedRoute(ip_network("198.51.100.0/24")),),
        (),
    ]


@pytest.mark.parametrize(
    ("address", "interfaces", "refusal"),
    [
        ("192.0.2.0", (), Layer2Refusal.NETWORK_ADDRESS),
        ("192.0.2.255", (), Layer2Refusal.BROADCAST_ADDRESS),
        ("192.0.2.11", (), Layer2Refusal.OWN_ADDRESS),
        ("192.0.2.11", ("eth1",), Layer2Refusal.OWN_ADDRESS),
        ("192.0.2.1", (), Layer2Refusal.GATEWAY),
        ("192.0.2.255", ("eth1",), None),
        ("192.0.2.240", (), None),
        ("2001:db8::", (), Layer2Refusal.NETWORK_ADDRESS),
        ("2001:db8::ffff:ffff:ffff:ffff", (), None),
    ],
)
def test_addresses_that_would_break_the_link_are_not_answered_for(
    address: str, interfaces: tuple[str, ...], refusal: Layer2Refusal | None
) -> None:
    """Network, broadcast, gateway and own addresses: this host is no candidate, and says why; BGP goes on."""
    link = Interface(
        2,
        "eth0",
        bytes.fromhex("020000000001"),
        up=True,
        addresses=(ip_interface("192.0.2.11/24"), ip_interface("2001:db8::11/64")),
        gateways=(ip_address("192.0.2.1"),),
    )
    wanted = ip_address(address)
    spec = VirtualIPSpec(
        address=wanted,
        pool="p",
        layer2=Layer2(candidates=("node-a", "node-b"), interfaces=interfaces),
        bgp=(Route(prefix=ip_network(wanted)),),
    )
    vip = VirtualIP(metadata=Metadata(name=vip_name(wanted)), spec=spec)
    decided = decide(feed_of((*HOSTS, PEER, vip)), replace(HERE, links=(link,))).vips[wanted]
    hosts = decided.layer2.hosts if decided.layer2 else ()
    assert (decided.refusal, "node-a" in hosts, decided.bgp.reason) == (refusal, refusal is None, BGPReason.ANNOUNCED)


@pytest.mark.parametrize("own", ["192.0.2.0/31", "192.0.2.1/31", "192.0.2.1/32"])
def test_a_point_to_point_link_has_no_network_address(own: str) -> None:
    """Both addresses of a /31 are hosts'."""
    found = unusable_addresses({"eth0": (ip_interface(own),)}, ())
    assert found == (Unusable(ip_interface(own).ip, Layer2Refusal.OWN_ADDRESS),)


def test_what_was_decided_before_changes_no_answer() -> None:
    """Saved work is used where nothing changed, and only there."""
    feed = feed_of((*HOSTS, vip(Layer2(candidates=("node-a", "node-b")))))
    moved = feed_of((host("node-a", 11), host("node-b", 12, rack="2"), vip(Layer2(candidates=("node-a", "node-b")))))
    first = decide(feed, HERE)
    same, other = decide(feed, HERE, first), decide(moved, HERE, first)
    assert (same.vips[ADDRESS] is first.vips[ADDRESS], other) == (True, decide(moved, HERE))


def test_a_vip_is_not_announced_over_a_session_at_fault() -> None:
    """Its password is missing, so BIRD is told of no such session; who asks is told that nobody hears of the VIP."""
    named = replace(SESSION, has_password=True)
    peer = BGPSession(metadata=Metadata(name="tor"), spec=named)
    feed = feed_of((*HOSTS, peer, vip(routes=(Route(prefix=ip_network("192.0.2.240/32")),))))
    assert decide(feed, HERE).vips[ADDRESS].bgp.reason is BGPReason.NO_SESSION


def test_only_what_was_touched_is_looked_at() -> None:
    """The cost of a change is that of the change, and the answer says which VIPs it concerns."""
    feed = feed_of((*HOSTS, *(numbered(number, 0, False) for number in range(1, 7))))
    first = decide(feed, HERE)
    touched = ip_address("198.51.100.3")
    later = updated(feed, (numbered(3, 1, False), numbered(4, 1, False)), ())
    second = decide(later, HERE, first, {touched})
    assert (second.changed, first.changed) == (frozenset({touched}), None)
    assert [second.vips[at] is first.vips[at] for at in sorted(ALL)] == [True, True, False, True, True, True]
