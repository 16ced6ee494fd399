"""A virtual LAN in virtual time: hosts with the real layer-2 core, wires to cut, a client that asks all the time.

A host has one network card on each wire. Every host keeps the plan it read last: one that is cut off from the store
acts on an older plan than the others. Of each card the cable, the side of a partition it is on, and what it loses
can be set: a deaf card receives nothing, a mute one sends nothing, `resolves=False` loses ARP and NDP in both
directions while other packets pass.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_interface
from itertools import count, pairwise
from random import Random

from appliance.api.address import IPAddress
from appliance.l2.event import (
    Command,
    ConflictCleared,
    ConflictSeen,
    Event,
    FrameReceived,
    GroupsChanged,
    HandOverEnded,
    HostPlan,
    Interface,
    IsolationChanged,
    Leaving,
    LinksChanged,
    MoveAsked,
    MoveRefusal,
    NeighborChanged,
    Plan,
    PlanChanged,
    Reachability,
    Role,
    RouteFound,
    RouteLost,
    SendFrame,
    TakeoverEnded,
    TimePassed,
    VipChanged,
    VipPlan,
    VipStatus,
)
from appliance.l2.machine import Layer2Machine
from appliance.l2.settings import Layer2Settings
from appliance.wire import arp, ethernet, ndp
from appliance.wire.arp import Arp, Operation
from appliance.wire.drop import Drop
from appliance.wire.ethernet import BROADCAST, EtherType, Frame
from appliance.wire.ndp import NeighborAdvertisement, NeighborSolicitation

BFD_DETECTION_SECONDS = 0.13
BFD_UP_SECONDS = 1.0
POLL_SECONDS = 0.01
STOP_SECONDS = 8.0

Message = Arp | NeighborSolicitation | NeighborAdvertisement


def hardware(number: int, wire: int = 0) -> bytes:
    """The hardware address of the card of a station with a number."""
    return bytes((2, 0, 0, 0, wire, number))


class Card:
    """A network card on a wire, with the kernel's addresses, one of each family, and the groups joined for them."""

    def __init__(self, number: int, wire: int) -> None:
        net4, net6 = (("192.168.1", "2001:db8:1"), ("10.1.0", "2001:db8:2"))[wire]
        v4, v6 = IPv4Address(f"{net4}.{number}"), IPv6Address(f"{net6}::{number}")
        self.wire, self.index = wire, 2 + wire
        self.mac = hardware(number, wire)
        self.addresses: tuple[IPAddress, ...] = (v4, v6)
        self.groups = (ndp.multicast_hardware_address(ndp.solicited_node(v6)),)
        self.segment = 0
        self.carrier, self.resolves = True, True
        self.deaf, self.mute = False, False

    def sends_to(self, other: "Card") -> bool:
        """Whether packets get from here to there."""
        is_cut = self.mute or other.deaf or not (self.carrier and other.carrier)
        return not is_cut and self.segment == other.segment


@dataclass(slots=True, eq=False)
class Station:
    """Anything with network cards: its kernel answers for its own addresses."""

    name: str
    cards: list[Card]
    powered: bool = True

    @property
    def mac(self) -> bytes:
        """The hardware address of its first card."""
        return self.cards[0].mac

    def reaches(self, other: "Station", wire: int = 0) -> bool:
        """Whether packets get from here to there on a wire."""
        here, there = self.cards[wire], other.cards[wire]
        return self.powered and other.powered and here.sends_to(there)


