"""One host's layer 2: events in, frames out."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_interface

from hypothesis import given
from hypothesis import strategies as st

from appliance.api.address import IPAddress
from appliance.l2 import port
from appliance.l2.command import Command
from appliance.l2.event import Event, FrameReceived, LinksChanged, PlanChanged, RouteFound, RouteLost, TimePassed
from appliance.l2.journal import Ignored
from appliance.l2.machine import Layer2
from appliance.l2.plan import Fellow, Interface, Plan, VipPlan
from appliance.l2.sighting import Claim, Probe, Question, Sighting, read
from appliance.l2.verdict import Count, Holding, HostState, Reason, Role
from appliance.wire.drop import Drop

VIP, VIP6 = IPv4Address("192.168.1.240"), IPv6Address("2001:db8:1::f0")
INSIDE = IPv4Address("10.1.0.240")
NOBODY = bytes.fromhex("020000000000")


def interface(name: str, number: int, *, up: bool = True) -> Interface:
    """The interface of a host by its number, on the LAN (eth0) or inside (eth1)."""
    texts = {"eth0": (f"192.168.1.{number}/24", f"2001:db8:1::{number}/64"), "eth1": (f"10.1.0.{number}/24",)}[name]
    wire = 1 if name == "eth1" else 0
    return Interface(name, bytes((2, 0, 0, 0, wire, number)), up, tuple(ip_interface(text) for text in texts))


def fellow(name: str, number: int, *, draining: bool = False) -> Fellow:
    """A host with both interfaces."""
    both = [interface(each, number) for each in ("eth0", "eth1")]
    addresses = tuple(address.ip for each in both for address in each.addresses)
    return Fellow(name, addresses, tuple(each.hardware_address for each in both), draining)


def plan(*vips: VipPlan, draining: bool = False, b_draining: bool = False) -> Plan:
    """Host a's plan, with fellow b."""
    return Plan("a", {vip.address: vip for vip in vips}, {"b": fellow("b", 12, draining=b_draining)}, draining)


A, A1, B, B1 = interface("eth0", 11), interface("eth1", 11), interface("eth0", 12), interface("eth1", 12)
CLIENT = interface("eth0", 100)


class Bench:
    """A core with a clock; frames it sends are told as another station reads them."""

    def __init__(self, *events: Event) -> None:
        self.core, self.now = Layer2(), 0.0
        for event in events:
            self.give(event)

    def give(self, event: Event) -> list[tuple[str, Sighting | Drop | Ignored]]:
        """Hand over an event."""
        return self._tell(self.core.handle(event, self.now))

    def hear(self, *frames: bytes, on: str = "eth0") -> list[tuple[str, Sighting | Drop | Ignored]]:
        """Let frames come in."""
        return [said for frame in frames for said in self.give(FrameReceived(on, frame))]

    def run(self, seconds: float) -> list[tuple[str, Sighting | Drop | Ignored]]:
        """Let time pass."""
        end, said = self.now + seconds, []
        while (moment := self.core.deadline()) is not None and moment <= end:
            self.now = max(self.now, moment)
            said += self.give(TimePassed())
        self.now = end
        return said

    def _tell(self, commands: Iterable[Command]) -> list[tuple[str, Sighting | Drop | Ignored]]:
        return [(each.interface, read(each.frame, each.frame[:6])) for each in commands]

    def role(self, vip: IPAddress = VIP) -> Holding:
        """What the core holds of a VIP."""
        return self.core.roles()[vip]


def proven(*vips: VipPlan) -> Bench:
    """A bench whose LAN was heard, with b alive."""
    bench = Bench(LinksChanged((A,)), PlanChanged(plan(*vips)))
    bench.hear(port.question(CLIENT, IPv4Address("192.168.1.1")), *answers(B))
    return bench


def answers(station: Interface) -> list[bytes]:
    """A kernel's answers to host a for its own addresses."""
    asked = [Question(address.ip, A.addresses[0].ip, A.hardware_address, True) for address in station.addresses[:1]]
    return [port.answer(station, each) for each in asked]


