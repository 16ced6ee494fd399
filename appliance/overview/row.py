"""The rows of an overview."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

from appliance.api.address import IPAddress
from appliance.control.message import InterfaceStatus, VipMove


class Severity(IntEnum):
    """How much something matters; the greater the worse."""

    QUIET = 0
    GOOD = 1
    WAITING = 2
    BAD = 3


class Health(Enum):
    """A state of anything shown: how it is called, and how much it matters."""

    def __init__(self, text: str, severity: Severity) -> None:
        self.text = text
        self.severity = severity


class VipHealth(Health):
    """How a VIP is, the first that holds."""

    CONFLICT = ("conflict", Severity.BAD)
    TWO_OWNERS = ("two owners", Severity.BAD)
    ACKNOWLEDGED = ("known conflict", Severity.WAITING)
    NO_OWNER = ("no owner", Severity.BAD)
    NO_ROUTE = ("no route", Severity.BAD)
    UNANNOUNCED = ("unannounced", Severity.WAITING)
    RESTING = ("resting", Severity.QUIET)
    ANSWERED = ("answered", Severity.GOOD)
    ANNOUNCED = ("announced", Severity.GOOD)
    UNKNOWN = ("unknown", Severity.QUIET)


class HostHealth(Health):
    """How a host is, the first that holds."""

    FAILED = ("failed", Severity.BAD)
    ISOLATED = ("isolated", Severity.BAD)
    AGENT_DOWN = ("agent down", Severity.BAD)
    FEED_LOST = ("feed lost", Severity.WAITING)
    NOT_READY = ("not ready", Severity.WAITING)
    DRAINED = ("drained", Severity.WAITING)
    REACHABLE = ("reachable", Severity.GOOD)
    UNKNOWN = ("unknown", Severity.QUIET)


class Mode(Enum):
    """How a VIP is made reachable."""

    LAYER2 = "L2"
    BGP = "BGP"
    BOTH = "L2+BGP"
    NONE = "-"


@dataclass(frozen=True, slots=True)
class VipRow:
    """One VIP; `announcers` of the hosts that were asked announce it over BGP, None where none was.

    `unasked` is of how many hosts no agent was ever asked; `since` is RFC 3339 text.
    `conflicts` are the hardware addresses of machines that answer too, `acknowledged` by whom and when that was noted.
    `last_move` is told by hosts that took part in it since their agents began.
    """

    address: IPAddress
    health: VipHealth
    mode: Mode = Mode.NONE
    services: tuple[str, ...] = ()
    pool: str = ""
    owner: str = ""
    since: str = ""
    announcers: int | None = None
    unasked: int = 0
    conflicts: tuple[str, ...] = ()
    acknowledged: str = ""
    last_move: VipMove | None = None


@dataclass(frozen=True, slots=True)
class HostRow:
    """One host; counts and texts are empty or None where nobody says; `feed_age_seconds` is of its own feed."""

    name: str
    health: HostHealth
    detail: str = ""
    owned: int | None = None
    announced: int | None = None
    drained: bool = False
    version: str = ""
    feed: str = ""
    feed_age_seconds: float | None = None
    conflicts: int = 0
    interfaces: tuple[InterfaceStatus, ...] = ()


class SessionHealth(Health):
    """How a BGP session is."""

    UP = ("up", Severity.GOOD)
    WITHOUT_BFD = ("up, BFD down", Severity.WAITING)
    DOWN = ("down", Severity.BAD)


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A BGP session of a host, as its BIRD tells it; `bfd` is empty where there is no BFD session with the peer.

    The peer has `sent` prefixes from here and `accepted` of its own were taken; `received` counts its updates, `flaps`
    how often the session went down since the agent began. None where the agent itself was not asked.
    """

    host: str
    name: str
    peer: str
    health: SessionHealth
    state: str
    since: str = ""
    bfd: str = ""
    message: str = ""
    sent: int | None = None
    accepted: int | None = None
    received: int | None = None
    flaps: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """How many addresses of a family a pool has given, and how many there are."""

    assigned: int
    total: int

    @property
    def percent(self) -> float:
        """Between 0 and 100; an empty pool is full."""
        return 100.0 * self.assigned / self.total if self.total else 100.0

    @property
    def severity(self) -> Severity:
        """At the thresholds of MetalLB's alerts."""
        if self.percent >= BAD_PERCENT:
            return Severity.BAD
        return Severity.WAITING if self.percent >= WAITING_PERCENT else Severity.GOOD


WAITING_PERCENT, LOW_PERCENT, BAD_PERCENT = 75.0, 85.0, 95.0


class ServiceHealth(Health):
    """How a Service that asks for an address is."""

    SERVED = ("served", Severity.GOOD)
    PENDING = ("pending", Severity.WAITING)


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A Service that asks us for an address, `namespace/name`, and the addresses it was given."""

    name: str
    health: ServiceHealth
    addresses: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A pool; `usage` by version of IP, without those it has no address of."""

    name: str
    namespace: str
    addresses: tuple[str, ...] = ()
    auto_assign: bool = True
    usage: Mapping[int, Usage] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attention:
    """Something for somebody to look at: what it is about (`kind name`), and one sentence."""

    severity: Severity
    kind: str
    name: str
    sentence: str
