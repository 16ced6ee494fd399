"""One host's layer 2: events in, frames out."""

from ipaddress import IPv4Address, IPv6Address, ip_interface

from hypothesis import given
from hypothesis import strategies as st

from appliance.api.address import IPAddress
from appliance.l2 import frame
from appliance.l2.event import (
    Command,
    ConflictCleared,
    ConflictSeen,
    Count,
    Event,
    FrameReceived,
    GroupsChanged,
    HandOverEnded,
    HostPlan,
    Interface,
    IsolationChanged,
    Leaving,
    LinksChanged,
    NeighborChanged,
    Plan,
    PlanChanged,
    Reachability,
    Reason,
    Role,
    RouteFound,
    RouteLost,
    SendFrame,
    TimePassed,
    VipChanged,
    VipPlan,
    VipStatus,
)
from appliance.l2.frame import Claim, Ignored, Message, Probe, Question, Release, read
from appliance.l2.machine import Layer2
from appliance.l2.vip import TRANSITIONS, State, Trigger

VIP, VIP6 = IPv4Address("192.168.1.240"), IPv6Address("2001:db8:1::f0")
INSIDE = IPv4Address("10.1.0.240")
NOBODY = bytes.fromhex("020000000000")


ETH0, ETH1 = 2, 3


def interface(index: int, number: int, *, up: bool = True) -> Interface:
    """The interface of a host by its number, on the LAN (eth0) or inside (eth1)."""
    texts = {ETH0: (f"192.168.1.{number}/24", f"2001:db8:1::{number}/64"), ETH1: (f"10.1.0.{number}/24",)}[index]
    addresses = tuple(ip_interface(text) for text in texts)
    return Interface(index, f"eth{index - 2}", bytes((2, 0, 0, 0, index, number)), up, addresses)


def host_plan(name: str, number: int, *, draining: bool = False) -> HostPlan:
    """A host with both interfaces."""
    both = [interface(each, number) for each in (ETH0, ETH1)]
    addresses = tuple(address.ip for each in both for address in each.addresses)
    return HostPlan(name, addresses, tuple(each.hardware_address for each in both), draining)


def plan(*vips: VipPlan, draining: bool = False, b_draining: bool = False) -> Plan:
    """Host a's plan, with another host b."""
    return Plan("a", {vip.address: vip for vip in vips}, {"b": host_plan("b", 12, draining=b_draining)}, draining)


A, A1, B, B1 = interface(ETH0, 11), interface(ETH1, 11), interface(ETH0, 12), interface(ETH1, 12)
CLIENT, CLIENT1 = interface(ETH0, 100), interface(ETH1, 100)
Said = list[Message | Command]


class Bench:
    """A core with a clock; frames it sends are told as another station reads them."""

    def __init__(self, *events: Event) -> None:
        self.core, self.now = Layer2(), 0.0
        for event in events:
            self.give(event)

    def give(self, event: Event) -> Said:
        """Hand over an event."""
        return [_understood(each) for each in self.core.handle(event, self.now)]

    def hear(self, *frames: bytes, on: int = ETH0) -> Said:
        """Let frames come in."""
        return [said for content in frames for said in self.give(FrameReceived(on, content))]

    def run(self, seconds: float) -> Said:
        """Let time pass."""
        end, said = self.now + seconds, Said()
        while (moment := self.core.deadline()) is not None and moment <= end:
            self.now = max(self.now, moment)
            said += self.give(TimePassed())
        self.now = end
        return said

    def status(self, vip: IPAddress = VIP) -> VipStatus | None:
        """What the core holds of a VIP."""
        return self.core.vip(vip)

    def role(self, vip: IPAddress = VIP) -> Role | None:
        """Its role alone."""
        status = self.core.vip(vip)
        return status.role if status else None


def _understood(command: Command) -> Message | Command:
    if not isinstance(command, SendFrame):
        return command
    message = read(command.frame, command.frame[:6])
    return message if isinstance(message, Question | Probe | Claim | Release) else command


def messages(said: Said) -> Said:
    """What was sent, without what was told to the shell."""
    return [each for each in said if isinstance(each, Question | Probe | Claim | Release)]


def claims(said: Said) -> list[tuple[IPAddress, bytes]]:
    """Who has what, as was announced or answered."""
    return [(each.address, each.hardware_address) for each in said if isinstance(each, Claim)]


def answers(station: Interface, *vips: IPAddress, to: Interface = A) -> list[bytes]:
    """A host's answers to host a: its kernel's for its own address, its agent's for VIPs."""
    source = to.addresses[0].ip
    asked = [Question(address, source, to.hardware_address, True) for address in (station.addresses[0].ip, *vips)]
    return [frame.answer(station, each) for each in asked]