@dataclass(slots=True, eq=False)
class HostStation(Station):
    """A host; without a core its agent does not run, frozen it runs but gets nowhere. `told` is what its core told."""

    core: Layer2Machine | None = None
    frozen: bool = False
    store: bool = True
    bird: bool = True
    bfd: bool = True
    gateways: tuple[IPAddress, ...] = ()
    plan: Plan = field(default_factory=lambda: Plan(""))
    waiting: list[Event] = field(default_factory=list)
    routes: set[str] = field(default_factory=set)
    vips: dict[IPAddress, VipStatus] = field(default_factory=dict)
    neighbors: dict[str, Reachability] = field(default_factory=dict)
    conflicts: dict[IPAddress, ConflictSeen] = field(default_factory=dict)
    isolated: set[int] = field(default_factory=set)
    groups: dict[int, set[bytes]] = field(default_factory=dict)
    leaving: bool = False
    kept: frozenset[IPAddress] | None = None

    def interfaces(self) -> tuple[Interface, ...]:
        """What its kernel says of its cards."""
        return tuple(
            Interface(
                index=card.index,
                name=f"eth{card.wire}",
                hardware_address=card.mac,
                up=card.carrier,
                addresses=tuple(
                    ip_interface(f"{address}/{24 if address.version == 4 else 64}") for address in card.addresses
                ),
                gateways=self.gateways[card.wire : card.wire + 1],
            )
            for card in self.cards
        )

    def listens(self, card: Card, destination: bytes) -> bool:
        """Whether a frame passes the card's multicast filter: of IPv6 groups, those that were joined."""
        if not destination.startswith(b"\x33\x33\xff"):
            return True
        return destination in card.groups or destination in self.groups.get(card.index, ())

    def forget(self) -> None:
        """Its agent begins anew."""
        self.frozen, self.waiting, self.leaving, self.kept = False, [], False, None
        for told in (self.vips, self.neighbors, self.conflicts, self.isolated, self.groups):
            told.clear()

    def take(self, command: Command) -> None:  # noqa: C901 - one case a command
        """Note what the core told."""
        match command:
            case SendFrame():
                raise ValueError("frames are sent, not noted")
            case VipChanged(address, None):
                del self.vips[address]
            case VipChanged(address, VipStatus() as status):
                self.vips[address] = status
            case NeighborChanged(host, None):
                del self.neighbors[host]
            case NeighborChanged(host, Reachability() as reachability):
                self.neighbors[host] = reachability
            case ConflictSeen(address):
                self.conflicts[address] = command
            case ConflictCleared(address):
                del self.conflicts[address]
            case IsolationChanged(link, isolated):
                (self.isolated.add if isolated else self.isolated.remove)(link)
            case GroupsChanged(link, joined, left):
                self.groups[link] = (self.groups.get(link, set()) | joined) - left
            case HandOverEnded(kept):
                self.kept = kept
            case TakeoverEnded():
                return


