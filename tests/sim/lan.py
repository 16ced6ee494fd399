"""A virtual LAN in virtual time: hosts with the real layer-2 core, a bridge to cut, a client that asks all the time."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_interface
from itertools import count
from random import Random

from appliance.api.address import IPAddress
from appliance.l2.event import Event, FrameReceived, LinksChanged, PlanChanged, RouteFound, RouteLost, TimePassed
from appliance.l2.machine import Layer2
from appliance.l2.plan import Fellow, Interface, Plan, VipPlan
from appliance.l2.timing import Timing
from appliance.l2.verdict import Role
from appliance.wire import arp, ethernet, ndp
from appliance.wire.arp import Arp, Operation
from appliance.wire.ethernet import BROADCAST, EtherType, Frame
from appliance.wire.ndp import Advertisement, Solicitation

BFD_DETECTION_SECONDS = 0.13
BFD_UP_SECONDS = 1.0
POLL_SECONDS = 0.01


def hardware(number: int) -> bytes:
    """The hardware address of the station with a number."""
    return bytes((2, 0, 0, 0, 0, number))


@dataclass(slots=True)
class Station:
    """Anything with a network card: its kernel answers for its own addresses."""

    name: str
    number: int
    segment: int = 0
    carrier: bool = True
    powered: bool = True

    @property
    def mac(self) -> bytes:
        """Its hardware address."""
        return hardware(self.number)

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Its own addresses, one of each family."""
        return IPv4Address(f"192.168.1.{self.number}"), IPv6Address(f"2001:db8:1::{self.number}")

    def reaches(self, other: "Station") -> bool:
        """Whether frames get from here to there."""
        ready = all((self.carrier, self.powered, other.carrier, other.powered))
        return ready and self.segment == other.segment


@dataclass(slots=True)
class HostStation(Station):
    """A host; without a core its agent does not run, frozen it runs but gets nowhere."""

    core: Layer2 | None = None
    frozen: bool = False
    draining: bool = False
    waiting: list[Event] = field(default_factory=list)

    def interface(self) -> Interface:
        """Its only interface."""
        v4, v6 = self.addresses
        return Interface("eth0", self.mac, self.carrier, (ip_interface(f"{v4}/24"), ip_interface(f"{v6}/64")))


