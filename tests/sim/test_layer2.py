"""Layer 2 of three hosts on a virtual LAN: who answers, when it moves, for how long nobody does."""

from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

import pytest

from appliance.api.address import IPAddress
from appliance.l2.event import CounterName, MoveRefusal, Reachability, Role, RoleReason, VipPlan
from tests.sim.lan import Lan, hardware

V4, V6 = IPv4Address("192.168.1.240"), IPv6Address("2001:db8:1::f0")
OTHER = IPv4Address("192.168.1.241")
ABC = ("a", "b", "c")
vips = pytest.mark.parametrize("vip", [V4, V6], ids=["ipv4", "ipv6"])


def site(seed: int = 0) -> Lan:
    """Three hosts, two VIPs of the first and one of the second; all are up, and the client asks."""
    lan = Lan(ABC, [VipPlan(V4, ABC), VipPlan(V6, ABC), VipPlan(OTHER, ("b", "c", "a"))], seed=seed)
    lan.start()
    lan.poll()
    lan.run(4.0)
    return lan


@vips
def test_the_first_host_claims(vip: IPAddress) -> None:
    """At start the first host of each plan claims within half a second, and nobody else ever answers."""
    lan = Lan(ABC, [VipPlan(vip, ABC)])
    lan.start()
    lan.poll()
    took = lan.settle(lambda: lan.owners(vip) == ["a"], within=0.5)
    lan.run(5.0)
    assert took < 0.3
    assert lan.owners(vip) == ["a"]
    assert lan.answerers(0.0, vip) == ["a"]
    believed = [host.vips[vip].owner for host in lan.hosts.values()]
    assert believed == ["a", "a", "a"]


@vips
@pytest.mark.parametrize("how", ["power", "partition"])
def test_a_cut_owner_is_replaced(vip: IPAddress, how: str) -> None:
    """An owner that loses power or its way to the others is replaced within 350 ms, mostly BFD's detection time."""
    lan = site()
    since = lan.now
    if how == "power":
        lan.power("a", on=False)
    else:
        lan.part(1, "a")
    lan.settle(lambda: lan.owners(vip) == ["b"], within=0.4)
    lan.run(3.0)
    assert lan.outage(since, vip) <= 0.35
    assert lan.owners(vip) == ["b"]
    assert lan.answerers(since, vip)[-1] == "b"


@vips
def test_without_carrier_the_owner_lets_go(vip: IPAddress) -> None:
    """An owner without a link answers no more and says why; when the cable is back it stays a candidate."""
    lan = site()
    since = lan.now
    lan.pull("a")
    host = lan.hosts["a"]
    assert host.vips[vip].reason is RoleReason.LINK_DOWN
    lan.run(2.0)
    assert lan.outage(since, vip) <= 0.35
    back = lan.now
    lan.plug("a")
    lan.run(5.0)
    assert lan.owners(vip) == ["b"]
    assert lan.answerers(back, vip) == ["b"]
    assert lan.outage(back, vip) == 0.0
    assert not host.isolated


@vips
def test_a_partitioned_owner_keeps_its_own_and_yields_on_return(vip: IPAddress) -> None:
    """Cut off with its carrier up, the owner knows it is isolated and takes nothing; back again it does not answer."""
    lan = site()
    host = lan.hosts["a"]
    lan.part(1, "a")
    lan.run(3.0)
    assert host.isolated
    assert (lan.role("a", vip), lan.role("a", OTHER)) == (Role.OWNER, Role.CANDIDATE)
    back = lan.now
    lan.part(0, "a")
    lan.run(5.0)
    assert lan.owners(vip) == ["b"]
    assert lan.answerers(back, vip) == ["b"]
    assert lan.outage(back, vip) == 0.0
    assert not host.isolated


def test_a_returning_host_takes_nothing() -> None:
    """A host that was dead and starts again stays a candidate: there is no fail-back."""
    lan = site()
    lan.power("a", on=False)
    lan.run(3.0)
    back = lan.now
    lan.power("a", on=True)
    lan.start("a")
    lan.run(8.0)
    assert (lan.owners(V4), lan.owners(OTHER)) == (["b"], ["b"])
    assert lan.answerers(back, V4) == ["b"]
    assert lan.outage(back, V4) == 0.0


@vips
def test_a_dead_agent_on_a_living_kernel(vip: IPAddress) -> None:
    """A frozen agent is replaced after the grace; thawed it asks before it answers, and stays a candidate."""
    lan = site()
    since = lan.now
    lan.freeze("a")
    took = lan.settle(lambda: lan.owners(vip) == ["b"], within=6.0)
    assert 3.0 <= took <= 5.5
    host = lan.hosts["b"]
    assert host.neighbors == {"a": Reachability.AGENT_DOWN, "c": Reachability.REACHABLE}
    assert lan.outage(since, vip) == 0.0
    lan.run(2.0)
    back = lan.now
    lan.thaw("a")
    lan.run(4.0)
    assert lan.owners(vip) == ["b"]
    assert lan.answerers(back, vip) == ["b"]
    assert host.neighbors == {"a": Reachability.REACHABLE, "c": Reachability.REACHABLE}