def owner(*vips: VipPlan) -> Bench:
    """A bench that owns its VIPs."""
    bench = proven(*vips)
    bench.run(0.9)
    return bench


MINE = VipPlan(VIP, ("a", "b"))
MINE6 = VipPlan(VIP6, ("a", "b"))


def test_it_probes_three_times_before_it_claims() -> None:
    """Probes 50 ms apart, then an announcement at 150 ms, then one 1.1 s later, then one each minute."""
    bench = proven(MINE)
    assert bench.role() == Holding(Role.PROBING, Reason.PROBING)
    said = bench.run(0.149)
    own = A.hardware_address
    assert [what for _, what in said if isinstance(what, Probe)] == [Probe(VIP, own)] * 2
    claims = [what for _, what in bench.run(0.002) if isinstance(what, Claim)]
    assert claims == [Claim(VIP, own)] * 2
    assert bench.role() == Holding(Role.OWNER, Reason.CLAIMED, "a")
    assert [what for _, what in bench.run(1.2) if isinstance(what, Claim)] == claims
    assert [what for _, what in bench.run(58.0) if isinstance(what, Claim)] == []


def test_it_does_not_claim_what_a_fellow_answers_for() -> None:
    """A fellow's answer to a probe makes it the owner."""
    bench = proven(MINE)
    bench.hear(port.answer(B, Probe(VIP, A.hardware_address)))
    bench.run(0.4)
    assert bench.role() == Holding(Role.CANDIDATE, Reason.OWNER_ANSWERS, "b")


def test_it_waits_while_the_link_is_quiet() -> None:
    """Where nothing was heard silence proves nothing: the claim waits three seconds."""
    bench = Bench(LinksChanged((A,)), PlanChanged(plan(MINE)))
    bench.run(2.9)
    assert bench.role() == Holding(Role.CANDIDATE, Reason.LINK_QUIET)
    bench.run(0.4)
    assert bench.role().role is Role.OWNER


def test_the_recorded_owner_goes_first() -> None:
    """Without any claim heard the store's owner is awaited before the first host of the plan."""
    bench = proven(VipPlan(VIP, ("a", "b"), recorded_owner="b"))
    bench.run(0.4)
    assert bench.role() == Holding(Role.CANDIDATE, Reason.AWAITING_OWNER)


def test_only_the_owner_answers() -> None:
    """Questions and probes for owned VIPs are answered, also those of IPv6; others are not."""
    bench = owner(MINE, MINE6)
    own = A.hardware_address
    for vip in (VIP, VIP6):
        assert bench.hear(port.question(CLIENT, vip)) == [("eth0", Claim(vip, own))]
        assert bench.hear(port.probe(CLIENT, vip))[0] == ("eth0", Claim(vip, own))
    assert bench.hear(port.question(CLIENT, VIP + 1)) == []
    assert bench.core.drops()[Ignored.NOT_ANSWERED] >= 1


def test_interfaces_of_a_vip() -> None:
    """A VIP is answered on its own interfaces only, and let go of when none of them is up."""
    inside = VipPlan(INSIDE, ("a", "b"), interfaces=("eth1",))
    bench = Bench(LinksChanged((A, A1)), PlanChanged(plan(MINE, inside)))
    bench.hear(port.question(CLIENT, VIP + 1))
    bench.hear(port.question(B1, INSIDE + 1), on="eth1")
    bench.run(1.0)
    assert bench.hear(port.question(CLIENT, INSIDE)) == []
    assert bench.hear(port.question(B1, INSIDE), on="eth1") == [("eth1", Claim(INSIDE, A1.hardware_address))]
    bench.give(LinksChanged((A, interface("eth1", 11, up=False))))
    assert bench.role(INSIDE) == Holding(Role.CANDIDATE, Reason.LINK_DOWN)
    assert bench.role().role is Role.OWNER


