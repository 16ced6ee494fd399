"""What the agent says over its control socket."""

from collections.abc import Iterable, Iterator

from appliance.api.pierhead import SessionStatus, VirtualIP
from appliance.control.message import (
    BGPVerdict,
    Layer2Verdict,
    Neighbor,
    NeighborState,
    Role,
    Session,
    SessionKind,
    VirtualIPVerdict,
)
from appliance.desired.decide import VipDecision
from appliance.l2 import verdict as l2
from appliance.l2.plan import Fellow

_STATES = {
    l2.HostState.UNKNOWN: NeighborState.UNKNOWN,
    l2.HostState.ALIVE: NeighborState.REACHABLE,
    l2.HostState.SUSPECT: NeighborState.PROBE,
    l2.HostState.AGENT_DOWN: NeighborState.AGENT_DOWN,
    l2.HostState.DEAD: NeighborState.FAILED,
}


def neighbor(fellow: Fellow, state: l2.HostState, isolated: bool) -> Neighbor:
    """A fellow host as seen from here; a host that hears nobody cannot tell who is dead."""
    told = _STATES[state]
    if isolated and told is NeighborState.FAILED:
        told = NeighborState.UNKNOWN
    return Neighbor(name=fellow.name, state=told, drained=fellow.draining)


def sessions(kind: SessionKind, statuses: Iterable[SessionStatus]) -> Iterator[Session]:
    """BIRD's sessions of one protocol as clients read them."""
    for status in statuses:
        yield Session(
            kind=kind,
            name=status.name,
            peer=status.peer,
            state=status.state,
            since=status.since,
            message=status.message,
        )


def verdict(
    vip: VirtualIP, holding: l2.Holding | None, decided: VipDecision | None, conflict: l2.Conflict | None
) -> VirtualIPVerdict:
    """What this host does for one VIP, and why."""
    return VirtualIPVerdict(
        address=vip.spec.address,
        pool=vip.spec.pool,
        services=tuple(str(service.reference) for service in vip.spec.services),
        layer2=_layer2(vip, holding, decided),
        bgp=_bgp(decided),
        conflict=f"{conflict.hardware_address.hex(':')} on {conflict.interface}" if conflict else None,
    )


def _layer2(vip: VirtualIP, holding: l2.Holding | None, decided: VipDecision | None) -> Layer2Verdict | None:
    if vip.spec.layer2 is None or holding is None:
        return None
    refusal = decided.refusal if decided else None
    return Layer2Verdict(
        role=Role(holding.role.value),
        reason=refusal.value if refusal else holding.reason.value,
        owner=holding.owner,
        interfaces=vip.spec.layer2.interfaces,
    )


def _bgp(decided: VipDecision | None) -> BGPVerdict | None:
    if decided is None:
        return None
    decision = decided.bgp
    return BGPVerdict(
        announced=decision.is_announced,
        reason=decision.reason.value,
        prefixes=tuple(str(entry.prefix) for entry in decision.announcements),
        peers=tuple(sorted({peer for entry in decision.announcements for peer in entry.peers})),
    )
