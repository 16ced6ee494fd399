"""A host's program as a service: it runs until it is told to stop."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine


async def run_until_stopped(main: Coroutine[object, object, None]) -> None:
    """Run a program until SIGTERM or SIGINT cancels it; its own failure is raised."""
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(main, name="main")
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, running.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await running
