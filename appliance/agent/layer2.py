"""The shell around the layer-2 core: frames and timers in, frames out."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from appliance.agent.metric import TAKEOVER_SECONDS, TIMER_DELAY_SECONDS
from appliance.agent.status import heard
from appliance.api.address import IPAddress
from appliance.api.pierhead import AddressConflict
from appliance.control.event import EventKind, Events
from appliance.control.message import VipMove
from appliance.daemon.systemd import Work
from appliance.desired.interface import can_carry
from appliance.host.link import Link
from appliance.host.packet import NO_STORE, DescriptorStore, PacketProblem, Packets
from appliance.l2.event import (
    Command,
    ConflictCleared,
    ConflictSeen,
    CounterName,
    Event,
    FrameReceived,
    GroupsChanged,
    HandOverEnded,
    Interface,
    IsolationChanged,
    Leaving,
    LinksChanged,
    MoveAsked,
    NeighborChanged,
    Plan,
    PlanChanged,
    Role,
    RoleReason,
    RouteFound,
    RouteLost,
    SendFrame,
    TakeoverEnded,
    TimePassed,
    VipChanged,
    VipStatus,
)
from appliance.l2.machine import Layer2Machine

log = structlog.get_logger()

_RETRY_SECONDS = 1.0
_OVERDUE_SECONDS = 1.0
_TRAFFIC_SECONDS = 60.0


class Layer2Shell:
    """Delivers events to the core, sends what it commands, wakes it in time, and tells when its verdicts change.

    `on_traffic` is called when frames have come in, once in `traffic_seconds`.
    """

    def __init__(
        self,
        core: Layer2Machine,
        events: Events,
        on_change: Callable[[frozenset[IPAddress], frozenset[str]], None],
        descriptors: DescriptorStore = NO_STORE,
        *,
        on_traffic: Callable[[], None] = lambda: None,
        traffic_seconds: float = _TRAFFIC_SECONDS,
    ) -> None:
        self.core = core
        self._events = events
        self._on_change = on_change
        self._on_traffic, self._traffic_seconds = on_traffic, traffic_seconds
        self._traffic: asyncio.TimerHandle | None = None
        self._packets = Packets(self._receive, self._listen_later, descriptors)
        self._delivered = 0
        self._problems: tuple[PacketProblem, ...] = ()
        self._retry: asyncio.TimerHandle | None = None
        self._names: dict[int, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._interfaces: tuple[Interface, ...] = ()
        self._reached: frozenset[str] = frozenset()
        self._plan: Plan | None = None
        self.owned: set[IPAddress] = set()
        self.moves: dict[IPAddress, VipMove] = {}
        self.conflicts: dict[IPAddress, AddressConflict] = {}
        self.takeovers = TAKEOVER_SECONDS.histogram()
        self.delays = TIMER_DELAY_SECONDS.histogram()
        self._handed_over = asyncio.Event()
        self._kept: frozenset[IPAddress] = frozenset()
        self._handing_over: dict[IPAddress, list[asyncio.Future[None]]] = {}

    def take_links(self, links: Iterable[Link], interfaces: tuple[Interface, ...]) -> None:
        """Speak on exactly these interfaces; `links` are all this machine has."""
        self._names = {link.index: link.name for link in links}
        self._interfaces = interfaces
        self._listen()
        self._deliver(LinksChanged(interfaces))

    def take_plan(self, plan: Plan, changed: frozenset[IPAddress] | None) -> None:
        """Act on a plan, of which only some VIPs may be other than before; None = any."""
        if plan is not self._plan:
            is_first, self._plan = self._plan is None, plan
            self._deliver(PlanChanged(plan, changed))
            if is_first:
                self._packets.drop_kept_groups()

    def take_reached(self, hosts: frozenset[str]) -> None:
        """Hear which other hosts BFD reaches."""
        lost, found = self._reached - hosts, hosts - self._reached
        self._reached = hosts
        for host in sorted(lost):
            self._deliver(RouteLost(host))
            self._events.record(EventKind.HOST_ROUTE_CHANGED, host, "BFD reaches it no longer")
        for host in sorted(found):
            self._deliver(RouteFound(host))
            self._events.record(EventKind.HOST_ROUTE_CHANGED, host, "BFD reaches it")

    async def leave(self, seconds: float) -> None:
        """Hand this host's VIPs over; returns when every one has gone to another host that will take it, or in time."""
        self._deliver(Leaving())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._handed_over.wait()
        log.info("hand_over_ended", is_complete=self._handed_over.is_set(), kept=len(self._kept))

    def works(self) -> tuple[Work, Work]:
        """Whether frames wait to be read, whether a timer is overdue, and how much of each there was."""
        deadline = self.core.deadline()
        is_overdue = deadline is not None and deadline + _OVERDUE_SECONDS < asyncio.get_running_loop().time()
        packets = Work("packets", self._packets.has_waiting(), self._packets.received)
        return packets, Work("timers", is_overdue, self._delivered)

    async def move(self, address: IPAddress, to: str) -> VipStatus | None:
        """Hand a VIP over; what is held of it once the other host has claimed or will not, None if it is none then."""
        settled = asyncio.get_running_loop().create_future()
        self._handing_over.setdefault(address, []).append(settled)
        self._deliver(MoveAsked(address, to))
        self._settle_moves(address)
        await settled
        return self.core.vip(address)

    def _settle_moves(self, address: IPAddress) -> None:
        """Wake who waits for a move that has ended, however it did."""
        status = self.core.vip(address)
        if status is None or status.reason is not RoleReason.HANDING_OVER:
            for settled in self._handing_over.pop(address, ()):
                if not settled.done():
                    settled.set_result(None)

    @property
    def frames(self) -> int:
        """How many frames came in since the start."""
        return self.core.counters()[CounterName.FRAMES]

    @property
    def packet_errors(self) -> int:
        """How many frames the kernel did not take, or lost before they were read."""
        return self._packets.dropped

    def link_names(self) -> frozenset[str]:
        """The names of links that are spoken on."""
        return frozenset(link.name for link in self._interfaces if link.up)

    def isolated_links(self) -> tuple[str, ...]:
        """The names of links on which nobody answers."""
        return tuple(sorted(self._names.get(index, str(index)) for index in self.core.isolated_links()))

    def close(self) -> None:
        """Stop listening and waking."""
        for timer in (self._timer, self._retry, self._traffic):
            if timer:
                timer.cancel()
        self._packets.close()

    def _receive(self, index: int, frame: bytes) -> None:
        self._deliver(FrameReceived(index, frame))
        if self._traffic is None:
            self._traffic = asyncio.get_running_loop().call_later(self._traffic_seconds, self._tell_traffic)

    def _tell_traffic(self) -> None:
        self._traffic = None
        self._on_traffic()

    def _listen(self) -> None:
        """Have the sockets that the links and what we hold ask for; what cannot be had is tried again."""
        links = (link for link in self._interfaces if link.up)
        problems = self._packets.apply({link.index: self.core.groups(link.index) for link in links})
        for problem in problems:
            if problem not in self._problems:
                name = self._names.get(problem.index, "")
                log.warning("interface_not_usable", interface=name, index=problem.index, error=problem.text)
        self._problems = problems
        if problems:
            self._listen_later()

    def _listen_later(self) -> None:
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._listen_again)

    def _listen_again(self) -> None:
        self._retry = None
        self._listen()

    def _deliver(self, event: Event) -> None:
        now = asyncio.get_running_loop().time()
        self._delivered += 1
        told: list[Command] = []
        for command in self.core.handle(event, now):
            if isinstance(command, SendFrame):
                self._packets.send(command.link, command.frame)
            elif isinstance(command, TakeoverEnded):
                self.takeovers.observe(command.seconds)
            else:
                told.append(command)
        self._arm()
        if told:
            self._report(told)

    def _arm(self) -> None:
        deadline = self.core.deadline()
        if self._timer:
            if deadline == self._timer.when():
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = None if deadline is None else loop.call_at(deadline, self._wake)

    def _wake(self) -> None:
        if self._timer is not None:
            self.delays.observe(asyncio.get_running_loop().time() - self._timer.when())
        self._timer = None
        self._deliver(TimePassed())

    def _report(self, told: Sequence[Command]) -> None:
        """Keep and say what changed, and join the groups that are asked for."""
        addresses: set[IPAddress] = set()
        hosts: set[str] = set()
        for command in told:
            match command:
                case VipChanged(address, status):
                    addresses.add(address)
                    self._note_vip(address, status)
                    self._settle_moves(address)
                case ConflictSeen(address) | ConflictCleared(address):
                    addresses.add(address)
                    self._note_conflict(command)
                case NeighborChanged(host, reachability):
                    hosts.add(host)
                    if reachability is not None:
                        self._events.record(EventKind.HOST_CHANGED, host, reachability.value)
                case IsolationChanged(link, isolated):
                    told_as = "nobody answers on it" if isolated else "somebody answers on it"
                    self._events.record(EventKind.LINK_CHANGED, self._names.get(link, str(link)), told_as)
                case HandOverEnded(kept):
                    self._kept = kept
                    self._handed_over.set()
                case SendFrame() | GroupsChanged() | TakeoverEnded():
                    continue
        if any(isinstance(command, GroupsChanged) for command in told):
            self._listen()
        self._on_change(frozenset(addresses), frozenset(hosts))

    def _note_vip(self, address: IPAddress, status: VipStatus | None) -> None:
        """Say that a VIP came to this host or went from it; what moves between others is theirs to say."""
        was_owned, is_owned = address in self.owned, status is not None and status.role is Role.OWNER
        if is_owned == was_owned:
            return
        (self.owned.add if is_owned else self.owned.discard)(address)
        if status is None:
            self.moves.pop(address, None)
            self._events.record(EventKind.VIP_RELEASED, str(address), "it is planned for no host any more")
            return
        me, evidence = self._plan.me if self._plan else "", self.core.evidence(address)
        said = heard(evidence) if evidence else ""
        move = VipMove(
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            origin=((evidence.previous if evidence else None) or "") if is_owned else me,
            target=me if is_owned else status.owner or "",
            reason=status.reason.value,
            heard=said if said != status.reason.value else "",
        )
        self.moves[address] = replace(move, origin="") if move.origin == move.target else move
        told = {"from": self.moves[address].origin, "to": move.target, "heard": move.heard}
        self._events.record(EventKind.VIP_MOVED, str(address), move.reason, **told)

    def _note_conflict(self, told: ConflictSeen | ConflictCleared) -> None:
        if isinstance(told, ConflictCleared):
            ended = self.conflicts.pop(told.address, None)
            who = f"nothing more was heard of {ended.hardware_address.hex(':')}" if ended else ""
            self._events.record(EventKind.CONFLICT_ENDED, str(told.address), who)
            return
        hardware_address, known = told.hardware_address, self.conflicts.get(told.address)
        self.conflicts[told.address] = AddressConflict(
            address=told.address,
            hardware_address=hardware_address,
            interface=told.interface,
            since=known.since if known else datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        self._events.record(
            EventKind.CONFLICT_SEEN, str(told.address), hardware_address.hex(":"), interface=told.interface
        )


def carrying_links(
    links: Iterable[Link], chosen: tuple[str, ...], gateways: tuple[IPAddress, ...]
) -> tuple[Interface, ...]:
    """The links that can carry VIPs, as the core knows them, each with the gateways it reaches."""
    return tuple(
        Interface(
            index=link.index,
            name=link.name,
            hardware_address=link.hardware_address,
            up=link.up,
            addresses=link.addresses,
            gateways=tuple(
                gateway
                for gateway in gateways
                if any(gateway.version == own.version and gateway in own.network for own in link.addresses)
            ),
        )
        for link in links
        if link.hardware_address and can_carry(link.name, link.resolves, link.enslaved, chosen)
    )
