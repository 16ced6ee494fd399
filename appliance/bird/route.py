"""Which routes a session announces."""

from collections.abc import Iterable
from dataclasses import replace

from appliance.api.address import Family, IPNetwork
from appliance.bird.model import AnnouncedRoute, Session


def in_order(announcements: Iterable[AnnouncedRoute]) -> list[AnnouncedRoute]:
    """Announcements by prefix, and for one prefix in an order that does not depend on how they came."""
    return sorted(announcements, key=_order)


def routes(announcements: Iterable[AnnouncedRoute], session: Session, family: Family) -> list[AnnouncedRoute]:
    """One route for each prefix: communities united, the highest local preference; keeps the given order."""
    merged: dict[IPNetwork, AnnouncedRoute] = {}
    for announcement in announcements:
        if announcement.prefix.version == family and (not announcement.peers or session.name in announcement.peers):
            other = merged.get(announcement.prefix)
            merged[announcement.prefix] = announcement if other is None else _merge(other, announcement)
    return list(merged.values())


def _merge(one: AnnouncedRoute, other: AnnouncedRoute) -> AnnouncedRoute:
    return replace(
        one,
        local_preference=max(one.local_preference, other.local_preference),
        communities=tuple(sorted({*one.communities, *other.communities})),
    )


def _order(announcement: AnnouncedRoute) -> tuple[int, int, int, int, tuple[object, ...], tuple[str, ...]]:
    prefix = announcement.prefix
    return (
        prefix.version,
        int(prefix.network_address),
        prefix.prefixlen,
        announcement.local_preference,
        announcement.communities,
        announcement.peers,
    )
