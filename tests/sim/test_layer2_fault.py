"""Hosts that disagree, hear half, pause, restart and leave: histories of the virtual LAN that once went wrong."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import pytest

from appliance.api.address import IPAddress
from appliance.l2.event import CounterName, Reachability, Role, VipPlan
from tests.sim.lan import Lan

V4, V6 = IPv4Address("192.168.1.240"), IPv6Address("2001:db8:1::f0")
OTHER = IPv4Address("192.168.1.241")
ABC = ("a", "b", "c")
vips = pytest.mark.parametrize("vip", [V4, V6], ids=["ipv4", "ipv6"])


def site(seed: int = 0, *, hosts: tuple[str, ...] = ABC, router: bool = True, wires: int = 1) -> Lan:
    """Some hosts, two VIPs of the first and one of the second; all are up, and the client asks."""
    others = (*hosts[1:], hosts[0])
    plans = [VipPlan(V4, hosts), VipPlan(V6, hosts), VipPlan(OTHER, others)]
    lan = Lan(hosts, plans, seed=seed, router=router, wires=wires)
    lan.start()
    lan.poll()
    lan.run(4.0)
    assert (lan.owners(V4), lan.owners(OTHER)) == ([hosts[0]], [hosts[1]])
    return lan


def restrict(lan: Lan, vip: IPAddress, *hosts: str) -> None:
    """Have the store list other hosts for a VIP."""
    lan.vips[vip] = replace(lan.vips[vip], hosts=hosts)
    lan.replan()


def announcements(lan: Lan) -> list[int]:
    """How often each host announced anything."""
    return [host.core.counters().get(CounterName.ANNOUNCEMENTS, 0) for host in lan.hosts.values() if host.core]


class TestPlansThatDiffer:
    """Whatever the hosts' plans say, one of them answers."""

    @vips
    def test_a_delisted_owner_that_cannot_read_the_store_keeps_its_vip_alone(self, vip: IPAddress) -> None:
        """It hands over when it reads; until then nobody else answers."""
        lan = site()
        since = lan.now
        lan.cut_store("a")
        restrict(lan, vip, "b", "c")
        lan.run(20.0)
        assert lan.answerers(since, vip) == ["a"]
        lan.cut_store("a", cut=False)
        lan.settle(lambda: lan.owners(vip) == ["b"], within=0.5)
        lan.run(3.0)
        assert lan.answerers(since, vip) == ["a", "b"]
        assert lan.outage(since, vip) == 0.0

    @vips
    def test_a_drained_owner_that_cannot_read_the_store_keeps_its_vip_alone(self, vip: IPAddress) -> None:
        """The same for a drain nobody told it of."""
        lan = site()
        since = lan.now
        lan.cut_store("a")
        lan.drain("a")
        lan.run(20.0)
        assert lan.answerers(since, vip) == ["a"]

    def test_no_host_announces_for_ever(self) -> None:
        """An idle site whose plans differ is silent but for its questions: no announcement after announcement."""
        lan = site()
        lan.cut_store("a")
        restrict(lan, V4, "b", "c")
        lan.run(5.0)
        before = announcements(lan)
        lan.run(10.0)
        assert announcements(lan) == before

    @pytest.mark.parametrize("first", ["a", "b"])
    def test_two_owners_with_plans_that_favour_themselves(self, first: str) -> None:
        """A cut gave each side an owner, and each one's plan puts itself first: mended, one of them goes on."""
        lan = site()
        lan.cut_store("a")
        lan.part(1, "a", "router")
        restrict(lan, V4, "b", "c")
        lan.run(6.0)
        assert (lan.role("a", V4), lan.role("b", V4)) == (Role.OWNER, Role.OWNER)
        if first == "b":  # the later one has owned it for long
            lan.run(20.0)
        lan.part(0, "a", "router")
        lan.run(5.0)
        assert len(lan.owners(V4)) == 1
        assert lan.owners(V4) == ["a"]  # it was there before b took over
        back = lan.now
        lan.run(30.0)
        assert lan.answerers(back, V4) == ["a"]

    @pytest.mark.parametrize("loss", [0.0, 0.1])
    @pytest.mark.parametrize("seed", range(6))
    def test_two_that_claim_at_once(self, seed: int, loss: float) -> None:
        """At a cold start each host's plan puts itself first and all claim in the same moment: one goes on."""
        lan = Lan(ABC, [VipPlan(V4, ABC)], seed=seed)
        for at, name in enumerate(ABC):
            lan.vips[V4] = VipPlan(V4, ABC[at:] + ABC[:at])
            lan.cut_store(name, cut=False)
            lan.cut_store(name)
            lan.hosts[name].plan = lan.plan(lan.hosts[name])
        for at, name in enumerate(ABC):  # they hear nothing of each other until each has claimed
            lan.part(at, name)
        lan.start()
        lan.poll()
        lan.run(5.0)
        lan.loss = loss
        lan.part(0, *ABC)
        lan.run(12.0)
        lan.loss = 0.0
        lan.run(3.0)
        assert len(lan.owners(V4)) == 1
        back = lan.now
        lan.run(20.0)
        assert len(lan.answerers(back, V4)) == 1

    def test_two_hosts_that_drain_do_not_pass_a_vip_to_and_fro(self) -> None:
        """The only other candidate is paused: one of the two keeps it, and never do both let go of it."""
        lan = site()
        lan.freeze("c")
        for name in ("a", "b"):
            lan.drain(name)
        lan.run(10.0)
        since = lan.now
        lan.run(20.0)
        assert len(lan.answerers(since, V4)) == 1
        assert lan.outage(4.0, V4) == 0.0
        assert lan.longest_silence(4.0, V4) < 0.015

    def test_drains_that_are_not_known_to_each_other(self) -> None:
        """Two hosts drain and neither knows of the other's drain: the VIP does not go to and fro for ever."""
        lan = site(hosts=("a", "b"))
        for name in ("a", "b"):
            lan.drained = {name}
            lan.cut_store(name, cut=False)
            lan.cut_store(name)
        lan.run(20.0)
        since = lan.now
        lan.run(20.0)
        assert len(lan.answerers(since, V4)) == 1
        assert lan.outage(4.0, V4) == 0.0