def connected(*vips: VipPlan) -> Bench:
    """A bench on whose LAN somebody answered: b and a client."""
    bench = Bench(LinksChanged((A,)), PlanChanged(plan(*vips)))
    bench.hear(*answers(B))
    return bench


def owner(*vips: VipPlan) -> Bench:
    """A bench that owns its VIPs."""
    bench = connected(*vips)
    alive(bench, 0.9)
    return bench


def alive(bench: Bench, seconds: float, *vips: IPAddress) -> Said:
    """Let time pass while b answers whatever it is asked for, also for some VIPs."""
    said = Said()
    for _ in range(round(seconds / 0.02)):
        said += bench.run(0.02) + bench.hear(*answers(B, *vips))
    return said


MINE = VipPlan(VIP, ("a", "b"))
MINE6 = VipPlan(VIP6, ("a", "b"))


def test_it_probes_three_times_before_it_claims() -> None:
    """Probes 50 ms apart, then an announcement at 150 ms, then one 1.1 s later, then one each minute."""
    bench = connected(MINE)
    own = A.hardware_address
    assert bench.status() == VipStatus(Role.PROBING, Reason.PROBING)
    said = bench.run(0.149)
    assert [each for each in said if isinstance(each, Probe)] == [Probe(VIP, own)] * 2
    assert claims(bench.run(0.002)) == [(VIP, own)] * 2
    assert bench.status() == VipStatus(Role.OWNER, Reason.CLAIMED, "a")
    assert claims(bench.run(1.2)) == [(VIP, own)] * 2
    assert claims(bench.run(58.0)) == []


def test_it_does_not_claim_what_another_host_answers_for() -> None:
    """An answer to a probe makes the other host the owner."""
    bench = connected(MINE)
    bench.hear(frame.answer(B, Probe(VIP, A.hardware_address)))
    alive(bench, 0.4, VIP)
    assert bench.status() == VipStatus(Role.CANDIDATE, Reason.OWNER_ANSWERS, "b")


def test_it_waits_while_the_link_is_quiet() -> None:
    """Where nothing was heard silence proves nothing: the claim waits three seconds."""
    bench = Bench(LinksChanged((A,)), PlanChanged(plan(MINE)))
    bench.run(2.9)
    assert bench.status() == VipStatus(Role.CANDIDATE, Reason.LINK_QUIET)
    bench.run(0.5)
    assert bench.role() is Role.OWNER


def test_it_claims_nothing_where_others_speak_and_none_answers() -> None:
    """Heard but not answered it may be mute, or the gateway is behind a cut: the link is isolated."""
    bench = Bench(LinksChanged((A,)), PlanChanged(plan(MINE)))
    bench.hear(frame.question(CLIENT, VIP + 9))
    said = bench.run(10.0)
    assert IsolationChanged(ETH0, isolated=True) in said
    assert bench.status() == VipStatus(Role.CANDIDATE, Reason.LINK_ISOLATED)
    assert IsolationChanged(ETH0, isolated=False) in bench.hear(*answers(CLIENT))
    assert bench.role() is Role.PROBING


def test_the_recorded_owner_goes_first() -> None:
    """Without any claim heard the store's owner is awaited before the first host of the plan."""
    bench = connected(VipPlan(VIP, ("a", "b"), recorded_owner="b"))
    bench.run(0.4)
    assert bench.status() == VipStatus(Role.CANDIDATE, Reason.AWAITING_OWNER)


def test_only_the_owner_answers() -> None:
    """Questions and probes for owned VIPs are answered, also those of IPv6; others are not."""
    bench = owner(MINE, MINE6)
    for vip in (VIP, VIP6):
        assert claims(bench.hear(frame.question(CLIENT, vip))) == [(vip, A.hardware_address)]
        assert claims(bench.hear(frame.probe(CLIENT, vip))) == [(vip, A.hardware_address)]
    assert claims(bench.hear(frame.question(CLIENT, VIP + 1))) == []
    assert bench.core.drops()[Ignored.NOT_ANSWERED] >= 1


def test_interfaces_of_a_vip() -> None:
    """A VIP is answered on its own interfaces only, and let go of when none of them is up."""
    inside = VipPlan(INSIDE, ("a", "b"), interfaces=("eth1",))
    bench = Bench(LinksChanged((A, A1)), PlanChanged(plan(MINE, inside)))
    bench.hear(*answers(B))
    bench.hear(*answers(B1, to=A1), on=ETH1)
    bench.run(1.0)
    assert claims(bench.hear(frame.question(CLIENT, INSIDE))) == []
    assert claims(bench.hear(frame.question(B1, INSIDE), on=ETH1)) == [(INSIDE, A1.hardware_address)]
    bench.give(LinksChanged((A, interface(ETH1, 11, up=False))))
    assert bench.status(INSIDE) == VipStatus(Role.CANDIDATE, Reason.LINK_DOWN)
    assert bench.role() is Role.OWNER


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
    assert VipChanged(VIP + 1, VipStatus(Role.OWNER, Reason.TOOK_OVER, "a")) in said


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
    before = bench.core.counters()[Count.FALSE_ALARMS]
    bench.give(RouteLost("b"))
    bench.now += 0.001
    bench.hear(*answers(B, VIP + 1))
    assert bench.core.neighbors() == {"b": Reachability.REACHABLE}
    assert bench.core.counters()[Count.FALSE_ALARMS] == before + 1


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


