"""What a host does with the packets of each port, and which ring it asks."""

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from appliance.api.address import Family
from appliance.api.core import Protocol, SessionAffinity, TrafficPolicy
from appliance.api.kind import Object
from appliance.api.pierhead import Backend, Backends, Host
from appliance.forward.hop import HopReason, LeftOut, NextHop, remote_hosts
from appliance.forward.machine import Device, DevicesChanged, FailedHostsChanged, Forwarding, ObjectsChanged
from appliance.forward.plan import HashInput, LocalBackend, PortPlan
from appliance.forward.ring import Member, Ring, ring_of
from tests.unit.forward.site import backend, behind, host, port, vip

VIP = "192.0.2.1"
A = host("node-a", "192.168.1.11/24", "2001:db8:1::11/64")
B = host("node-b", "192.168.1.12/24", "2001:db8:1::12/64")
C = host("node-c", "192.168.1.13/24", "2001:db8:1::13/64")
ON_A = backend("10.244.1.2", "node-a")
ON_B = backend("10.244.2.2", "node-b")
ON_C = backend("10.244.3.2", "node-c")
THREE = (A, B, C)


def planned(
    me: str, *backends: Backends, hosts: Sequence[Host] = THREE, failed: frozenset[str] = frozenset()
) -> Forwarding:
    """A host that has heard of one VIP."""
    core = Forwarding(me)
    objects: list[Object] = [vip(VIP), *backends, *hosts]
    core.handle(ObjectsChanged(objects))
    core.handle(DevicesChanged((Device("eth0", 2),)))
    core.handle(FailedHostsChanged(failed))
    assert core.change(0.0) is not None
    return core


def ports_of(core: Forwarding) -> tuple[PortPlan, ...]:
    """The plans of the VIP's ports."""
    return core.plans[VIP].ports


def decided(
    me: str, *backends: Backend, hosts: Sequence[Host] = THREE, failed: frozenset[str] = frozenset()
) -> tuple[PortPlan, Ring]:
    """The plan of the one port of a VIP, and its ring."""
    core = planned(me, behind(VIP, port(*backends)), hosts=hosts, failed=failed)
    (only,) = ports_of(core)
    assert only.host_set is not None
    return only, core.view(only.host_set).ring


def test_every_host_chooses_alike() -> None:
    """The ring does not depend on who makes it."""
    rings = [decided(me, ON_A, ON_B, ON_C)[1] for me in ("node-a", "node-b", "node-c")]
    assert rings == 3 * [ring_of(frozenset(Member(name, 1, 1) for name in ("node-a", "node-b", "node-c")))]


def test_own_backends_are_targets() -> None:
    """Connections are delivered to backends on this host alone."""
    assert decided("node-a", ON_A, ON_B)[0].targets == (LocalBackend(ON_A.address, 8080),)


def test_stateless_goes_down_the_chain() -> None:
    """Each host hands what it does not know to the next of the bucket, the last to nobody."""
    ring = ring_of(frozenset(Member(name, 1, 1) for name in ("node-a", "node-b", "node-c")))
    for me in ("node-a", "node-b", "node-c"):
        for bucket, chosen in zip(ring.buckets, ring.followers(me), strict=True):
            following = bucket[bucket.index(me) + 1 :]
            assert chosen == (following[0] if following else None)


def test_host_without_backends_is_asked_for_nothing() -> None:
    """It passes on what it gets."""
    passing, ring = decided("node-c", ON_A, ON_B)
    assert (passing.targets, passing.holds) == ((), False)
    assert set(ring.followers("node-c")) == {None}


@pytest.mark.parametrize(
    "drained", [host("node-b", "192.168.1.12/24", drain=True), host("node-b", "192.168.1.12/24", drained=True)]
)
def test_drained_host_gets_nothing_new(drained: Host) -> None:
    """A drained host is nobody's first choice, and keeps its targets for what is under way to it."""
    hosts = (A, drained, C)
    assert set(decided("node-a", ON_A, ON_B, ON_C, hosts=hosts)[1].primaries()) == {"node-a", "node-c"}
    assert decided("node-b", ON_A, ON_B, ON_C, hosts=hosts)[0].targets == (LocalBackend(ON_B.address, 8080),)


def test_terminating_backend_is_no_target() -> None:
    """A backend that terminates gets no new connection where another stands."""
    stopping = backend("10.244.1.3", "node-a", terminating=True)
    assert decided("node-a", ON_A, stopping, ON_B)[0].targets == (LocalBackend(ON_A.address, 8080),)


def test_host_whose_backends_terminate_drains() -> None:
    """It sends new connections to the others, and is asked for the old ones."""
    stopping = backend("10.244.1.2", "node-a", terminating=True)
    here, ring = decided("node-a", stopping, ON_B)
    assert (here.targets, set(ring.primaries())) == ((), {"node-b"})
    assert set(ring.followers("node-b")) == {"node-a"}


@pytest.mark.parametrize("terminating", [False, True])
def test_backend_that_does_not_serve_is_asked_still(terminating: bool) -> None:
    """A backend that is not ready keeps what it has: its host stays a later choice, and gets nothing new."""
    unready = backend("10.244.1.2", "node-a", terminating=terminating, serving=False)
    here, ring = decided("node-a", unready, ON_B)
    assert (here.targets, here.holds) == ((), True)
    assert set(ring.primaries()) == {"node-b"}
    assert set(ring.followers("node-b")) == {"node-a"}


def test_last_terminating_backends_serve() -> None:
    """Where every backend terminates, new connections still find one, as kube-proxy does it."""
    stopping = backend("10.244.1.2", "node-a", terminating=True)
    assert decided("node-a", stopping)[0].targets == (LocalBackend(ON_A.address, 8080),)
    unready = backend("10.244.2.2", "node-b", serving=False)
    assert set(decided("node-a", stopping, unready)[1].primaries()) == {"node-a"}


