"""The feed as a host has it: live from the store, or from the disk when nobody can be asked."""

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum
from typing import NoReturn

import structlog

from appliance.api.kind import Object
from appliance.host.cache import CacheError, FeedCache

log = structlog.get_logger()

_PACE_SECONDS = 0.02


class FeedSource(StrEnum):
    """Where the feed that is acted upon comes from."""

    NONE = "none"
    CACHE = "cache"
    LIVE = "live"


class Intake:
    """The latest objects, remembered on disk; a store that cannot be asked changes nothing but their age."""

    def __init__(self, cache: FeedCache, on_saved: Callable[[tuple[Object, ...]], None] = lambda _: None) -> None:
        self._cache = cache
        self._on_saved = on_saved
        self._heard = time.monotonic()
        self._is_new = asyncio.Event()
        self.objects: tuple[Object, ...] = ()
        self.source = FeedSource.NONE
        self.revision = ""
        self.problems: tuple[str, ...] = ()

    @property
    def age_seconds(self) -> float:
        """How long nobody confirmed the feed."""
        return 0.0 if self.source is FeedSource.LIVE else round(time.monotonic() - self._heard, 1)

    def load(self) -> None:
        """Begin with what the disk remembers."""
        try:
            self.objects = self._cache.load()
        except CacheError as error:
            log.warning("cache_not_read", error=str(error))
        if self.objects:
            self.source = FeedSource.CACHE
            log.info("feed_from_cache", objects=len(self.objects))

    def take(self, objects: tuple[Object, ...], revision: str, problems: tuple[str, ...]) -> None:
        """Take the site's latest picture, and say what is wrong with it where that is new."""
        if problems and problems != self.problems:
            log.warning("feed_has_problems", problems=list(problems))
        self.objects, self.revision, self.problems = objects, revision, problems
        self.source, self._heard = FeedSource.LIVE, time.monotonic()
        self._is_new.set()

    def lose(self) -> None:
        """The site cannot be asked; what it said last stays true."""
        if self.source is FeedSource.LIVE:
            self.source, self._heard = FeedSource.CACHE, time.monotonic()
            log.warning("feed_lost", revision=self.revision)

    async def save_for_ever(self) -> NoReturn:
        """Bring the disk to what is acted upon soon after it changed, in at most a tenth of the processor's time."""
        while True:
            await self._is_new.wait()
            self._is_new.clear()
            began, objects = time.process_time(), self.objects
            # The one thread: a disk may take a tenth of a second to say that it has the file, and ARP waits for nobody.
            if await asyncio.to_thread(self._save, objects):
                self._on_saved(objects)
            await asyncio.sleep(max(_PACE_SECONDS, 9 * (time.process_time() - began)))

    def _save(self, objects: tuple[Object, ...]) -> bool:
        try:
            self._cache.save(objects)
        except CacheError as error:
            log.warning("cache_not_written", error=str(error))
            return False
        return True
