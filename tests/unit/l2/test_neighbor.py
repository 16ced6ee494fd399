"""Which other hosts can be reached."""

from ipaddress import ip_interface

from appliance.l2 import frame
from appliance.l2.event import (
    CounterName,
    Interface,
    LinksChanged,
    NeighborChanged,
    PlanChanged,
    Reachability,
    Role,
    RoleReason,
    RouteFound,
    RouteLost,
    SendFrame,
    TakeoverEnded,
    TimePassed,
    VipChanged,
    VipPlan,
    VipStatus,
)
from appliance.l2.frame import Probe, Question, read
from appliance.l2.neighbor import Owners
from tests.unit.l2.bench import CLIENT, MINE, VIP, A, B, Bench, Said, alive, answers, claims, connected, owner, plan


def test_a_lost_host_is_asked_and_has_failed_within_120_ms() -> None:
    """Silence of kernel and agent, while others answer, is failure; the VIPs are taken over without probing."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*frame.announcements(B, VIP + 1), frame.question(CLIENT, VIP + 9), *answers(CLIENT))
    bench.give(RouteFound("b"))
    bench.run(0.01)
    asked = bench.give(RouteLost("b"))
    assert [each.target for each in asked if isinstance(each, Question)][:2] == [B.addresses[0].ip, VIP + 1]
    assert bench.core.neighbors() == {"b": Reachability.PROBE}
    bench.run(0.001)
    bench.hear(*answers(CLIENT))
    said = bench.run(0.12)
    assert claims(said) == [(VIP + 1, A.hardware_address)] * 2
    assert NeighborChanged("b", Reachability.FAILED) in said
    assert VipChanged(VIP + 1, VipStatus(Role.OWNER, RoleReason.TOOK_OVER, "a")) in said


def test_a_takeover_is_told_once_with_its_time() -> None:
    """From the lost route to the first announcement; what is taken over without a loss, or announced again, is none."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*frame.announcements(B, VIP + 1), frame.question(CLIENT, VIP + 9), *answers(CLIENT))
    bench.give(RouteFound("b"))
    bench.run(0.01)
    lost_at = bench.now
    told = bench.give(RouteLost("b"))
    bench.run(0.001)
    bench.hear(*answers(CLIENT))
    announced_at = 0.0
    while not announced_at:
        said = bench.run(0.001)
        told += said
        announced_at = bench.now if claims(said) else 0.0
    told += bench.run(3.0)
    (takeover,) = (each for each in told if isinstance(each, TakeoverEnded))
    assert takeover.address == VIP + 1
    assert abs(takeover.seconds - (announced_at - lost_at)) <= 0.002


def test_questions_go_to_whom_they_are_for() -> None:
    """To the hardware address that answered, all three of a suspect; to everybody where none is known."""
    bench = owner(MINE)
    bench.give(RouteFound("b"))
    sent = [each.frame[:6] for each in bench.core.handle(RouteLost("b"), bench.now) if isinstance(each, SendFrame)]
    assert sent == [B.hardware_address]
    told = []
    for _ in range(3):
        bench.now += 0.037
        told += [each.frame for each in bench.core.handle(TimePassed(), bench.now) if isinstance(each, SendFrame)]
    destinations = [content[:6] for content in told if read(content, content[:6]) != Probe(VIP, A.hardware_address)]
    assert destinations == [B.hardware_address] * 2
    unknown = Bench(LinksChanged((A,))).core.handle(PlanChanged(plan(MINE)), 0.0)
    assert [each.frame[:6] for each in unknown if isinstance(each, SendFrame)] == [bytes.fromhex("ffffffffffff")]


def test_a_false_alarm_ends_with_the_answers() -> None:
    """A host in PROBE whose kernel and agent answer is reachable at once, and the alarm is counted."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*frame.announcements(B, VIP + 1))
    before = bench.core.counters()[CounterName.FALSE_ALARMS]
    bench.give(RouteLost("b"))
    bench.now += 0.001
    bench.hear(*answers(B, VIP + 1))
    assert bench.core.neighbors() == {"b": Reachability.REACHABLE}
    assert bench.core.counters()[CounterName.FALSE_ALARMS] == before + 1


def test_what_a_host_says_unasked_confirms_nothing() -> None:
    """Its questions, probes and announcements prove that it speaks, not that it hears (RFC 4861 section 7.3.1)."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*frame.announcements(B, VIP + 1), frame.question(CLIENT, VIP + 9), *answers(CLIENT))
    bench.give(RouteLost("b"))
    for _ in range(6):
        bench.run(0.02)
        bench.hear(frame.question(B, A.addresses[0].ip), frame.probe(B, VIP + 9), *frame.announcements(B, VIP + 1))
        bench.hear(*answers(CLIENT))
    assert bench.core.neighbors() == {"b": Reachability.FAILED}
    assert bench.role(VIP + 1) is Role.OWNER