def test_a_suspect_is_asked_and_convicted_within_120_ms() -> None:
    """Silence of kernel and agent, while the link is heard, is death; the VIPs are taken over without probing."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*port.announcements(B, VIP + 1), *answers(B))
    bench.give(RouteFound("b"))
    bench.run(0.01)
    asked = bench.give(RouteLost("b"))
    assert [what.target for _, what in asked if isinstance(what, Question)][:2] == [B.addresses[0].ip, VIP + 1]
    assert bench.core.host_states() == {"b": HostState.SUSPECT}
    bench.hear(port.question(CLIENT, VIP + 9))
    claims = [what for _, what in bench.run(0.12) if isinstance(what, Claim)]
    assert claims == [Claim(VIP + 1, A.hardware_address)] * 2
    assert bench.core.host_states() == {"b": HostState.DEAD}
    assert bench.role(VIP + 1) == Holding(Role.OWNER, Reason.TOOK_OVER, "a")


def test_a_false_alarm_ends_with_the_answers() -> None:
    """A suspect whose kernel and agent answer is acquitted at once, and counted."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*port.announcements(B, VIP + 1))
    before = bench.core.counters()[Count.FALSE_ALARMS]
    bench.give(RouteLost("b"))
    bench.hear(*answers(B), port.answer(B, Question(VIP + 1, A.addresses[0].ip, A.hardware_address, True)))
    assert bench.core.host_states() == {"b": HostState.ALIVE}
    assert bench.core.counters()[Count.FALSE_ALARMS] == before + 1


def test_an_agent_is_not_convicted_for_a_vip_that_is_gone() -> None:
    """A fellow that does not answer for a VIP, because its plan was there first, is acquitted by the same plan."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*port.announcements(B, VIP + 1))
    bench.run(0.01)
    bench.give(RouteLost("b"))
    bench.run(0.01)
    bench.hear(*answers(B))
    bench.run(0.5)
    assert bench.core.host_states() == {"b": HostState.SUSPECT}
    bench.give(PlanChanged(plan(MINE)))
    bench.run(0.3)
    assert bench.core.host_states() == {"b": HostState.ALIVE}


def test_a_link_without_fellows_is_not_isolated() -> None:
    """A link on which nobody can be asked, such as a bridge for containers, says nothing about a lost host."""
    inner = Interface("docker0", bytes.fromhex("0242ac110001"), True, (ip_interface("172.17.0.1/16"),))
    bench = Bench(LinksChanged((A, inner)), PlanChanged(plan(MINE)))
    bench.hear(port.question(CLIENT, VIP + 9), *answers(B))
    bench.run(0.01)
    bench.give(RouteLost("b"))
    bench.run(0.05)
    bench.hear(port.question(CLIENT, VIP + 9))
    bench.run(0.2)
    assert bench.core.host_states() == {"b": HostState.DEAD}
    assert not bench.core.isolated


def test_a_late_verdict_asks_again() -> None:
    """A host that was late itself does not take unread answers for silence."""
    bench = owner(MINE)
    bench.give(RouteLost("b"))
    bench.run(0.1)
    bench.now += 0.5
    assert any(isinstance(what, Question) for _, what in bench.give(TimePassed()))
    assert bench.core.host_states() == {"b": HostState.SUSPECT}


def test_silence_of_all_is_isolation() -> None:
    """Where an outsider was heard before and is silent too the link is to blame, and nobody is convicted."""
    bench = owner(MINE, VipPlan(VIP + 1, ("b", "a")))
    bench.hear(*port.announcements(B, VIP + 1))
    bench.run(0.01)
    bench.give(RouteLost("b"))
    bench.run(5.0)
    assert bench.core.isolated
    assert bench.core.host_states() == {"b": HostState.SUSPECT}
    assert bench.role(VIP + 1).role is Role.CANDIDATE
    bench.hear(port.question(CLIENT, VIP))
    assert not bench.core.isolated
    assert bench.role().role is Role.PROBING


def test_the_better_of_two_owners_stays() -> None:
    """A fellow ranked below is talked over, one ranked above is given way to."""
    bench = owner(MINE)
    said = bench.hear(*port.announcements(B, VIP)) + bench.run(0.3)
    assert Claim(VIP, A.hardware_address) in [what for _, what in said]
    assert bench.role().role is Role.OWNER
    bench.give(PlanChanged(plan(VipPlan(VIP, ("b", "a")))))
    assert bench.role().role is Role.OWNER
    bench.hear(*port.announcements(B, VIP))
    assert bench.role() == Holding(Role.CANDIDATE, Reason.OWNER_ANSWERS, "b")


def test_a_drain_waits_for_the_successor() -> None:
    """A draining owner answers until the other's claim is heard."""
    bench = owner(MINE)
    bench.give(PlanChanged(plan(MINE, draining=True)))
    assert bench.role() == Holding(Role.OWNER, Reason.LEAVING, "a")
    assert bench.hear(port.question(CLIENT, VIP)) == [("eth0", Claim(VIP, A.hardware_address))]
    bench.hear(*port.announcements(B, VIP))
    assert bench.role().owner == "b"
    assert bench.hear(port.question(CLIENT, VIP)) == []


