"""What programs say over their control sockets; a reader passes over fields it does not know."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from appliance.api.address import Address
from appliance.api.text import OptionalName
from appliance.api.value import partial_value, value
from appliance.l2.event import Reachability, Role


@partial_value
class NeighborStatus:
    """Another host as seen from here; topic `hosts`, by name."""

    name: str
    state: Reachability
    drained: bool = False


@partial_value
class Layer2Status:
    """What this host does for a VIP on layer 2; `reason` is an enum's value, `owner` the host believed to answer.

    `candidates` are the hosts planned for it, in order; `since` is when the owner came to answer, RFC 3339 text.
    """

    role: Role
    reason: str
    owner: str | None = None
    interfaces: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    since: str = ""


@partial_value
class BGPStatus:
    """Whether this host announces a VIP over BGP, what, and if not why not."""

    announced: bool
    reason: str
    prefixes: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()


@partial_value
class VipMove:
    """A VIP that came to a host or went from it; `origin` and `target` "" = nobody, or nobody knows.

    `reason` is a RoleReason's value of the host that says it, `heard` what it heard that made it so.
    """

    time: str
    origin: str
    target: str
    reason: str
    heard: str = ""


@partial_value
class VipTrafficStatus:
    """Of a VIP since the agent began: questions heard and answered as its owner, and announcements sent, in frames."""

    requests: int = 0
    replies: int = 0
    announcements: int = 0


@partial_value
class ConflictStatus:
    """A foreign machine that was heard to have a VIP: first and last when (RFC 3339 text), and how often."""

    hardware_address: str
    interface: str
    first: str
    last: str
    count: int


@partial_value
class VirtualIPVerdict:
    """Everything this host decided about one VIP; topic `vips` of an agent, by address.

    `last_move` is the last one that this run of the agent took part in. Traffic and evidence are as they were when this
    was told: that they grew is no reason to tell it again.
    """

    address: Address
    pool: str
    services: tuple[str, ...] = ()
    layer2: Layer2Status | None = None
    bgp: BGPStatus | None = None
    conflict: str | None = None
    last_move: VipMove | None = None
    traffic: VipTrafficStatus | None = None
    evidence: ConflictStatus | None = None


@partial_value
class FeedStatus:
    """Where the feed comes from (`live`, `cache`, `none`), its revision and its age in seconds; topic `feed`."""

    source: str
    revision: str = ""
    age_seconds: float = 0.0
    problems: tuple[str, ...] = ()


class SessionKind(StrEnum):
    """The protocol of a session."""

    BGP = "bgp"
    BFD = "bfd"


@partial_value
class BirdSession:
    """A session of this host's BIRD; `since` is RFC 3339 text. Topic `sessions`, by kind, name and peer.

    Of a BGP session: how many prefixes the peer has from here, how many of its own were accepted, how many updates it
    sent, as BIRD last said; how often the session was seen to go down since the agent began.
    """

    kind: SessionKind
    name: str
    peer: str
    state: str
    since: str = ""
    message: str = ""
    prefixes_sent: int | None = None
    prefixes_accepted: int | None = None
    updates_received: int | None = None
    flaps: int = 0

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return f"{self.kind.value} {self.name} {self.peer}"


@partial_value
class HostEvent:
    """Something that happened; `time` is RFC 3339 text. Topic `events`, by number.

    `number` grows by one each from 1 within a `run` of the program, which has a name of its own.
    """

    number: int
    time: str
    event: str
    subject: str
    reason: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    run: str = ""


@partial_value
class HistoryHead:
    """How an answer to `GET /v1/history` begins: whose history it is, and the time there now, as RFC 3339 text."""

    host: str
    time: str
    program: str = "agent"


@partial_value
class HistoryEntry:
    """A line of it: an event in its `place` among all events there were, None for one that is not on disk yet."""

    event: HostEvent
    place: int | None = None


@partial_value
class HistoryTail:
    """How it ends: older events that were asked for too are `before` this place; `problem` is what the disk says."""

    before: int | None = None
    problem: str = ""


@partial_value
class SessionFault:
    """A BGP session that is not as it is to be: left out, without BFD, or with the last good password."""

    session: str
    reason: str


@partial_value
class BirdStatus:
    """What the agent knows of its BIRD; `refused` holds the reply to a configuration it did not take."""

    reachable: bool = False
    version: str = ""
    refused: str = ""
    faults: tuple[SessionFault, ...] = ()


@partial_value
class InterfaceStatus:
    """An interface of a host that can carry VIPs, with its own addresses."""

    name: str
    up: bool
    hardware_address: str = ""
    addresses: tuple[str, ...] = ()


@partial_value
class AgentProgram:
    """An agent itself, topic `program`; ready where `waits_for` is empty; nobody answers on `isolated_links`.

    `forwarder` is its setting: whether a forwarder is to run beside it, as only agents tell that are new enough.
    `settings_problems` say why its settings file is not in force, `awaiting_restart` which of its fields are not.
    `frames` of ARP and NDP had come in since the agent began when this was told: that more did is told once a minute.
    """

    host: str
    version: str
    waits_for: tuple[str, ...] = ()
    drained: bool = False
    isolated_links: tuple[str, ...] = ()
    interfaces: tuple[InterfaceStatus, ...] = ()
    bird: BirdStatus = field(default_factory=BirdStatus)
    settings_problems: tuple[str, ...] = ()
    awaiting_restart: tuple[str, ...] = ()
    frames: int = 0
    forwarder: bool = False


@partial_value
class AgentStatus:
    """`GET /v1/status` of an agent: all its topics but the events."""

    program: AgentProgram
    feed: FeedStatus
    hosts: tuple[NeighborStatus, ...] = ()
    sessions: tuple[BirdSession, ...] = ()
    vips: tuple[VirtualIPVerdict, ...] = ()


@partial_value
class ForwardedVirtualIP:
    """A VIP that has rules in this host's kernel; topic `vips` of a forwarder, by address."""

    address: Address


@partial_value
class ForwarderProgram:
    """A forwarder itself; `revision` is the digest of the rules in the kernel, empty before the first.

    `settings_problems` and `awaiting_restart` as an agent's.
    """

    host: str
    version: str
    revision: str
    waits_for: tuple[str, ...] = ()
    rings: int = 0
    refused: str = ""
    failed_hosts: tuple[str, ...] = ()
    settings_problems: tuple[str, ...] = ()
    awaiting_restart: tuple[str, ...] = ()


@partial_value
class ForwarderStatus:
    """`GET /v1/status` of a forwarder: all its topics but the events."""

    program: ForwarderProgram
    feed: FeedStatus
    vips: tuple[ForwardedVirtualIP, ...] = ()


@value
class MoveRequest:
    """`POST /v1/move`: the VIP, and the host that is to take it; "" = the first able one of its plan."""

    address: Address
    to: OptionalName = ""


@partial_value
class MoveAnswer:
    """The host that answers for a VIP once it was moved."""

    owner: str


@value
class DrainRequest:
    """`POST /v1/drain`."""

    drain: bool = True
