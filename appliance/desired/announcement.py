"""Which routes of the feed this host announces over BGP, and why not the others."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from appliance.api.community import CommunityNumber
from appliance.api.label import any_matches
from appliance.api.pierhead import Route, VirtualIP
from appliance.bird.model import AnnouncedRoute, Drain


class BGPReason(StrEnum):
    """What became of a VIP on BGP."""

    ANNOUNCED = "announced"
    LAST_CHOICE = "announced as the last choice: this host is draining"
    NO_ADVERTISEMENT = "no BGP advertisement covers it, or it has no endpoint"
    HOST_NOT_SELECTED = "the advertisement's node selectors leave this host out"
    HOST_NOT_LISTED = "this host has no endpoint of it, or is excluded"
    NOT_FORWARDED = "this host's forwarder has no rules for it yet"
    NO_SESSION = "no BGP peer of the advertisement is for this host, or its session is at fault"
    WITHDRAWN = "withdrawn: this host is drained"


@dataclass(frozen=True, slots=True)
class BGPDecision:
    """What this host announces of one VIP."""

    reason: BGPReason
    announcements: tuple[AnnouncedRoute, ...] = ()

    @property
    def is_announced(self) -> bool:
        """Whether routers hear of the VIP from this host."""
        return self.reason in (BGPReason.ANNOUNCED, BGPReason.LAST_CHOICE)


@dataclass(frozen=True, slots=True)
class Announcer:
    """The host that decides: its name and labels, the names of its BGP sessions, how far it is drained."""

    name: str
    labels: Mapping[str, str]
    sessions: frozenset[str]
    drain: Drain = Drain.NONE


def announce(vip: VirtualIP, announcer: Announcer) -> BGPDecision:
    """Decide one VIP."""
    if not vip.spec.bgp:
        return BGPDecision(BGPReason.NO_ADVERTISEMENT)
    refusals = [_refusal(route, announcer) for route in vip.spec.bgp]
    admitted = tuple(_announcement(route) for route, refusal in zip(vip.spec.bgp, refusals, strict=True) if not refusal)
    if not admitted:
        return BGPDecision(_nearest(refusals))
    match announcer.drain:
        case Drain.NONE:
            return BGPDecision(BGPReason.ANNOUNCED, admitted)
        case Drain.LAST_CHOICE:
            return BGPDecision(BGPReason.LAST_CHOICE, admitted)
        case Drain.WITHDRAWN:
            return BGPDecision(BGPReason.WITHDRAWN)


def order_of(entry: AnnouncedRoute) -> tuple[object, ...]:
    """A key that puts announcements into one order on every host, two different ones never at the same place."""
    prefix = entry.prefix
    place = prefix.version, int(prefix.network_address), prefix.prefixlen
    return *place, entry.peers, entry.local_preference, entry.communities


def _refusal(route: Route, announcer: Announcer) -> BGPReason | None:
    if not any_matches(route.node_selectors, announcer.labels):
        return BGPReason.HOST_NOT_SELECTED
    if route.hosts is not None and announcer.name not in route.hosts:
        return BGPReason.HOST_NOT_LISTED
    if not announcer.sessions or (route.peers and announcer.sessions.isdisjoint(route.peers)):
        return BGPReason.NO_SESSION
    return None


def _nearest(reasons: Collection[BGPReason | None]) -> BGPReason:
    """The reason of the route that came furthest."""
    for reason in (BGPReason.NO_SESSION, BGPReason.HOST_NOT_LISTED):
        if reason in reasons:
            return reason
    return BGPReason.HOST_NOT_SELECTED


def _announcement(route: Route) -> AnnouncedRoute:
    return AnnouncedRoute(route.prefix, route.local_preference, _communities(route), tuple(sorted(route.peers)))


def _communities(route: Route) -> tuple[CommunityNumber, ...]:
    return tuple(sorted(set(route.communities)))
