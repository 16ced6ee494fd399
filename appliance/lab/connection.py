"""Connections held open through an event: which end, and how long the others stall."""

import asyncio
from dataclasses import dataclass

from appliance.lab.http import HttpTarget, KeptConnection, NoAnswerError, connect

ASK_SECONDS = 0.25
LOST_SECONDS = 5.0
_OPEN_SECONDS = 5.0
_OPEN_TRIES = 5


@dataclass(slots=True)
class OpenConnection:
    """One open connection: its backend, its longest wait for an answer, when it last had one, and how it ended."""

    channel: KeptConnection
    backend: str
    stall_seconds: float = 0.0
    answered: float = 0.0
    lost: str | None = None

    @property
    def host(self) -> str:
        """The host that the backend stands on."""
        return self.backend.rpartition("-")[0]


class Connections:
    """A number of open connections, each asking a few times a second; lost = an error, or no answer for 5 s."""

    def __init__(self, target: HttpTarget) -> None:
        self.held: list[OpenConnection] = []
        self._target = target
        self._stopped = asyncio.Event()

    async def open(self, count: int) -> None:
        """Open them all; raises NoAnswerError when one cannot be had."""
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self._open(), name=f"open {number}")

    async def run(self) -> None:
        """Ask on every connection until stopped, and then give them all up."""
        try:
            async with asyncio.TaskGroup() as group:
                for number, held in enumerate(self.held):
                    pause = ASK_SECONDS * (1 + number / len(self.held))
                    group.create_task(self._hold(held, pause), name=f"hold {number}")
        finally:
            for held in self.held:
                held.channel.close()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def lost(self) -> list[OpenConnection]:
        """Those that ended."""
        return [held for held in self.held if held.lost is not None]

    def lost_elsewhere(self, host: str) -> list[OpenConnection]:
        """Those that ended although their backend stood on another host."""
        return [held for held in self.lost() if held.host != host]

    def behind(self, host: str) -> list[OpenConnection]:
        """Those whose backend stands on a host."""
        return [held for held in self.held if held.host == host]

    def settled_since(self, moment: float) -> bool:
        """Whether every connection has been answered after a moment, or has ended."""
        return all(held.lost is not None or held.answered > moment for held in self.held)

    def stall_seconds(self) -> float:
        """The longest wait for an answer on a connection that lives."""
        return max((held.stall_seconds for held in self.held if held.lost is None), default=0.0)

    async def _open(self) -> None:
        for left in reversed(range(_OPEN_TRIES)):
            try:
                channel = await connect(self._target, _OPEN_SECONDS)
                answer = await channel.ask(_OPEN_SECONDS)
            except NoAnswerError:
                if left == 0:
                    raise
                continue
            self.held.append(OpenConnection(channel, answer.backend))
            return

    async def _hold(self, held: OpenConnection, pause_seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        while not self._stopped.is_set():
            try:
                await asyncio.wait_for(self._stopped.wait(), pause_seconds)
            except TimeoutError:
                pause_seconds = ASK_SECONDS
            else:
                return
            began = clock()
            try:
                answer = await held.channel.ask(LOST_SECONDS)
            except NoAnswerError as error:
                held.lost = str(error)
                return
            held.answered = clock()
            held.stall_seconds = max(held.stall_seconds, held.answered - began)
            if answer.backend != held.backend:
                held.lost = f"answered by {answer.backend}"
