"""Which other hosts can be reached: one record a host and link, in the words of RFC 4861 section 7.3.2.

    state       what it means                            what is done                      where it goes
    UNKNOWN     never answered                           3 questions, 37 ms apart          as PROBE
    REACHABLE   answered                                 asked slowly                      PROBE
    PROBE       it lost its route, or was silent         3 questions, 37 ms apart          REACHABLE GRACE HELD FAILED
    GRACE       its kernel answers and its agent not     asked 4 times a second for 3 s    REACHABLE AGENT_DOWN PROBE
    HELD        silent, and so is everybody on the link  nothing: the link is asked        PROBE
    AGENT_DOWN  the grace is over                        its kernel is asked slowly        PROBE FAILED REACHABLE
    FAILED      silent, while others answered            asked slowly                      REACHABLE

Only a solicited reply confirms (section 7.3.1): of a host's own addresses its kernel, of a VIP its agent. What a host
says unasked proves that it speaks, not that it hears; it only has it asked sooner. Nor does a route: BIRD may be
dead and have left it. Silence means something only while others on the link answer.

A question goes to the hardware address that answered or spoke last, to everybody only where none is known: beside the
9,900 broadcasts a second of a hundred hosts, fabrics that answer broadcasts for others would keep a dead host alive.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import chain, islice
from types import MappingProxyType

from appliance.api.address import IPAddress
from appliance.l2 import frame
from appliance.l2.event import CounterName, HostPlan, NeighborChanged, Reachability
from appliance.l2.link import NEVER, Contact, LinkRecord, Links
from appliance.l2.output import EligibilityChanged, HostReturned, Output, VipsUnanswered
from appliance.l2.settings import Layer2Settings
from appliance.l2.timer import Timers

_SAMPLE = 2
_PEERS = 2
_KERNEL_EVERY = 4
_SEEN_MOST = (
    Reachability.REACHABLE,
    Reachability.PROBE,
    Reachability.AGENT_DOWN,
    Reachability.FAILED,
    Reachability.UNKNOWN,
)


class NeighborState(Enum):
    """The states of the table above."""

    UNKNOWN = auto()
    REACHABLE = auto()
    PROBE = auto()
    GRACE = auto()
    HELD = auto()
    AGENT_DOWN = auto()
    FAILED = auto()


_TOLD = {
    NeighborState.UNKNOWN: Reachability.UNKNOWN,
    NeighborState.REACHABLE: Reachability.REACHABLE,
    NeighborState.PROBE: Reachability.PROBE,
    NeighborState.GRACE: Reachability.PROBE,
    NeighborState.HELD: Reachability.PROBE,
    NeighborState.AGENT_DOWN: Reachability.AGENT_DOWN,
    NeighborState.FAILED: Reachability.FAILED,
}
_GONE = (NeighborState.AGENT_DOWN, NeighborState.FAILED)
_QUICK = (NeighborState.UNKNOWN, NeighborState.PROBE)


class Owners:
    """Which VIPs each host is held to own on each link, in the order they will be asked for."""

    def __init__(self) -> None:
        self._vips: dict[str, dict[int, OrderedDict[IPAddress, None]]] = {}

    def add(self, host: str, links: tuple[int, ...], address: IPAddress) -> None:
        """Hold a host to own a VIP; it is asked for it before all others."""
        on_links = self._vips.setdefault(host, {})
        for link in links:
            vips = on_links.setdefault(link, OrderedDict())
            vips[address] = None
            vips.move_to_end(address, last=False)

    def drop(self, host: str, links: tuple[int, ...], address: IPAddress) -> None:
        """Hold it to own a VIP no more."""
        for link in links:
            self._vips[host][link].pop(address, None)

    def of(self, host: str) -> tuple[IPAddress, ...]:
        """All VIPs of a host."""
        return tuple(dict.fromkeys(chain.from_iterable(self._vips.get(host, {}).values())))

    def still_owned(self, host: str, addresses: Iterable[IPAddress]) -> tuple[IPAddress, ...]:
        """Those of some VIPs that are a host's."""
        on_links = self._vips.get(host, {}).values()
        return tuple(address for address in addresses if any(address in vips for vips in on_links))

    def sample(self, host: str, link: int, size: int) -> tuple[IPAddress, ...]:
        """A few VIPs that a host owns on a link; others the next time."""
        vips: OrderedDict[IPAddress, None] = self._vips.get(host, {}).get(link, OrderedDict())
        chosen = tuple(islice(vips, size))
        for address in chosen:
            vips.move_to_end(address)
        return chosen


