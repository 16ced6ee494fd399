"""Who answers for a VIP, and when that moves."""

from appliance.l2 import frame
from appliance.l2.event import (
    ConflictCleared,
    ConflictSeen,
    CounterName,
    HandOverEnded,
    HostPlan,
    Interface,
    Leaving,
    LinksChanged,
    MoveAsked,
    MoveRefusal,
    Plan,
    PlanChanged,
    Role,
    RoleReason,
    TimePassed,
    VipPlan,
    VipStatus,
    VipTraffic,
)
from appliance.l2.frame import Probe, Release
from appliance.l2.vip import TRANSITIONS, Trigger, VipState
from tests.unit.l2.bench import (
    CLIENT,
    ETH0,
    MINE,
    MINE6,
    NOBODY,
    VIP,
    VIP6,
    A,
    B,
    Bench,
    alive,
    answers,
    claims,
    connected,
    host_plan,
    interface,
    owner,
    plan,
)


def test_it_probes_three_times_before_it_claims() -> None:
    """Probes 50 ms apart, then an announcement at 150 ms, then one 1.1 s later, then one each minute."""
    bench = connected(MINE)
    own = A.hardware_address
    assert bench.status() == VipStatus(Role.PROBING, RoleReason.PROBING)
    said = bench.run(0.149)
    assert [each for each in said if isinstance(each, Probe)] == [Probe(VIP, own)] * 2
    assert claims(bench.run(0.002)) == [(VIP, own)] * 2
    assert bench.status() == VipStatus(Role.OWNER, RoleReason.CLAIMED, "a")
    assert claims(bench.run(1.2)) == [(VIP, own)] * 2
    assert claims(bench.run(58.0)) == []


def test_it_does_not_claim_what_another_host_answers_for() -> None:
    """An answer to a probe makes the other host the owner."""
    bench = connected(MINE)
    bench.hear(frame.answer(B, Probe(VIP, A.hardware_address)))
    alive(bench, 0.4, VIP)
    assert bench.status() == VipStatus(Role.CANDIDATE, RoleReason.OWNER_ANSWERS, "b")


def test_the_recorded_owner_goes_first() -> None:
    """Without any claim heard the store's owner is awaited before the first host of the plan."""
    bench = connected(VipPlan(VIP, ("a", "b"), recorded_owner="b"))
    bench.run(0.4)
    assert bench.status() == VipStatus(Role.CANDIDATE, RoleReason.AWAITING_OWNER)


def test_what_was_heard_and_sent_for_a_vip_is_counted() -> None:
    """Questions while it is owned, answers, and announcements: two frames for IPv4 and one for IPv6 each time."""
    bench = owner(MINE, MINE6)
    bench.hear(frame.question(CLIENT, VIP), frame.question(CLIENT, VIP), frame.question(CLIENT, VIP + 9))
    before = {each.address: each for each in bench.core.traffic()}
    alive(bench, 2.0)
    after = {each.address: each for each in bench.core.traffic()}
    assert before == {VIP: VipTraffic(VIP, 2, 2, 2), VIP6: VipTraffic(VIP6, 0, 0, 1)}
    assert after == {VIP: VipTraffic(VIP, 2, 2, 4), VIP6: VipTraffic(VIP6, 0, 0, 2)}


def test_a_vip_that_is_planned_no_more_has_no_traffic() -> None:
    """What is counted for VIPs is bounded by the plan."""
    bench = owner(MINE)
    assert [each.address for each in bench.core.traffic()] == [VIP]
    bench.give(PlanChanged(plan()))
    assert list(bench.core.traffic()) == []


def contest(bench: Bench, rounds: float, *, deaf: bool = False) -> None:
    """Let b claim a's VIP and answer for it on and on, or claim it and hear nothing."""
    bench.hear(*frame.announcements(B, VIP))
    if deaf:
        bench.run(rounds * 0.25)
    else:
        alive(bench, rounds * 0.25, VIP)


def test_an_owner_that_was_there_defends() -> None:
    """For long it announces again and asks the rival, which stays; one that falls silent has yielded."""
    bench = owner(MINE)
    alive(bench, 20.0)
    before = bench.core.counters()[CounterName.ANNOUNCEMENTS]
    contest(bench, 3)
    assert bench.status() == VipStatus(Role.OWNER, RoleReason.CONTESTED, "a")
    assert bench.core.counters()[CounterName.ANNOUNCEMENTS] - before >= 6
    alive(bench, 1.5)
    assert bench.status() == VipStatus(Role.OWNER, RoleReason.CLAIMED, "a")


