"""Following a thing for ever: what it shows is taken, its failures are retried with back-off."""

from collections.abc import AsyncIterator, Callable
from typing import NoReturn, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

log = structlog.get_logger()
T = TypeVar("T")


async def follow(
    name: str,
    watch: Callable[[], AsyncIterator[T]],
    take: Callable[[T], None],
    failure: type[Exception],
    on_failure: Callable[[], None] = lambda: None,
) -> NoReturn:
    """Hand every item of a watch to `take`; where the watch fails, say so and begin again; never returns."""
    while True:
        started = await _open(name, watch, failure, on_failure)
        try:
            async for item in started:
                take(item)
        except failure as error:
            log.warning("watch_failed", watch=name, error=str(error))
            on_failure()


async def _open(
    name: str, watch: Callable[[], AsyncIterator[T]], failure: type[Exception], on_failure: Callable[[], None]
) -> AsyncIterator[T]:
    """A watch that has shown its first item, however long that takes."""

    def report(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("watch_unavailable", watch=name, attempt=state.attempt_number, error=str(error))
        on_failure()

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(failure), wait=wait_exponential_jitter(0.05, 5.0, jitter=0.1), before_sleep=report
    )
    return await retrying(_first_shown, watch)


async def _first_shown(watch: Callable[[], AsyncIterator[T]]) -> AsyncIterator[T]:
    opened = watch()
    first = await anext(opened)

    async def shown() -> AsyncIterator[T]:
        yield first
        async for item in opened:
            yield item

    return shown()
