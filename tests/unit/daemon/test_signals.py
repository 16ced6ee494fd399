"""How a host's program ends."""

import asyncio
import os
import signal

import pytest

from appliance.daemon.signals import Ending, run_until_ended

DEADLINE_SECONDS = 60.0


class Program:
    """A program that notes how it went; its leaving takes until it is let go."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.may_go = asyncio.Event()
        self.is_leaving = asyncio.Event()

    async def run(self, *signals: signal.Signals) -> None:
        """Send this process the signals, one after the other, and run until cancelled."""
        for number in signals:
            os.kill(os.getpid(), number)
            if number is not signals[-1]:
                await self.is_leaving.wait()
        try:
            await asyncio.Event().wait()
        finally:
            self.seen.append("ended")

    async def leave(self) -> None:
        """Hand over, when the test lets it."""
        self.is_leaving.set()
        await self.may_go.wait()
        self.seen.append("left")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_leaves_first_and_then_ends(number: signal.Signals) -> None:
    """What the program carries is handed over while it still works."""
    program = Program()
    program.may_go.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await run_until_ended(program.run(number), program.leave)
    assert program.seen == ["left", "ended"]


async def test_a_restart_leaves_nothing() -> None:
    """SIGUSR1 moves nothing: the program will be back."""
    program = Program()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await run_until_ended(program.run(signal.SIGUSR1), program.leave)
    assert program.seen == ["ended"]


async def test_leaving_is_bounded() -> None:
    """A fellow that never takes over does not keep the program from ending."""
    program = Program()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await run_until_ended(program.run(signal.SIGTERM), program.leave, leave_seconds=0.01)
    assert program.seen == ["ended"]


async def test_a_second_signal_ends_at_once() -> None:
    """Who asks twice does not want to wait."""
    program = Program()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await run_until_ended(program.run(signal.SIGTERM, signal.SIGINT), program.leave, leave_seconds=60)
    assert program.seen == ["ended"]


async def test_a_program_that_fails_is_not_silent() -> None:
    """Its own failure reaches whoever started it, so that it is started again."""

    async def fail() -> None:
        raise RuntimeError("broken")

    with pytest.raises(ExceptionGroup) as failed:
        await run_until_ended(fail())
    assert failed.group_contains(RuntimeError, match="broken")


async def test_signals_are_the_process_own_again_afterwards() -> None:
    """What ran inside a test or a command leaves no handler behind."""
    before = signal.getsignal(signal.SIGUSR1)
    program = Program()
    await run_until_ended(program.run(signal.SIGUSR1))
    assert signal.getsignal(signal.SIGUSR1) == before


async def test_a_reload_ends_nothing() -> None:
    """SIGHUP is heard, as often as it comes, and the program goes on."""
    program, heard = Program(), asyncio.Queue[str]()

    async def main() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await heard.get()
        await program.run(signal.SIGUSR1)

    async with asyncio.timeout(DEADLINE_SECONDS):
        await run_until_ended(main(), program.leave, reload=lambda: heard.put_nowait("reload"))
    assert program.seen == ["ended"]


async def test_the_end_is_heard_before_anything_of_it_is_done() -> None:
    """systemd shows what goes on while a program hands over."""
    program, told = Program(), []
    program.may_go.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await run_until_ended(
            program.run(signal.SIGTERM), program.leave, on_end=lambda ending: told.append((ending, list(program.seen)))
        )
    assert told == [(Ending.STOP, [])]
