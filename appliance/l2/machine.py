"""Layer 2 of one host as a whole: events in, commands out."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from appliance.api.address import IPAddress
from appliance.l2 import frame
from appliance.l2.event import (
    Command,
    ConflictEvidence,
    ConflictSeen,
    CounterName,
    Event,
    FrameReceived,
    Leaving,
    LinksChanged,
    MoveAsked,
    MoveRefusal,
    Plan,
    PlanChanged,
    Reachability,
    RouteFound,
    RouteLost,
    TimePassed,
    VipEvidence,
    VipStatus,
    VipTraffic,
)
from appliance.l2.frame import Claim, Ignored, Message, Probe, Question, Release
from appliance.l2.link import Contact, LinkRecord, Links
from appliance.l2.neighbor import NeighborRecord, Neighbors, Owners
from appliance.l2.output import (
    ContactLost,
    ContactMade,
    EligibilityChanged,
    HostReturned,
    Output,
    QuietEnded,
    VipsUnanswered,
)
from appliance.l2.settings import Layer2Settings
from appliance.l2.timer import Timers
from appliance.l2.vip import ANSWERING, ConflictKey, VipRecord, Vips, VipState
from appliance.wire.drop import Drop


class Layer2Machine:
    """Answers for the VIPs this host owns and decides with the other hosts which those are.

    Feed every event to `handle`, with a clock that never goes back, and a `TimePassed` when `deadline()` has come.
    """

    def __init__(self, settings: Layer2Settings | None = None) -> None:
        self._settings = settings or Layer2Settings()
        self._output = Output()
        self._timers = Timers()
        self._links = Links(self._settings, self._timers, self._output)
        owners = Owners()
        self._neighbors = Neighbors(self._settings, self._links, self._timers, self._output, owners)
        self._vips = Vips(
            self._settings,
            links=self._links,
            timers=self._timers,
            output=self._output,
            owners=owners,
            neighbors=self._neighbors,
        )
        self._plan = Plan("")
        self._by_hardware: dict[bytes, str] = {}
        self._by_address: dict[IPAddress, str] = {}

    # events

    def handle(self, event: Event, now: float) -> list[Command]:  # noqa: C901 - one case an event
        """Take in what happened and return what is to be done, in order."""
        self._notice_pause(now)
        match event:
            case PlanChanged(plan, changed):
                self._replan(plan, changed, now)
            case LinksChanged(interfaces):
                is_changed = self._links.update(interfaces, now)
                self._neighbors.update(self._plan.hosts, now)
                if is_changed:
                    self._vips.update_links(now)
            case FrameReceived(link, content):
                self._hear(link, content, now)
            case RouteLost(host):
                self._neighbors.lose_route(host, now)
            case RouteFound(host):
                self._neighbors.find_route(host, now)
            case Leaving():
                self._vips.leave(now)
            case MoveAsked(address, to):
                self._vips.hand_over(address, to, now)
            case TimePassed():
                pass
        self._take_notes(now)
        for key, due in self._timers.take(now):
            self._run(key, due, now)
            self._take_notes(now)
        self._links.tell_groups()
        self._vips.tell_hand_over()
        return self._output.take_commands()

    def deadline(self) -> float | None:
        """When to call `handle(TimePassed(), now)` at the latest."""
        return self._timers.next()

    def _run(self, key: Hashable, due: float, now: float) -> None:
        match key:
            case VipRecord():
                self._vips.run(key, due, now)
            case NeighborRecord():
                self._neighbors.run(key, due, now)
            case LinkRecord():
                self._links.run(key, now)
                if key.contact is Contact.ISOLATED:
                    self._neighbors.ask_peers(key)
            case ConflictKey(address):
                self._vips.forget_conflict(address)

    def _take_notes(self, now: float) -> None:  # noqa: C901 - one case a note
        """Have each part of the core follow what another one found."""
        while notes := self._output.take_notes():
            hosts = [note.host for note in notes if isinstance(note, EligibilityChanged)]
            if hosts:
                self._vips.review_hosts(hosts, now)
            for note in notes:
                match note:
                    case ContactMade(index):
                        self._vips.make_contact(index, now)
                        link = self._links.get(index)
                        if link is not None:
                            self._neighbors.contact(link, now)
                    case ContactLost(index):
                        self._vips.lose_contact(index, now)
                    case QuietEnded():
                        self._vips.review_unsettled(now)
                    case VipsUnanswered(host, addresses):
                        self._vips.deny(host, addresses, now)
                    case HostReturned():
                        self._vips.announce_all(now)
                    case EligibilityChanged():
                        continue

    def _notice_pause(self, now: float) -> None:
        deadline = self.deadline()
        if deadline is not None and now > deadline + self._settings.pause_seconds:
            self._neighbors.pause(now)
            self._vips.pause(now)

    def _replan(self, plan: Plan, changed: frozenset[IPAddress] | None, now: float) -> None:
        before, self._plan = self._plan, plan
        if plan.hosts is not before.hosts and plan.hosts != before.hosts:
            hosts = [plan.hosts[name] for name in sorted(plan.hosts)]
            self._by_hardware = {hardware: host.name for host in hosts for hardware in host.hardware_addresses}
            self._by_address = {address: host.name for host in hosts for address in host.addresses}
            self._vips.forget_conflicts_with(self._by_hardware)
            self._neighbors.update(plan.hosts, now)
        self._vips.update(plan, changed, now)

    # frames

    def _hear(self, index: int, content: bytes, now: float) -> None:
        self._output.counts[CounterName.FRAMES] += 1
        link = self._links.get(index)
        if link is None:
            self._output.drops[Ignored.INTERFACE] += 1
            return
        message = frame.read(content, link.interface.hardware_address)
        if isinstance(message, Drop | Ignored):
            self._output.drops[message] += 1
        elif self._links.is_own(message.hardware_address):
            self._output.drops[Ignored.ECHO] += 1
        else:
            if not isinstance(message, Probe) or message.hardware_address in self._by_hardware:
                # A stranger that probes has no address yet: it could not answer a question of ours, heard or not.
                self._links.hear(link, now)
            if isinstance(message, Claim) and message.is_reply:
                self._links.hear_reply(link, now)
                self._take_notes(now)
            self._understand(link, message, now)

    def _understand(self, link: LinkRecord, message: Message, now: float) -> None:
        host = self._by_hardware.get(message.hardware_address)
        match message:
            case Question(target, source, hardware_address, by_agent):
                if host is None:
                    self._hear_foreign_question(link, source, hardware_address, now)
                elif by_agent:
                    self._neighbors.hear_unasked(host, link.index, message.hardware_address, now)
                self._answer(link, message)
            case Probe(target, hardware_address):
                record = self._vips.get(target)
                if record is not None and host is not None:
                    self._neighbors.hear_unasked(host, link.index, message.hardware_address, now)
                    self._vips.hear_probe(record, host, link.index, now)
                elif record is not None and record.state is VipState.PROBING:
                    self._vips.hear_foreign(record, hardware_address, link.interface.name, now)
                self._answer(link, message)
            case Claim():
                self._hear_claim(link, host, message, now)
            case Release(address, _, is_directed):
                record = self._vips.get(address)
                if host is not None and record is not None:
                    self._neighbors.hear_unasked(host, link.index, message.hardware_address, now)
                    self._vips.hear_release(record, host, link.index, now, is_directed=is_directed)

    def _hear_neighbor(self, link: LinkRecord, host: str | None, claim: Claim, now: float) -> None:
        """Somebody has an address of its own; hosts whose hardware address nobody knows are known by their address."""
        owner = self._by_address.get(claim.address)
        if owner is None and host is None:
            self._links.hear_station(link, claim.address, claim.hardware_address, now, is_reply=claim.is_reply)
        elif owner is not None and claim.is_reply and owner in (host, self._without_hardware(owner)):
            self._neighbors.hear_kernel(owner, link.index, claim.hardware_address, now)

    def _without_hardware(self, host: str) -> str | None:
        return host if not self._plan.hosts[host].hardware_addresses else None

    def _hear_claim(self, link: LinkRecord, host: str | None, claim: Claim, now: float) -> None:
        record, hardware_address = self._vips.get(claim.address), claim.hardware_address
        if record is None:
            return self._hear_neighbor(link, host, claim, now)
        if host is None:
            return self._vips.hear_foreign(record, hardware_address, link.interface.name, now)
        if claim.is_reply:
            self._neighbors.hear_agent(host, link.index, hardware_address, claim.address, now)
        else:
            self._neighbors.hear_unasked(host, link.index, hardware_address, now)
        return self._vips.hear_claim(record, host, link, hardware_address, now, is_reply=claim.is_reply)

    def _hear_foreign_question(self, link: LinkRecord, source: IPAddress, hardware_address: bytes, now: float) -> None:
        record = self._vips.get(source)
        if record is not None:
            self._vips.hear_foreign(record, hardware_address, link.interface.name, now)
        elif source not in self._by_address and not source.is_unspecified:
            self._links.hear_station(link, source, hardware_address, now)

    def _answer(self, link: LinkRecord, asked: Question | Probe) -> None:
        """Answer for what is owned; on an isolated link, where others may have taken over, only after contact."""
        record = self._vips.get(asked.target)
        if record is None or record.state not in ANSWERING or link.index not in record.links:
            self._output.drops[Ignored.NOT_ANSWERED] += 1
            return
        record.requests_heard += 1
        if link.contact is Contact.ISOLATED:
            self._output.drops[Ignored.NOT_ANSWERED] += 1
            return
        record.replies_sent += 1
        self._output.send(link.index, frame.answer(link.interface, asked), CounterName.REPLIES)

    # what is held

    def vips(self) -> Mapping[IPAddress, VipStatus]:
        """This host's role for every VIP, the reason and the host held to answer."""
        return {record.address: record.status for record in self._vips.records() if record.status}

    def vip(self, address: IPAddress) -> VipStatus | None:
        """The same for one VIP; None for one that is not planned."""
        record = self._vips.get(address)
        return record.status if record else None

    def successor(self, address: IPAddress, wanted: str = "") -> str | MoveRefusal:
        """The host a VIP can be handed over to, the one wanted or else the first able one; or why there is none."""
        return self._vips.successor(address, wanted)

    def neighbors(self) -> Mapping[str, Reachability]:
        """What is held of each other host: the most that any link shows of it."""
        return self._neighbors.reachability()

    def neighbor(self, host: str) -> Reachability:
        """The same for one host; unknown for one that is not planned."""
        return self._neighbors.reachability().get(host, Reachability.UNKNOWN)

    def conflict(self, address: IPAddress) -> ConflictSeen | None:
        """The foreign hardware address that answered for a VIP lately."""
        record = self._vips.get(address)
        return record.conflict if record else None

    def conflicts(self) -> Mapping[IPAddress, ConflictSeen]:
        """Foreign hardware addresses that answered for VIPs lately."""
        return {record.address: record.conflict for record in self._vips.records() if record.conflict}

    def conflict_evidence(self, address: IPAddress) -> ConflictEvidence | None:
        """How often that one was heard, and when."""
        record = self._vips.get(address)
        if record is None or record.conflict is None:
            return None
        seen = record.conflict
        return ConflictEvidence(
            seen.hardware_address, seen.interface, record.foreign_since, record.foreign_at, record.foreign_heard
        )

    def evidence(self, address: IPAddress) -> VipEvidence | None:
        """What moved a VIP last; None where nothing did since it is planned."""
        record = self._vips.get(address)
        if record is None or record.evidence is None or record.evidence.previous is not None:
            return record.evidence if record else None
        recorded = record.plan.recorded_owner
        return replace(record.evidence, previous=recorded if recorded != self._plan.me else None)

    def isolated_links(self) -> frozenset[int]:
        """The indexes of links on which nobody answers."""
        return self._links.isolated

    def groups(self, link: int) -> frozenset[bytes]:
        """The multicast hardware addresses to listen to on the link with an index."""
        return self._links.groups(link)

    def traffic(self) -> Iterator[VipTraffic]:
        """What was heard and sent for each VIP for which anything was; taken while the plan changes it does no harm."""
        for record in tuple(self._vips.records()):
            if record.requests_heard or record.announcements_sent:
                yield _traffic(record)

    def vip_traffic(self, address: IPAddress) -> VipTraffic | None:
        """The same of one VIP; None for one that is not planned."""
        record = self._vips.get(address)
        return _traffic(record) if record else None

    def counters(self) -> Mapping[CounterName, int]:
        """What was done, since the start."""
        return MappingProxyType(self._output.counts)

    def drops(self) -> Mapping[Drop | Ignored, int]:
        """Frames that led to nothing, by reason, since the start."""
        return MappingProxyType(self._output.drops)


def _traffic(record: VipRecord) -> VipTraffic:
    return VipTraffic(record.address, record.requests_heard, record.replies_sent, record.announcements_sent)
