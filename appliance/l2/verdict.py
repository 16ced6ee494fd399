"""What this host holds of VIPs, of its fellows and of strangers, with reasons."""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from appliance.api.address import IPAddress


class Role(StrEnum):
    """This host's part in answering for a VIP."""

    OWNER = "owner"
    PROBING = "probing"
    CANDIDATE = "candidate"
    NONE = "none"


class Reason(Enum):
    """Why this host has its role."""

    CLAIMED = "probed the address, nobody answered"
    TOOK_OVER = "the owner was found dead"
    HANDED_OVER = "the owner drains or is no longer listed"
    LEAVING = "drains or is no longer listed, and answers until another host claims"
    PROBING = "asks whether somebody answers for the address already"
    OWNER_ANSWERS = "another host answers"
    OWNER_LEAVING = "another host answers until its successor claims"
    AWAITING_OWNER = "another host is to claim"
    LINK_QUIET = "nothing was heard on the link yet"
    LINK_DOWN = "no interface for the address is up"
    CONFLICT = "a stranger answers for the address"
    NOT_LISTED = "the plan does not list this host"


class HostState(StrEnum):
    """What this host holds of a fellow host."""

    UNKNOWN = "unknown"
    ALIVE = "alive"
    SUSPECT = "suspect"
    AGENT_DOWN = "agent-down"
    DEAD = "dead"


class Standing(Enum):
    """Whether a host can be given a VIP."""

    ABLE = auto()
    DRAINING = auto()
    GONE = auto()


@dataclass(frozen=True, slots=True)
class Holding:
    """This host's role for one VIP, why, and the host believed to answer."""

    role: Role
    reason: Reason
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """A hardware address of no fellow that answers for a VIP; moments as given to `handle`."""

    address: IPAddress
    hardware_address: bytes
    interface: str
    since: float


class Count(StrEnum):
    """What is counted."""

    FRAMES = "frames"
    REPLIES = "replies"
    ANNOUNCEMENTS = "announcements"
    PROBES = "probes"
    SUSPICIONS = "suspicions"
    FALSE_ALARMS = "false-alarms"
    CONVICTIONS = "convictions"
    TAKEOVERS = "takeovers"
    HAND_OVERS = "hand-overs"
    CLAIMS = "claims"
    YIELDS = "yields"
    DEFENCES = "defences"
    CONFLICTS = "conflicts"
    ISOLATIONS = "isolations"
