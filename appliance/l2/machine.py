"""Layer 2 of one host as a whole: events in, frames out, and what it holds."""

from collections.abc import Mapping
from ipaddress import IPv6Address
from types import MappingProxyType

from appliance.api.address import IPAddress
from appliance.l2 import port
from appliance.l2.command import Command
from appliance.l2.event import Event, FrameReceived, LinksChanged, PlanChanged, RouteFound, RouteLost, TimePassed
from appliance.l2.journal import Ignored, Journal
from appliance.l2.link import Link, Links
from appliance.l2.liveness import Liveness
from appliance.l2.ownership import Ownership
from appliance.l2.plan import Fellow, Plan
from appliance.l2.sighting import Claim, Probe, Question, read
from appliance.l2.timing import Timing
from appliance.l2.verdict import Conflict, Count, Holding, HostState, Role
from appliance.wire.drop import Drop
from appliance.wire.ndp import multicast_hardware_address, solicited_node

_ANSWERED_GROUPS = (Role.OWNER, Role.PROBING)


class Layer2:
    """Answers for the VIPs this host owns and decides with its fellows which those are.

    Feed every event to `handle`, with a clock that never goes back, and a `TimePassed` when `deadline()` has come.
    """

    def __init__(self, timing: Timing | None = None) -> None:
        self._timing = timing or Timing()
        self._journal = Journal()
        self._links = Links(self._timing)
        self._liveness = Liveness(self._timing, self._links, self._journal)
        self._ownership = Ownership(self._timing, self._links, self._liveness, self._journal)
        self._plan = Plan("")
        self._by_hardware: dict[bytes, str] = {}
        self._by_address: dict[IPAddress, str] = {}
        self._groups: tuple[int, dict[str, frozenset[bytes]]] = (-1, {})

    # events

    def handle(self, event: Event, now: float) -> list[Command]:
        """Take in what happened and return what is to be done, in order."""
        self._notice_pause(now)
        match event:
            case PlanChanged(plan):
                self._replan(plan, now)
            case LinksChanged(interfaces):
                if self._links.update(interfaces, now):
                    self._journal.touch()
                    self._liveness.rebuild(self._plan.fellows, now)
                    self._ownership.review_all(now)
                else:
                    self._liveness.rebuild(self._plan.fellows, now)
            case FrameReceived(interface, frame):
                self._hear(interface, frame, now)
            case RouteLost(host):
                self._liveness.lose_route(host, now)
            case RouteFound(host):
                self._liveness.find_route(host, now)
            case TimePassed():
                pass
        self._follow(now)
        self._run_due(now)
        return self._journal.take_commands()

    def deadline(self) -> float | None:
        """When to call `handle(TimePassed(), now)` at the latest."""
        ownership = self._ownership
        moments = (
            self._liveness.agenda.next(),
            self._links.quiet_ends.next(),
            ownership.agenda.next(),
            ownership.announcer.agenda.next(),
            ownership.conflicts.forgets.next(),
        )
        return min((moment for moment in moments if moment is not None), default=None)

    def _notice_pause(self, now: float) -> None:
        deadline = self.deadline()
        if deadline is None or now <= deadline + self._timing.pause_seconds:
            return
        self._liveness.pause(now)
        for link in self._links:
            self._ownership.doubt(link, now)

    def _replan(self, plan: Plan, now: float) -> None:
        self._plan = plan
        fellows = sorted(plan.fellows.values(), key=lambda fellow: fellow.name)
        self._by_hardware = {hardware: fellow.name for fellow in fellows for hardware in fellow.hardware_addresses}
        self._by_address = {address: fellow.name for fellow in fellows for address in fellow.addresses}
        self._ownership.conflicts.forget_known(lambda hardware: hardware in self._by_hardware)
        self._liveness.rebuild(plan.fellows, now)
        self._ownership.replan(plan, now)

    # frames

    def _hear(self, interface: str, frame: bytes, now: float) -> None:
        self._journal.counts[Count.FRAMES] += 1
        link = self._links.get(interface)
        if link is None:
            self._journal.drops[Ignored.INTERFACE] += 1
            return
        seen = read(frame, link.interface.hardware_address)
        if isinstance(seen, Drop | Ignored):
            self._journal.drops[seen] += 1
        elif self._links.is_own(seen.hardware_address):
            self._journal.drops[Ignored.ECHO] += 1
        else:
            self._prove(link, now)
            self._understand(link, seen, now)

    def _prove(self, link: Link, now: float) -> None:
        link.heard_at = now
        if not link.unproven and link.isolated_since is None:
            return
        link.unproven, link.isolated_since = False, None
        self._journal.touch()
        self._liveness.hear_link(link, now)
        self._ownership.doubt(link, now)

    def _understand(self, link: Link, seen: Question | Probe | Claim, now: float) -> None:
        fellow = self._by_hardware.get(seen.hardware_address)
        match seen:
            case Claim(address, hardware_address):
                self._hear_claim(link, address, hardware_address, now)
            case Question(target, source, hardware_address, by_agent):
                if fellow is None:
                    self._hear_outsider(link, source, hardware_address, now)
                elif by_agent:
                    self._liveness.hear_agent(fellow, link.interface.name, now)
                self._answer(link, seen)
            case Probe(target, hardware_address):
                if fellow is None:
                    self._hear_rival_probe(link, target, hardware_address, now)
                elif self._ownership.vip(target):
                    self._liveness.hear_agent(fellow, link.interface.name, now)
                    self._ownership.hear_probe(target, fellow, now)
                self._answer(link, seen)

    def _hear_claim(self, link: Link, address: IPAddress, hardware_address: bytes, now: float) -> None:
        fellow, name = self._by_hardware.get(hardware_address), link.interface.name
        if self._ownership.vip(address) is None:
            owner = self._by_address.get(address)
            if owner is None and fellow is None:
                link.note_outsider(address, now)
            elif owner is not None and (fellow == owner or not self._hardware_known(owner)):
                self._liveness.hear_kernel(owner, name, now)
        elif fellow is None:
            self._ownership.hear_stranger(address, hardware_address, name, now)
        else:
            self._liveness.hear_agent(fellow, name, now, address)
            self._ownership.hear_claim(address, fellow, now)

    def _hardware_known(self, fellow: str) -> bool:
        known: Fellow | None = self._plan.fellows.get(fellow)
        return bool(known and known.hardware_addresses)

    def _hear_outsider(self, link: Link, source: IPAddress, hardware_address: bytes, now: float) -> None:
        if self._ownership.vip(source):
            self._ownership.hear_stranger(source, hardware_address, link.interface.name, now)
        elif source not in self._by_address and not source.is_unspecified:
            link.note_outsider(source, now)

    def _hear_rival_probe(self, link: Link, target: IPAddress, hardware_address: bytes, now: float) -> None:
        if self._ownership.holdings.role(target) is Role.PROBING:
            self._ownership.hear_stranger(target, hardware_address, link.interface.name, now)

    def _answer(self, link: Link, asked: Question | Probe) -> None:
        vip = self._ownership.vip(asked.target)
        is_here = vip is not None and link.interface.name in self._links.usable(vip)
        if not is_here or self._ownership.holdings.role(asked.target) is not Role.OWNER:
            self._journal.drops[Ignored.NOT_ANSWERED] += 1
            return
        self._journal.send(link.interface.name, port.answer(link.interface, asked), Count.REPLIES)

    # consequences

    def _follow(self, now: float) -> None:
        liveness, ownership = self._liveness, self._ownership
        if liveness.changed:
            changed, liveness.changed = sorted(liveness.changed), set()
            for fellow in changed:
                ownership.review_fellow(fellow, now)
            ownership.review_open(now)
        if liveness.vacated:
            vacated, liveness.vacated = liveness.vacated, set()
            ownership.vacate(vacated, now)
        if liveness.revived:
            liveness.revived = set()
            ownership.announce_owned(now)

    def _run_due(self, now: float) -> None:
        ownership = self._ownership
        for key, due in self._liveness.agenda.take(now):
            self._liveness.run(key, due, now)
        self._follow(now)
        for _ in self._links.quiet_ends.take(now):
            ownership.review_open(now)
        for address, due in ownership.agenda.take(now):
            ownership.run(address, due, now)
        for address, _ in ownership.announcer.agenda.take(now):
            ownership.announcer.run(address, now)
        for address, _ in ownership.conflicts.forgets.take(now):
            ownership.conflicts.forget(address)

    # what is held

    @property
    def version(self) -> int:
        """Moves with every change of roles, host states, conflicts or isolation."""
        return self._journal.version

    def take_changed(self) -> frozenset[IPAddress]:
        """The VIPs whose role or conflict changed since the last call."""
        return self._journal.take_changed()

    def roles(self) -> Mapping[IPAddress, Holding]:
        """This host's role for every VIP, the reason and the acting owner; a view that stays current."""
        return self._ownership.holdings.all()

    def host_states(self) -> Mapping[str, HostState]:
        """What is held of each fellow."""
        return self._liveness.states()

    def conflicts(self) -> Mapping[IPAddress, Conflict]:
        """Strangers that answered for our VIPs lately; a view that stays current."""
        return self._ownership.conflicts.all()

    @property
    def isolated(self) -> bool:
        """Whether a link leads nowhere or none is up: what is held of VIPs and fellows is then not to be published."""
        is_cut_off = bool(self._plan.vips) and not any(self._links)
        return is_cut_off or self._links.isolated

    def counters(self) -> Mapping[Count, int]:
        """What was done, since the start."""
        return MappingProxyType(self._journal.counts)

    def drops(self) -> Mapping[Drop | Ignored, int]:
        """Frames that led to nothing, by reason, since the start."""
        return MappingProxyType(self._journal.drops)

    def groups(self, interface: str) -> frozenset[bytes]:
        """The multicast hardware addresses to listen to on an interface: those questions for our IPv6 VIPs go to."""
        if self._groups[0] != self._journal.version:
            self._groups = (self._journal.version, {})
        if interface not in self._groups[1]:
            self._groups[1][interface] = self._groups_of(interface)
        return self._groups[1][interface]

    def _groups_of(self, interface: str) -> frozenset[bytes]:
        ours = (address for address, holding in self.roles().items() if holding.role in _ANSWERED_GROUPS)
        vips = [
            vip for address in ours if (vip := self._ownership.vip(address)) and interface in self._links.usable(vip)
        ]
        groups = (solicited_node(vip.address) for vip in vips if isinstance(vip.address, IPv6Address))
        return frozenset(multicast_hardware_address(group) for group in groups)