def test_last_terminating_backends_serve_once_the_ready_ones_are_gone() -> None:
    """Who gets new connections follows the ring, though nothing here changed."""
    stopping = backend("10.244.1.2", "node-a", terminating=True)
    core = planned("node-a", behind(VIP, port(stopping, ON_B)))
    assert ports_of(core)[0].targets == ()
    core.handle(FailedHostsChanged(frozenset({"node-b"})))
    core.change(1.0)
    assert ports_of(core)[0].targets == (LocalBackend(ON_A.address, 8080),)
    core.handle(FailedHostsChanged(frozenset()))
    core.change(2.0)
    assert ports_of(core)[0].targets == ()


def test_backends_that_do_not_serve_are_refused() -> None:
    """Where none serves, a new connection may know at once, and an open one is still found."""
    unready = backend("10.244.1.2", "node-a", serving=False)
    here, ring = decided("node-a", unready)
    assert (here.targets, here.kept, here.holds) == ((), False, True)
    assert set(ring.primaries()) == {"node-a"}


def test_failed_host_leaves_at_once() -> None:
    """A host that failed is in no ring, not even to be asked."""
    _, ring = decided("node-a", ON_A, ON_B, ON_C, failed=frozenset({"node-c"}))
    assert set(ring.hosts) == {"node-a", "node-b"}


def test_local_policy_stays_here() -> None:
    """Under Local no other host is ever chosen, and what cannot be served is dropped, not refused."""
    for me, targets in (("node-a", (LocalBackend(ON_A.address, 8080),)), ("node-c", ())):
        (only,) = ports_of(planned(me, behind(VIP, port(ON_A, ON_B, policy=TrafficPolicy.LOCAL))))
        assert (only.host_set, only.targets, only.kept) == (None, targets, True)


def test_port_without_backends_is_refused() -> None:
    """Nobody can serve it, so a client may know at once."""
    (only,) = ports_of(planned("node-a", behind(VIP, port())))
    assert not only.kept
    assert decided("node-a", ON_A)[0].kept


def test_affinity_hashes_by_address() -> None:
    """ClientIP keeps a client at one backend; everything else is spread by port, datagrams too."""
    ports = (
        port(ON_A, number=80),
        port(ON_A, number=81, affinity=SessionAffinity.CLIENT_IP),
        port(ON_A, number=82, protocol=Protocol.UDP),
    )
    by_number = {one.key.port: one.hashed for one in ports_of(planned("node-a", behind(VIP, *ports)))}
    assert by_number == {80: HashInput.FLOW, 81: HashInput.CLIENT, 82: HashInput.FLOW}


def test_only_backends_of_the_vips_family_count() -> None:
    """An IPv4 packet cannot be delivered to an IPv6 address."""
    here, _ = decided("node-a", ON_A, backend("2001:db8:244:1::2", "node-a"))
    assert here.targets == (LocalBackend(ON_A.address, 8080),)


def test_backends_of_an_address_nobody_holds_are_passed_over() -> None:
    """Without a VirtualIP there is no port."""
    assert set(planned("node-a", behind(VIP, port(ON_A)), behind("192.0.2.9", port(ON_A))).plans) == {VIP}


def test_next_hops() -> None:
    """Each host is reached in each family on the subnet both have."""
    assert remote_hosts("node-a", {"node-a": A, "node-b": B}, ["eth0"])["node-b"].next_hops == {
        Family.IPV4: NextHop(ip_address("192.168.1.12"), "eth0"),
        Family.IPV6: NextHop(ip_address("2001:db8:1::12"), "eth0"),
    }


@pytest.mark.parametrize("told", ["192.168.1.11/24", "192.168.1.255/24", "192.168.1.0/24"])
def test_an_address_of_ours_or_of_everybody_is_no_way_to_a_host(told: str) -> None:
    """What another host says of itself sends no packet back to this one, nor to all."""
    assert remote_hosts("node-a", {"node-a": A, "node-b": host("node-b", told)}, ["eth0"])["node-b"].next_hops == {}


def test_why_hosts_are_left_out() -> None:
    """Each host that holds backends and is in no ring has one reason."""
    far = host("node-c", "198.51.100.1/24")
    silent = Host(metadata=B.metadata)
    failed = host("node-d", "192.168.1.14/24")
    backends = (ON_A, ON_B, ON_C, backend("10.244.9.2", "node-x"), backend("10.244.4.2", "node-d"))
    core = planned("node-a", behind(VIP, port(*backends)), hosts=(A, silent, far, failed), failed=frozenset({"node-d"}))
    assert core.left_out == (
        LeftOut("node-b", Family.IPV4, HopReason.NO_HARDWARE_ADDRESS),
        LeftOut("node-c", Family.IPV4, HopReason.NO_SHARED_SUBNET),
        LeftOut("node-d", Family.IPV4, HopReason.FAILED),
        LeftOut("node-x", Family.IPV4, HopReason.UNKNOWN),
    )


def test_ports_with_equal_hosts_share_a_ring() -> None:
    """The same hosts in the same proportion are one ring in the kernel."""
    twice = [
        backend(f"10.244.{index}.{last}", f"node-{name}") for index, name in ((1, "a"), (2, "b")) for last in (2, 3)
    ]
    core = planned("node-a", behind(VIP, port(ON_A, ON_B), port(ON_B, ON_A, number=81), port(*twice, number=82)))
    assert core.ring_count == 1
    assert len({one.host_set for one in ports_of(core)}) == 1
