"""Statuses that the control tests serve."""

from dataclasses import replace
from ipaddress import ip_address

from appliance.control.message import (
    AgentProgram,
    AgentStatus,
    BGPStatus,
    BirdSession,
    BirdStatus,
    FeedStatus,
    Layer2Status,
    NeighborStatus,
    SessionKind,
    VirtualIPVerdict,
)
from appliance.control.topic import Topic, TopicTable, single
from appliance.l2.event import Reachability, Role

LAN = VirtualIPVerdict(
    address=ip_address("192.168.1.240"),
    pool="lan",
    services=("default/echo",),
    layer2=Layer2Status(
        role=Role.OWNER,
        reason="first living candidate",
        owner="node-a",
        interfaces=("eth0",),
        candidates=("node-a", "node-b"),
    ),
)
ROUTED = VirtualIPVerdict(
    address=ip_address("2001:db8:100::1"),
    pool="wan",
    services=("default/web",),
    bgp=BGPStatus(announced=True, reason="announced", prefixes=("2001:db8:100::1/128",), peers=("tor",)),
)
BGP = BirdSession(kind=SessionKind.BGP, name="tor", peer="192.168.1.1", state="Established")
BFD = BirdSession(kind=SessionKind.BFD, name="eth0", peer="192.168.1.12", state="Up")
PROGRAM = AgentProgram(host="node-a", version="0.1.0", bird=BirdStatus(reachable=True, version="2.0.12"))
STATUS = AgentStatus(
    program=PROGRAM,
    feed=FeedStatus(source="live", revision="abc", age_seconds=1.5),
    hosts=(
        NeighborStatus(name="node-b", state=Reachability.REACHABLE),
        NeighborStatus(name="node-c", state=Reachability.FAILED, drained=True),
    ),
    sessions=(BGP, BFD),
    vips=(LAN, ROUTED),
)
DRAINING = replace(STATUS, program=replace(PROGRAM, drained=True))
DRAINED = replace(DRAINING, vips=())


class Served:
    """A status as the tables of an agent; each value that was read is counted by topic."""

    def __init__(self, status: AgentStatus) -> None:
        self.status = status
        self.is_known = True
        self.reads: dict[Topic, int] = dict.fromkeys(Topic, 0)
        self._vips: tuple[AgentStatus, dict[str, VirtualIPVerdict]] = (status, {})
        self.topics = {
            Topic.PROGRAM: single(lambda: self.status.program),
            Topic.FEED: single(lambda: self.status.feed),
            Topic.HOSTS: self._table(Topic.HOSTS),
            Topic.SESSIONS: self._table(Topic.SESSIONS),
            Topic.VIPS: self._table(Topic.VIPS),
        }

    def _table(self, topic: Topic) -> TopicTable:
        def keys() -> tuple[str, ...] | None:
            return tuple(self._values(topic)) if self.is_known else None

        def read(key: str) -> object | None:
            self.reads[topic] += 1
            return self._values(topic).get(key)

        return TopicTable(keys, read)

    def _values(self, topic: Topic) -> dict[str, object]:
        match topic:
            case Topic.HOSTS:
                return {neighbor.name: neighbor for neighbor in self.status.hosts}
            case Topic.SESSIONS:
                return {session.key: session for session in self.status.sessions}
            case _:
                if self._vips[0] is not self.status or not self._vips[1]:
                    self._vips = (self.status, {str(vip.address): vip for vip in self.status.vips})
                return dict[str, object](self._vips[1])