class TestOneWayLoss:
    """What a host that hears half believes takes nothing from a living owner."""

    @vips
    @pytest.mark.parametrize("how", ["deaf", "mute"])
    def test_an_owner_that_turns_deaf_or_mute_is_replaced(self, vip: IPAddress, how: str) -> None:
        """Its own questions do not acquit it: it takes as long as a host without power."""
        lan = site()
        since = lan.now
        lan.ail("a", **{how: True})
        lan.settle(lambda: "b" in lan.owners(vip), within=0.35)
        lan.run(10.0)
        assert lan.cache[vip] == lan.hosts["b"].mac
        late = lan.now
        lan.run(5.0)
        assert lan.outage(late, vip) == 0.0
        lan.ail("a", deaf=False, mute=False)
        lan.run(5.0)
        assert lan.owners(vip) == ["b"]
        assert set(lan.answerers(since + 1.0, vip)) == {"b"}

    @pytest.mark.parametrize("how", ["deaf", "mute"])
    @pytest.mark.parametrize("restarted", [False, True])
    @pytest.mark.parametrize("asked", [True, False])
    def test_a_deaf_or_mute_candidate_takes_nothing(self, how: str, restarted: bool, asked: bool) -> None:
        """It convicts nobody, claims nothing, also after a minute, after a restart, and when it is well again."""
        lan = Lan(ABC, [VipPlan(V4, ABC), VipPlan(OTHER, ("b", "c", "a"))])
        lan.start()
        if asked:
            lan.poll(0.1)
        lan.run(5.0)
        since = lan.now
        lan.ail("c", **{how: True})
        if restarted:
            lan.run(1.0)
            lan.kill("c")
            lan.start("c")
        lan.run(60.0)
        lan.poll()
        lan.run(1.0)
        assert (lan.role("a", V4), lan.role("b", OTHER)) == (Role.OWNER, Role.OWNER)
        if not restarted:
            assert (lan.role("c", V4), lan.role("c", OTHER)) == (Role.CANDIDATE, Role.CANDIDATE)
        lan.ail("c", deaf=False, mute=False)
        lan.run(10.0)
        assert (lan.owners(V4), lan.owners(OTHER)) == (["a"], ["b"])
        assert (set(lan.answerers(since, V4)), set(lan.answerers(since, OTHER))) == ({"a"}, {"b"})

    def test_nobody_yields_to_the_deaf(self) -> None:
        """Of two hosts on a LAN without anybody else one turns deaf and claims: the owner answers on."""
        lan = Lan(("a", "b"), [VipPlan(V4, ("a", "b"))], router=False)
        lan.start()
        lan.run(5.0)
        lan.ail("b", deaf=True)
        lan.run(30.0)
        lan.poll()
        lan.run(70.0)
        assert lan.owners(V4)[:1] == ["a"]
        assert lan.cache[V4] == lan.hosts["a"].mac
        lan.ail("b", deaf=False)
        lan.run(10.0)
        assert lan.owners(V4) == ["a"]

    @vips
    def test_arp_is_lost_and_bfd_is_not(self, vip: IPAddress) -> None:
        """An owner nobody can resolve is replaced, whatever its route says; well again it asks before it answers."""
        lan = site()
        lan.ail("a", resolves=False)
        lan.settle(lambda: "b" in lan.owners(vip), within=4.0)
        lan.run(5.0)
        back = lan.now
        lan.ail("a", resolves=True)
        lan.run(5.0)
        assert lan.owners(vip) == ["b"]
        assert lan.answerers(back, vip) == ["b"]

    def test_bfd_is_lost_and_arp_is_not(self) -> None:
        """BFD alone says nothing: all hosts stay reachable, nothing moves."""
        lan = site()
        since = lan.now
        lan.lose_bfd("a")
        lan.run(20.0)
        assert lan.answerers(since, V4) == ["a"]
        assert {host.neighbors.get("a") for host in lan.hosts.values()} == {None, Reachability.REACHABLE}


