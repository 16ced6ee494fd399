"""What goes into a host's layer 2 and what comes out of it: the plan, events, commands, and what it holds to be so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from ipaddress import IPv4Interface, IPv6Interface

from appliance.api.address import IPAddress

# the plan


@dataclass(frozen=True, slots=True)
class VipPlan:
    """Who may answer for a VIP, best host first, and where (no interface = on all); `recorded_owner` is the store's."""

    address: IPAddress
    hosts: tuple[str, ...]
    interfaces: tuple[str, ...] = ()
    recorded_owner: str | None = None


@dataclass(frozen=True, slots=True)
class HostPlan:
    """Another host that runs the agent."""

    name: str
    addresses: tuple[IPAddress, ...]
    hardware_addresses: tuple[bytes, ...] = ()
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of it; `hosts` is without this host."""

    me: str
    vips: Mapping[IPAddress, VipPlan] = field(default_factory=dict)
    hosts: Mapping[str, HostPlan] = field(default_factory=dict)
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface of this host; one made anew under its name has another index."""

    index: int
    name: str
    hardware_address: bytes
    up: bool
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    gateways: tuple[IPAddress, ...] = ()


# events


@dataclass(frozen=True, slots=True)
class PlanChanged:
    """The plan as a whole; `changed` are the VIPs that may be planned otherwise than before, None = any."""

    plan: Plan
    changed: frozenset[IPAddress] | None = None


@dataclass(frozen=True, slots=True)
class LinksChanged:
    """All interfaces to speak on; one that is missing is down."""

    interfaces: tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """A frame as the interface with this index delivered it."""

    link: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class RouteLost:
    """The BFD-checked route to another host was deleted."""

    host: str


@dataclass(frozen=True, slots=True)
class RouteFound:
    """The BFD-checked route to another host was added."""

    host: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """This host's agent is about to end on purpose: its VIPs are to go to other hosts first. There is no way back."""


@dataclass(frozen=True, slots=True)
class MoveAsked:
    """An operator asks this host to hand a VIP over to another; what refuses it is known beforehand."""

    address: IPAddress
    to: str


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The deadline has come."""


Event = PlanChanged | LinksChanged | FrameReceived | RouteLost | RouteFound | Leaving | MoveAsked | TimePassed

# what is held to be so


class Role(StrEnum):
    """This host's part in answering for a VIP."""

    OWNER = "owner"
    PROBING = "probing"
    CANDIDATE = "candidate"
    NONE = "none"


class RoleReason(Enum):
    """Why this host has its role."""

    CLAIMED = "probed the address, nobody answered"
    TOOK_OVER = "the owner was found dead"
    HANDED_OVER = "the owner released it"
    RELEASING = "drains, leaves or is no longer listed, and answers until another host claims"
    HANDING_OVER = "hands it over as asked, and answers until that host claims"
    LAST = "drains, leaves or is no longer listed, and no other host is there to claim"
    CONTESTED = "another host answers too"
    PROBING = "asks whether somebody answers for the address already"
    OWNER_ANSWERS = "another host answers"
    OWNER_RELEASES = "another host answers until its successor claims"
    AWAITING_OWNER = "another host is to claim"
    LINK_DOWN = "no interface for the address is up"
    LINK_QUIET = "nothing was heard on the link yet"
    LINK_ISOLATED = "nobody on the link answers this host"
    CONFLICT = "a foreign hardware address answers for the address"
    NOT_LISTED = "the plan does not list this host"


class MoveRefusal(Enum):
    """Why this host does not hand a VIP over to another."""

    NOT_OWNER = "this host does not answer for it"
    UNSETTLED = "it is being handed over already, or another host answers too"
    LINK_ISOLATED = "nobody on the link answers this host, so nobody would hear it"
    IS_OWNER = "this host answers for it already"
    NOT_LISTED = "the plan does not list that host for it"
    DRAINING = "that host drains"
    GONE = "that host is not reachable"
    NO_SUCCESSOR = "no other host is able to answer for it"


@dataclass(frozen=True, slots=True)
class VipStatus:
    """This host's role for one VIP, why, and the host held to answer."""

    role: Role
    reason: RoleReason
    owner: str | None = None


