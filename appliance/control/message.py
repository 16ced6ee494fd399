"""What programs say over their control sockets."""

from dataclasses import field
from enum import StrEnum

from appliance.api.address import Address
from appliance.api.pierhead import SessionStatus
from appliance.api.value import value


class HostState(StrEnum):
    """What this host holds of a fellow host."""

    UNKNOWN = "unknown"
    ALIVE = "alive"
    SUSPECT = "suspect"
    AGENT_DOWN = "agent-down"
    DEAD = "dead"


class Role(StrEnum):
    """This host's part in answering ARP/NDP for a VIP."""

    OWNER = "owner"
    PROBING = "probing"
    CANDIDATE = "candidate"
    NONE = "none"


@value
class Fellow:
    """A fellow host as seen from here."""

    name: str
    state: HostState
    drained: bool = False


@value
class Layer2Verdict:
    """What this host does for a VIP on layer 2; `reason` is an enum's value, `owner` the host believed to answer."""

    role: Role
    reason: str
    owner: str | None = None
    interfaces: tuple[str, ...] = ()


@value
class BGPVerdict:
    """Whether this host announces a VIP over BGP, what, and if not why not."""

    announced: bool
    reason: str
    prefixes: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()


@value
class VirtualIPVerdict:
    """Everything this host decided about one VIP."""

    address: Address
    pool: str
    services: tuple[str, ...] = ()
    layer2: Layer2Verdict | None = None
    bgp: BGPVerdict | None = None
    conflict: str | None = None


@value
class FeedStatus:
    """Where the feed comes from (`live`, `cache`, `none`), its revision and its age in seconds."""

    source: str
    revision: str = ""
    age_seconds: float = 0.0
    problems: tuple[str, ...] = ()


@value
class BirdStatus:
    """What the agent knows of its BIRD; `refused` holds the reply to a configuration it did not take."""

    reachable: bool = False
    version: str = ""
    refused: str = ""


@value
class AgentStatus:
    """`GET /v1/status` of an agent, and each line of `GET /v1/watch`."""

    host: str
    version: str
    feed: FeedStatus
    drained: bool = False
    isolated: bool = False
    fellows: tuple[Fellow, ...] = ()
    vips: tuple[VirtualIPVerdict, ...] = ()
    bgp_sessions: tuple[SessionStatus, ...] = ()
    bfd_sessions: tuple[SessionStatus, ...] = ()
    bird: BirdStatus = field(default_factory=BirdStatus)


@value
class DrainRequest:
    """`POST /v1/drain`."""

    drain: bool = True


@value
class ForwarderStatus:
    """`GET /v1/status` of a forwarder; `revision` is the digest of the rules in the kernel, empty before the first."""

    host: str
    version: str
    feed: FeedStatus
    vips: int = 0
    rings: int = 0
    revision: str = ""
    addresses: tuple[Address, ...] = ()
    refused: str = ""
    dead_hosts: tuple[str, ...] = ()
