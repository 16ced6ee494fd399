"""What a host does with the packets of each port."""

from collections.abc import Sequence
from ipaddress import ip_address

from appliance.api.address import Family
from appliance.api.core import Protocol, SessionAffinity, TrafficPolicy
from appliance.api.pierhead import Backend, Backends, Host
from appliance.forward.hop import LeftOut, NextHop, Reason
from appliance.forward.plan import Choice, ForwardPlan, PortPlan, Target, plan
from appliance.forward.ring import Member, ring_of
from tests.unit.forward.site import backend, behind, host, port, vip

VIP = "192.0.2.1"
A = host("node-a", "192.168.1.11/24", "2001:db8:1::11/64")
B = host("node-b", "192.168.1.12/24", "2001:db8:1::12/64")
C = host("node-c", "192.168.1.13/24", "2001:db8:1::13/64")
ON_A = backend("10.244.1.2", "node-a")
ON_B = backend("10.244.2.2", "node-b")
ON_C = backend("10.244.3.2", "node-c")


def planned(
    me: str, *backends: Backends, hosts: Sequence[Host] = (A, B, C), dead: frozenset[str] = frozenset()
) -> ForwardPlan:
    """A plan for one VIP."""
    return plan(me, vips=[vip(VIP)], backends=backends, hosts=hosts, dead=dead, interfaces=["eth0"])


def port_of(
    me: str, *backends: Backend, hosts: Sequence[Host] = (A, B, C), dead: frozenset[str] = frozenset()
) -> PortPlan:
    """The plan of the one port of a VIP."""
    (only,) = planned(me, behind(VIP, port(*backends)), hosts=hosts, dead=dead).ports
    return only


def named(choice: Choice | None) -> set[str | None]:
    """Everything a choice names."""
    return set(choice or ())


def test_every_host_chooses_alike() -> None:
    """The first choice does not depend on who makes it."""
    choices = {port_of(me, ON_A, ON_B, ON_C).first for me in ("node-a", "node-b", "node-c")}
    ring = ring_of(frozenset(Member(name, 1, 1) for name in ("node-a", "node-b", "node-c")))
    assert choices == {tuple(bucket[0] for bucket in ring.buckets)}


def test_own_backends_are_targets() -> None:
    """Connections are delivered to backends on this host alone."""
    assert port_of("node-a", ON_A, ON_B).targets == (Target(ON_A.address, 8080),)


def test_sole_host_chooses_nothing() -> None:
    """Where all backends are here, packets stay here."""
    only = port_of("node-a", ON_A)
    assert (only.first, only.stateless, only.unserved) == (None, None, None)


def test_stateless_goes_down_the_chain() -> None:
    """Each host hands what it does not know to the next of the bucket, the last to nobody."""
    ring = ring_of(frozenset(Member(name, 1, 1) for name in ("node-a", "node-b", "node-c")))
    for me in ("node-a", "node-b", "node-c"):
        choice = port_of(me, ON_A, ON_B, ON_C).stateless
        assert choice is not None
        for bucket, chosen in zip(ring.buckets, choice, strict=True):
            following = bucket[bucket.index(me) + 1 :]
            assert chosen == (following[0] if following else None)


def test_host_without_backends_passes_everything_on() -> None:
    """A fellow host's choice that cannot be served here goes to the primary."""
    passing = port_of("node-c", ON_A, ON_B)
    assert passing.targets == ()
    assert passing.first == passing.stateless == passing.unserved
    assert named(passing.first) == {"node-a", "node-b"}


def test_drained_host_gets_nothing_new() -> None:
    """A drained host is nobody's first choice, and keeps its targets for what is under way to it."""
    drained = host("node-b", "192.168.1.12/24", drain=True)
    hosts = (A, drained, C)
    assert named(port_of("node-a", ON_A, ON_B, ON_C, hosts=hosts).first) == {"node-a", "node-c"}
    assert port_of("node-b", ON_A, ON_B, ON_C, hosts=hosts).targets == (Target(ON_B.address, 8080),)


def test_terminating_backend_is_no_target() -> None:
    """A backend that terminates gets no new connection where another stands."""
    stopping = backend("10.244.1.3", "node-a", terminating=True)
    assert port_of("node-a", ON_A, stopping, ON_B).targets == (Target(ON_A.address, 8080),)