def test_an_agent_has_not_failed_for_a_vip_that_is_gone() -> None:
    """A host that does not answer for a VIP, because its plan was there first, is reachable once ours is the same."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*frame.announcements(B, VIP + 1))
    bench.run(0.01)
    bench.give(RouteLost("b"))
    bench.run(0.01)
    bench.hear(*answers(B))
    alive(bench, 0.5)
    assert bench.core.neighbors() == {"b": Reachability.PROBE}
    bench.give(PlanChanged(plan(MINE)))
    alive(bench, 0.3)
    assert bench.core.neighbors() == {"b": Reachability.REACHABLE}


def test_a_link_without_hosts_tells_nothing_of_them() -> None:
    """A link on which no other host has an address, such as a bridge for containers, keeps nobody alive."""
    inner = Interface(9, "docker0", bytes.fromhex("0242ac110001"), True, (ip_interface("172.17.0.1/16"),))
    bench = Bench(LinksChanged((A, inner)), PlanChanged(plan(VipPlan(VIP, ("b", "a")))))
    bench.hear(*answers(B), *frame.announcements(B, VIP), frame.question(CLIENT, VIP + 9), *answers(CLIENT))
    bench.give(RouteLost("b"))
    bench.run(0.05)
    bench.hear(*answers(CLIENT))
    bench.run(0.2)
    assert bench.core.neighbors() == {"b": Reachability.FAILED}
    assert bench.role() is Role.OWNER
    assert bench.core.isolated_links() == frozenset()


def test_a_late_conclusion_asks_again() -> None:
    """A host that was late itself does not take unread answers for silence."""
    bench = owner(MINE)
    bench.give(RouteLost("b"))
    bench.run(0.1)
    bench.now += 0.5
    assert any(isinstance(each, Question) for each in bench.give(TimePassed()))
    assert bench.core.neighbors() == {"b": Reachability.PROBE}


def test_a_host_held_dead_is_not_believed() -> None:
    """What a failed host announces makes it nobody's owner."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*frame.announcements(B, VIP + 1), frame.question(CLIENT, VIP + 9), *answers(CLIENT))
    bench.give(RouteLost("b"))
    bench.run(0.01)
    bench.hear(*answers(CLIENT))
    bench.run(0.2)
    bench.give(PlanChanged(plan(MINE, VipPlan(VIP + 1, ("b", "a")), VipPlan(VIP + 2, ("b", "a")))))
    bench.hear(*frame.announcements(B, VIP + 2))
    assert bench.status(VIP + 2) != VipStatus(Role.CANDIDATE, RoleReason.OWNER_ANSWERS, "b")


def test_an_agent_that_runs_and_answers_for_nothing_owns_nothing() -> None:
    """After the grace its VIPs are probed; one that says nothing at all is down, and its VIPs are taken over."""
    theirs = [VipPlan(VIP + at, ("b", "a")) for at in (1, 2, 3)]
    for speaks in (True, False):
        bench = connected(*theirs)
        for vip in theirs:
            bench.hear(*frame.announcements(B, vip.address))
        said = Said()
        for _ in range(250):
            said += alive(bench, 0.02)
            if speaks:
                said += bench.hear(frame.question(B, A.addresses[0].ip))
        took_over = {each.status.reason for each in said if isinstance(each, VipChanged) and each.status} & {
            RoleReason.TOOK_OVER,
            RoleReason.OWNER_ANSWERS,
        }
        assert (RoleReason.TOOK_OVER in took_over) is not speaks
        assert (NeighborChanged("b", Reachability.AGENT_DOWN) in said) is not speaks
        assert {status.owner for status in bench.core.vips().values()} == ({None} if speaks else {"a"})


def test_every_vip_is_asked_for_in_turn() -> None:
    """Whatever is asked for on other links meanwhile: none is passed over for ever."""
    owners = Owners()
    for at, links in enumerate(((2,), (2,), (2, 3))):
        owners.add("b", links, VIP + at)
    asked = [(owners.sample("b", 2, 1), owners.sample("b", 3, 1)) for _ in range(6)]
    assert {address for on_2, _ in asked for address in on_2} == {VIP, VIP + 1, VIP + 2}
    assert {address for _, on_3 in asked for address in on_3} == {VIP + 2}
    owners.drop("b", (2, 3), VIP + 2)
    assert (set(owners.of("b")), owners.still_owned("b", (VIP, VIP + 2))) == ({VIP, VIP + 1}, (VIP,))


def test_an_agent_that_was_down_and_speaks_is_asked_at_once() -> None:
    """Also just after it was asked anyway, however the two keep step."""
    bench = connected(VipPlan(VIP, ("b", "a")))
    bench.hear(*frame.announcements(B, VIP))
    alive(bench, 5.0)
    assert bench.core.neighbors() == {"b": Reachability.AGENT_DOWN}
    bench.hear(frame.question(B, A.addresses[0].ip))
    assert bench.core.neighbors() == {"b": Reachability.PROBE}
    alive(bench, 0.1)
    assert bench.core.neighbors() == {"b": Reachability.REACHABLE}


def test_what_was_not_answered_is_asked_again() -> None:
    """A VIP that a living agent does not answer for is found, however many others it answers for."""
    theirs = [VipPlan(VIP + at, ("b", "a")) for at in range(6)]
    bench = connected(*theirs)
    for vip in theirs:
        bench.hear(*frame.announcements(B, vip.address))
    alive(bench, 12.0, *(vip.address for vip in theirs[1:]))
    assert bench.core.vips()[VIP].owner == "a"
    assert {bench.core.vips()[vip.address].owner for vip in theirs[1:]} == {"b"}
