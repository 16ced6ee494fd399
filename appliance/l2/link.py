"""The links of this host: which are up, whether anybody on them answers, and which groups are listened to.

A link is QUIET until somebody answered on it, CONNECTED afterwards, and ISOLATED while nobody who could does. What is
held of hosts and VIPs on a link that is not connected takes no address from anybody: a host that is deaf or mute
there would see what it would see if all others were dead.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from appliance.api.address import IPAddress
from appliance.l2 import frame
from appliance.l2.event import CounterName, GroupsChanged, Interface, IsolationChanged, VipPlan
from appliance.l2.output import ContactLost, ContactMade, Output, QuietEnded
from appliance.l2.settings import Layer2Settings
from appliance.l2.timer import Timers

NEVER = float("-inf")
_STATIONS_KEPT = 4
_UNANSWERED_MOST = 3


class Contact(Enum):
    """Whether anybody on a link answers."""

    QUIET = auto()
    CONNECTED = auto()
    ISOLATED = auto()


@dataclass(slots=True)
class Station:
    """Somebody on a link who is no host of the plan, such as a gateway: silent with all hosts, the link is to blame."""

    address: IPAddress
    is_gateway: bool = False
    hardware_address: bytes | None = None
    answered: bool = False
    unanswered: int = 0


@dataclass(slots=True, eq=False)
class LinkRecord:
    """An interface that is up; `answered_at` is when a question of this host was last answered by anybody."""

    interface: Interface
    up_since: float
    contact: Contact = Contact.QUIET
    is_heard: bool = False
    is_quiet_over: bool = False
    answered_at: float = NEVER
    asked_at: float = NEVER
    met_at: float = NEVER
    stations: dict[IPAddress, Station] = field(default_factory=dict)
    groups: Counter[bytes] = field(default_factory=Counter)
    regrouped: dict[bytes, bool] = field(default_factory=dict)

    @property
    def index(self) -> int:
        """The interface's."""
        return self.interface.index


