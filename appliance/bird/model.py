"""What a host's BIRD must do, as values."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address

from appliance.api.address import Family, IPAddress, IPNetwork
from appliance.api.community import CommunityNumber
from appliance.api.metallb import DynamicASN
from appliance.api.pierhead import BFDOptions, PasswordFault

BGP_PORT = 179
KERNEL_TABLE = 20565


class Drain(StrEnum):
    """How far this host has left BGP: not at all, last choice for the routers, or nothing announced."""

    NONE = "none"
    LAST_CHOICE = "last-choice"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A BGP session; no `neighbor` = unnumbered: whoever opens a session from a link-local address of `interface`.

    `password` None: it is to have one that is not known, so it is not to be; with a `password_fault` it is the last
    good one, "" where the session had none before.
    """

    name: str
    neighbor: IPAddress | None = None
    interface: str = ""
    peer_asn: int | DynamicASN
    local_asn: int
    port: int = BGP_PORT
    source_address: IPAddress | None = None
    router_id: IPv4Address | None = None
    hold_seconds: float | None = None
    keepalive_seconds: float | None = None
    connect_seconds: float | None = None
    password: str | None = field(default="", repr=False)
    password_fault: PasswordFault | None = None
    bfd: BFDOptions | None = None
    multihop: bool = False
    graceful_restart: bool = False
    families: frozenset[Family]
    vrf: str = ""

    @property
    def is_internal(self) -> bool:
        """Whether the peer is in our own AS, which is where a local preference means something."""
        return self.peer_asn in (self.local_asn, DynamicASN.INTERNAL)

    @property
    def bound_interface(self) -> str:
        """The interface that gives the neighbor's address its meaning; none beside a global address."""
        return self.interface if self.neighbor is None or self.neighbor.is_link_local else ""


@dataclass(frozen=True, slots=True)
class AnnouncedRoute:
    """A route for the named peers; `peers` empty = all, `local_preference` 0 = not said."""

    prefix: IPNetwork
    local_preference: int = 0
    communities: tuple[CommunityNumber, ...] = ()
    peers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Watch:
    """Another host's address to watch by BFD; `interface` empty = the one that reaches it."""

    host: str
    address: IPAddress
    interface: str = ""


@dataclass(frozen=True, slots=True)
class WatchTiming:
    """How often hosts say that they live, and how many silent intervals are too many."""

    interval_milliseconds: int = 50
    multiplier: int = 3


@dataclass(frozen=True, slots=True)
class Part:
    """That a text is included by an operator's configuration; `has_bfd` = the BFD protocol is in it, not there."""

    has_bfd: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BirdConfig:
    """The whole of BIRD's configuration; watched hosts appear as routes in `kernel_table`, and nowhere else."""

    router_id: IPv4Address
    sessions: tuple[Session, ...] = ()
    announcements: tuple[AnnouncedRoute, ...] = ()
    watches: tuple[Watch, ...] = ()
    timing: WatchTiming = WatchTiming()
    kernel_table: int = KERNEL_TABLE
    drain: Drain = Drain.NONE