class Sign(Enum):
    """What has a VIP go from one host to another, or from all."""

    CLAIM = "it says that it has the address"
    CONTEST = "it went on answering in a contest"
    RELEASE = "it released the address"
    OWNER_SILENT = "it is silent while others on its link answer"
    OWNER_AGENT_DOWN = "its kernel answers and its agent does not"
    OWNER_DENIED = "its agent answers, and not for this address"
    NO_ANSWER = "probes were not answered"
    FOREIGN = "a foreign hardware address has the address"
    LINKS_LOST = "no interface for the address is up"
    LINKS_FOUND = "an interface for the address came up"
    CONTACT_LOST = "nobody on the link answers this host"
    NOT_PLANNED = "the plan asks for it no more"


@dataclass(frozen=True, slots=True)
class VipEvidence:
    """The last thing heard that moved a VIP: what, of which host, from which hardware address, on which interface.

    `previous` is the host that is held to have answered before. `count` is the number of answers in a contest, or of
    probes; `seconds` how long an owner had been silent.
    """

    sign: Sign
    previous: str | None = None
    host: str | None = None
    hardware_address: bytes | None = None
    interface: str = ""
    count: int = 0
    seconds: float | None = None


class Reachability(StrEnum):
    """Whether another host can be reached, in the words of RFC 4861 section 7.3.2; confirmed by solicited replies only.

    UNKNOWN hosts never answered; those in PROBE are being asked; of AGENT_DOWN the kernel answers and the agent not.
    """

    UNKNOWN = "unknown"
    REACHABLE = "reachable"
    PROBE = "probe"
    AGENT_DOWN = "agent-down"
    FAILED = "failed"


class CounterName(StrEnum):
    """What is counted."""

    FRAMES = "frames"
    REPLIES = "replies"
    ANNOUNCEMENTS = "announcements"
    PROBES = "probes"
    QUESTIONS = "questions"
    RELEASES = "releases"
    SUSPICIONS = "suspicions"
    FALSE_ALARMS = "false-alarms"
    FAILURES = "failures"
    TAKEOVERS = "takeovers"
    HAND_OVERS = "hand-overs"
    CLAIMS = "claims"
    CONTESTS = "contests"
    YIELDS = "yields"
    CONFLICTS = "conflicts"
    ISOLATIONS = "isolations"


# commands: what is to be sent, and what changed


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Put a frame on the interface with this index."""

    link: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class VipChanged:
    """Another role, reason or owner of a VIP; None for one that is planned no more."""

    address: IPAddress
    status: VipStatus | None


@dataclass(frozen=True, slots=True)
class NeighborChanged:
    """What is held of another host over all links; None for one that is planned no more."""

    host: str
    reachability: Reachability | None


@dataclass(frozen=True, slots=True)
class ConflictSeen:
    """A hardware address of no host in the plan answers for a VIP; `since` is a moment as given to `handle`."""

    address: IPAddress
    hardware_address: bytes
    interface: str
    since: float


@dataclass(frozen=True, slots=True)
class ConflictEvidence:
    """How often a foreign hardware address was heard to have a VIP, and when first and last, as given to `handle`."""

    hardware_address: bytes
    interface: str
    first: float
    last: float
    count: int


@dataclass(frozen=True, slots=True)
class ConflictCleared:
    """No foreign hardware address was heard to answer for a VIP for long."""

    address: IPAddress


@dataclass(frozen=True, slots=True)
class IsolationChanged:
    """Whether anybody on the link with this index answers; while none does nobody on it is held to have failed."""

    link: int
    isolated: bool


@dataclass(frozen=True, slots=True)
class GroupsChanged:
    """The multicast hardware addresses to listen to from now on, and those no more, on the link with this index."""

    link: int
    joined: frozenset[bytes]
    left: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class HandOverEnded:
    """After `Leaving`: every VIP has gone to another host but these, which nobody will take. Said again on change."""

    kept: frozenset[IPAddress]


@dataclass(frozen=True, slots=True)
class TakeoverEnded:
    """A VIP of a host that failed was first announced here, so many seconds after the first sign of the failure."""

    address: IPAddress
    seconds: float


@dataclass(frozen=True, slots=True)
class VipTraffic:
    """Of a VIP: questions heard and answered while this host was its owner, and announcements sent."""

    address: IPAddress
    requests: int
    replies: int
    announcements: int


Command = (
    SendFrame
    | VipChanged
    | NeighborChanged
    | ConflictSeen
    | ConflictCleared
    | IsolationChanged
    | GroupsChanged
    | HandOverEnded
    | TakeoverEnded
)