def test_the_successor_of_a_draining_owner_claims_at_once() -> None:
    """A hand-over needs no probes, which the owner would answer."""
    bench = proven(VipPlan(VIP, ("b", "a")))
    bench.hear(*port.announcements(B, VIP))
    said = bench.give(PlanChanged(plan(VipPlan(VIP, ("b", "a")), b_draining=True)))
    assert [what for _, what in said if isinstance(what, Claim)] == [Claim(VIP, A.hardware_address)] * 2
    assert bench.role() == Holding(Role.OWNER, Reason.HANDED_OVER, "a")


def test_a_stranger_is_a_conflict() -> None:
    """An unknown hardware address that claims a VIP is recorded, and forgotten once it is known to be a fellow's."""
    bench = owner(MINE)
    stranger = Interface("eth0", NOBODY, True)
    bench.hear(*port.announcements(stranger, VIP))
    assert bench.core.conflicts()[VIP].hardware_address == NOBODY
    assert bench.core.take_changed() == {VIP}
    bench.hear(*port.announcements(stranger, VIP))
    assert bench.core.take_changed() == frozenset()
    known = Fellow("c", (), (NOBODY,))
    bench.give(PlanChanged(Plan("a", {VIP: MINE}, {"c": known})))
    assert dict(bench.core.conflicts()) == {}


def test_groups_follow_ownership() -> None:
    """The solicited-node group is listened to while probing and owning, on the VIP's interfaces only."""
    bench = proven(MINE, MINE6)
    group = bytes.fromhex("3333ff0000f0")
    assert bench.core.groups("eth0") == {group}
    bench.hear(port.announcements(B, VIP6)[0])
    assert bench.core.groups("eth0") == frozenset()
    assert bench.core.groups("eth9") == frozenset()


def test_version_moves_only_with_what_is_visible() -> None:
    """Frames that change nothing leave the version alone."""
    bench = owner(MINE)
    version = bench.core.version
    bench.hear(port.question(CLIENT, VIP), *answers(B))
    bench.give(PlanChanged(plan(MINE)))
    assert bench.core.version == version
    bench.give(PlanChanged(plan()))
    assert bench.core.version > version
    assert dict(bench.core.roles()) == {}


def test_a_long_pause_is_followed_by_doubt() -> None:
    """A host that slept asks before it answers again: somebody may have taken over."""
    bench = owner(MINE)
    bench.now += 10.0
    bench.give(TimePassed())
    assert bench.role().role is Role.PROBING


@given(st.lists(st.tuples(st.sampled_from(["eth0", "eth9"]), st.binary(max_size=90)), max_size=20))
def test_no_bytes_raise(frames: list[tuple[str, bytes]]) -> None:
    """Whatever the network sends is dropped with a reason."""
    bench = owner(MINE, MINE6)
    for name, frame in frames:
        bench.hear(frame, on=name)
        bench.hear(b"\xff" * 6 + frame, on=name)
    assert bench.role().role is Role.OWNER