class Lan:
    """The LAN with hosts, a router, a client, and a clock that only moves in `run`."""

    def __init__(
        self, hosts: Iterable[str], vips: Iterable[VipPlan], *, seed: int = 0, router: bool = True, wires: int = 1
    ) -> None:
        self.now = 0.0
        self.settings = Layer2Settings()
        self.loss = 0.0
        self.delay = 0.0002
        self.frames = 0
        self.broadcasts = 0
        self._random = Random(seed)
        self._serial = count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._index = count(100)
        self.hosts = {name: HostStation(name, _cards(11 + at, wires)) for at, name in enumerate(hosts)}
        self.router = Station("router", _cards(1, wires), powered=router)
        self.client = Station("client", _cards(100, wires))
        for host in self.hosts.values():
            host.gateways = tuple(card.addresses[0] for card in self.router.cards) if router else ()
        self.bfd = True
        self.vips = {vip.address: vip for vip in vips}
        self.drained: set[str] = set()
        self.recorded: dict[IPAddress, str] = {}
        self.cache: dict[IPAddress, bytes] = {}
        self.answers: list[tuple[float, IPAddress, bytes]] = []
        self.polls: list[tuple[float, IPAddress, bool]] = []
        self._wakes: dict[str, float] = {}
        self.foreign: dict[IPAddress, bytes] = {}
        self._by_mac = {card.mac: station for station in self.stations() for card in station.cards}
        self._on_wire = {wire: [(station, station.cards[wire]) for station in self.stations()] for wire in range(wires)}

    # time

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Have something happen later."""
        heapq.heappush(self._queue, (self.now + seconds, next(self._serial), action))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = end

    def settle(self, condition: Callable[[], bool], within: float) -> float:
        """Let time pass until something holds; return how long it took."""
        start = self.now
        while not condition():
            assert self.now - start < within, f"did not hold within {within} s"
            self.run(0.005)
        return self.now - start

    # the story

    def poll(self, interval: float = POLL_SECONDS) -> None:
        """Have the client ask for every VIP every 10 ms or so, and use what it knows."""
        for vip in self.vips:
            self.polls.append((self.now, vip, self._is_served(vip)))
            for wire in self.wires_of(vip):
                self._transmit(self.client, self.client.cards[wire], *self._question(vip, wire))
        self.after(interval, partial(self.poll, interval))

    def start(self, *names: str) -> None:
        """Start agents, all by default; each has the plan of the store, or of its cache where it is cut off."""
        for name in names or tuple(self.hosts):
            host = self.hosts[name]
            host.forget()
            self._wakes.pop(name, None)
            host.core = Layer2Machine(self.settings)
            if host.store or not host.plan.me:
                host.plan = self.plan(host)
            self.tell(host, LinksChanged(host.interfaces()))
            self.tell(host, PlanChanged(host.plan))
            for other in sorted(host.routes):
                self.tell(host, RouteFound(other))
        self._watch_bfd()

    def kill(self, name: str) -> None:
        """Kill an agent; the host lives on."""
        host = self.hosts[name]
        host.core = None
        host.forget()

    def stop(self, name: str) -> None:
        """End an agent on purpose: it hands over first, and ends when it may, or after a while."""
        host = self.hosts[name]
        core = host.core
        host.leaving = core is not None
        self.tell(host, Leaving())
        self.after(STOP_SECONDS, lambda: self.kill(name) if host.core is core else None)

    def freeze(self, name: str) -> None:
        """Stop an agent where it stands (SIGSTOP); what comes in waits."""
        self.hosts[name].frozen = True

    def thaw(self, name: str) -> None:
        """Let a frozen agent go on, with all that waited."""
        host = self.hosts[name]
        host.frozen = False
        waiting, host.waiting = host.waiting, []
        for event in [TimePassed(), *waiting]:
            self.tell(host, event)

    def power(self, name: str, *, on: bool) -> None:
        """Cut or give power; an agent has to be started again."""
        host = self.hosts[name]
        host.powered, host.core = on, None
        host.forget()
        host.routes.clear()
        self._watch_bfd()

    def pull(self, name: str, wire: int = 0) -> None:
        """Pull a cable: no carrier."""
        self._plug(name, wire, carrier=False)

    def plug(self, name: str, wire: int = 0) -> None:
        """Put the cable back."""
        self._plug(name, wire, carrier=True)

    def _plug(self, name: str, wire: int, *, carrier: bool) -> None:
        host = self.hosts[name]
        host.cards[wire].carrier = carrier
        self.tell(host, LinksChanged(host.interfaces()))
        self._watch_bfd()

    def remake(self, name: str, wire: int = 0) -> None:
        """Make an interface anew under its name."""
        host = self.hosts[name]
        host.cards[wire].index = next(self._index)
        self.tell(host, LinksChanged(host.interfaces()))

    def part(self, segment: int, *names: str, wire: int | None = None) -> None:
        """Move stations to another side of a partition, on all wires or on one; their carriers stay."""
        for name in names:
            for card in self.station(name).cards:
                if wire is None or card.wire == wire:
                    card.segment = segment
        self._watch_bfd()

    def ail(
        self,
        name: str,
        wire: int = 0,
        *,
        deaf: bool | None = None,
        mute: bool | None = None,
        resolves: bool | None = None,
    ) -> None:
        """Have a card lose what it receives, what it sends, or ARP and NDP alone; what is None stays."""
        card = self.station(name).cards[wire]
        card.deaf = card.deaf if deaf is None else deaf
        card.mute = card.mute if mute is None else mute
        card.resolves = card.resolves if resolves is None else resolves
        self._watch_bfd()

    def lose_bfd(self, name: str, *, lost: bool = True) -> None:
        """Have BFD's packets of a host be lost, alone."""
        self.hosts[name].bfd = not lost
        self._watch_bfd()

    def kill_bird(self, name: str) -> None:
        """BIRD ends on a host and its kernel routes stay as they are; to others it is silent."""
        self.hosts[name].bird = False
        self._watch_bfd()

    def start_bird(self, name: str) -> None:
        """BIRD runs again and puts its routes right."""
        self.hosts[name].bird = True
        self._watch_bfd()

    def drain(self, name: str, *, draining: bool = True) -> None:
        """Drain a host or end that, and let all hosts know."""
        (self.drained.add if draining else self.drained.discard)(name)
        self.replan()

    def move(self, name: str, vip: IPAddress, to: str) -> str | MoveRefusal:
        """Ask a host to hand a VIP over; what it answers."""
        host = self.hosts[name]
        if host.core is None or host.frozen:
            return MoveRefusal.NOT_OWNER
        found = host.core.successor(vip, to)
        if isinstance(found, str):
            self.tell(host, MoveAsked(vip, found))
        return found

    def cut_store(self, name: str, *, cut: bool = True) -> None:
        """Cut a host off from the store, which it goes on without, or let it read again."""
        self.hosts[name].store = not cut
        self._read_store(self.hosts[name])

    def replan(self) -> None:
        """Give all agents that read the store the plan as it is now, each a little later than the one before."""
        for at, host in enumerate(self.hosts.values()):
            self.after(0.02 * at, partial(self._read_store, host))

    def _read_store(self, host: HostStation) -> None:
        if host.store:
            host.plan = self.plan(host)
            self.tell(host, PlanChanged(host.plan))

    def plan(self, host: HostStation) -> Plan:
        """What the store says to a host."""
        others = {
            name: HostPlan(
                name,
                tuple(address for card in each.cards for address in card.addresses),
                tuple(card.mac for card in each.cards),
                name in self.drained,
            )
            for name, each in self.hosts.items()
            if each is not host
        }
        vips = {address: replace(vip, recorded_owner=self.recorded.get(address)) for address, vip in self.vips.items()}
        return Plan(host.name, vips, others, host.name in self.drained)

    # questions

    def owners(self, vip: IPAddress, *, seen_by: Station | None = None) -> list[str]:
        """The hosts that answer for a VIP, where somebody can hear them."""
        watcher = seen_by or self.client
        return [
            name
            for name, host in self.hosts.items()
            if self.role(name, vip) is Role.OWNER
            and not host.frozen
            and any(host.reaches(watcher, wire) for wire in self.wires_of(vip))
        ]

    def role(self, name: str, vip: IPAddress) -> Role:
        """A host's role."""
        host = self.hosts[name]
        status = host.vips.get(vip) if host.core else None
        return status.role if status else Role.NONE

    def outage(self, since: float, vip: IPAddress) -> float:
        """How long the client's packets for a VIP went nowhere."""
        return POLL_SECONDS * sum(not good for at, address, good in self.polls if address == vip and at >= since)

    def answerers(self, since: float, vip: IPAddress) -> list[str]:
        """Who answered the client, in order, without repetition."""
        names: list[str] = []
        for at, address, mac in self.answers:
            station = self._by_mac.get(mac)
            name = station.name if station else "foreign"
            if at >= since and address == vip and names[-1:] != [name]:
                names.append(name)
        return names

    def longest_silence(self, since: float, vip: IPAddress) -> float:
        """The longest time in which nobody answered the client."""
        moments = [since, *(at for at, address, _ in self.answers if address == vip and at >= since), self.now]
        return max(later - at for at, later in pairwise(moments))

    def station(self, name: str) -> Station:
        """Anything on the LAN by name."""
        return next(each for each in self.stations() if each.name == name)

    def stations(self) -> list[Station]:
        """Everything on the LAN."""
        return [*self.hosts.values(), self.router, self.client]

    def wires_of(self, vip: IPAddress) -> tuple[int, ...]:
        """The wires a VIP is answered on."""
        names = self.vips[vip].interfaces if vip in self.vips else ()
        return tuple(wire for wire in self._on_wire if not names or f"eth{wire}" in names)

    def _is_served(self, vip: IPAddress) -> bool:
        mac = self.cache.get(vip)
        holder = self._by_mac.get(mac) if mac else None
        if holder is None or mac is None:
            return False
        wire = mac[4]
        return self.client.reaches(holder, wire) and holder.reaches(self.client, wire)

    # hosts

    def tell(self, host: HostStation, event: Event) -> None:
        """Give a host's agent an event."""
        if host.core is None or not host.powered:
            return
        if host.frozen:
            if not isinstance(event, TimePassed):
                host.waiting.append(event)
            return
        if isinstance(event, LinksChanged):  # an agent closes the sockets of links that it hears are gone
            up = {interface.index for interface in event.interfaces if interface.up}
            host.groups = {index: groups for index, groups in host.groups.items() if index in up}
        core = host.core
        for command in core.handle(event, self.now):
            if isinstance(command, SendFrame):
                card = next((each for each in host.cards if each.index == command.link), None)
                if card is not None:
                    self._transmit(host, card, command.frame, _decode(command.frame))
                continue
            if isinstance(command, VipChanged):
                self.told(host, command)
            host.take(command)
        self._wake_up(host)
        if host.kept == frozenset() and host.core is core:
            self.kill(host.name)

    def told(self, host: HostStation, command: VipChanged) -> None:
        """A host says what it does for a VIP: the owner is recorded in the store."""
        if command.status and command.status.role is Role.OWNER and host.store:
            self.recorded[command.address] = host.name

    def _wake_up(self, host: HostStation) -> None:
        core = host.core
        deadline = core.deadline() if core else None
        if deadline is None or self._wakes.get(host.name, -1.0) == deadline:
            return
        self._wakes[host.name] = deadline
        self.after(max(0.0, deadline - self.now), partial(self._wake, host, core, deadline))

    def _wake(self, host: HostStation, core: Layer2Machine | None, deadline: float) -> None:
        if host.core is core and core and core.deadline() == deadline:
            self._wakes.pop(host.name, None)
            self.tell(host, TimePassed())

    # BFD

    def _watch_bfd(self) -> None:
        for here in self.hosts.values():
            for there in self.hosts.values():
                if here is not there and self._bfd_is_up(here, there) != (there.name in here.routes):
                    up = there.name not in here.routes
                    wait = BFD_UP_SECONDS if up else BFD_DETECTION_SECONDS * self._random.uniform(0.9, 1.1)
                    self.after(wait, partial(self._route, here, there, up))

    def _bfd_is_up(self, here: HostStation, there: HostStation) -> bool:
        """Whether a session is up: both directions are needed."""
        runs = self.bfd and here.bird and there.bird and here.bfd and there.bfd
        return runs and here.reaches(there) and there.reaches(here)

    def _route(self, here: HostStation, there: HostStation, up: bool) -> None:
        is_known = (there.name in here.routes) == up
        if not here.bird or not here.powered or self._bfd_is_up(here, there) != up or is_known:
            return
        (here.routes.add if up else here.routes.remove)(there.name)
        self.tell(here, RouteFound(there.name) if up else RouteLost(there.name))

    def fail_bird(self) -> None:
        """BIRD ends everywhere: every route is lost, none comes back."""
        self.bfd = False
        for host in self.hosts.values():
            lost, host.routes = host.routes, set()
            for other in sorted(lost):
                self.tell(host, RouteLost(other))

    # frames

    def _transmit(self, sender: Station, card: Card, content: bytes, message: Message | None) -> None:
        if not (sender.powered and card.resolves):
            return
        destination = content[:6]
        is_group = destination[0] & 1
        self.frames += 1
        self.broadcasts += is_group
        receivers = [
            (station, each)
            for station, each in self._on_wire[card.wire]
            if each is not card
            and (is_group or destination == each.mac)
            and station.powered
            and each.resolves
            and card.sends_to(each)
            and (not self.loss or self._random.random() >= self.loss)
        ]
        if receivers:
            self.after(self.delay, partial(self._receive, receivers, content, message))

    def _receive(self, receivers: list[tuple[Station, Card]], content: bytes, message: Message | None) -> None:
        for station, card in receivers:
            if not station.powered:
                continue
            if station is self.client and message is not None:
                self._client_hears(message, content)
            if message is not None:
                self._answer_by_kernel(station, card, message, content)
            if isinstance(station, HostStation) and station.listens(card, content[:6]):
                self.tell(station, FrameReceived(card.index, content))

    def _question(self, vip: IPAddress, wire: int) -> tuple[bytes, Message]:
        card = self.client.cards[wire]
        v4, v6 = card.addresses
        if isinstance(vip, IPv4Address) and isinstance(v4, IPv4Address):
            asked = Arp(Operation.REQUEST, card.mac, v4, bytes(6), vip)
            return ethernet.join(Frame(BROADCAST, card.mac, EtherType.ARP, arp.encode(asked))), asked
        assert isinstance(vip, IPv6Address)
        assert isinstance(v6, IPv6Address)
        group = ndp.solicited_node(vip)
        message = NeighborSolicitation(v6, group, vip, card.mac)
        destination = ndp.multicast_hardware_address(group)
        return ethernet.join(Frame(destination, card.mac, EtherType.IPV6, ndp.encode(message))), message

    def _client_hears(self, message: Message, content: bytes) -> None:
        match message:
            case Arp() if message.sender_address in self.vips:
                self._learn(message.sender_address, message.sender_hardware_address, message.is_announcement)
            case NeighborAdvertisement(target=target) if target in self.vips and (
                message.target_hardware_address or message.solicited
            ):
                self._learn(target, message.target_hardware_address or content[6:12], message.is_announcement)
            case _:
                return

    def _learn(self, vip: IPAddress, mac: bytes, announced: bool) -> None:
        self.cache[vip] = mac
        if not announced:
            self.answers.append((self.now, vip, mac))

    def _answer_by_kernel(self, station: Station, card: Card, message: Message, content: bytes) -> None:
        match message:
            case Arp(operation=Operation.REQUEST, target_address=target) if not message.is_announcement:
                if target in card.addresses:
                    self._transmit(station, card, *_arp_reply(card.mac, message))
                elif station is self.router and target in self.foreign:
                    self._transmit(station, card, *_arp_reply(self.foreign[target], message))
            case NeighborSolicitation(target=target) if target in card.addresses and not message.is_probe:
                reply = NeighborAdvertisement(target, message.source, target, card.mac, solicited=True)
                frame = Frame(content[6:12], card.mac, EtherType.IPV6, ndp.encode(reply))
                self._transmit(station, card, ethernet.join(frame), reply)
            case _:
                return

    def announce_foreign(self, vip: IPv4Address, mac: bytes) -> None:
        """A hardware address nobody knows announces a VIP."""
        claim = Arp(Operation.REQUEST, mac, vip, bytes(6), vip)
        content = ethernet.join(Frame(BROADCAST, mac, EtherType.ARP, arp.encode(claim)))
        self._transmit(self.router, self.router.cards[0], content, claim)


def _cards(number: int, wires: int) -> list[Card]:
    return [Card(number, wire) for wire in range(wires)]


def _decode(content: bytes) -> Message | None:
    frame = ethernet.split(content)
    if isinstance(frame, Drop):
        return None
    message = arp.decode(frame.payload) if frame.ethertype is EtherType.ARP else ndp.decode(frame.payload)
    return None if isinstance(message, Drop) else message


def _arp_reply(mac: bytes, asked: Arp) -> tuple[bytes, Message]:
    """A kernel's answer."""
    reply = Arp(Operation.REPLY, mac, asked.target_address, asked.sender_hardware_address, asked.sender_address)
    return ethernet.join(Frame(asked.sender_hardware_address, mac, EtherType.ARP, arp.encode(reply))), reply
