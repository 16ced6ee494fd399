"""Sites for the dashboard's tests, as a store and agents tell of them; nothing of them depends on the clock."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from appliance.api.address import IPAddress, parse_address
from appliance.api.kind import Object
from appliance.api.manifest import parse
from appliance.api.pierhead import VirtualIP
from appliance.control.client import TopicChange
from appliance.control.message import (
    AgentProgram,
    BGPStatus,
    BirdSession,
    BirdStatus,
    ConflictStatus,
    FeedStatus,
    HostEvent,
    Layer2Status,
    NeighborStatus,
    SessionKind,
    VipMove,
    VipTrafficStatus,
    VirtualIPVerdict,
)
from appliance.control.topic import ONLY, Topic
from appliance.l2.event import Reachability, Role
from appliance.overview.site import Site

NOW = datetime(2026, 3, 14, 3, 14, 15, tzinfo=UTC)
HOSTS = ("node-a", "node-b", "node-c")

_OPERATORS = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [192.0.2.10-192.0.2.29]}
status: {assignedIPv4: 19, availableIPv4: 1, assignedIPv6: 0, availableIPv6: 0}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: wan, namespace: metallb-system}
spec: {addresses: [198.51.100.0/25, '2001:db8:100::/120'], autoAssign: false}
status: {assignedIPv4: 1, availableIPv4: 127, assignedIPv6: 1, availableIPv6: 255}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, ports: [{port: 443}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.10}]}}
---
apiVersion: v1
kind: Service
metadata: {name: search, namespace: shop}
spec: {type: LoadBalancer, ports: [{port: 80}]}
"""


def objects(text: str) -> list[Object]:
    """The objects of a text."""
    parsed = parse(text, "site.yaml")
    assert parsed.problems == ()
    return [document.manifest for document in parsed.documents]


def _host(name: str, number: int) -> str:
    return f"""
apiVersion: pierhead.io/v1alpha1
kind: Host
metadata: {{name: {name}}}
status:
  version: 0.1.0
  interfaces: [{{name: eth0, up: true, addresses: [192.0.2.{number + 1}/24]}}]
"""


def _vip(address: str, pool: str, service: str, way: str, owner: str) -> str:
    status = f"{{owner: {{host: {owner}, since: '2026-03-13T22:00:00Z', epoch: 3}}}}" if owner else "{}"
    return f"""
apiVersion: pierhead.io/v1alpha1
kind: VirtualIP
metadata: {{name: '{parse_address(address).exploded.replace(":", "-")}'}}
spec: {{address: '{address}', pool: {pool}, services: [{{namespace: shop, name: {service}}}], {way}}}
status: {status}
"""


_LAYER2 = "layer2: {candidates: [node-a, node-b, node-c]}"
_VIPS = (
    _vip("192.0.2.10", "lan", "web", _LAYER2, "node-a"),
    _vip("192.0.2.11", "lan", "cart", _LAYER2, "node-b"),
    _vip("198.51.100.1", "wan", "api", "bgp: [{prefix: 198.51.100.1/32}]", ""),
)


def _tell(site: Site, host: str, topic: Topic, values: Mapping[str, object]) -> None:
    site.hear(host, TopicChange(topic, values, is_listing=True))


def _verdict(address: str, pool: str, service: str, host: str, owner: str) -> VirtualIPVerdict:
    role = Role.OWNER if host == owner else Role.CANDIDATE
    reason = "first living candidate" if host == owner else "another host comes first"
    layer2 = Layer2Status(role=role, reason=reason, owner=owner, interfaces=("eth0",)) if owner else None
    bgp = None if owner else BGPStatus(announced=True, reason="announced", prefixes=(f"{address}/32",), peers=("tor",))
    move = VipMove(time="2026-03-13T22:00:00+00:00", origin="", target=host, reason="first living candidate")
    traffic = VipTrafficStatus(requests=12, replies=11, announcements=3)
    is_owner = host == owner
    return VirtualIPVerdict(
        address=parse_address(address),
        pool=pool,
        services=(service,),
        layer2=layer2,
        bgp=bgp,
        last_move=move if is_owner else None,
        traffic=traffic if is_owner else None,
    )


def _session(name: str, kind: SessionKind, state: str, message: str = "") -> BirdSession:
    peer = "192.0.2.254" if name == "tor" else "192.0.2.253"
    return BirdSession(kind=kind, name=name, peer=peer, state=state, since="2026-03-12T03:14:15+00:00", message=message)


