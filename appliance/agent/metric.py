"""What an agent measures: read from what it holds, when somebody asks."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from appliance.api.address import IPAddress
from appliance.api.pierhead import AddressConflict, VirtualIP
from appliance.bird.model import BirdConfig, Session
from appliance.bird.session import BgpSession
from appliance.control.message import SessionFault
from appliance.control.metric import Labelled, Metric, MetricKind, Reading, many, one
from appliance.desired.decide import Desired
from appliance.host.bird import ApplyOutcome, BirdState
from appliance.l2.event import CounterName, Reachability, Role, RoleReason
from appliance.l2.frame import Ignored
from appliance.l2.machine import Layer2Machine
from appliance.wire.drop import Drop

COUNTER, GAUGE, HISTOGRAM = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM
DEFAULT_VRF = "default"

ANNOUNCED = Metric(
    "metallb_speaker_announced",
    GAUGE,
    "1 for each Service's address that this host announces.",
    ("service", "protocol", "node", "ip"),
)
REQUESTS = Metric("metallb_layer2_requests_received", COUNTER, "ARP and NDP questions for an owned VIP.", ("ip",))
RESPONSES = Metric("metallb_layer2_responses_sent", COUNTER, "Answers to questions for an owned VIP.", ("ip",))
GRATUITOUS = Metric("metallb_layer2_gratuitous_sent", COUNTER, "Announcements of a VIP, in frames.", ("ip",))
_PEER = ("peer", "vrf")
BGP_UP = Metric("metallb_bgp_session_up", GAUGE, "1 where the BGP session is established.", _PEER)
BGP_UPDATES = Metric("metallb_bgp_updates_total", COUNTER, "Routes told to the peer, and ends of routes.", _PEER)
BGP_PREFIXES = Metric("metallb_bgp_announced_prefixes_total", GAUGE, "Prefixes that the peer has from here.", _PEER)
BFD_UP = Metric("metallb_bfd_session_up", GAUGE, "1 where the BFD session to a BGP peer is up.", _PEER)

TAKEOVER_SECONDS = Metric(
    "pierhead_takeover_seconds",
    HISTOGRAM,
    "Seconds from the first sign that a VIP's owner fails to the first announcement here.",
    buckets=(0.05, 0.1, 0.125, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0),
)
TIMER_DELAY_SECONDS = Metric(
    "pierhead_layer2_timer_delay_seconds",
    HISTOGRAM,
    "Seconds by which layer 2 is woken late: how long the agent's loop was busy with something else.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
VIP_OWNED = Metric("pierhead_vip_owned", GAUGE, "VIPs that this host owns on layer 2.")
VIP_CONFLICTS = Metric(
    "pierhead_vip_conflicts", GAUGE, "1 for each VIP that a foreign machine answers for.", ("ip", "interface")
)
VIP_CLAIMS = Metric("pierhead_vip_claims_total", COUNTER, "VIPs that this host came to own, by how.", ("reason",))
VIP_CONTESTS = Metric("pierhead_vip_contests_total", COUNTER, "Times that another host answered for an owned VIP.")
VIP_YIELDS = Metric("pierhead_vip_yields_total", COUNTER, "Contests that this host ended by yielding.")
VIP_CONFLICTS_SEEN = Metric("pierhead_vip_conflicts_seen_total", COUNTER, "Conflicts with foreign machines seen.")
HOST_FAILED = Metric("pierhead_host_failed", GAUGE, "1 where another host is held to have failed.", ("host",))
HOST_WATCHED = Metric("pierhead_host_bfd_up", GAUGE, "1 where BFD reaches a host that it watches.", ("host",))
HOST_SUSPICIONS = Metric("pierhead_host_suspicions_total", COUNTER, "Times that another host seemed to fail.")
HOST_FALSE_ALARMS = Metric("pierhead_host_false_alarms_total", COUNTER, "Suspicions that an answer ended.")
HOST_FAILURES = Metric("pierhead_host_failures_total", COUNTER, "Times that another host, or its agent, failed.")
LINK_ISOLATED = Metric("pierhead_link_isolated", GAUGE, "1 where nobody on an interface answers.", ("interface",))
LINK_ISOLATIONS = Metric("pierhead_link_isolations_total", COUNTER, "Times that an interface became isolated.")
FRAMES_RECEIVED = Metric("pierhead_layer2_frames_received_total", COUNTER, "ARP and NDP frames received.")
FRAMES_SENT = Metric("pierhead_layer2_frames_sent_total", COUNTER, "ARP and NDP frames sent.", ("kind",))
FRAMES_DROPPED = Metric(
    "pierhead_layer2_frames_dropped_total", COUNTER, "Frames that led to nothing, by why.", ("reason",)
)
PACKET_ERRORS = Metric(
    "pierhead_layer2_packet_errors_total",
    COUNTER,
    "Frames that the kernel did not take, or lost before they were read.",
)
DRAINED = Metric("pierhead_drained", GAUGE, "1 where this host is drained or draining.")
BIRD_UP = Metric("pierhead_bird_up", GAUGE, "1 where BIRD answers.")
BIRD_REFUSED = Metric("pierhead_bird_configuration_refused", GAUGE, "1 where BIRD does not have what it is to have.")
BIRD_CONFIGURATIONS = Metric(
    "pierhead_bird_configurations_total", COUNTER, "Configurations given to BIRD, by what became of them.", ("outcome",)
)
SESSION_UP = Metric(
    "pierhead_bgp_session_up", GAUGE, "As metallb_bgp_session_up, beside pierhead_bgp_session_bfd_up.", _PEER
)
SESSION_BFD_UP = Metric(
    "pierhead_bgp_session_bfd_up", GAUGE, "1 where a BGP session that is to have BFD has it.", _PEER
)
SESSION_FAULTS = Metric(
    "pierhead_bgp_session_faults",
    GAUGE,
    "1 for each reason why a session is not as it should be.",
    ("session", "reason"),
)

_CLAIMS = {
    CounterName.TAKEOVERS: RoleReason.TOOK_OVER,
    CounterName.HAND_OVERS: RoleReason.HANDED_OVER,
    CounterName.CLAIMS: RoleReason.CLAIMED,
}
_SENT = {
    CounterName.REPLIES: "reply",
    CounterName.ANNOUNCEMENTS: "announcement",
    CounterName.PROBES: "probe",
    CounterName.QUESTIONS: "question",
    CounterName.RELEASES: "release",
}
_COUNTED = {
    VIP_CONTESTS: CounterName.CONTESTS,
    VIP_YIELDS: CounterName.YIELDS,
    VIP_CONFLICTS_SEEN: CounterName.CONFLICTS,
    HOST_SUSPICIONS: CounterName.SUSPICIONS,
    HOST_FALSE_ALARMS: CounterName.FALSE_ALARMS,
    HOST_FAILURES: CounterName.FAILURES,
    LINK_ISOLATIONS: CounterName.ISOLATIONS,
    FRAMES_RECEIVED: CounterName.FRAMES,
}
AGENT_METRICS = (
    ANNOUNCED,
    REQUESTS,
    RESPONSES,
    GRATUITOUS,
    BGP_UP,
    BGP_UPDATES,
    BGP_PREFIXES,
    BFD_UP,
    TAKEOVER_SECONDS,
    TIMER_DELAY_SECONDS,
    VIP_OWNED,
    VIP_CONFLICTS,
    VIP_CLAIMS,
    HOST_FAILED,
    HOST_WATCHED,
    LINK_ISOLATED,
    FRAMES_SENT,
    FRAMES_DROPPED,
    PACKET_ERRORS,
    DRAINED,
    BIRD_UP,
    BIRD_REFUSED,
    BIRD_CONFIGURATIONS,
    SESSION_UP,
    SESSION_BFD_UP,
    SESSION_FAULTS,
    *_COUNTED,
)


def announced_reading(
    host: str, vips: Mapping[IPAddress, VirtualIP], desired: Desired | None, core: Layer2Machine
) -> Reading:
    """What this host announces, one sample a Service, protocol and address."""
    return many(ANNOUNCED, _announced(host, vips, desired, core))


def _announced(
    host: str, vips: Mapping[IPAddress, VirtualIP], desired: Desired | None, core: Layer2Machine
) -> Iterator[Labelled | None]:
    for address, vip in tuple(vips.items()):
        status, decided = core.vip(address), desired.vips.get(address) if desired else None
        protocols = []
        # On a link where nobody answers this host holds on to its VIPs, and says nothing.
        if status is not None and status.role is Role.OWNER and status.reason is not RoleReason.LINK_ISOLATED:
            protocols.append("layer2")
        if decided is not None and decided.bgp.is_announced:
            protocols.append("bgp")
        if not protocols:
            yield None
            continue
        text = str(address)
        for service in vip.spec.services:
            for protocol in protocols:
                yield (str(service.reference), protocol, host, text), 1


def layer2_readings(
    core: Layer2Machine,
    owned: Collection[IPAddress],
    conflicts: Mapping[IPAddress, AddressConflict],
    links: Mapping[str, bool],
    packet_errors: int,
) -> Iterator[Reading]:
    """Layer 2; `links` are the interfaces that are spoken on, and whether each is isolated."""
    traffic = core.traffic
    yield many(REQUESTS, (((str(each.address),), each.requests) for each in traffic()))
    yield many(RESPONSES, (((str(each.address),), each.replies) for each in traffic()))
    yield many(GRATUITOUS, (((str(each.address),), each.announcements) for each in traffic()))
    counts, drops, neighbors = core.counters(), core.drops(), core.neighbors()
    for metric, name in _COUNTED.items():
        yield one(metric, counts.get(name, 0))
    yield many(VIP_CLAIMS, (((reason.name.lower(),), counts.get(name, 0)) for name, reason in _CLAIMS.items()))
    yield many(FRAMES_SENT, (((kind,), counts.get(name, 0)) for name, kind in _SENT.items()))
    yield many(FRAMES_DROPPED, (((reason.name.lower(),), drops.get(reason, 0)) for reason in (*Drop, *Ignored)))
    yield one(PACKET_ERRORS, packet_errors)
    yield one(VIP_OWNED, len(owned))
    yield many(VIP_CONFLICTS, (((str(each.address), each.interface), 1) for each in tuple(conflicts.values())))
    failed = {name: neighbors[name] is Reachability.FAILED for name in sorted(neighbors)}
    yield many(HOST_FAILED, (((name,), is_failed) for name, is_failed in failed.items()))
    yield many(LINK_ISOLATED, (((name,), links[name]) for name in sorted(links)))


def watch_readings(watched: Mapping[IPAddress, str], reached: Collection[IPAddress]) -> Iterator[Reading]:
    """The hosts that BFD watches, and those it reaches by one of their addresses at least."""
    up = dict.fromkeys(sorted(watched.values()), False)
    for address in reached:
        if address in watched:
            up[watched[address]] = True
    yield many(HOST_WATCHED, (((host,), is_up) for host, is_up in up.items()))


@dataclass(slots=True)
class _PeerState:
    """What is told of one peer; of several sessions to it the worst and the sum."""

    is_up: bool = True
    is_bfd_up: bool | None = None
    prefixes: int = 0
    updates: int = 0


def bird_readings(
    wanted: BirdConfig | None,
    state: BirdState,
    outcomes: Counter[ApplyOutcome | None],
    *,
    is_refused: bool,
    faults: Iterable[SessionFault],
) -> Iterator[Reading]:
    """BIRD, and the sessions it is to have; one that it does not have is down."""
    yield one(BIRD_UP, state.status is not None)
    yield one(BIRD_REFUSED, is_refused)
    counted = {outcome.value: outcomes[outcome] for outcome in ApplyOutcome} | {"failed": outcomes[None]}
    yield many(BIRD_CONFIGURATIONS, (((outcome,), number) for outcome, number in counted.items()))
    yield many(SESSION_FAULTS, (((fault.session, fault.reason), 1) for fault in set(faults)))
    peers = _peers(wanted.sessions if wanted else (), state)
    for metric in (BGP_UP, SESSION_UP):
        yield many(metric, ((peer, told.is_up) for peer, told in peers.items()))
    yield many(BGP_UPDATES, ((peer, told.updates) for peer, told in peers.items()))
    yield many(BGP_PREFIXES, ((peer, told.prefixes) for peer, told in peers.items()))
    guarded = {peer: told.is_bfd_up for peer, told in peers.items() if told.is_bfd_up is not None}
    yield many(SESSION_BFD_UP, ((peer, is_up) for peer, is_up in guarded.items()))
    by_address = {(_without_port(peer), vrf): is_up for (peer, vrf), is_up in guarded.items()}
    yield many(BFD_UP, ((peer, is_up) for peer, is_up in by_address.items()))


def _peers(sessions: Iterable[Session], state: BirdState) -> Mapping[tuple[str, str], _PeerState]:
    """What BIRD says of each peer, by MetalLB's labels; an unnumbered one is known by its interface."""
    reached = {session.address for session in state.bfd if session.is_up}
    by_name: dict[str, list[BgpSession]] = {}
    for reported in state.bgp:
        by_name.setdefault(reported.name, []).append(reported)
    peers: dict[tuple[str, str], _PeerState] = {}
    for session in sessions:
        told = by_name.get(session.name, [])
        up = [each for each in told if each.is_established]
        peer = peers.setdefault((_peer(session), session.vrf or DEFAULT_VRF), _PeerState())
        peer.is_up &= bool(up)
        if session.bfd is not None:
            addresses = {each.address for each in up} or {str(session.neighbor)}
            peer.is_bfd_up = peer.is_bfd_up is not False and addresses <= reached
        peer.prefixes += sum(channel.exported for each in told for channel in each.channels)
        peer.updates += sum(channel.told for each in told for channel in each.channels)
    return peers


def _peer(session: Session) -> str:
    if session.neighbor is None:
        return session.interface
    interface = session.bound_interface
    address = f"{session.neighbor}%{interface}" if interface else str(session.neighbor)
    return f"[{address}]:{session.port}" if session.neighbor.version == 6 else f"{address}:{session.port}"


def _without_port(peer: str) -> str:
    address, colon, _ = peer.rpartition(":")
    return address.strip("[]") if colon else peer
