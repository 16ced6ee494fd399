"""Watches in tests: closed at the end, and never waited for without a deadline."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import cast

from appliance.api.kind import Kind
from appliance.store.protocol import Snapshot, Store

DEADLINE_SECONDS = 10.0


@asynccontextmanager
async def watching(store: Store, kinds: frozenset[Kind]) -> AsyncIterator[AsyncIterator[Snapshot]]:
    """A watch that ends with the block."""
    async with aclosing(cast(AsyncGenerator[Snapshot], store.watch(kinds))) as snapshots:
        yield snapshots


async def next_with(snapshots: AsyncIterator[Snapshot], is_wanted: Callable[[Snapshot], bool]) -> Snapshot:
    """The next snapshot of some kind; those before it are passed over."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for snapshot in snapshots:
            if is_wanted(snapshot):
                return snapshot
    raise AssertionError("the watch ended")