def test_host_whose_backends_terminate_drains() -> None:
    """It sends new connections to the others, and is asked for the old ones."""
    stopping = backend("10.244.1.2", "node-a", terminating=True)
    here = port_of("node-a", stopping, ON_B)
    assert (here.targets, named(here.first), named(here.unserved)) == ((), {"node-b"}, {"node-b"})
    assert named(port_of("node-b", stopping, ON_B).stateless) == {"node-a"}


def test_last_terminating_backends_serve() -> None:
    """Where every backend terminates, new connections still find one, as kube-proxy does it."""
    stopping = backend("10.244.1.2", "node-a", terminating=True)
    assert port_of("node-a", stopping).targets == (Target(ON_A.address, 8080),)


def test_dead_host_leaves_at_once() -> None:
    """A host convicted dead is in no ring, not even to be asked."""
    here = port_of("node-a", ON_A, ON_B, ON_C, dead=frozenset({"node-c"}))
    assert named(here.first) == {"node-a", "node-b"}
    assert "node-c" not in named(here.stateless)


def test_local_policy_stays_here() -> None:
    """Under Local no other host is ever chosen, and what cannot be served is dropped, not refused."""
    for me, targets in (("node-a", (Target(ON_A.address, 8080),)), ("node-c", ())):
        local = port(ON_A, ON_B, policy=TrafficPolicy.LOCAL)
        (only,) = planned(me, behind(VIP, local)).ports
        assert (only.first, only.stateless, only.unserved, only.targets) == (None, None, None, targets)
        assert only.kept


def test_port_without_backends_is_refused() -> None:
    """Nobody can serve it, so a client may know at once."""
    assert not port_of("node-a").kept
    assert port_of("node-a", ON_A).kept


def test_affinity_and_datagrams_hash_by_address() -> None:
    """ClientIP keeps a client at one backend; fragments of datagrams have no port."""
    ports = (
        port(ON_A, number=80),
        port(ON_A, number=81, affinity=SessionAffinity.CLIENT_IP),
        port(ON_A, number=82, protocol=Protocol.UDP),
    )
    by_number = {one.key.port: one.by_address for one in planned("node-a", behind(VIP, *ports)).ports}
    assert by_number == {80: False, 81: True, 82: True}


def test_only_backends_of_the_vips_family_count() -> None:
    """An IPv4 packet cannot be delivered to an IPv6 address."""
    assert port_of("node-a", ON_A, backend("2001:db8:244:1::2", "node-a")).targets == (Target(ON_A.address, 8080),)


def test_backends_of_an_address_nobody_holds_are_passed_over() -> None:
    """Without a VirtualIP there is no port."""
    assert planned("node-a", behind("192.0.2.9", port(ON_A))).ports == ()


def test_next_hops() -> None:
    """Each fellow is reached in each family on the subnet both have."""
    (fellow_b, _) = planned("node-a").fellows
    assert fellow_b.next_hops == {
        Family.IPV4: NextHop(ip_address("192.168.1.12"), "eth0"),
        Family.IPV6: NextHop(ip_address("2001:db8:1::12"), "eth0"),
    }


def test_why_hosts_are_left_out() -> None:
    """Each host that holds backends and is in no ring has one reason."""
    far = host("node-c", "198.51.100.1/24")
    silent = Host(metadata=B.metadata)
    stranger = backend("10.244.9.2", "node-x")
    dead = host("node-d", "192.168.1.14/24")
    lost = backend("10.244.4.2", "node-d")
    told = planned(
        "node-a",
        behind(VIP, port(ON_A, ON_B, ON_C, stranger, lost)),
        hosts=(A, silent, far, dead),
        dead=frozenset({"node-d"}),
    )
    assert told.left_out == (
        LeftOut("node-b", Family.IPV4, Reason.NO_HARDWARE_ADDRESS),
        LeftOut("node-c", Family.IPV4, Reason.NO_SHARED_SUBNET),
        LeftOut("node-d", Family.IPV4, Reason.DEAD),
        LeftOut("node-x", Family.IPV4, Reason.UNKNOWN),
    )
    assert told.ports[0].first is None


def test_ports_with_equal_hosts_share_a_ring() -> None:
    """What is the same is the same object, so that it is rendered once."""
    rings = planned("node-a", behind(VIP, port(ON_A, ON_B), port(ON_B, ON_A, number=81))).rings
    assert len(rings) == 2
    assert len(set(map(id, rings.values()))) == 1


def test_only_present_devices_are_hooked() -> None:
    """A device that is not there would make the kernel refuse everything."""
    assert plan("node-a", vips=[], backends=[], hosts=[A], dead=frozenset(), interfaces=[]).devices == ()
    assert planned("node-a").devices == ("eth0",)