def _hear(site: Site, host: str, sessions: tuple[BirdSession, ...]) -> None:
    """Everything that the agent of a host tells, but its events."""
    program = AgentProgram(host=host, version="0.1.0", bird=BirdStatus(reachable=True, version="2.0.12"))
    _tell(site, host, Topic.PROGRAM, {ONLY: program})
    _tell(site, host, Topic.FEED, {ONLY: FeedStatus(source="live", revision="abc", age_seconds=1.5)})
    others = {name: NeighborStatus(name=name, state=Reachability.REACHABLE) for name in HOSTS if name != host}
    _tell(site, host, Topic.HOSTS, others)
    _tell(site, host, Topic.SESSIONS, {session.key: session for session in sessions})
    verdicts = (
        _verdict("192.0.2.10", "lan", "shop/web", host, "node-a"),
        _verdict("192.0.2.11", "lan", "shop/cart", host, "node-b"),
        _verdict("198.51.100.1", "wan", "shop/api", host, ""),
    )
    _tell(site, host, Topic.VIPS, {str(verdict.address): verdict for verdict in verdicts})


def healthy() -> Site:
    """Three hosts with two routers; nothing is wrong, but a pool that is nearly full and a Service without address."""
    site = Site()
    site.begin(objects("---".join((_OPERATORS, *(_host(name, n) for n, name in enumerate(HOSTS)), *_VIPS))))
    up = tuple(
        _session(name, kind, state)
        for name in ("spine", "tor")
        for kind, state in ((SessionKind.BGP, "Established"), (SessionKind.BFD, "Up"))
    )
    for host in HOSTS:
        _hear(site, host, up)
    moved = HostEvent(
        number=1,
        time="2026-03-14T03:12:00.100+00:00",
        event="vip_moved",
        subject="192.0.2.10",
        reason="the owner was found dead",
        details={"from": "node-c", "to": "node-a"},
    )
    established = HostEvent(
        number=2,
        time="2026-03-14T03:13:00.250+00:00",
        event="session_changed",
        subject="bgp tor 192.0.2.254",
        details={"state": "Established"},
    )
    _tell(site, "node-a", Topic.EVENTS, {str(event.number): event for event in (moved, established)})
    return site


def troubled() -> Site:
    """The same site with a foreign answer for a VIP, a session that is down, one without BFD, and a failed host."""
    site = healthy()
    conflict = _verdict("192.0.2.11", "lan", "shop/cart", "node-b", "node-b")
    site.hear(
        "node-b",
        TopicChange(
            Topic.VIPS,
            {
                "192.0.2.11": VirtualIPVerdict(
                    address=conflict.address,
                    pool="lan",
                    services=("shop/cart",),
                    layer2=conflict.layer2,
                    conflict="02:00:5e:00:53:01",
                    evidence=ConflictStatus(
                        hardware_address="02:00:5e:00:53:01",
                        interface="eth0",
                        first="2026-03-14T03:10:00+00:00",
                        last="2026-03-14T03:14:00+00:00",
                        count=7,
                    ),
                )
            },
        ),
    )
    down = _session("tor", SessionKind.BGP, "Active", "Socket: Connection refused")
    site.hear("node-b", TopicChange(Topic.SESSIONS, {down.key: down}))
    without = _session("spine", SessionKind.BFD, "Down")
    site.hear("node-a", TopicChange(Topic.SESSIONS, {without.key: without}))
    for host in ("node-a", "node-b"):
        failed = NeighborStatus(name="node-c", state=Reachability.FAILED)
        site.hear(host, TopicChange(Topic.HOSTS, {"node-c": failed}))
    site.lose("node-c")
    return site


def large(vips: int) -> Site:
    """So many VIPs, which one host owns."""
    site = Site()
    first = parse_address("10.0.0.1")
    host, one = objects("---".join((_host("node-a", 0), _vip(str(first), "lan", "s", _LAYER2, "node-a"))))
    assert isinstance(one, VirtualIP)
    site.begin((host, *(_copied(one, first + number, f"s{number}") for number in range(vips))))
    return site


def _copied(vip: VirtualIP, address: IPAddress, service: str) -> VirtualIP:
    """The same with another address and Service; to parse ten thousand texts takes longer than what is tested."""
    services = tuple(replace(each, name=service) for each in vip.spec.services)
    spec = replace(vip.spec, address=address, services=services)
    return replace(vip, metadata=replace(vip.metadata, name=str(address)), spec=spec)