class TestSeveralLinks:
    """What one link does says nothing of another."""

    def test_a_silent_link_isolates_itself_alone(self) -> None:
        """A link on which nobody answers any more is isolated; a dead host is told on the other link as ever."""
        lan = site(wires=2)
        lan.part(1, "a", wire=1)
        lan.run(10.0)
        assert lan.hosts["a"].isolated == {3}
        assert lan.owners(V4) == ["a"]
        lan.power("b", on=False)
        lan.settle(lambda: lan.hosts["a"].neighbors["b"] is Reachability.FAILED, within=2.0)
        lan.run(3.0)
        assert lan.owners(OTHER) == ["c"]
        lan.part(0, "a", wire=1)
        lan.run(3.0)
        assert lan.hosts["a"].isolated == set()

    def test_a_new_link_stops_no_answers_on_the_others(self) -> None:
        """The first frames on a link that came up leave the VIPs of the other links as they are."""
        lan = Lan(ABC, [VipPlan(V4, ABC, ("eth0",)), VipPlan(OTHER, ABC)], wires=2)
        lan.start()
        lan.pull("a", 1)
        lan.poll()
        lan.run(5.0)
        since = lan.now
        lan.plug("a", 1)
        lan.run(3.0)
        for vip in (V4, OTHER):
            assert lan.owners(vip) == ["a"]
            assert lan.longest_silence(since, vip) < 0.015

    def test_an_interface_made_anew_is_spoken_on(self) -> None:
        """Under its old name with a new index it is another link; its owner answers on it at once or asks first."""
        lan = site()
        since = lan.now
        lan.remake("a")
        lan.run(5.0)
        assert len(lan.owners(V4)) == 1
        assert lan.longest_silence(since, V4) < 0.5

    def test_what_waits_for_one_link_does_not_wait_for_another(self) -> None:
        """An isolated link keeps no VIP of another link from being taken over."""
        inside = IPv4Address("10.1.0.240")
        lan = Lan(ABC, [VipPlan(V4, ABC, ("eth0",)), VipPlan(inside, ABC, ("eth1",))], wires=2)
        lan.start()
        lan.poll()
        lan.run(5.0)
        lan.part(1, "b", wire=1)
        lan.run(5.0)
        assert lan.hosts["b"].isolated == {3}
        lan.power("a", on=False)
        lan.settle(lambda: lan.owners(V4) == ["b"], within=0.4)
        lan.settle(lambda: lan.owners(inside) == ["c"], within=4.0)


