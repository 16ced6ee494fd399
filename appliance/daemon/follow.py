"""Following a thing for ever: what it shows is taken, its failures are retried with back-off."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import NoReturn, TypeVar

import structlog

log = structlog.get_logger()
T = TypeVar("T")

_FIRST_SECONDS = 0.05
_LONGEST_SECONDS = 2.0


async def follow(
    name: str,
    watch: Callable[[], AsyncIterator[T]],
    take: Callable[[T], None],
    failure: type[Exception],
    on_failure: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Hand every item of a watch to `take`; where the watch fails or ends, begin again; never returns."""
    wait, was_said = _FIRST_SECONDS, False
    while True:
        reason = "it ended"
        items = watch()
        try:
            async for item in items:
                wait, was_said = _FIRST_SECONDS, False
                take(item)
        except failure as error:
            reason = str(error)
        finally:
            if isinstance(items, AsyncGenerator):
                await items.aclose()
        if not was_said:
            log.warning("watch_lost", watch=name, reason=reason)
            was_said = True
        on_failure()
        # Hosts that lost the same thing at once are not to ask for it at once.
        await asyncio.sleep(wait * random.uniform(0.75, 1.25))
        wait = min(2 * wait, _LONGEST_SECONDS)