def test_silence_of_all_is_isolation() -> None:
    """Where somebody else answered before and is silent too the link is to blame, and nobody has failed, ever."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*frame.announcements(B, VIP + 1), frame.question(CLIENT, VIP + 9), *answers(CLIENT))
    bench.give(RouteLost("b"))
    said = bench.run(60.0)
    assert said.count(IsolationChanged(ETH0, isolated=True)) == 1
    assert VipChanged(VIP, VipStatus(Role.OWNER, Reason.LINK_ISOLATED, "a")) in said
    assert bench.core.neighbors() == {"b": Reachability.PROBE}
    assert bench.role(VIP + 1) is Role.CANDIDATE
    assert claims(bench.hear(frame.question(CLIENT, VIP))) == []
    said = bench.hear(*answers(CLIENT))
    assert IsolationChanged(ETH0, isolated=False) in said
    assert bench.role() is Role.PROBING


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
    before = bench.core.counters()[Count.ANNOUNCEMENTS]
    contest(bench, 3)
    assert bench.status() == VipStatus(Role.OWNER, Reason.CONTESTED, "a")
    assert bench.core.counters()[Count.ANNOUNCEMENTS] - before >= 6
    alive(bench, 1.5)
    assert bench.status() == VipStatus(Role.OWNER, Reason.CLAIMED, "a")


def test_an_owner_that_came_later_yields_after_a_few_defences() -> None:
    """It claimed a moment ago, so the other was there; its name comes first, so it waits a little longer."""
    bench = owner(MINE)
    contest(bench, 2)
    assert bench.role() is Role.OWNER
    alive(bench, 0.75, VIP)
    assert bench.status() == VipStatus(Role.CANDIDATE, Reason.OWNER_ANSWERS, "b")
    assert bench.core.counters()[Count.YIELDS] == 1


def test_a_rival_that_never_yields_is_yielded_to() -> None:
    """Two owners do not go on for ever, whatever each of them knows."""
    bench = owner(MINE)
    alive(bench, 20.0)
    contest(bench, 13)
    assert bench.status() == VipStatus(Role.CANDIDATE, Reason.OWNER_ANSWERS, "b")


def test_nobody_yields_to_the_deaf() -> None:
    """A rival that claims and never answers is defended against, and not given way to."""
    bench = owner(MINE)
    for _ in range(20):
        contest(bench, 2, deaf=True)
    assert bench.role() is Role.OWNER
    assert bench.core.counters()[Count.YIELDS] == 0


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
    assert bench.status(VIP + 2) != VipStatus(Role.CANDIDATE, Reason.OWNER_ANSWERS, "b")


def test_a_drain_waits_for_the_successor() -> None:
    """A draining owner releases, and answers until the other's claim is heard."""
    bench = owner(MINE)
    bench.give(PlanChanged(plan(MINE, draining=True)))
    assert bench.status() == VipStatus(Role.OWNER, Reason.RELEASING, "a")
    said = alive(bench, 0.2)
    assert Release(VIP, A.hardware_address) in said
    assert claims(bench.hear(frame.question(CLIENT, VIP))) == [(VIP, A.hardware_address)]
    bench.hear(*frame.announcements(B, VIP))
    assert bench.status() == VipStatus(Role.CANDIDATE, Reason.OWNER_ANSWERS, "b")
    assert claims(bench.hear(frame.question(CLIENT, VIP))) == []


def test_the_successor_of_an_owner_that_releases_claims_at_once() -> None:
    """A hand-over needs no probes, which the owner would answer; without a release nothing is claimed."""
    theirs = VipPlan(VIP, ("b", "a"))
    bench = connected(theirs)
    bench.hear(*frame.announcements(B, VIP))
    bench.give(PlanChanged(plan(theirs, b_draining=True)))
    alive(bench, 5.0, VIP)
    assert bench.status() == VipStatus(Role.CANDIDATE, Reason.OWNER_ANSWERS, "b")
    assert claims(bench.hear(frame.release(B, VIP))) == [(VIP, A.hardware_address)] * 2
    assert bench.status() == VipStatus(Role.OWNER, Reason.HANDED_OVER, "a")