def test_an_owner_that_came_later_yields_after_a_few_defences() -> None:
    """It claimed a moment ago, so the other was there; its name comes first, so it waits a little longer."""
    bench = owner(MINE)
    contest(bench, 2)
    assert bench.role() is Role.OWNER
    alive(bench, 0.75, VIP)
    assert bench.status() == VipStatus(Role.CANDIDATE, RoleReason.OWNER_ANSWERS, "b")
    assert bench.core.counters()[CounterName.YIELDS] == 1


def test_a_rival_that_never_yields_is_yielded_to() -> None:
    """Two owners do not go on for ever, whatever each of them knows."""
    bench = owner(MINE)
    alive(bench, 20.0)
    contest(bench, 13)
    assert bench.status() == VipStatus(Role.CANDIDATE, RoleReason.OWNER_ANSWERS, "b")


def test_nobody_yields_to_the_deaf() -> None:
    """A rival that claims and never answers is defended against, and not given way to."""
    bench = owner(MINE)
    for _ in range(20):
        contest(bench, 2, deaf=True)
    assert bench.role() is Role.OWNER
    assert bench.core.counters()[CounterName.YIELDS] == 0


def test_a_drain_waits_for_the_successor() -> None:
    """A draining owner releases, and answers until the other's claim is heard."""
    bench = owner(MINE)
    bench.give(PlanChanged(plan(MINE, draining=True)))
    assert bench.status() == VipStatus(Role.OWNER, RoleReason.RELEASING, "a")
    said = alive(bench, 0.2)
    assert Release(VIP, A.hardware_address) in said
    assert claims(bench.hear(frame.question(CLIENT, VIP))) == [(VIP, A.hardware_address)]
    bench.hear(*frame.announcements(B, VIP))
    assert bench.status() == VipStatus(Role.CANDIDATE, RoleReason.OWNER_ANSWERS, "b")
    assert claims(bench.hear(frame.question(CLIENT, VIP))) == []


def test_the_successor_of_an_owner_that_releases_claims_at_once() -> None:
    """A hand-over needs no probes, which the owner would answer; without a release nothing is claimed."""
    theirs = VipPlan(VIP, ("b", "a"))
    bench = connected(theirs)
    bench.hear(*frame.announcements(B, VIP))
    bench.give(PlanChanged(plan(theirs, b_draining=True)))
    alive(bench, 5.0, VIP)
    assert bench.status() == VipStatus(Role.CANDIDATE, RoleReason.OWNER_ANSWERS, "b")
    assert claims(bench.hear(frame.release(B, VIP))) == [(VIP, A.hardware_address)] * 2
    assert bench.status() == VipStatus(Role.OWNER, RoleReason.HANDED_OVER, "a")


def test_an_owner_offers_a_vip_to_one_host() -> None:
    """It tells that host alone, at once and each half second, answers on, and after five seconds it stays the owner."""
    bench = owner(MINE)
    assert bench.core.successor(VIP) == "b"
    said = bench.give(MoveAsked(VIP, "b")) + alive(bench, 0.6)
    assert [each for each in said if isinstance(each, Release)] == [Release(VIP, A.hardware_address, True)] * 2
    assert bench.status() == VipStatus(Role.OWNER, RoleReason.HANDING_OVER, "a")
    assert bench.core.successor(VIP) is MoveRefusal.UNSETTLED
    assert claims(bench.hear(frame.question(CLIENT, VIP))) == [(VIP, A.hardware_address)]
    alive(bench, 5.0)
    assert bench.status() == VipStatus(Role.OWNER, RoleReason.CLAIMED, "a")


def test_an_offer_ends_when_it_is_taken_or_the_other_is_lost() -> None:
    """A claim ends it well; an agent that does not answer any more takes nothing."""
    taken, lost = owner(MINE), owner(MINE)
    for bench in (taken, lost):
        bench.give(MoveAsked(VIP, "b"))
    taken.hear(*frame.announcements(B, VIP))
    assert taken.status() == VipStatus(Role.CANDIDATE, RoleReason.OWNER_ANSWERS, "b")
    lost.give(PlanChanged(plan(MINE, b_draining=True)))
    assert lost.status() == VipStatus(Role.OWNER, RoleReason.CLAIMED, "a")


