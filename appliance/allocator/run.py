"""The allocator as it runs: one watch, one loop that settles, one that counts."""

import asyncio
import contextlib
from datetime import datetime

import structlog

from appliance.allocator.allocator import Allocator
from appliance.allocator.setting import EventSink, LoggedEvents, Settings
from appliance.allocator.tally import write_tallies
from appliance.allocator.view import WATCHED
from appliance.store.picture import snapshots
from appliance.store.protocol import Listing, Store, StoreError

TALLY_SECONDS = 1.0
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.05, 5.0


async def run(store: Store, settings: Settings | None = None, events: EventSink | None = None) -> None:
    """Allocate until cancelled; whatever fails in the store is begun again from what the store then holds."""
    program = _Program(store, settings or Settings(), events or LoggedEvents())
    async with asyncio.TaskGroup() as group:
        group.create_task(program.watch(), name="watch")
        group.create_task(program.settle(), name="settle")
        group.create_task(program.count(), name="count")


class _Program:
    """The three loops and the picture they hand on."""

    def __init__(self, store: Store, settings: Settings, events: EventSink) -> None:
        self._log = structlog.get_logger()
        self._store = store
        self._settings = settings
        self._events = events
        self._allocator = Allocator(store, events, settings)
        self._picture: Listing | None = None
        self._shown = asyncio.Event()
        self._settled = asyncio.Event()
        self._must_look = False
        self._retry_seconds = _FIRST_RETRY_SECONDS

    async def watch(self) -> None:
        """Keep the latest picture."""
        pause = _FIRST_RETRY_SECONDS
        while True:
            try:
                async for picture in snapshots(self._store, WATCHED):
                    self._picture = picture
                    self._shown.set()
                    pause = _FIRST_RETRY_SECONDS
            except StoreError as error:
                self._log.warning("watch_failed", error=str(error), retry_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_RETRY_SECONDS)

    async def settle(self) -> None:
        """Settle every new picture, and after a refusal a fresh one; after a failure know nothing and begin again."""
        while True:
            try:
                await self._allocator.settle(await self._next_picture())
                self._must_look = self._allocator.is_unfinished
            except StoreError as error:
                self._log.warning("store_failed", error=str(error), retry_seconds=self._retry_seconds)
                self._allocator = Allocator(self._store, self._events, self._settings)
                self._must_look = True
            if not self._must_look:
                self._retry_seconds = _FIRST_RETRY_SECONDS
            self._settled.set()

    async def _next_picture(self) -> Listing:
        if self._must_look or self._picture is None:
            await self._pause()
            self._shown.clear()
            return await self._store.list(WATCHED)
        if not await self._is_shown_before(self._allocator.gate.deadline()):
            return await self._store.list(WATCHED)
        self._shown.clear()
        return self._picture

    async def _is_shown_before(self, deadline: datetime | None) -> bool:
        """Wait for a new picture, but no longer than until a moment."""
        seconds = None if deadline is None else max(0.0, (deadline - self._settings.clock()).total_seconds())
        with contextlib.suppress(TimeoutError):
            return await asyncio.wait_for(self._shown.wait(), seconds)
        return False

    async def _pause(self) -> None:
        """Wait for a new picture, but no longer than the present back-off."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._shown.wait(), self._retry_seconds)
        self._retry_seconds = min(self._retry_seconds * 2, _LAST_RETRY_SECONDS)

    async def count(self) -> None:
        """Write the pools' counts after changes, at most once a second."""
        while True:
            await self._settled.wait()
            self._settled.clear()
            try:
                await write_tallies(self._store, self._allocator.view, self._allocator.ledger)
            except StoreError as error:
                self._log.warning("tally_failed", error=str(error))
            await asyncio.sleep(TALLY_SECONDS)
