"""The feed as this agent has it: live from the store, or from the disk when nobody can be asked."""

import time

import structlog

from appliance.api.core import Secret
from appliance.api.kind import Object
from appliance.api.metallb import BFDProfile, BGPPeer
from appliance.control.message import FeedStatus
from appliance.desired.feed import Feed, feed_of
from appliance.host.cache import CacheError, FeedCache
from appliance.store.protocol import Snapshot

log = structlog.get_logger()


class Intake:
    """Takes snapshots; a broken one never replaces what is good, and none at all changes nothing."""

    def __init__(self, cache: FeedCache) -> None:
        self._cache = cache
        self._objects: tuple[Object, ...] = ()
        self._source = "none"
        self._revision = ""
        self._problems: tuple[str, ...] = ()
        self._heard = time.monotonic()
        self.feed = Feed()

    def load(self) -> None:
        """Begin with what the disk remembers."""
        try:
            self._objects = self._cache.load()
        except CacheError as error:
            log.warning("cache_not_read", error=str(error))
        if self._objects:
            self._source = "cache"
            self.feed = feed_of(self._objects)
            log.info("feed_from_cache", objects=len(self._objects))

    def take(self, snapshot: Snapshot) -> None:
        """Take the site's latest picture."""
        objects = tuple(snapshot.objects.values())
        if not snapshot.complete:
            objects = (*(o for o in objects if not _is_written_by_operators(o)), *self._operators_objects())
        problems = tuple(str(problem) for problem in snapshot.problems)
        if problems != self._problems:
            log.warning("feed_has_problems", problems=list(problems))
        self._objects, self._problems = objects, problems
        self._source, self._revision, self._heard = "live", snapshot.revision, time.monotonic()
        self.feed = feed_of(objects)

    def lose(self) -> None:
        """The site cannot be asked; what it said last stays true."""
        if self._source == "live":
            self._source = "cache"
            log.warning("feed_lost", revision=self._revision)

    def save(self) -> None:
        """Bring the disk to what is acted upon."""
        try:
            self._cache.save(self._objects)
        except CacheError as error:
            log.warning("cache_not_written", error=str(error))

    def status(self) -> FeedStatus:
        """Where the feed comes from and how old it is; a live one is as old as the last moment it was not lost."""
        age = 0.0 if self._source == "live" else time.monotonic() - self._heard
        return FeedStatus(
            source=self._source, revision=self._revision, age_seconds=round(age, 1), problems=self._problems
        )

    def _operators_objects(self) -> tuple[Object, ...]:
        return tuple(manifest for manifest in self._objects if _is_written_by_operators(manifest))


def _is_written_by_operators(manifest: Object) -> bool:
    return isinstance(manifest, BGPPeer | BFDProfile | Secret)
