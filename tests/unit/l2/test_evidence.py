"""What the core can say afterwards of why a VIP moved, and of who else was heard to have it."""

from appliance.agent.status import heard
from appliance.l2 import frame
from appliance.l2.event import (
    LinksChanged,
    PlanChanged,
    RouteFound,
    RouteLost,
    Sign,
    VipEvidence,
    VipPlan,
)
from tests.unit.l2.bench import CLIENT, ETH0, MINE, VIP, B, Bench, alive, answers, connected, interface, owner, plan
from tests.unit.l2.test_vip import contest

THEIRS = VipPlan(VIP + 1, ("b", "a"))


def evidence(bench: Bench, offset: int = 0) -> VipEvidence:
    """What the core holds of a VIP's last move."""
    found = bench.core.evidence(VIP + offset)
    assert found is not None
    return found


def test_a_claim_of_a_free_address_says_that_nobody_answered() -> None:
    """After as many probes; the host on record is held to have been the one before."""
    assert evidence(owner(MINE)) == VipEvidence(Sign.NO_ANSWER, count=3)
    recorded = VipPlan(VIP, ("a", "b"), recorded_owner="b")
    bench = connected(recorded)
    bench.run(3.0)
    alive(bench, 5.0)
    assert evidence(bench) == VipEvidence(Sign.NO_ANSWER, previous="b", count=3)
    assert heard(evidence(bench)) == "probes were not answered (3 probes)"


def test_a_takeover_says_whose_silence_it_was_and_how_long() -> None:
    """From the first sign to the claim."""
    bench = owner(MINE, THEIRS)
    bench.hear(*frame.announcements(B, VIP + 1), frame.question(CLIENT, VIP + 9), *answers(CLIENT))
    bench.give(RouteFound("b"))
    bench.run(0.01)
    bench.give(RouteLost("b"))
    bench.run(0.001)
    bench.hear(*answers(CLIENT))
    bench.run(0.12)
    found = evidence(bench, 1)
    assert (found.sign, found.previous, found.host) == (Sign.OWNER_SILENT, "b", "b")
    assert found.seconds is not None
    assert 0.1 < found.seconds < 0.13
    assert heard(found).startswith("b: it is silent while others on its link answer (for 0.1")


def test_an_owner_that_is_claimed_from_says_by_whom() -> None:
    """The hardware address and the interface that the claim came by, also where it was released before."""
    bench = owner(MINE)
    bench.give(PlanChanged(plan(MINE, draining=True)))
    alive(bench, 0.2)
    bench.hear(*frame.announcements(B, VIP))
    assert evidence(bench) == VipEvidence(Sign.CLAIM, "a", "b", B.hardware_address, "eth0")
    assert heard(evidence(bench)) == f"b: it says that it has the address ({B.hardware_address.hex(':')} on eth0)"


def test_a_successor_says_who_released() -> None:
    """The claim that follows is the release's."""
    bench = connected(THEIRS)
    bench.hear(*frame.announcements(B, VIP + 1))
    bench.give(PlanChanged(plan(THEIRS, b_draining=True)))
    bench.hear(frame.release(B, VIP + 1))
    assert evidence(bench, 1) == VipEvidence(Sign.RELEASE, "b", "b")
    assert heard(evidence(bench, 1)) == "b: it released the address"


def test_who_yields_says_how_often_the_other_answered() -> None:
    """And with which hardware address."""
    bench = owner(MINE)
    alive(bench, 20.0)
    contest(bench, 13)
    found = evidence(bench)
    assert (found.sign, found.previous, found.host, found.hardware_address) == (
        Sign.CONTEST,
        "a",
        "b",
        B.hardware_address,
    )
    assert f"{found.count} answers" in heard(found)


def test_a_lost_link_is_no_other_hosts_doing() -> None:
    """Nobody was heard."""
    bench = owner(MINE)
    bench.give(LinksChanged((interface(ETH0, 11, up=False),)))
    assert evidence(bench) == VipEvidence(Sign.LINKS_LOST, previous="a")
    assert heard(evidence(bench)) == "no interface for the address is up"


def test_a_foreign_machine_is_counted() -> None:
    """From when to when, how often, and another one anew; without a conflict there is nothing to tell."""
    bench = owner(MINE)
    assert bench.core.conflict_evidence(VIP) is None
    first = bench.now
    bench.hear(*frame.announcements(CLIENT, VIP))
    bench.run(1.0)
    bench.hear(frame.announcements(CLIENT, VIP)[0])
    seen = bench.core.conflict_evidence(VIP)
    assert seen is not None
    frames = len(frame.announcements(CLIENT, VIP)) + 1
    assert (seen.hardware_address, seen.interface, seen.first, seen.last, seen.count) == (
        CLIENT.hardware_address,
        "eth0",
        first,
        bench.now,
        frames,
    )
    other = interface(ETH0, 101)
    bench.hear(frame.announcements(other, VIP)[0])
    seen = bench.core.conflict_evidence(VIP)
    assert seen is not None
    assert (seen.hardware_address, seen.count, seen.first) == (other.hardware_address, 1, bench.now)


def test_what_is_asked_and_answered_is_told_by_vip() -> None:
    """The same as of all VIPs together."""
    bench = owner(MINE)
    bench.hear(frame.question(CLIENT, VIP))
    told = bench.core.vip_traffic(VIP)
    assert told is not None
    assert (told.requests, told.replies, [told]) == (1, 1, list(bench.core.traffic()))
    assert bench.core.vip_traffic(VIP + 9) is None
