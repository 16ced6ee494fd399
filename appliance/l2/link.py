"""The links of this host: which are up, what was heard on them, whether they lead anywhere."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from appliance.api.address import IPAddress
from appliance.l2.agenda import Agenda
from appliance.l2.plan import Interface, VipPlan
from appliance.l2.timing import Timing

_OUTSIDERS_KEPT = 4
_OUTSIDER_SECONDS = 300.0


@dataclass(slots=True)
class Link:
    """An interface that is up; `unproven` until the first frame after it came up."""

    interface: Interface
    up_since: float
    heard_at: float = float("-inf")
    unproven: bool = True
    isolated_since: float | None = None
    outsiders: dict[IPAddress, float] = field(default_factory=dict)

    def note_outsider(self, address: IPAddress, now: float) -> None:
        """Remember somebody on the link who is no fellow, the most recent ones only."""
        self.outsiders.pop(address, None)
        self.outsiders[address] = now
        if len(self.outsiders) > _OUTSIDERS_KEPT:
            del self.outsiders[next(iter(self.outsiders))]

    def witnesses(self, now: float) -> tuple[IPAddress, ...]:
        """Addresses of non-fellows that should answer while the link leads anywhere, the surest first."""
        recent = (address for address, at in self.outsiders.items() if at > now - _OUTSIDER_SECONDS)
        return self.interface.witnesses + tuple(recent)[::-1]


class Links:
    """All links that are up, by name."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._links: dict[str, Link] = {}
        self._own: frozenset[bytes] = frozenset()
        self._usable: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.quiet_ends: Agenda[str] = Agenda()

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links.values())

    def get(self, name: str) -> Link | None:
        """The link of an interface that is up."""
        return self._links.get(name)

    def is_own(self, hardware_address: bytes) -> bool:
        """Whether an interface of this host has the hardware address, up or not."""
        return hardware_address in self._own

    def update(self, interfaces: tuple[Interface, ...], now: float) -> bool:
        """Take over what the kernel says; return whether an interface came, went or changed its hardware address."""
        before = {name: link.interface.hardware_address for name, link in self._links.items()}
        self._own = frozenset(interface.hardware_address for interface in interfaces)
        up = {each.name: each for each in interfaces if each.up and len(each.hardware_address) == 6}
        self._links = {name: self._updated(interface, now) for name, interface in sorted(up.items())}
        self._usable = {}
        return before != {name: link.interface.hardware_address for name, link in self._links.items()}

    def _updated(self, interface: Interface, now: float) -> Link:
        link = self._links.get(interface.name)
        if link is None:
            link = Link(interface, now)
            self.quiet_ends.put(interface.name, now + self._timing.quiet_link_seconds)
        link.interface = interface
        return link

    def usable(self, vip: VipPlan) -> tuple[str, ...]:
        """The links a VIP is answered on."""
        if vip.interfaces not in self._usable:
            names = (name for name in self._links if not vip.interfaces or name in vip.interfaces)
            self._usable[vip.interfaces] = tuple(names)
        return self._usable[vip.interfaces]

    def is_quiet(self, vip: VipPlan, now: float) -> bool:
        """Whether it is too early to trust the silence on every link of a VIP."""
        links = (self._links[name] for name in self.usable(vip))
        return all(link.unproven and now < link.up_since + self._timing.quiet_link_seconds for link in links)

    @property
    def isolated(self) -> bool:
        """Whether some link leads nowhere."""
        return any(link.isolated_since is not None for link in self)