class Links:
    """All links that are up, by index; a link's record is the key of its timer."""

    def __init__(self, settings: Layer2Settings, timers: Timers, output: Output) -> None:
        self._settings, self._timers, self._output = settings, timers, output
        self._links: dict[int, LinkRecord] = {}
        self._own: frozenset[bytes] = frozenset()
        self._usable: dict[tuple[str, ...], tuple[int, ...]] = {}
        self._regrouped: dict[int, None] = {}

    def __iter__(self) -> Iterator[LinkRecord]:
        return iter(self._links.values())

    def get(self, index: int) -> LinkRecord | None:
        """The link of an interface that is up."""
        return self._links.get(index)

    def is_own(self, hardware_address: bytes) -> bool:
        """Whether an interface of this host has the hardware address, up or not."""
        return hardware_address in self._own

    def update(self, interfaces: tuple[Interface, ...], now: float) -> bool:
        """Take over what the kernel says; return whether an interface came, went or is another one now."""
        before = self._links
        self._own = frozenset(interface.hardware_address for interface in interfaces)
        self._links = {each.index: self._updated(each, now) for each in interfaces if each.up}
        for index in before.keys() - self._links.keys():
            self._timers.drop(before[index])
        for index, link in before.items():
            if link is not self._links.get(index) and link.contact is Contact.ISOLATED:
                self._output.tell(IsolationChanged(index, isolated=False))
        is_same = before.keys() == self._links.keys() and all(before[index] is self._links[index] for index in before)
        names = {index: link.interface.name for index, link in before.items()}
        is_same = is_same and names == {index: link.interface.name for index, link in self._links.items()}
        if not is_same:
            self._usable = {}
        return not is_same

    def _updated(self, interface: Interface, now: float) -> LinkRecord:
        link = self._links.get(interface.index)
        if link is None or link.interface.hardware_address != interface.hardware_address:
            if link is not None:
                self._timers.drop(link)
            link = LinkRecord(interface, now)
            self._timers.put(link, now)
        link.interface = interface
        for station in tuple(link.stations.values()):
            if station.is_gateway and station.address not in interface.gateways:
                del link.stations[station.address]
        for gateway in interface.gateways:
            link.stations.setdefault(gateway, Station(gateway)).is_gateway = True
        return link

    # which VIPs

    def usable(self, vip: VipPlan) -> tuple[int, ...]:
        """The links a VIP is answered on, as one and the same tuple until they change."""
        if vip.interfaces not in self._usable:
            links = self._links.values()
            indexes = (link.index for link in links if not vip.interfaces or link.interface.name in vip.interfaces)
            self._usable[vip.interfaces] = tuple(indexes)
        return self._usable[vip.interfaces]

    def is_connected(self, indexes: tuple[int, ...]) -> bool:
        """Whether somebody answers on one of some links."""
        return any(self._links[index].contact is Contact.CONNECTED for index in indexes)

    def is_isolated(self, indexes: tuple[int, ...]) -> bool:
        """Whether nobody answers on any of some links."""
        return all(self._links[index].contact is Contact.ISOLATED for index in indexes)

    def may_claim(self, indexes: tuple[int, ...], recorded_owner: bool, now: float) -> bool:
        """Whether silence on some links may be taken for an address that is free.

        On a link that was never heard it may after a while, where nobody is known who should have been heard.
        """
        if self.is_connected(indexes):
            return True
        return not recorded_owner and any(self.is_silent(self._links[index], now) for index in indexes)

    def is_silent(self, link: LinkRecord, now: float) -> bool:
        """Whether a link seems to have nobody on it."""
        is_quiet = link.contact is Contact.QUIET and not link.is_heard and not link.interface.gateways
        return is_quiet and now >= link.up_since + self._settings.quiet_link_seconds

    @property
    def isolated(self) -> frozenset[int]:
        """The links on which nobody who could answers."""
        return frozenset(link.index for link in self if link.contact is Contact.ISOLATED)

    # who is on them

    def hear(self, link: LinkRecord, now: float) -> None:
        """Somebody who could answer spoke: where that is the first sign of anybody, it is asked until it does."""
        if not link.is_heard:
            link.is_heard = True
            if link.is_quiet_over and link.contact is Contact.QUIET:
                self._timers.put(link, now + self._settings.isolated_interval_seconds)

    def hear_reply(self, link: LinkRecord, now: float) -> None:
        """Somebody answered a question of this host."""
        link.answered_at = now
        if link.contact is Contact.CONNECTED:
            return
        if link.contact is Contact.ISOLATED:
            self._output.tell(IsolationChanged(link.index, isolated=False))
        link.contact = Contact.CONNECTED
        self._timers.put(link, now + self._settings.station_interval_seconds)
        self._output.note(ContactMade(link.index))

    def hear_station(
        self, link: LinkRecord, address: IPAddress, hardware_address: bytes, now: float, *, is_reply: bool = False
    ) -> None:
        """Somebody who is no host of the plan spoke: it is asked, to know whether it would answer."""
        station = link.stations.get(address)
        if station is None:
            if not is_reply and self._has_room(link, now):
                link.met_at = now
                station = link.stations[address] = Station(address)
                self._ask(link, station, now)
            return
        if is_reply:
            station.answered, station.unanswered, station.hardware_address = True, 0, hardware_address
        elif link.contact is not Contact.CONNECTED and now >= link.asked_at + self._settings.probe_interval_seconds:
            self._ask(link, station, now)

    def _has_room(self, link: LinkRecord, now: float) -> bool:
        """Whether one more station can be kept; of those that never answered one goes each second."""
        if len(link.stations) < _STATIONS_KEPT:
            return True
        silent = [each.address for each in link.stations.values() if not each.answered and not each.is_gateway]
        if not silent or now < link.met_at + 1.0:
            return False
        del link.stations[silent[0]]
        return True

    def ask_stations(self, link: LinkRecord, now: float) -> None:
        """Ask those who would answer while the link leads anywhere, two at most, each in turn."""
        if now < link.asked_at + self._settings.probe_interval_seconds / 2:
            return
        for station in tuple(link.stations.values())[:2]:
            link.stations[station.address] = link.stations.pop(station.address)
            self._ask(link, station, now)

    def could_answer(self, link: LinkRecord) -> bool:
        """Whether anybody is known who is no host of the plan and answers while the link leads anywhere."""
        return any(station.answered for station in link.stations.values())

    def isolate(self, link: LinkRecord, now: float) -> None:
        """Nobody who could answered."""
        if link.contact is Contact.ISOLATED:
            return
        link.contact = Contact.ISOLATED
        self._output.counts[CounterName.ISOLATIONS] += 1
        self._output.tell(IsolationChanged(link.index, isolated=True))
        self._output.note(ContactLost(link.index))
        self._timers.put(link, now + self._settings.isolated_interval_seconds)

    def run(self, link: LinkRecord, now: float) -> None:
        """A link's time has come: look for somebody who answers, or see whether those known still do."""
        settings = self._settings
        match link.contact:
            case Contact.CONNECTED:
                for station in tuple(link.stations.values()):
                    if station.unanswered >= _UNANSWERED_MOST and not station.is_gateway:
                        del link.stations[station.address]
                    else:
                        station.answered = station.answered and station.unanswered < _UNANSWERED_MOST
                        self._ask(link, station, now)
                self._timers.put(link, now + settings.station_interval_seconds)
            case Contact.ISOLATED:
                self.ask_stations(link, now)
                self._timers.put(link, now + settings.isolated_interval_seconds)
            case Contact.QUIET:
                quiet_ends = link.up_since + settings.quiet_link_seconds
                self.ask_stations(link, now)
                if now < quiet_ends:
                    self._timers.put(link, min(quiet_ends, now + settings.isolated_interval_seconds))
                    return
                if link.is_quiet_over:
                    self._timers.put(link, now + settings.isolated_interval_seconds)
                    return
                link.is_quiet_over = True
                if link.is_heard or link.interface.gateways:
                    self.isolate(link, now)
                self._output.note(QuietEnded(link.index))

    def _ask(self, link: LinkRecord, station: Station, now: float) -> None:
        to = None if station.unanswered else station.hardware_address
        link.asked_at = now
        station.unanswered += 1
        self._output.send(link.index, frame.question(link.interface, station.address, to), CounterName.QUESTIONS)

    # groups

    def join(self, index: int, group: bytes) -> None:
        """Listen to a multicast hardware address, once more."""
        self._regroup(index, group, 1)

    def leave(self, index: int, group: bytes) -> None:
        """Listen to it once less."""
        self._regroup(index, group, -1)

    def _regroup(self, index: int, group: bytes, difference: int) -> None:
        link = self._links.get(index)
        if link is None or link.groups[group] + difference < 0:
            return
        link.regrouped.setdefault(group, link.groups[group] > 0)
        link.groups[group] += difference
        if not link.groups[group]:
            del link.groups[group]
        self._regrouped[index] = None

    def tell_groups(self) -> None:
        """Tell the shell which groups changed."""
        if not self._regrouped:
            return
        for link in (link for index in self._regrouped if (link := self._links.get(index))):
            joined = frozenset(
                group for group, was_joined in link.regrouped.items() if not was_joined and group in link.groups
            )
            left = frozenset(
                group for group, was_joined in link.regrouped.items() if was_joined and group not in link.groups
            )
            link.regrouped.clear()
            if joined or left:
                self._output.tell(GroupsChanged(link.index, joined, left))
        self._regrouped.clear()

    def groups(self, index: int) -> frozenset[bytes]:
        """All multicast hardware addresses to listen to on a link."""
        link = self._links.get(index)
        return frozenset(link.groups) if link else frozenset()
