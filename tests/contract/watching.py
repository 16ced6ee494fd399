"""Watches in tests: closed at the end, and never waited for without a deadline."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import cast

from appliance.api.kind import Kind, Object, ref_of
from appliance.api.meta import Ref
from appliance.api.problem import Problem
from appliance.store.protocol import Changes, Store

DEADLINE_SECONDS = 60.0


class Picture:
    """What the batches of a watch add up to."""

    def __init__(self) -> None:
        self.objects: dict[Ref, Object] = {}
        self.unreadable: frozenset[Ref] = frozenset()
        self.problems: tuple[Problem, ...] = ()
        self.is_complete = True
        self.listed: frozenset[Kind] = frozenset()

    def take(self, changes: Changes) -> None:
        """Take a batch in."""
        self.objects.update((ref_of(manifest), manifest) for manifest in changes.changed)
        for ref in changes.removed:
            self.objects.pop(ref, None)
        self.listed |= changes.listed
        if changes.unreadable is not None:
            self.unreadable = changes.unreadable
        if changes.problems is not None:
            self.problems = changes.problems
        if changes.is_complete is not None:
            self.is_complete = changes.is_complete


class Watch:
    """A watch, the batches it gave and what they add up to."""

    def __init__(self, changes: AsyncIterator[Changes]) -> None:
        self._changes = changes
        self.batches: list[Changes] = []
        self.picture = Picture()

    @property
    def objects(self) -> dict[Ref, Object]:
        """The objects told and not removed."""
        return self.picture.objects

    async def next(self) -> Changes:
        """The next batch."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            batch = await anext(self._changes)
        self.batches.append(batch)
        self.picture.take(batch)
        return batch

    async def next_after(self, write: Awaitable[Object]) -> tuple[str, ...]:
        """The names in the batch that follows a write, which holds the object as the write returned it."""
        stored = await write
        batch = await self.next()
        assert stored in batch.changed
        return tuple(each.metadata.name for each in batch.changed)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Take batches until something holds."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not holds():
                await self.next()


@asynccontextmanager
async def watching(store: Store, kinds: frozenset[Kind]) -> AsyncIterator[Watch]:
    """A watch that ends with the block, all that is present told already."""
    async with aclosing(cast(AsyncGenerator[Changes], store.watch(kinds))) as changes:
        watch = Watch(changes)
        await watch.until(lambda: watch.picture.listed >= kinds)
        yield watch
