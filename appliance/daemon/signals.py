"""How a host's program ends: SIGTERM and SIGINT stop it for good, SIGUSR1 ends it for a restart."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from enum import Enum

import structlog

log = structlog.get_logger()

# systemd's TimeoutStopSec must be longer.
LEAVE_SECONDS = 10.0


class Ending(Enum):
    """What a program was told to end for."""

    STOP = "stop"
    RESTART = "restart"


_SIGNALS = {signal.SIGTERM: Ending.STOP, signal.SIGINT: Ending.STOP, signal.SIGUSR1: Ending.RESTART}


async def _leave_nothing() -> None:
    """A program whose work goes on without it."""


async def run_until_ended(
    main: Coroutine[object, object, None],
    leave: Callable[[], Coroutine[object, object, None]] = _leave_nothing,
    leave_seconds: float = LEAVE_SECONDS,
) -> None:
    """Run `main` until a signal ends it; its own failure is raised.

    Told to stop for good, a program first leaves: `leave` runs beside `main`, for `leave_seconds` at most, or until a
    second signal. Ended for a restart it leaves nothing.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[Ending] = asyncio.Queue()
    for number, ending in _SIGNALS.items():
        loop.add_signal_handler(number, told.put_nowait, ending)
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(main, name="main")
            ended = group.create_task(_end(running, told, leave, leave_seconds), name="signals")
            await asyncio.wait((running,))
            ended.cancel()
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _end(
    running: asyncio.Task[None],
    told: asyncio.Queue[Ending],
    leave: Callable[[], Coroutine[object, object, None]],
    leave_seconds: float,
) -> None:
    """Wait for a signal, leave where it asks for that, then cancel the program."""
    ending = await told.get()
    log.info("program_ends", ending=ending.value)
    if ending is Ending.STOP:
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(leave(), name="leave")
            again = group.create_task(told.get(), name="second-signal")
            _, unfinished = await asyncio.wait(
                (leaving, again), timeout=leave_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if leaving in unfinished:
                log.warning("leaving_cut_short", by="signal" if again.done() else "time")
            for task in unfinished:
                task.cancel()
    running.cancel()
