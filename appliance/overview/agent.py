"""What an agent tells of itself and of what it sees, kept as it comes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.control.message import (
    AgentProgram,
    BirdSession,
    FeedStatus,
    HostEvent,
    NeighborStatus,
    VirtualIPVerdict,
)
from appliance.control.topic import ONLY, Topic
from appliance.l2.event import Role

KINDS: Mapping[Topic, type[object]] = {
    Topic.PROGRAM: AgentProgram,
    Topic.FEED: FeedStatus,
    Topic.HOSTS: NeighborStatus,
    Topic.SESSIONS: BirdSession,
    Topic.VIPS: VirtualIPVerdict,
    Topic.EVENTS: HostEvent,
}
EVENTS_MAX = 1000


@dataclass(slots=True)
class AgentView:
    """One agent's topics; `is_live` while its socket answers, after that they are what it said last.

    It answers for `owned` VIPs, and announces `announced` over BGP; both are known once `are_vips_listed`.
    """

    is_live: bool = True
    are_vips_listed: bool = False
    owned: int = 0
    announced: int = 0
    programs: dict[str, AgentProgram] = field(default_factory=dict)
    feeds: dict[str, FeedStatus] = field(default_factory=dict)
    neighbors: dict[str, NeighborStatus] = field(default_factory=dict)
    sessions: dict[str, BirdSession] = field(default_factory=dict)
    vips: dict[str, VirtualIPVerdict] = field(default_factory=dict)
    events: dict[str, HostEvent] = field(default_factory=dict)

    @property
    def program(self) -> AgentProgram | None:
        """The agent itself."""
        return self.programs.get(ONLY)

    @property
    def feed(self) -> FeedStatus | None:
        """Where its feed comes from."""
        return self.feeds.get(ONLY)

    def count(self, before: VirtualIPVerdict | None, now: VirtualIPVerdict | None) -> None:
        """What it says of a VIP is another than before; None for nothing."""
        self.owned += _owns(now) - _owns(before)
        self.announced += _announces(now) - _announces(before)


def _owns(verdict: VirtualIPVerdict | None) -> bool:
    return verdict is not None and is_owner(verdict)


def _announces(verdict: VirtualIPVerdict | None) -> bool:
    return verdict is not None and verdict.bgp is not None and verdict.bgp.announced


def is_owner(verdict: VirtualIPVerdict) -> bool:
    """Whether the host that says this answers ARP/NDP for the VIP."""
    return verdict.layer2 is not None and verdict.layer2.role is Role.OWNER