class TestKnownInTime:
    """Who lives is known soon, whatever BIRD says."""

    def test_a_dead_host_without_vips_is_known_while_bird_is_dead_and_its_routes_stay(self) -> None:
        """Hosts are asked slowly for their own addresses, also with a route."""
        lan = site()
        lan.kill_bird("a")
        lan.run(3.0)
        lan.power("c", on=False)
        lan.settle(lambda: lan.hosts["a"].neighbors["c"] is Reachability.FAILED, within=8.0)

    def test_a_dead_host_is_known_at_once_after_a_restart(self) -> None:
        """An agent that starts asks at once and knows within 150 ms who is dead and who is not."""
        lan = site()
        lan.power("c", on=False)
        lan.run(3.0)
        lan.kill("a")
        lan.start("a")
        lan.run(0.15)
        assert lan.hosts["a"].neighbors == {"b": Reachability.REACHABLE, "c": Reachability.FAILED}

    def test_an_idle_lan_is_quiet(self) -> None:
        """Questions go to the host that is asked: of twenty idle hosts hardly a frame a second goes to all."""
        hosts = tuple(f"h{number:02}" for number in range(20))
        lan = Lan(hosts, [VipPlan(V4 + at, hosts[at:] + hosts[:at]) for at in range(20)])
        lan.start()
        lan.run(10.0)
        lan.broadcasts, lan.frames = 0, 0
        lan.run(20.0)
        assert lan.broadcasts <= 20
        assert lan.frames / 20.0 / len(hosts) < 100  # questions and answers, a second a host

    def test_a_paused_agent_is_left_after_the_grace_and_asks_before_it_answers(self) -> None:
        """Stopped for long it lost its VIPs; with all that waited it does not answer once."""
        lan = site()
        lan.freeze("a")
        lan.run(8.0)
        assert lan.owners(V4) == ["b"]
        back = lan.now
        lan.thaw("a")
        lan.run(4.0)
        assert lan.answerers(back, V4) == ["b"]
        assert lan.outage(back, V4) == 0.0


class TestLeaving:
    """A host that stops on purpose hands over first; one that restarts moves nothing."""

    @vips
    def test_a_host_that_stops_hands_over(self, vip: IPAddress) -> None:
        """Its successor claims at once, nobody fails to be answered, and its agent ends within a second."""
        lan = site()
        since = lan.now
        lan.stop("a")
        took = lan.settle(lambda: lan.hosts["a"].core is None, within=1.0)
        lan.run(5.0)
        assert took < 0.2
        assert lan.owners(vip) == ["b"]
        assert lan.outage(since, vip) == 0.0
        assert lan.longest_silence(since, vip) < 0.015

    def test_hosts_that_stop_one_after_the_other(self) -> None:
        """A rolling upgrade by stop and start leaves no gap."""
        lan = site()
        since = lan.now
        for name in ABC:
            lan.stop(name)
            lan.settle(lambda name=name: lan.hosts[name].core is None, within=1.0)  # type: ignore[misc]
            lan.run(4.0)
            lan.start(name)
            lan.run(2.0)
        assert lan.outage(since, V4) == 0.0
        assert lan.longest_silence(since, V4) < 0.015

    def test_the_last_host_says_that_nobody_will_take_its_vips(self) -> None:
        """Without a living candidate there is nothing to wait for."""
        lan = site(hosts=("a", "b"))
        lan.power("b", on=False)
        lan.run(3.0)
        assert lan.owners(OTHER) == ["a"]
        lan.stop("a")
        lan.run(0.1)
        assert lan.hosts["a"].kept == frozenset((V4, V6, OTHER))

    def test_a_release_that_is_lost_is_said_again(self) -> None:
        """With half of all frames lost a host still hands over before it ends."""
        lan = site()
        lan.loss = 0.5
        lan.stop("a")
        lan.settle(lambda: lan.hosts["a"].core is None, within=7.9)
        lan.loss = 0.0
        lan.run(3.0)
        assert lan.owners(V4) in (["b"], ["c"])

    @vips
    def test_a_restart_moves_nothing(self, vip: IPAddress) -> None:
        """An agent that ends without leaving and is back soon keeps its VIPs."""
        lan = site()
        since = lan.now
        lan.kill("a")
        lan.run(1.5)
        lan.start("a")
        lan.run(4.0)
        assert lan.answerers(since, vip) == ["a"]
        assert lan.outage(since, vip) == 0.0

    def test_a_release_to_a_host_with_an_older_plan_goes_to_the_next(self) -> None:
        """The first candidate's plan does not list it: the second takes over, the owner answers until then."""
        lan = site()
        restrict(lan, V4, "a", "c")
        lan.run(1.0)
        lan.cut_store("b")
        restrict(lan, V4, "a", "b", "c")
        lan.run(1.0)
        since = lan.now
        lan.stop("a")
        lan.settle(lambda: lan.owners(V4) == ["c"], within=4.0)
        lan.run(2.0)
        assert lan.outage(since, V4) == 0.0
