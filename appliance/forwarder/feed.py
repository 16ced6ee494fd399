"""The feed as this forwarder has it: live from the store, or from the disk when nobody can be asked."""

import time
from collections.abc import Iterator
from typing import TypeVar

import structlog

from appliance.api.kind import Kind, Object
from appliance.api.pierhead import Backends, Host, VirtualIP
from appliance.control.message import FeedStatus
from appliance.host.cache import CacheError, FeedCache
from appliance.store.protocol import Snapshot

log = structlog.get_logger()
T = TypeVar("T", VirtualIP, Backends, Host)

FEED_KINDS = frozenset((Kind.VIRTUAL_IP, Kind.BACKENDS, Kind.HOST))


class Intake:
    """Takes snapshots, remembers the last one on disk, and says how old it is."""

    def __init__(self, cache: FeedCache) -> None:
        self._cache = cache
        self._objects: tuple[Object, ...] = ()
        self._source = "none"
        self._revision = ""
        self._problems: tuple[str, ...] = ()
        self._heard = time.monotonic()

    @property
    def is_known(self) -> bool:
        """Whether anything was heard; before that, what is in the kernel stays."""
        return self._source != "none"

    def load(self) -> None:
        """Begin with what the disk remembers."""
        try:
            self._objects = self._cache.load()
        except CacheError as error:
            log.warning("cache_not_read", error=str(error))
        if self._objects:
            self._source = "cache"
            log.info("feed_from_cache", objects=len(self._objects))

    def take(self, snapshot: Snapshot) -> None:
        """Take the site's latest picture."""
        self._objects = tuple(snapshot.objects.values())
        self._problems = tuple(str(problem) for problem in snapshot.problems)
        self._source, self._revision, self._heard = "live", snapshot.revision, time.monotonic()

    def lose(self) -> None:
        """The site cannot be asked; what it said last stays true."""
        if self._source == "live":
            self._source, self._heard = "cache", time.monotonic()
            log.warning("feed_lost", revision=self._revision)

    def save(self) -> None:
        """Bring the disk to what is acted upon."""
        try:
            self._cache.save(self._objects)
        except CacheError as error:
            log.warning("cache_not_written", error=str(error))

    def of(self, kind: type[T]) -> Iterator[T]:
        """The objects of a kind."""
        return (manifest for manifest in self._objects if isinstance(manifest, kind))

    def status(self) -> FeedStatus:
        """Where the feed comes from and how long nobody confirmed it."""
        age = 0.0 if self._source == "live" else time.monotonic() - self._heard
        return FeedStatus(
            source=self._source, revision=self._revision, age_seconds=round(age, 1), problems=self._problems
        )