class Lan:
    """The LAN with hosts, a router, a client, and a clock that only moves in `run`."""

    def __init__(self, hosts: Iterable[str], vips: Iterable[VipPlan], *, seed: int = 0, router: bool = True) -> None:
        self.now = 0.0
        self.timing = Timing()
        self.loss = 0.0
        self.delay = 0.0002
        self.bfd = True
        self._random = Random(seed)
        self._serial = count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self.hosts = {name: HostStation(name, 11 + index) for index, name in enumerate(hosts)}
        self.router = Station("router", 1, powered=router)
        self.client = Station("client", 100)
        self.vips = {vip.address: vip for vip in vips}
        self.recorded: dict[IPAddress, str] = {}
        self.cache: dict[IPAddress, bytes] = {}
        self.answers: list[tuple[float, IPAddress, bytes]] = []
        self.polls: list[tuple[float, IPAddress, bool]] = []
        self._bfd_up: dict[tuple[str, str], bool] = {}
        self._wakes: dict[str, float] = {}
        self.strangers: dict[IPAddress, bytes] = {}

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
            holder = self._by_mac(self.cache.get(vip))
            self.polls.append((self.now, vip, holder is not None and self.client.reaches(holder)))
            self._transmit(self.client, self._question(vip))
        self.after(interval, partial(self.poll, interval))

    def start(self, *names: str) -> None:
        """Start agents, all by default."""
        for name in names or tuple(self.hosts):
            host = self.hosts[name]
            host.core, host.frozen, host.waiting = Layer2(self.timing), False, []
            self.tell(host, LinksChanged((host.interface(),)))
            self.tell(host, PlanChanged(self.plan(host)))
            for fellow in self.hosts:
                if self._bfd_up.get((name, fellow)):
                    self.tell(host, RouteFound(fellow))
        self._watch_bfd()

    def kill(self, name: str) -> None:
        """Kill an agent; the host lives on."""
        self.hosts[name].core = None

    def freeze(self, name: str) -> None:
        """Stop an agent where it stands; what comes in waits."""
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
        self.hosts[name].powered = on
        self.hosts[name].core = None
        self._watch_bfd()

    def pull(self, name: str) -> None:
        """Pull the cable: no carrier."""
        self._plug(name, carrier=False)

    def plug(self, name: str) -> None:
        """Put the cable back."""
        self._plug(name, carrier=True)

    def _plug(self, name: str, *, carrier: bool) -> None:
        host = self.hosts[name]
        host.carrier = carrier
        self.tell(host, LinksChanged((host.interface(),)))
        self._watch_bfd()

    def part(self, segment: int, *names: str) -> None:
        """Move stations to another side of a partition; their carriers stay."""
        for name in names:
            self.station(name).segment = segment
        self._watch_bfd()

    def drain(self, name: str, *, draining: bool = True) -> None:
        """Drain a host or end that, and let all hosts know."""
        self.hosts[name].draining = draining
        self.replan()

    def replan(self) -> None:
        """Give all agents the plan as it is now, each a little later than the one before."""
        for index, host in enumerate(self.hosts.values()):
            self.after(0.02 * index, partial(self._tell_plan, host))

    def _tell_plan(self, host: HostStation) -> None:
        self.tell(host, PlanChanged(self.plan(host)))

    def plan(self, host: HostStation) -> Plan:
        """What a host is told."""
        fellows = {
            name: Fellow(name, each.addresses, (each.mac,), each.draining)
            for name, each in self.hosts.items()
            if each is not host
        }
        vips = {address: replace(vip, recorded_owner=self.recorded.get(address)) for address, vip in self.vips.items()}
        return Plan(host.name, vips, fellows, host.draining)

    # questions

    def owners(self, vip: IPAddress, *, seen_by: Station | None = None) -> list[str]:
        """The hosts that answer for a VIP, where somebody can hear them."""
        watcher = seen_by or self.client
        return [
            name
            for name, host in self.hosts.items()
            if self.role(name, vip) is Role.OWNER and not host.frozen and watcher.reaches(host)
        ]

    def role(self, name: str, vip: IPAddress) -> Role:
        """A host's role."""
        core = self.hosts[name].core
        return core.roles()[vip].role if core and vip in core.roles() else Role.NONE

    def outage(self, since: float, vip: IPAddress) -> float:
        """How long the client's packets for a VIP went nowhere."""
        return POLL_SECONDS * sum(not good for at, address, good in self.polls if address == vip and at >= since)

    def answerers(self, since: float, vip: IPAddress) -> list[str]:
        """Who answered the client, in order, without repetition."""
        names: list[str] = []
        for at, address, mac in self.answers:
            station = self._by_mac(mac)
            name = station.name if station else "stranger"
            if at >= since and address == vip and names[-1:] != [name]:
                names.append(name)
        return names

    def station(self, name: str) -> Station:
        """Anything on the LAN by name."""
        return next(each for each in self.stations() if each.name == name)

    def stations(self) -> list[Station]:
        """Everything on the LAN."""
        return [*self.hosts.values(), self.router, self.client]

    def _by_mac(self, mac: bytes | None) -> Station | None:
        return next((each for each in self.stations() if each.mac == mac), None)

    # hosts

    def tell(self, host: HostStation, event: Event) -> None:
        """Give a host's agent an event."""
        if host.core is None or not host.powered:
            return
        if host.frozen:
            if not isinstance(event, TimePassed):
                host.waiting.append(event)
            return
        for command in host.core.handle(event, self.now):
            self._transmit(host, command.frame)
        self._record(host)
        self._wake_up(host)

    def _record(self, host: HostStation) -> None:
        assert host.core is not None
        changed = host.core.take_changed()
        if not host.core.isolated:
            self.recorded.update({vip: host.name for vip in changed if self.role(host.name, vip) is Role.OWNER})

    def _wake_up(self, host: HostStation) -> None:
        core = host.core
        deadline = core.deadline() if core else None
        if deadline is None or self._wakes.get(host.name, -1.0) == deadline:
            return
        self._wakes[host.name] = deadline
        self.after(max(0.0, deadline - self.now), partial(self._wake, host, core, deadline))

    def _wake(self, host: HostStation, core: Layer2 | None, deadline: float) -> None:
        if host.core is core and core and core.deadline() == deadline:
            self._wakes.pop(host.name, None)
            self.tell(host, TimePassed())

    # BFD

    def _watch_bfd(self) -> None:
        for here in self.hosts.values():
            for there in self.hosts.values():
                if here is not there:
                    up = here.reaches(there)
                    wait = BFD_UP_SECONDS if up else BFD_DETECTION_SECONDS * self._random.uniform(0.9, 1.1)
                    self.after(wait, partial(self._route, here, there, up))

    def _route(self, here: HostStation, there: HostStation, up: bool) -> None:
        key = (here.name, there.name)
        if not self.bfd or here.reaches(there) != up or self._bfd_up.get(key, False) == up:
            return
        self._bfd_up[key] = up
        self.tell(here, RouteFound(there.name) if up else RouteLost(there.name))

    def fail_bird(self) -> None:
        """BIRD ends everywhere: every route is lost, none comes back."""
        self.bfd = False
        for here, there in sorted(pair for pair, up in self._bfd_up.items() if up):
            self.tell(self.hosts[here], RouteLost(there))

    # frames

    def _transmit(self, sender: Station, content: bytes) -> None:
        for station in self.stations():
            for_it = content[:6] == station.mac or content[0] & 1
            if station is not sender and for_it and sender.reaches(station) and self._random.random() >= self.loss:
                self.after(self.delay, partial(self._receive, sender, station, content))

    def _receive(self, sender: Station, station: Station, content: bytes) -> None:
        if not sender.reaches(station):
            return
        if station is self.client:
            self._client_hears(content)
        reply = self._kernel_answer(station, content)
        if reply:
            self._transmit(station, reply)
        if isinstance(station, HostStation):
            self.tell(station, FrameReceived("eth0", content))

    def _question(self, vip: IPAddress) -> bytes:
        v4, v6 = self.client.addresses
        if isinstance(vip, IPv4Address) and isinstance(v4, IPv4Address):
            packet = arp.encode(Arp(Operation.REQUEST, self.client.mac, v4, bytes(6), vip))
            return ethernet.join(Frame(BROADCAST, self.client.mac, EtherType.ARP, packet))
        assert isinstance(vip, IPv6Address)
        assert isinstance(v6, IPv6Address)
        group = ndp.solicited_node(vip)
        message = Solicitation(v6, group, vip, self.client.mac)
        destination = ndp.multicast_hardware_address(group)
        return ethernet.join(Frame(destination, self.client.mac, EtherType.IPV6, ndp.encode(message)))

    def _client_hears(self, content: bytes) -> None:
        frame = ethernet.split(content)
        assert isinstance(frame, Frame)
        packet = arp.decode(frame.payload) if frame.ethertype is EtherType.ARP else ndp.decode(frame.payload)
        match packet:
            case Arp() if packet.sender_address in self.vips:
                self._learn(packet.sender_address, packet.sender_hardware_address, packet.is_announcement)
            case Advertisement(target=target) if target in self.vips:
                self._learn(target, packet.target_hardware_address or frame.source, packet.is_announcement)
            case _:
                return

    def _learn(self, vip: IPAddress, mac: bytes, announced: bool) -> None:
        self.cache[vip] = mac
        if not announced:
            self.answers.append((self.now, vip, mac))

    def _kernel_answer(self, station: Station, content: bytes) -> bytes | None:
        frame = ethernet.split(content)
        assert isinstance(frame, Frame)
        packet = arp.decode(frame.payload) if frame.ethertype is EtherType.ARP else ndp.decode(frame.payload)
        if isinstance(packet, Arp) and packet.operation is Operation.REQUEST and not packet.is_announcement:
            if packet.target_address in station.addresses:
                return arp_reply(station.mac, packet)
            if station is self.router and packet.target_address in self.strangers:
                return arp_reply(self.strangers[packet.target_address], packet)
        if isinstance(packet, Solicitation) and packet.target in station.addresses and not packet.is_probe:
            message = Advertisement(packet.target, packet.source, packet.target, station.mac, solicited=True)
            return ethernet.join(Frame(frame.source, station.mac, EtherType.IPV6, ndp.encode(message)))
        return None

    def announce_stranger(self, vip: IPv4Address, mac: bytes) -> None:
        """A hardware address nobody knows announces a VIP."""
        packet = arp.encode(Arp(Operation.REQUEST, mac, vip, bytes(6), vip))
        self._transmit(self.router, ethernet.join(Frame(BROADCAST, mac, EtherType.ARP, packet)))


def arp_reply(mac: bytes, asked: Arp) -> bytes:
    """A kernel's answer."""
    reply = Arp(Operation.REPLY, mac, asked.target_address, asked.sender_hardware_address, asked.sender_address)
    return ethernet.join(Frame(asked.sender_hardware_address, mac, EtherType.ARP, arp.encode(reply)))
