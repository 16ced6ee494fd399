"""Feeds made at once."""

from collections.abc import Iterable

from appliance.api.kind import Object
from appliance.desired.feed import Feed, updated


def feed_of(objects: Iterable[Object]) -> Feed:
    """What a host knows that was told these objects, of whatever kinds."""
    return updated(Feed(), objects, ())