def test_a_host_that_is_named_claims_before_its_turn() -> None:
    """Others may stand before it; one that is not in the plan, or drains, does not claim."""
    theirs, hosts = VipPlan(VIP, ("b", "c", "a")), {"b": host_plan("b", 12), "c": host_plan("c", 13)}
    for vip, draining, is_taken in (
        (theirs, False, True),
        (theirs, True, False),
        (VipPlan(VIP, ("b", "c")), False, False),
    ):
        bench = Bench(LinksChanged((A,)), PlanChanged(Plan("a", {VIP: vip}, hosts, draining)))
        bench.hear(*answers(B), *answers(interface(ETH0, 13)), *frame.announcements(B, VIP))
        said = bench.hear(frame.release(B, VIP, A.hardware_address))
        assert claims(said) == [(VIP, A.hardware_address)] * (2 if is_taken else 0)
        assert bench.role() is (Role.OWNER if is_taken else Role.CANDIDATE if vip is theirs else Role.NONE)


def test_a_release_is_forgotten() -> None:
    """An owner that says it no more, or announces again, keeps its VIP."""
    theirs = VipPlan(VIP, ("b", "c", "a"))
    hosts = {"b": host_plan("b", 12), "c": host_plan("c", 13)}
    bench = Bench(LinksChanged((A,)), PlanChanged(Plan("a", {VIP: theirs}, hosts)))
    bench.hear(*answers(B), *answers(interface(ETH0, 13)), *frame.announcements(B, VIP), frame.release(B, VIP))
    assert bench.status() == VipStatus(Role.CANDIDATE, RoleReason.OWNER_RELEASES, "b")
    bench.hear(*frame.announcements(B, VIP))
    assert bench.status() == VipStatus(Role.CANDIDATE, RoleReason.OWNER_ANSWERS, "b")


def test_leaving() -> None:
    """Every VIP is released at once; what another host has claimed is gone, and the shell is told when all is."""
    bench = owner(MINE, MINE6)
    assert bench.status() == VipStatus(Role.OWNER, RoleReason.CLAIMED, "a")
    said = bench.give(Leaving()) + bench.give(TimePassed())
    own = A.hardware_address
    assert [each for each in said if isinstance(each, Release)] == [Release(VIP, own), Release(VIP6, own)]
    assert not [each for each in said if isinstance(each, HandOverEnded)]
    bench.hear(*frame.announcements(B, VIP))
    assert HandOverEnded(frozenset()) in bench.hear(*frame.announcements(B, VIP6))
    assert bench.status() == VipStatus(Role.CANDIDATE, RoleReason.OWNER_ANSWERS, "b")


def test_leaving_with_nobody_to_take_over() -> None:
    """The shell is told at once what nobody will take; a host that owns nothing may go at once."""
    alone = VipPlan(VIP, ("a",))
    assert HandOverEnded(frozenset({VIP})) in owner(alone).give(Leaving())
    assert HandOverEnded(frozenset()) in connected(VipPlan(VIP, ("b",))).give(Leaving())


def test_a_foreign_hardware_address_is_a_conflict() -> None:
    """One that claims a VIP is told once, and cleared once it is known to be a host's."""
    bench = owner(MINE)
    foreign = Interface(ETH0, "eth0", NOBODY, True)
    seen = ConflictSeen(VIP, NOBODY, "eth0", bench.now)
    assert seen in bench.hear(*frame.announcements(foreign, VIP))
    assert bench.core.conflicts() == {VIP: seen}
    assert not [each for each in bench.hear(*frame.announcements(foreign, VIP)) if isinstance(each, ConflictSeen)]
    known = HostPlan("c", (), (NOBODY,))
    assert ConflictCleared(VIP) in bench.give(PlanChanged(Plan("a", {VIP: MINE}, {"c": known})))
    assert bench.core.conflicts() == {}


def test_every_state_can_be_left_and_entered() -> None:
    """The table knows all states and triggers, and a lost link ends every one of them."""
    assert set(TRANSITIONS) == set(VipState)
    assert {trigger for row in TRANSITIONS.values() for trigger in row} == set(Trigger)
    entered = {state for row in TRANSITIONS.values() for state in row.values()}
    assert entered == set(VipState)
    assert {state for state, row in TRANSITIONS.items() if Trigger.LINKS_LOST in row} == set(VipState) - {VipState.DOWN}