def test_a_restart_within_the_grace_moves_nothing() -> None:
    """An agent that is back within two seconds keeps its VIPs."""
    lan = site()
    since = lan.now
    lan.kill("a")
    lan.run(2.0)
    lan.start("a")
    lan.run(4.0)
    assert lan.owners(V4) == ["a"]
    assert lan.answerers(since, V4) == ["a"]


@vips
def test_drain_hands_over_without_a_gap(vip: IPAddress) -> None:
    """A drained owner answers until its successor has claimed; ending the drain brings nothing back."""
    lan = site()
    since = lan.now
    lan.drain("a")
    lan.settle(lambda: lan.owners(vip) == ["b"], within=0.2)
    lan.run(3.0)
    answered = [at for at, address, _ in lan.answers if address == vip and at >= since]
    assert max(later - at for at, later in pairwise(answered)) < 0.015
    assert lan.answerers(since, vip) == ["a", "b"]
    lan.drain("a", draining=False)
    lan.run(3.0)
    assert lan.owners(vip) == ["b"]


@vips
@pytest.mark.parametrize("to", ["c", "b", ""])
def test_one_vip_is_moved_without_a_gap(vip: IPAddress, to: str) -> None:
    """To the host that was named, be it the last of the order; one answers at any time, and nothing comes back."""
    lan = site()
    since, taker = lan.now, to or "b"
    assert lan.move("a", vip, to) == taker
    lan.settle(lambda: lan.owners(vip) == [taker], within=0.05)
    lan.run(3.0)
    answered = [at for at, address, _ in lan.answers if address == vip and at >= since]
    assert max(later - at for at, later in pairwise(answered)) < 0.015
    assert lan.answerers(since, vip) == ["a", taker]
    assert lan.outage(since, vip) == 0.0
    assert lan.hosts[taker].vips[vip].reason is RoleReason.HANDED_OVER
    assert lan.owners(V6 if vip == V4 else V4) == ["a"]


def test_a_move_to_a_host_that_does_not_hear_it_ends_where_it_began() -> None:
    """The owner answers all the while, and after five seconds it is an owner like any other."""
    lan = site()
    since = lan.now
    lan.ail("c", deaf=True)
    assert lan.move("a", V4, "c") == "c"
    assert lan.hosts["a"].vips[V4].reason is RoleReason.HANDING_OVER
    lan.run(6.0)
    assert lan.hosts["a"].vips[V4].reason is RoleReason.CLAIMED
    assert (lan.owners(V4), lan.answerers(since, V4), lan.outage(since, V4)) == (["a"], ["a"], 0.0)


def test_a_lost_release_is_said_again() -> None:
    """With every second frame lost the VIP gets there all the same, and somebody always answers."""
    lan = site(seed=3)
    lan.loss = 0.5
    assert lan.move("a", V4, "c") == "c"
    lan.settle(lambda: lan.role("a", V4) is not Role.OWNER, within=5.0)
    lan.loss = 0.0
    lan.run(3.0)
    assert lan.owners(V4) == ["c"]


def test_what_cannot_be_moved() -> None:
    """The owner says why, and nothing happens."""
    lan = site()
    lan.drain("b")
    lan.power("c", on=False)
    lan.run(3.0)
    asked = [("b", V4, "c"), ("a", V4, "a"), ("a", V4, "b"), ("a", V4, "c"), ("a", V4, "x"), ("a", V4, "")]
    assert [lan.move(*each) for each in asked] == [
        MoveRefusal.NOT_OWNER,
        MoveRefusal.IS_OWNER,
        MoveRefusal.DRAINING,
        MoveRefusal.GONE,
        MoveRefusal.NOT_LISTED,
        MoveRefusal.NO_SUCCESSOR,
    ]
    lan.run(1.0)
    assert lan.owners(V4) == ["a"]


def test_the_last_host_keeps_its_vips_while_draining() -> None:
    """Where every host drains somebody still answers."""
    lan = site()
    for name in ABC:
        lan.drain(name)
        lan.run(1.0)
    assert lan.owners(V4) == ["c"]
    assert lan.outage(4.0, V4) == 0.0


def test_a_drain_towards_a_dead_agent_goes_on_to_the_next() -> None:
    """Where the successor's agent does not run the one after it takes over; the drained host answers so long."""
    lan = site()
    lan.kill("b")
    lan.drain("a")
    lan.settle(lambda: lan.owners(V4) == ["c"], within=4.0)
    lan.run(2.0)
    assert lan.owners(V4) == ["c"]


def test_a_new_plan_moves_a_vip() -> None:
    """An owner the plan no longer lists hands over; a VIP no longer planned is answered by nobody."""
    lan = site()
    lan.vips[V4] = VipPlan(V4, ("c", "b"))
    lan.replan()
    lan.settle(lambda: lan.owners(V4) == ["c"], within=0.3)
    lan.run(2.0)
    assert lan.owners(V4) == ["c"]
    lan.vips[V4] = VipPlan(V4, ())
    del lan.vips[V6]
    lan.replan()
    lan.run(0.5)
    assert (lan.owners(V4), lan.owners(V6)) == ([], [])