def test_a_release_is_forgotten() -> None:
    """An owner that says it no more, or announces again, keeps its VIP."""
    theirs = VipPlan(VIP, ("b", "c", "a"))
    hosts = {"b": host_plan("b", 12), "c": host_plan("c", 13)}
    bench = Bench(LinksChanged((A,)), PlanChanged(Plan("a", {VIP: theirs}, hosts)))
    bench.hear(*answers(B), *answers(interface(ETH0, 13)), *frame.announcements(B, VIP), frame.release(B, VIP))
    assert bench.status() == VipStatus(Role.CANDIDATE, Reason.OWNER_RELEASES, "b")
    bench.hear(*frame.announcements(B, VIP))
    assert bench.status() == VipStatus(Role.CANDIDATE, Reason.OWNER_ANSWERS, "b")


def test_leaving() -> None:
    """Every VIP is released at once; what another host has claimed is gone, and the shell is told when all is."""
    bench = owner(MINE, MINE6)
    assert bench.status() == VipStatus(Role.OWNER, Reason.CLAIMED, "a")
    said = bench.give(Leaving()) + bench.give(TimePassed())
    own = A.hardware_address
    assert [each for each in said if isinstance(each, Release)] == [Release(VIP, own), Release(VIP6, own)]
    assert not [each for each in said if isinstance(each, HandOverEnded)]
    bench.hear(*frame.announcements(B, VIP))
    assert HandOverEnded(frozenset()) in bench.hear(*frame.announcements(B, VIP6))
    assert bench.status() == VipStatus(Role.CANDIDATE, Reason.OWNER_ANSWERS, "b")


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


def test_groups_follow_ownership() -> None:
    """The solicited-node group is listened to while probing and owning, on the VIP's interfaces only."""
    group = bytes.fromhex("3333ff0000f0")
    bench = Bench(LinksChanged((A,)), PlanChanged(plan(MINE, MINE6)))
    assert GroupsChanged(ETH0, frozenset({group}), frozenset()) in bench.hear(*answers(B))
    assert bench.core.groups(ETH0) == {group}
    said = bench.hear(frame.announcements(B, VIP6)[0])
    assert GroupsChanged(ETH0, frozenset(), frozenset({group})) in said
    assert bench.core.groups(ETH0) == frozenset()
    assert bench.core.groups(99) == frozenset()


def test_what_changes_nothing_tells_nothing() -> None:
    """Frames and plans that leave all as it was lead to no notification."""
    bench = owner(MINE)
    said = bench.hear(frame.question(CLIENT, VIP), *answers(B)) + bench.give(PlanChanged(plan(MINE)))
    assert [each for each in said if each not in messages(said)] == []
    assert VipChanged(VIP, None) in bench.give(PlanChanged(plan()))
    assert bench.core.vips() == {}


def test_a_long_pause_is_followed_by_doubt() -> None:
    """A host that slept asks before it answers again: somebody may have taken over."""
    bench = owner(MINE)
    bench.now += 10.0
    bench.give(TimePassed())
    assert bench.role() is Role.PROBING


def test_an_interface_made_anew_is_another_link() -> None:
    """Frames of the old index are passed over, the VIP is answered on the new one."""
    bench = owner(MINE)
    anew = Interface(7, A.name, A.hardware_address, True, A.addresses)
    bench.give(LinksChanged((anew,)))
    assert claims(bench.hear(frame.question(CLIENT, VIP))) == []
    assert bench.core.drops()[Ignored.INTERFACE] >= 1
    assert claims(bench.hear(frame.question(CLIENT, VIP), on=7)) == [(VIP, A.hardware_address)]


def test_every_state_can_be_left_and_entered() -> None:
    """The table knows all states and triggers, and a lost link ends every one of them."""
    assert set(TRANSITIONS) == set(State)
    assert {trigger for row in TRANSITIONS.values() for trigger in row} == set(Trigger)
    entered = {state for row in TRANSITIONS.values() for state in row.values()}
    assert entered == set(State)
    assert {state for state, row in TRANSITIONS.items() if Trigger.LINKS_LOST in row} == set(State) - {State.DOWN}


@given(st.lists(st.tuples(st.sampled_from([ETH0, 99]), st.binary(max_size=90)), max_size=20))
def test_no_bytes_raise(frames: list[tuple[int, bytes]]) -> None:
    """Whatever the network sends is dropped with a reason."""
    bench = owner(MINE, MINE6)
    for link, content in frames:
        bench.hear(content, on=link)
        bench.hear(b"\xff" * 6 + content, on=link)
    assert bench.role() is Role.OWNER


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
            Reason.TOOK_OVER,
            Reason.OWNER_ANSWERS,
        }
        assert (Reason.TOOK_OVER in took_over) is not speaks
        assert (NeighborChanged("b", Reachability.AGENT_DOWN) in said) is not speaks
        assert {status.owner for status in bench.core.vips().values()} == ({None} if speaks else {"a"})
