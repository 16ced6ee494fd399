"""Statuses that the control tests serve."""

from dataclasses import replace
from ipaddress import ip_address

from appliance.api.pierhead import SessionStatus
from appliance.control.message import (
    AgentStatus,
    BGPVerdict,
    BirdStatus,
    FeedStatus,
    Fellow,
    HostState,
    Layer2Verdict,
    Role,
    VirtualIPVerdict,
)

LAN = VirtualIPVerdict(
    address=ip_address("192.168.1.240"),
    pool="lan",
    services=("default/echo",),
    layer2=Layer2Verdict(role=Role.OWNER, reason="first living candidate", owner="node-a", interfaces=("eth0",)),
)
ROUTED = VirtualIPVerdict(
    address=ip_address("2001:db8:100::1"),
    pool="wan",
    services=("default/web",),
    bgp=BGPVerdict(announced=True, reason="announced", prefixes=("2001:db8:100::1/128",), peers=("tor",)),
)
STATUS = AgentStatus(
    host="node-a",
    version="0.1.0",
    feed=FeedStatus(source="live", revision="abc", age_seconds=1.5),
    fellows=(Fellow(name="node-b", state=HostState.ALIVE), Fellow(name="node-c", state=HostState.DEAD, drained=True)),
    vips=(LAN, ROUTED),
    bgp_sessions=(SessionStatus(name="tor", peer="192.168.1.1", state="Established"),),
    bfd_sessions=(SessionStatus(name="eth0", peer="192.168.1.12", state="Up"),),
    bird=BirdStatus(reachable=True, version="2.0.12"),
)
EMPTY = replace(STATUS, drained=True, vips=())
