"""What the agent says over its control socket."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from appliance.api.address import IPAddress
from appliance.api.pierhead import SessionStatus, VirtualIP
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
from appliance.desired.decide import Desired, VipDecision
from appliance.desired.feed import Feed
from appliance.l2 import verdict as l2


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Everything the answer is made of."""

    host: str
    version: str
    labels: Mapping[str, str]
    feed: Feed
    feed_status: FeedStatus
    desired: Desired | None
    holdings: Mapping[IPAddress, l2.Holding]
    states: Mapping[str, l2.HostState]
    conflicts: Mapping[IPAddress, l2.Conflict]
    isolated: bool
    drained: bool
    bird: BirdStatus
    bgp_sessions: tuple[SessionStatus, ...]
    bfd_sessions: tuple[SessionStatus, ...]


def agent_status(known: Known) -> AgentStatus:
    """The whole status."""
    return AgentStatus(
        host=known.host,
        version=known.version,
        feed=known.feed_status,
        drained=known.drained,
        isolated=known.isolated,
        fellows=tuple(_fellows(known)),
        vips=tuple(verdict(vip, known) for vip in known.feed.vips.values()),
        bgp_sessions=known.bgp_sessions,
        bfd_sessions=known.bfd_sessions,
        bird=known.bird,
    )


def verdict(vip: VirtualIP, known: Known) -> VirtualIPVerdict:
    """What this host does for one VIP, and why."""
    address = vip.spec.address
    stranger = known.conflicts.get(address)
    return VirtualIPVerdict(
        address=address,
        pool=vip.spec.pool,
        services=tuple(str(service.reference) for service in vip.spec.services),
        layer2=_layer2(vip, known.holdings.get(address)),
        bgp=_bgp(known.desired.vips.get(address) if known.desired else None),
        conflict=f"{stranger.hardware_address.hex(':')} on {stranger.interface}" if stranger else None,
    )


def _fellows(known: Known) -> Iterator[Fellow]:
    fellows = known.desired.layer2.fellows if known.desired else {}
    for name, fellow in sorted(fellows.items()):
        state = known.states.get(name, l2.HostState.UNKNOWN)
        yield Fellow(name=name, state=HostState(state.value), drained=fellow.draining)


def _layer2(vip: VirtualIP, holding: l2.Holding | None) -> Layer2Verdict | None:
    if vip.spec.layer2 is None or holding is None:
        return None
    return Layer2Verdict(
        role=Role(holding.role.value),
        reason=holding.reason.value,
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
