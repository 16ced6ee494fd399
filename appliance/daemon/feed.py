"""The feed as a host has it: what the store tells, or what the disk remembers when nobody can be asked.

What is good is never replaced by what is broken. An object that cannot be read keeps its last good version; a store
that cannot be reached changes nothing but the feed's age; an object is gone only where a whole listing leaves it out.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NoReturn, cast

import structlog

from appliance.api.core import Secret
from appliance.api.kind import KINDS_BY_TITLE, Kind, Object, ref_of
from appliance.api.meta import Ref
from appliance.api.pierhead import Backends, BGPSession, Host, VirtualIP
from appliance.control.codec import to_json
from appliance.control.event import EventKind, Events
from appliance.control.message import FeedStatus
from appliance.daemon.cache import FeedCache
from appliance.daemon.database import DatabaseError
from appliance.daemon.follow import follow
from appliance.store.protocol import Changes, Store, StoreError

log = structlog.get_logger()

_SLICE = 100
_PACE_SECONDS = 0.1
RETRY_SECONDS = 5.0
_PROBLEMS_MAX = 100
_OUR_GROUP = "pierhead.io/"


class FeedSource(StrEnum):
    """Where the feed that is acted upon comes from."""

    NONE = "none"
    CACHE = "cache"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class FeedChange:
    """Objects that are new or differ, and the last versions of those that are gone, since the change before."""

    changed: tuple[Object, ...] = ()
    removed: tuple[Object, ...] = ()


Objects = Mapping[Ref, Object]


def everything(change: FeedChange, _told: Objects, _held: Objects) -> FeedChange:
    """Hold what is told."""
    return change


class SiteFeed:
    """The present objects of some kinds, remembered on disk; `on_change` hears what differs, and nothing else.

    `choose` makes the change to what is held from a change to what was told, given all that was told and is held.
    `on_saved` hears when the disk has more of them, `on_status` when `status` may say something new. `updates` counts
    the objects that a store told of, `update_errors` those among them that could not be read.
    """

    def __init__(
        self,
        kinds: frozenset[Kind],
        cache: FeedCache,
        events: Events,
        *,
        on_change: Callable[[FeedChange], None],
        choose: Callable[[FeedChange, Objects, Objects], FeedChange] = everything,
        on_status: Callable[[], None] = lambda: None,
        on_saved: Callable[[], None] = lambda: None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._kinds = kinds
        self._cache = cache
        self._events = events
        self._choose = choose
        self._on_change = on_change
        self._on_status = on_status
        self._on_saved = on_saved
        self._retry_seconds = retry_seconds
        self._objects: dict[Ref, Object] = {}
        self._told: dict[Ref, Object] = {}
        self._is_beginning = True
        self._listing: dict[Ref, Object] | None = {}
        self._listed: frozenset[Kind] = frozenset()
        self._untold: set[Ref] = set()
        self._unreadable: frozenset[Ref] = frozenset()
        self._is_complete = True
        self._problems: tuple[str, ...] = ()
        self._unusable: tuple[Ref, ...] = ()
        self._sum = 0
        self._heard = time.monotonic()
        self._unsaved: dict[Ref, Object | None] = {}
        self._saving: Collection[Ref] = frozenset()
        self._disk_problems: tuple[str, ...] = ()
        self._token_problem = ""
        self._is_new = asyncio.Event()
        self.source = FeedSource.NONE
        self.updates = self.update_errors = 0

    @property
    def objects(self) -> Mapping[Ref, Object]:
        """The objects that are acted upon; a view that stays current."""
        return MappingProxyType(self._objects)

    @property
    def unreadable(self) -> frozenset[Ref]:
        """The objects that cannot be read, of which the last good version is acted upon."""
        return self._unreadable

    def saved(self, ref: Ref) -> Object | None:
        """An object as the disk has it; None where the disk does not have its latest version."""
        return None if ref in self._unsaved or ref in self._saving else self._objects.get(ref)

    def status(self) -> FeedStatus:
        """Where the feed comes from, how long nobody confirmed it, and what is wrong with it.

        The revision is the same on all hosts that hold the same; what hosts say of themselves or of VIPs is left out.
        """
        unreadable = (f"{ref}: cannot be read; what it was before stays" for ref in sorted(self._unreadable))
        unusable = (f"{ref}: what the disk remembers of it cannot be used" for ref in self._unusable)
        token = (self._token_problem,) if self._token_problem else ()
        problems = (*token, *self._disk_problems, *self._problems, *unreadable, *unusable)
        left_out = (f"and {len(problems) - _PROBLEMS_MAX} more",) if len(problems) > _PROBLEMS_MAX else ()
        return FeedStatus(
            source=self.source.value,
            revision=f"{self._sum:016x}" if self.source is not FeedSource.NONE else "",
            age_seconds=0.0 if self.source is FeedSource.LIVE else round(time.monotonic() - self._heard, 1),
            problems=(*problems[:_PROBLEMS_MAX], *left_out),
        )

    def load(self) -> None:
        """Begin with what the disk remembers; blocks, and is for the start."""
        try:
            cached = self._cache.load()
        except DatabaseError as error:
            log.warning("cache_not_read", error=str(error))
            return
        for ref, manifest in cached.objects.items():
            if KINDS_BY_TITLE[ref.kind] in self._kinds:
                self._put(ref, manifest)
        self._told, self._unusable = dict(self._objects), cached.unusable
        self._unsaved = dict.fromkeys(cached.unusable)
        if self._objects:
            self._become(FeedSource.CACHE, f"{len(self._objects)} objects from the disk")
            self._on_saved()
            self._on_change(FeedChange(tuple(self._objects.values())))

    async def follow(self, store: Store) -> NoReturn:
        """Hold what a store says for as long as this runs."""
        await follow("store", lambda: self._told_by(store), self._on_change, StoreError, self.lose)

    async def _told_by(self, store: Store) -> AsyncGenerator[FeedChange]:
        async with aclosing(cast(AsyncGenerator[Changes], store.watch(self._kinds))) as batches:
            async for changes in batches:
                if change := await self.take(changes):
                    yield change

    def choose_again(self) -> None:
        """Hold what is chosen now of what was told, where that is something else than before."""
        change = self._choose(FeedChange(), self._told, self._objects)
        for manifest in change.changed:
            self._put(ref_of(manifest), manifest)
        if self._note_held(change):
            self._on_change(change)

    def lose(self) -> None:
        """The store cannot be asked; what it said last stays true."""
        self._is_beginning, self._listing, self._listed = True, {}, frozenset()
        if self.source is FeedSource.LIVE:
            self._become(FeedSource.CACHE, "the store cannot be asked")

    async def take(self, changes: Changes) -> FeedChange | None:
        """Take what a store tells; None where nothing differs or a listing is not at its end yet."""
        if self._is_beginning:
            self._is_beginning, self._unreadable, self._problems, self._is_complete = False, frozenset(), (), True
        self._note(changes)
        self.updates += len(changes.changed) + len(changes.removed)
        if self._listing is None:
            return await self._fold(changes.changed, changes.removed)
        self._listing.update((ref_of(manifest), manifest) for manifest in changes.changed)
        for ref in changes.removed:
            self._listing.pop(ref, None)
        self._listed |= changes.listed
        if not self._listed >= self._kinds:
            return None
        told, self._listing, self._unusable = self._listing, None, ()
        self._untold = self._told.keys() - told.keys()
        change = await self._fold(told.values(), ())
        self._become(FeedSource.LIVE, f"{len(self._objects)} objects from the store")
        # The first listing is a change even where it confirms every object: whoever waits for the site goes on.
        return change or FeedChange()

    def _note(self, changes: Changes) -> None:
        """Take what is said of the site's mistakes, and say what is new."""
        if changes.is_complete is not None:
            self._is_complete = changes.is_complete
        if changes.unreadable is not None:
            for ref in sorted(changes.unreadable - self._unreadable):
                log.warning("object_not_readable", object=str(ref))
                self.update_errors += 1
            self._unreadable = changes.unreadable
        if changes.problems is not None:
            self._problems = tuple(str(problem) for problem in changes.problems)
            if self._problems:
                log.warning("feed_has_problems", problems=list(self._problems[:_PROBLEMS_MAX]))
        if (changes.unreadable, changes.problems) != (None, None):
            self._on_status()

    async def _fold(self, told: Iterable[Object], removed: Iterable[Ref]) -> FeedChange | None:
        """Take what was told, in slices, and hold what is chosen of it; None where it was held already."""
        changed: list[Object] = []
        for number, manifest in enumerate(told, start=1):
            ref = ref_of(manifest)
            self._untold.discard(ref)
            if self._told.get(ref) != manifest:
                self._told[ref] = manifest
                changed.append(manifest)
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        gone = [ref for ref in (*removed, *(ref for ref in self._untold if not self._stays(ref))) if ref in self._told]
        self._untold.difference_update(gone)
        left = tuple(self._told.pop(ref) for ref in gone)
        if not changed and not left:
            return None
        return await self._hold(self._choose(FeedChange(tuple(changed), left), self._told, self._objects))

    async def _hold(self, change: FeedChange) -> FeedChange | None:
        for number, manifest in enumerate(change.changed, start=1):
            self._put(ref_of(manifest), manifest)
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        return change if self._note_held(change) else None

    def _note_held(self, change: FeedChange) -> bool:
        """Let go what is no longer held; whether anything differs."""
        for manifest in change.removed:
            self._put(ref_of(manifest), None)
        if not change.changed and not change.removed:
            return False
        self._is_new.set()
        self._on_status()
        return True

    def _stays(self, ref: Ref) -> bool:
        """Whether an object that a listing left out may be there all the same."""
        is_ours = KINDS_BY_TITLE[ref.kind].api_version.startswith(_OUR_GROUP)
        return ref in self._unreadable or not (self._is_complete or is_ours)

    def _put(self, ref: Ref, manifest: Object | None) -> None:
        before = self._objects.pop(ref, None) if manifest is None else self._objects.get(ref)
        if manifest is not None:
            self._objects[ref] = manifest
        self._unsaved[ref] = manifest
        for version in (before, manifest):
            self._sum ^= _weight(ref, version) if version is not None else 0

    def _become(self, source: FeedSource, reason: str) -> None:
        if source is not self.source:
            self.source, self._heard = source, time.monotonic()
            self._events.record(EventKind.FEED_CHANGED, source.value, reason)
            self._on_status()

    async def save_for_ever(self) -> NoReturn:
        """Bring the disk to what is acted upon soon after it changed; what the disk does not take is tried again.

        Not at once: what follows from a change comes first, and more may come with it.
        """
        pause = _PACE_SECONDS
        while True:
            await self._is_new.wait()
            await asyncio.sleep(pause)
            self._is_new.clear()
            saving, self._unsaved = self._unsaved, {}
            self._saving = saving.keys()
            try:
                # A disk may take a tenth of a second to say that it has the file, and ARP waits for nobody.
                await asyncio.to_thread(self._cache.save, saving)
            except DatabaseError as error:
                self._unsaved = {**(self._objects if error.is_lost else saving), **self._unsaved}
                self._is_new.set()
                self._take_disk_problems(f"the disk does not take what a restart is to begin with: {error}")
                pause = self._retry_seconds
            else:
                self._take_disk_problems()
                pause = _PACE_SECONDS
            self._saving = frozenset()
            self._on_saved()

    def take_token_problem(self, problem: str) -> None:
        """Hear what is wrong with what this host shows the store, "" where nothing is."""
        self._token_problem = problem
        self._on_status()

    def _take_disk_problems(self, *problems: str) -> None:
        if problems != self._disk_problems:
            self._disk_problems = problems
            for problem in problems:
                log.warning("cache_not_written", problem=problem)
            self._on_status()


def _weight(ref: Ref, manifest: Object) -> int:
    """What an object adds to the revision: what the site wants of it, not what hosts say of it."""
    match manifest:
        case Host() | Secret():
            return 0
        case VirtualIP() | Backends() | BGPSession():
            content = to_json(manifest.spec)
        case _:
            content = manifest.metadata.resource_version.encode()
    return int.from_bytes(hashlib.blake2b(str(ref).encode() + content, digest_size=8).digest(), "big")
