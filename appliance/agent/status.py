"""What the agent says over its control socket."""

from collections.abc import Iterable, Iterator

from appliance.api.pierhead import SessionStatus, VirtualIP
from appliance.control.message import (
    BGPStatus,
    BirdSession,
    Layer2Status,
    NeighborStatus,
    SessionKind,
    VirtualIPVerdict,
)
from appliance.desired.decide import VipDecision
from appliance.l2.event import ConflictSeen, HostPlan, Reachability, Sign, VipEvidence, VipStatus


def neighbor(host: HostPlan, reachability: Reachability) -> NeighborStatus:
    """Another host as seen from here."""
    return NeighborStatus(name=host.name, state=reachability, drained=host.draining)


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


def verdict(
    vip: VirtualIP, status: VipStatus | None, decided: VipDecision | None, conflict: ConflictSeen | None
) -> VirtualIPVerdict:
    """What this host does for one VIP, and why."""
    return VirtualIPVerdict(
        address=vip.spec.address,
        pool=vip.spec.pool,
        services=tuple(str(service.reference) for service in vip.spec.services),
        layer2=_layer2(vip, status, decided),
        bgp=_bgp(decided),
        conflict=f"{conflict.hardware_address.hex(':')} on {conflict.interface}" if conflict else None,
    )


def _layer2(vip: VirtualIP, status: VipStatus | None, decided: VipDecision | None) -> Layer2Status | None:
    if vip.spec.layer2 is None or status is None:
        return None
    refusal = decided.refusal if decided else None
    return Layer2Status(
        role=status.role,
        reason=refusal.value if refusal else status.reason.value,
        owner=status.owner,
        interfaces=decided.layer2.interfaces if decided and decided.layer2 else vip.spec.layer2.interfaces,
        candidates=vip.spec.layer2.candidates,
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
