"""Following a thing for ever: what it shows is taken, its failures are retried with back-off."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NoReturn, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

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

    def report(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if state.attempt_number == 1:
            log.warning("watch_unavailable", watch=name, error=str(error))
        on_failure()

    while True:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(failure),
            wait=wait_exponential_jitter(_FIRST_SECONDS, _LONGEST_SECONDS, jitter=_FIRST_SECONDS),
            before_sleep=report,
        )
        try:
            await _pass_on(await retrying(_opened, watch), take)
            on_failure()
        except failure as error:
            log.warning("watch_lost", watch=name, error=str(error))
            on_failure()
        # A watch that shows one item and fails, again and again, must not spin.
        await asyncio.sleep(_FIRST_SECONDS)


async def _opened(watch: Callable[[], AsyncIterator[T]]) -> tuple[T, AsyncIterator[T]]:
    """A watch that has shown its first item."""
    items = watch()
    return await anext(items), items


async def _pass_on(opened: tuple[T, AsyncIterator[T]], take: Callable[[T], None]) -> None:
    first, items = opened
    take(first)
    async for item in items:
        take(item)
