"""What the agent says over its control socket."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from appliance.api.pierhead import HostInterface, SessionStatus, VirtualIP
from appliance.bird.session import BgpSession
from appliance.control.message import (
    BGPStatus,
    BirdSession,
    ConflictStatus,
    InterfaceStatus,
    Layer2Status,
    NeighborStatus,
    SessionKind,
    VipMove,
    VipTrafficStatus,
    VirtualIPVerdict,
)
from appliance.desired.decide import VipDecision
from appliance.l2.event import (
    ConflictEvidence,
    ConflictSeen,
    HostPlan,
    Reachability,
    Sign,
    VipEvidence,
    VipStatus,
    VipTraffic,
)


def neighbor(host: HostPlan, reachability: Reachability) -> NeighborStatus:
    """Another host as seen from here."""
    return NeighborStatus(name=host.name, state=reachability, drained=host.draining)


def counted(session: BirdSession, told: BgpSession | None, flaps: int) -> BirdSession:
    """A session with what BIRD counts of it."""
    if told is None:
        return replace(session, flaps=flaps)
    return replace(
        session,
        prefixes_sent=sum(channel.exported for channel in told.channels),
        prefixes_accepted=sum(channel.imported for channel in told.channels),
        updates_received=sum(channel.heard for channel in told.channels),
        flaps=flaps,
    )


def interfaces(listed: Iterable[HostInterface]) -> tuple[InterfaceStatus, ...]:
    """Interfaces as clients read them."""
    return tuple(
        InterfaceStatus(
            name=each.name,
            up=each.up,
            hardware_address=each.hardware_address.hex(":") if each.hardware_address else "",
            addresses=tuple(map(str, each.addresses)),
        )
        for each in listed
    )


def sessions(kind: SessionKind, statuses: Iterable[SessionStatus]) -> Iterator[BirdSession]:
    """BIRD's sessions of one protocol as clients read them."""
    for status in statuses:
        yield BirdSession(
            kind=kind,
            name=status.name,
            peer=status.peer,
            state=status.state,
            since=status.since,
            message=status.message,
        )


@dataclass(frozen=True, slots=True)
class VipSeen:
    """What layer 2 holds of a VIP beside its status; `moment` makes a time of the loop's clock RFC 3339 text."""

    moment: Callable[[float], str]
    conflict: ConflictSeen | None = None
    move: VipMove | None = None
    traffic: VipTraffic | None = None
    evidence: ConflictEvidence | None = None


def verdict(vip: VirtualIP, status: VipStatus | None, decided: VipDecision | None, seen: VipSeen) -> VirtualIPVerdict:
    """What this host does for one VIP, and why."""
    conflict, traffic, evidence = seen.conflict, seen.traffic, seen.evidence
    return VirtualIPVerdict(
        address=vip.spec.address,
        pool=vip.spec.pool,
        services=tuple(str(service.reference) for service in vip.spec.services),
        layer2=_layer2(vip, status, decided, seen.move),
        bgp=_bgp(decided),
        conflict=f"{conflict.hardware_address.hex(':')} on {conflict.interface}" if conflict else None,
        last_move=seen.move,
        traffic=VipTrafficStatus(
            requests=traffic.requests, replies=traffic.replies, announcements=traffic.announcements
        )
        if traffic
        else None,
        evidence=ConflictStatus(
            hardware_address=evidence.hardware_address.hex(":"),
            interface=evidence.interface,
            first=seen.moment(evidence.first),
            last=seen.moment(evidence.last),
            count=evidence.count,
        )
        if evidence
        else None,
    )


def _layer2(
    vip: VirtualIP, status: VipStatus | None, decided: VipDecision | None, move: VipMove | None
) -> Layer2Status | None:
    if vip.spec.layer2 is None or status is None:
        return None
    refusal, stored = decided.refusal if decided else None, vip.status.owner
    since = move.time if move and status.owner and move.target == status.owner else ""
    return Layer2Status(
        role=status.role,
        reason=refusal.value if refusal else status.reason.value,
        owner=status.owner,
        interfaces=decided.layer2.interfaces if decided and decided.layer2 else vip.spec.layer2.interfaces,
        candidates=vip.spec.layer2.candidates,
        since=stored.since if stored and stored.host == status.owner else since,
    )


def _bgp(decided: VipDecision | None) -> BGPStatus | None:
    if decided is None:
        return None
    decision = decided.bgp
    return BGPStatus(
        announced=decision.is_announced,
        reason=decision.reason.value,
        prefixes=tuple(str(entry.prefix) for entry in decision.announcements),
        peers=tuple(sorted({peer for entry in decision.announcements for peer in entry.peers})),
    )


def heard(evidence: VipEvidence) -> str:
    """What was heard that moved a VIP, as a sentence."""
    who = evidence.host or ("somebody" if evidence.sign in _OF_HOST else "")
    at = evidence.hardware_address.hex(":") if evidence.hardware_address else ""
    seen = " on ".join(part for part in (at, evidence.interface) if part)
    sentence = f"{who}: {evidence.sign.value}" if who else evidence.sign.value
    known = [seen] if seen else []
    match evidence.sign:
        case Sign.CONTEST:
            known.append(f"{evidence.count} answers")
        case Sign.NO_ANSWER:
            known.append(f"{evidence.count} probes")
        case Sign.OWNER_SILENT | Sign.OWNER_AGENT_DOWN if evidence.seconds is not None:
            known.append(f"for {evidence.seconds:.3f} s")
    return f"{sentence} ({', '.join(known)})" if known else sentence


_OF_HOST = (Sign.CLAIM, Sign.CONTEST, Sign.RELEASE, Sign.OWNER_SILENT, Sign.OWNER_AGENT_DOWN, Sign.OWNER_DENIED)