@pytest.mark.parametrize("router", [True, False])
@pytest.mark.parametrize("asking", [True, False])
def test_two_hosts_survive_each_other(router: bool, asking: bool) -> None:
    """Of two hosts the survivor takes over at once, on a LAN with a router and on one where nobody else speaks."""
    hosts = ("a", "b")
    lan = Lan(hosts, [VipPlan(V4, hosts)], router=router)
    lan.start()
    lan.run(5.0)
    assert lan.role("a", V4) is Role.OWNER
    if asking:
        lan.poll()
        lan.run(1.0)
    lan.power("a", on=False)
    lan.settle(lambda: lan.owners(V4) == ["b"], within=0.4)
    lan.run(3.0)
    assert lan.owners(V4) == ["b"]


def test_two_hosts_parted_and_joined() -> None:
    """Two hosts that lose each other have one owner for each side of the cut, and one in all when it is mended."""
    hosts = ("a", "b")
    lan = Lan(hosts, [VipPlan(V4, hosts)])
    lan.start()
    lan.poll()
    lan.run(4.0)
    lan.part(1, "a")
    lan.run(3.0)
    assert lan.owners(V4) == ["b"]
    back = lan.now
    lan.part(0, "a")
    lan.run(3.0)
    assert lan.owners(V4) == ["b"]
    assert lan.answerers(back, V4) == ["b"]


def test_both_sides_of_a_cut_with_clients() -> None:
    """A cut with somebody to hear on each side gives two owners; mended, the better one stays and clients follow it."""
    lan = site()
    lan.part(1, "b", "c", "router")
    lan.run(6.0)
    assert lan.owners(V4) == ["a"]
    assert lan.owners(V4, seen_by=lan.router) == ["b"]
    lan.part(0, "b", "c", "router")
    back = lan.now
    lan.run(4.0)
    assert lan.owners(V4) == ["a"]
    late = [mac for at, address, mac in lan.answers if address == V4 and at > back + 1.5]
    assert set(late) == {lan.hosts["a"].mac}
    assert lan.cache[V4] == lan.hosts["a"].mac


def test_a_foreign_station_that_holds_an_address_keeps_it_from_being_claimed() -> None:
    """An address somebody else answers for is not claimed; it is tried again later, and claimed once free."""
    lan = Lan(ABC, [VipPlan(V4, ABC)])
    lan.foreign[V4] = hardware(200)
    lan.start()
    lan.run(6.0)
    host = lan.hosts["a"]
    assert lan.owners(V4) == []
    assert host.conflicts[V4].hardware_address == hardware(200)
    assert host.vips[V4].reason is RoleReason.CONFLICT
    lan.foreign.clear()
    lan.settle(lambda: bool(lan.owners(V4)), within=15.0)
    lan.run(3.0)
    assert len(lan.owners(V4)) == 1


def test_an_owner_defends_itself_once_against_a_foreign_station() -> None:
    """Foreign claims are recorded, defended against once in ten seconds, and not given way to."""
    lan = site()
    host = lan.hosts["a"]
    assert host.core
    before = host.core.counters().get(CounterName.ANNOUNCEMENTS, 0)
    for _ in range(5):
        lan.announce_foreign(V4, hardware(200))
        lan.run(1.0)
    assert host.conflicts[V4].interface == "eth0"
    assert host.core.counters()[CounterName.ANNOUNCEMENTS] - before == 2
    assert lan.owners(V4) == ["a"]


def test_a_false_alarm_moves_nothing() -> None:
    """BFD loses everybody under load, while frames still pass: alarms are counted, nothing moves."""
    lan = site()
    since = lan.now
    lan.fail_bird()
    lan.run(5.0)
    assert lan.answerers(since, V4) == ["a"]
    alarms = [host.core.counters()[CounterName.FALSE_ALARMS] for host in lan.hosts.values() if host.core]
    assert min(alarms) >= 1


def test_without_bird_a_dead_owner_is_found() -> None:
    """With no BFD at all a dead owner is replaced within two and a half seconds."""
    lan = Lan(ABC, [VipPlan(V4, ABC)])
    lan.bfd = False
    lan.start()
    lan.poll()
    lan.run(4.0)
    since = lan.now
    lan.power("a", on=False)
    lan.run(5.0)
    assert lan.owners(V4) == ["b"]
    assert lan.outage(since, V4) <= 2.5


@pytest.mark.parametrize("seed", range(5))
def test_a_lossy_lan_settles(seed: int) -> None:
    """With one frame in ten lost there is still one owner in the end, before and after a cut."""
    lan = site(seed)
    lan.loss = 0.1
    lan.part(1, "a")
    lan.run(3.0)
    lan.part(0, "a")
    lan.run(3.0)
    lan.loss = 0.0
    lan.run(5.0)
    assert len(lan.owners(V4)) == 1
    assert len(lan.owners(V6)) == 1
