"""Following a thing for ever."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from appliance.daemon.follow import follow


class TroubleError(Exception):
    """What the thing fails with."""


class Thing:
    """A thing that shows three items a watch, and fails after them until it has been asked often enough."""

    def __init__(self) -> None:
        self.watches = 0
        self.closed = 0

    async def watch(self) -> AsyncGenerator[int]:
        """Nothing at the first time; then items, and an end in one way or the other."""
        self.watches += 1
        try:
            if self.watches == 1:
                raise TroubleError("not there yet")
            for number in range(3):
                yield 10 * self.watches + number
            if self.watches == 2:
                raise TroubleError("lost")
        finally:
            self.closed += 1


class EnoughError(Exception):
    """Ends a test from inside."""


async def test_failures_and_ends_begin_anew() -> None:
    """Every item is taken in order; each failure and each end is told once, and every watch closed."""
    thing = Thing()
    seen: list[int | str] = []

    def take(item: int) -> None:
        seen.append(item)
        if item == 40:
            raise EnoughError

    async with asyncio.timeout(60):
        with pytest.raises(EnoughError):
            await follow("thing", thing.watch, take, TroubleError, lambda: seen.append("lost"))
    assert seen == ["lost", 20, 21, 22, "lost", 30, 31, 32, "lost", 40]
    assert (thing.watches, thing.closed) == (4, 4)


async def test_our_own_mistakes_are_not_retried() -> None:
    """Only the thing's failures are; anything else ends the program."""

    async def watch() -> AsyncGenerator[int]:
        yield 1 // 0

    with pytest.raises(ZeroDivisionError):
        await follow("thing", watch, lambda _: None, TroubleError)