@dataclass(slots=True, eq=False)
class NeighborRecord:
    """One host on one link; `addresses` are its own on the link's subnets, `pending` VIPs it was asked for."""

    host: str
    link: int
    link_up_since: float
    addresses: tuple[IPAddress, ...]
    state: NeighborState = NeighborState.UNKNOWN
    hardware_address: bytes | None = None
    asked_at: float = NEVER
    sent: int = 0
    unanswered: int = 0
    since: float = NEVER
    reachable_since: float = NEVER
    grace_ends: float | None = None
    kernel_at: float = NEVER
    agent_at: float = NEVER
    spoke_at: float = NEVER
    pending: dict[IPAddress, None] = field(default_factory=dict)

    @property
    def is_gone(self) -> bool:
        """Whether the host answers for no VIP on this link."""
        return self.state in _GONE

    @property
    def would_answer(self) -> bool:
        """Whether the host answered once and is not held dead."""
        return self.kernel_at > NEVER and self.state is not NeighborState.FAILED


class Neighbors:
    """The records of all other hosts on all links; a record is the key of its timer."""

    def __init__(
        self,
        settings: Layer2Settings,
        links: Links,
        timers: Timers,
        output: Output,
        owners: Owners,
    ) -> None:
        self._settings, self._links, self._timers, self._output, self._owners = settings, links, timers, output, owners
        self._hosts: Mapping[str, HostPlan] = {}
        self._records: dict[str, dict[int, NeighborRecord]] = {}
        self._told: dict[str, Reachability] = {}
        self._routes: set[str] = set()
        self._failed = 0

    # who is watched

    def update(self, hosts: Mapping[str, HostPlan], now: float) -> None:
        """Watch each host on each link that has a subnet of its; what is known of those that stay is kept."""
        for host in self._records.keys() - hosts.keys():
            for record in tuple(self._records[host].values()):
                self._drop(record)
            del self._records[host]
            if self._told.pop(host, None):
                self._output.tell(NeighborChanged(host, None))
        self._hosts = hosts
        for host in sorted(hosts):
            records = self._records.setdefault(host, {})
            for record in tuple(records.values()):
                link = self._links.get(record.link)
                if link is None or link.up_since != record.link_up_since:
                    self._drop(record)
            for link in self._links:
                self._watch_on(link, hosts[host], now)
            self._tell(host)

    def _watch_on(self, link: LinkRecord, host: HostPlan, now: float) -> None:
        addresses = tuple(address for address in host.addresses if frame.shares_subnet(link.interface, address))
        record = self._records[host.name].get(link.index)
        if record is not None:
            record.addresses = addresses
            if record.hardware_address not in host.hardware_addresses:
                record.hardware_address = None
        elif addresses:
            self._add(NeighborRecord(host.name, link.index, link.up_since, addresses, since=now), now)
            if len(host.hardware_addresses) == 1:
                self._records[host.name][link.index].hardware_address = host.hardware_addresses[0]

    def _add(self, record: NeighborRecord, now: float) -> None:
        self._records[record.host][record.link] = record
        self._timers.put(record, now)
        self._output.note(EligibilityChanged(record.host))

    def _drop(self, record: NeighborRecord) -> None:
        del self._records[record.host][record.link]
        self._timers.drop(record)
        self._failed -= record.state is NeighborState.FAILED
        self._output.note(EligibilityChanged(record.host))

    # what was heard

    def lose_route(self, host: str, now: float) -> None:
        """BFD lost a host: it is asked on every link."""
        self._routes.discard(host)
        for record in self._of(host):
            if record.state in (NeighborState.REACHABLE, NeighborState.GRACE):
                self._suspect(record, now)
            elif record.state is NeighborState.UNKNOWN:
                self._timers.put(record, now)

    def find_route(self, host: str, now: float) -> None:
        """BFD found a host: it is asked at once."""
        self._routes.add(host)
        for record in self._of(host):
            if record.state in (NeighborState.UNKNOWN, *_GONE):
                self._timers.bring_forward(record, now)

    def hear_kernel(self, host: str, link: int, hardware_address: bytes, now: float) -> None:
        """A host answered this one for an address of its own."""
        record = self._records.get(host, {}).get(link)
        if record is None:
            return
        record.kernel_at, record.unanswered, record.hardware_address = now, 0, hardware_address
        if record.state is NeighborState.FAILED or (record.state in _QUICK and not record.pending):
            self._settle(record, NeighborState.REACHABLE, now)

    def hear_agent(self, host: str, link: int, hardware_address: bytes, address: IPAddress, now: float) -> None:
        """A host answered this one for a VIP."""
        record = self._heard(host, link, now)
        if record is None:
            return
        record.agent_at, record.unanswered, record.hardware_address = now, 0, hardware_address
        record.pending.pop(address, None)
        is_all = not record.pending and (not record.addresses or record.kernel_at > record.since)
        if record.state in (NeighborState.GRACE, *_GONE) or (record.state in _QUICK and is_all):
            self._settle(record, NeighborState.REACHABLE, now)

    def hear_unasked(self, host: str, link: int, hardware_address: bytes, now: float) -> None:
        """A host's agent spoke: one that is held dead is asked now, where it speaks from."""
        record = self._heard(host, link, now)
        if record is None:
            return
        record.spoke_at = now
        if record.state is not NeighborState.REACHABLE:
            record.hardware_address = hardware_address
        if record.state is NeighborState.AGENT_DOWN:
            self._suspect(record, now)
        elif record.state is NeighborState.FAILED and now > record.asked_at + self._settings.grace_interval_seconds:
            self._timers.put(record, now)

    def _heard(self, host: str, link: int, now: float) -> NeighborRecord | None:
        """The record of a host; one that has no address on the link is watched there from now on."""
        records, on_link = self._records.get(host), self._links.get(link)
        if records is None or on_link is None:
            return None
        if link not in records:
            self._add(NeighborRecord(host, link, on_link.up_since, (), since=now), now)
        return records[link]

    def contact(self, link: LinkRecord, now: float) -> None:
        """Somebody on a link answers, lately nobody did: ask again those who were silent with it."""
        for record in self._on(link.index):
            if record.state is NeighborState.HELD:
                self._suspect(record, now)
            elif record.state is not NeighborState.REACHABLE:
                self._timers.bring_forward(record, now)

    def pause(self, now: float) -> None:
        """This host slept: silence while it did means nothing."""
        for records in self._records.values():
            for record in records.values():
                record.pending, record.unanswered, record.grace_ends = {}, 0, None
                if record.state in (NeighborState.PROBE, NeighborState.GRACE, NeighborState.HELD):
                    self._suspect(record, now)
                elif record.state is NeighborState.UNKNOWN:
                    record.sent, record.since = 0, now
                    self._timers.put(record, now)

    # what is done when a record is due

    def run(self, record: NeighborRecord, due: float, now: float) -> None:
        """Ask what is to be asked next, or conclude."""
        link = self._links.get(record.link)
        if link is None:
            return
        match record.state:
            case NeighborState.UNKNOWN | NeighborState.PROBE:
                self._probe(record, link, due, now)
            case NeighborState.REACHABLE:
                self._watch(record, link, now)
            case NeighborState.GRACE:
                self._await_agent(record, link, now)
            case NeighborState.AGENT_DOWN | NeighborState.FAILED:
                self._ask_again(record, link, now)
            case NeighborState.HELD:
                return

    def _watch(self, record: NeighborRecord, link: LinkRecord, now: float) -> None:
        settings, is_routed = self._settings, record.host in self._routes
        rounds = settings.routed_rounds if is_routed else settings.watch_rounds
        if record.unanswered >= rounds or self._owners.still_owned(record.host, record.pending):
            return self._suspect(record, now)
        every = 1 if is_routed else 2
        if record.sent % every == every - 1:
            record.pending = dict.fromkeys(self._owners.sample(record.host, record.link, 1))
        if not is_routed or not record.pending or record.sent % _KERNEL_EVERY == 0:
            self._ask_kernel(record, link, now)
        self._ask_agent(record, link, now)
        record.sent += 1
        wait = settings.watch_interval_seconds
        if is_routed:
            wait = max(settings.routed_interval_seconds, len(self._records) / settings.questions_per_second)
        return self._timers.put(record, now + wait)

    def _probe(self, record: NeighborRecord, link: LinkRecord, due: float, now: float) -> None:
        settings = self._settings
        if not record.sent:
            record.since = now
            if record.state is NeighborState.UNKNOWN and not record.addresses:
                record.pending = dict.fromkeys(self._owners.sample(record.host, record.link, _SAMPLE))
        came_late = now - due > settings.probe_interval_seconds  # answers may wait unread behind us
        rounds = 2 * settings.probe_rounds if came_late else settings.probe_rounds
        if record.sent < rounds:
            self._ask_kernel(record, link, now)
            self._ask_agent(record, link, now)
            self._ask_others(record, link, now)
            record.sent += 1
            return self._timers.put(record, now + settings.probe_interval_seconds)
        return self._conclude(record, link, now)

    def _conclude(self, record: NeighborRecord, link: LinkRecord, now: float) -> None:
        unanswered = self._owners.still_owned(record.host, record.pending)
        kernel_answered, agent_answered = record.kernel_at > record.since, record.agent_at > record.since
        if agent_answered or (kernel_answered and not unanswered):
            if unanswered:
                self._output.note(VipsUnanswered(record.host, unanswered))
            self._settle(record, NeighborState.REACHABLE, now)
        elif not record.addresses and not unanswered:
            self._rest(record, now)  # there is nothing to ask it for on this link
        elif kernel_answered or (not record.addresses and self._is_reachable_elsewhere(record)):
            self._await_agent(record, link, now)
        elif link.answered_at > record.since or not self._is_link_to_blame(record, link, now):
            self._settle(record, NeighborState.FAILED, now)
        elif link.contact is Contact.QUIET:
            self._rest(record, now)
        else:
            self._links.isolate(link, now)
            self._enter(record, NeighborState.HELD, now)
            self._timers.drop(record)

    def _is_link_to_blame(self, record: NeighborRecord, link: LinkRecord, now: float) -> bool:
        """Whether nobody answered who would while the link leads anywhere."""
        match link.contact:
            case Contact.QUIET:
                return not self._links.is_silent(link, now)
            case Contact.ISOLATED:
                return True
            case Contact.CONNECTED:
                return self._links.could_answer(link) or bool(self._peers(record))

    def _rest(self, record: NeighborRecord, now: float) -> None:
        """Nothing can be concluded: begin anew after a while."""
        self._enter(record, NeighborState.UNKNOWN, now)
        self._timers.put(record, now + self._settings.watch_interval_seconds * (1 if record.addresses else 10))

    def _await_agent(self, record: NeighborRecord, link: LinkRecord, now: float) -> None:
        settings = self._settings
        if record.state is not NeighborState.GRACE:
            record.unanswered = 0
            self._enter(record, NeighborState.GRACE, now)
        if record.grace_ends is None:
            record.grace_ends = record.since + settings.agent_grace_seconds
        record.pending = dict.fromkeys(self._owners.still_owned(record.host, record.pending))
        if not record.pending:
            return self._settle(record, NeighborState.REACHABLE, now)
        if record.unanswered >= settings.watch_rounds:
            return self._suspect(record, now)
        if now >= record.grace_ends and record.spoke_at > record.since:  # it runs, and seems to own nothing
            self._output.note(VipsUnanswered(record.host, self._owners.of(record.host)))
            return self._settle(record, NeighborState.REACHABLE, now)
        if now >= record.grace_ends:
            return self._settle(record, NeighborState.AGENT_DOWN, now)
        self._ask_kernel(record, link, now)
        self._ask_agent(record, link, now)
        return self._timers.put(record, min(now + settings.grace_interval_seconds, record.grace_ends))

    def _ask_again(self, record: NeighborRecord, link: LinkRecord, now: float) -> None:
        settings = self._settings
        is_silent = record.unanswered >= settings.watch_rounds and link.answered_at > record.kernel_at
        if record.state is NeighborState.AGENT_DOWN and is_silent:
            self._settle(record, NeighborState.FAILED, now)
        self._ask_kernel(record, link, now)
        if not record.addresses:
            record.pending = dict.fromkeys(self._owners.sample(record.host, record.link, 1))
            self._ask_agent(record, link, now)
        record.sent += 1
        wait = max(settings.failed_interval_seconds, self._failed / settings.questions_per_second)
        self._timers.put(record, now + wait)

    # changes of state

    def _suspect(self, record: NeighborRecord, now: float) -> None:
        unanswered = self._owners.still_owned(record.host, record.pending)
        sampled = self._owners.sample(record.host, record.link, _SAMPLE)
        self._output.counts[CounterName.SUSPICIONS] += 1
        self._enter(record, NeighborState.PROBE, now)
        record.pending = dict.fromkeys((*unanswered, *sampled))
        self._timers.put(record, now)

    def _settle(self, record: NeighborRecord, state: NeighborState, now: float) -> None:
        before = record.state
        if state is NeighborState.REACHABLE and before is NeighborState.PROBE:
            self._output.counts[CounterName.FALSE_ALARMS] += 1
        elif state is not NeighborState.REACHABLE:
            self._output.counts[CounterName.FAILURES] += 1
        if state is NeighborState.REACHABLE and before in (NeighborState.UNKNOWN, NeighborState.HELD, *_GONE):
            record.reachable_since = now
        record.pending, record.grace_ends, record.unanswered = {}, None, 0
        self._enter(record, state, now)
        self._timers.put(record, now + self._settings.watch_interval_seconds)
        if state is NeighborState.REACHABLE and before in _GONE:
            self._output.note(HostReturned(record.host))

    def _enter(self, record: NeighborRecord, state: NeighborState, now: float) -> None:
        was_gone, was_failed = record.is_gone, record.state is NeighborState.FAILED
        record.state, record.sent = state, 0
        if state in _QUICK:
            record.since = now
        self._failed += (state is NeighborState.FAILED) - was_failed
        if record.is_gone != was_gone:
            self._output.note(EligibilityChanged(record.host))
        self._tell(record.host)

    def _tell(self, host: str) -> None:
        telling = [record for record in self._of(host) if record.state is not NeighborState.HELD] or self._of(host)
        seen = {_TOLD[record.state] for record in telling}
        told = next((each for each in _SEEN_MOST if each in seen), Reachability.UNKNOWN)
        if self._told.get(host) is not told:
            self._told[host] = told
            self._output.tell(NeighborChanged(host, told))

    # questions

    def _ask_kernel(self, record: NeighborRecord, link: LinkRecord, now: float) -> None:
        if record.addresses:
            record.unanswered += 1
            address = record.addresses[record.sent % len(record.addresses)]
            self._ask(link, address, record.hardware_address)
        record.asked_at = now

    def _ask_agent(self, record: NeighborRecord, link: LinkRecord, now: float) -> None:
        record.asked_at = now
        for address in record.pending:
            self._ask(link, address, record.hardware_address)

    def _ask_others(self, record: NeighborRecord, link: LinkRecord, now: float) -> None:
        """Ask those who would answer while the link leads anywhere; those in PROBE themselves are asked anyway."""
        if now < link.asked_at + self._settings.probe_interval_seconds / 2:
            return
        for peer in [each for each in self._peers(record) if each.state is NeighborState.REACHABLE][:_PEERS]:
            self._ask(link, peer.addresses[0], peer.hardware_address)
        self._links.ask_stations(link, now)
        link.asked_at = now

    def _ask(self, link: LinkRecord, address: IPAddress, to: bytes | None) -> None:
        self._output.send(link.index, frame.question(link.interface, address, to), CounterName.QUESTIONS)

    def ask_peers(self, link: LinkRecord) -> None:
        """Ask hosts that are silent with the whole link, two at most, each in turn."""
        held = [record for record in self._on(link.index) if record.addresses and record.state is NeighborState.HELD]
        held.sort(key=lambda record: (record.sent, record.host))
        for record in held[:_PEERS]:
            self._ask(link, record.addresses[record.sent % len(record.addresses)], record.hardware_address)
            record.sent += 1

    def hardware_address(self, host: str, link: int) -> bytes | None:
        """The hardware address of a host on a link; None where it is not known."""
        record = self._records.get(host, {}).get(link)
        return record.hardware_address if record else None

    def ask_for(self, address: IPAddress, hardware_address: bytes, link: LinkRecord) -> None:
        """Ask a hardware address for a VIP."""
        self._ask(link, address, hardware_address)

    # what is held

    def _of(self, host: str) -> tuple[NeighborRecord, ...]:
        return tuple(self._records.get(host, {}).values())

    def _on(self, link: int) -> list[NeighborRecord]:
        return [records[link] for records in self._records.values() if link in records]

    def _peers(self, record: NeighborRecord) -> list[NeighborRecord]:
        on_link = (each for each in self._on(record.link) if each is not record and each.addresses)
        return [each for each in on_link if each.would_answer]

    def _is_reachable_elsewhere(self, record: NeighborRecord) -> bool:
        others = (each for each in self._of(record.host) if each is not record)
        return record.host in self._routes or any(each.state is NeighborState.REACHABLE for each in others)

    def is_gone(self, host: str, links: tuple[int, ...]) -> bool:
        """Whether a host answers for no VIP on any of some links; those that tell nothing of it are passed over."""
        records = self._records.get(host, {})
        telling = [records[link] for link in links if link in records] or list(records.values())
        return bool(telling) and all(record.is_gone for record in telling)

    def is_gone_on(self, host: str, link: int) -> bool:
        """Whether a host is held dead on a link."""
        record = self._records.get(host, {}).get(link)
        return record is not None and record.is_gone

    def suspected_at(self, host: str, links: tuple[int, ...]) -> float | None:
        """When the first sign was seen that a host, which is gone now, fails; None where it is not planned any more."""
        gone = [record for record in self._of(host) if record.is_gone]
        on_links = [record for record in gone if record.link in links]
        return min((record.since for record in on_links or gone), default=None)

    def reachable_since(self, host: str) -> float:
        """When a host came back to where it is reachable, on any link."""
        return max((record.reachable_since for record in self._of(host)), default=NEVER)

    def reachability(self) -> Mapping[str, Reachability]:
        """What is held of each host: the most that any link shows of it."""
        return MappingProxyType(self._told)
