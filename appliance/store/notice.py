"""News of a folder: the kernel's notices, and a look at everything now and then for what they leave out."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from watchfiles import awatch

from appliance.store.layout import Layout
from appliance.store.protocol import Refusal, StoreError
from appliance.store.tree import Tree

# Seen with these: a change arrives after 6 ms (worst of 40: 11 ms) at half a percent of a core.
_STEP_MILLISECONDS = 5
_BURST_MILLISECONDS = 50
_TICK_MILLISECONDS = 100
_REFRESH_SECONDS = 10.0


async def settled(tree: Tree) -> None:
    """Look at everything, and again at files in doubt until none is left."""
    await tree.refresh()
    # What is waited for is that nothing happens.
    while (wait := tree.look_again()) is not None:  # noqa: ASYNC110
        await asyncio.sleep(wait)


async def folder_changes(tree: Tree, layout: Layout) -> AsyncGenerator[None]:
    """Yields after every look at something that may have changed, and at least ten times a second."""
    is_due, due = True, 0.0
    async with contextlib.aclosing(_notices(layout)) as notices:
        async for paths in notices:
            tree.check_root()
            if is_due or time.monotonic() >= due:
                await tree.refresh()
                due = time.monotonic() + _REFRESH_SECONDS
            for path in sorted(paths):
                if layout.is_manifest(path):
                    tree.look(path)
            tree.look_again()
            # A notice of a folder, or of a hidden link to one, says nothing of the files that came with it.
            is_due = any(_is_more_than_a_file(path) for path in paths if not layout.is_manifest(path))
            if is_due:
                await tree.refresh()
            tree.heard = time.monotonic()
            yield


def _is_more_than_a_file(path: str) -> bool:
    return Path(path).is_symlink() or not Path(path).is_file()


async def _notices(layout: Layout) -> AsyncGenerator[frozenset[str]]:
    """Paths the kernel told of, none where it is silent for a tick."""
    unavailable = StoreError(Refusal.UNAVAILABLE, layout.root, "it cannot be watched")
    ignored = (layout.lock, layout.next)
    changes = awatch(
        layout.root,
        watch_filter=lambda _, path: path not in ignored,
        debounce=_BURST_MILLISECONDS,
        step=_STEP_MILLISECONDS,
        rust_timeout=_TICK_MILLISECONDS,
        yield_on_timeout=True,
    )
    try:
        async for burst in changes:
            yield frozenset(path for _, path in burst)
    except (OSError, RuntimeError) as error:
        raise unavailable from error
    raise unavailable
