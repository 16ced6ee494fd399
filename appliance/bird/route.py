"""Which routes a session announces."""

from collections.abc import Iterable
from dataclasses import replace

from appliance.api.address import Family, IPNetwork
from appliance.bird.model import Announcement, Session


def in_order(announcements: Iterable[Announcement]) -> list[Announcement]:
    """Announcements by prefix, and for one prefix in an order that does not depend on how they came."""
    return sorted(announcements, key=_order)


def routes(announcements: Iterable[Announcement], session: Session, family: Family) -> list[Announcement]:
    """One route for each prefix: communities united, the highest local preference; keeps the given order."""
    merged: dict[IPNetwork, Announcement] = {}
    for announcement in announcements:
        if announcement.prefix.version == family and (not announcement.peers or session.name in announcement.peers):
            other = merged.get(announcement.prefix)
            merged[announcement.prefix] = announcement if other is None else _merge(other, announcement)
    return list(merged.values())


def _merge(one: Announcement, other: Announcement) -> Announcement:
    return replace(
        one,
        local_preference=max(one.local_preference, other.local_preference),
        communities=tuple(sorted({*one.communities, *other.communities})),
    )


def _order(announcement: Announcement) -> tuple[int, int, int, int, tuple[object, ...], tuple[str, ...]]:
    prefix = announcement.prefix
    return (
        prefix.version,
        int(prefix.network_address),
        prefix.prefixlen,
        announcement.local_preference,
        announcement.communities,
        announcement.peers,
    )
