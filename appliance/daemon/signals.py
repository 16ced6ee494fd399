"""A host's program and signals: SIGTERM and SIGINT stop it for good, SIGUSR1 ends it for a restart, SIGHUP reloads."""

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
    *,
    on_end: Callable[[Ending], None] = lambda _: None,
    reload: Callable[[], None] | None = None,
) -> None:
    """Run `main` until a signal ends it; its own failure is raised.

    Told to stop for good, a program first leaves: `leave` runs beside `main`, for `leave_seconds` at most, or until a
    second signal. Ended for a restart it leaves nothing. `on_end` hears which it is before anything of that is done. A
    program without `reload` takes SIGHUP as every program does.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[Ending] = asyncio.Queue()
    for number, ending in _SIGNALS.items():
        loop.add_signal_handler(number, told.put_nowait, ending)
    if reload is not None:
        loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(main, name="main")
            ended = group.create_task(_end(running, told, leave, leave_seconds, on_end), name="signals")
            await asyncio.wait((running,))
            ended.cancel()
    finally:
        for number in (*_SIGNALS, *((signal.SIGHUP,) if reload is not None else ())):
            loop.remove_signal_handler(number)


async def _end(
    running: asyncio.Task[None],
    told: asyncio.Queue[Ending],
    leave: Callable[[], Coroutine[object, object, None]],
    leave_seconds: float,
    on_end: Callable[[Ending], None],
) -> None:
    """Wait for a signal, leave where it asks for that, then cancel the program."""
    ending = await told.get()
    log.info("program_ends", ending=ending.value)
    on_end(ending)
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
