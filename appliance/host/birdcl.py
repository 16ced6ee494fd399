"""One long-lived `birdcl` on pipes: command after command, and the log lines BIRD sends of its own accord."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

from appliance.bird.console import Console, ConsoleError, Logged, Reply

_UNABLE = "Unable to connect"
_NOT_RUNNING = ("No such file or directory", "Connection refused")


class BirdError(Exception):
    """BIRD or its client does not do what it is asked."""


class _EndedError(Exception):
    """The client ended before it replied; the text is its last line."""


class BirdClient:
    """Asks BIRD, one command at a time; a client that ended or did not answer is replaced for the next one.

    `on_news` is called when BIRD logs something (states of sessions, reconfigurations), and when the client ends, which
    it does with its BIRD: while `started` stays the same, so does the BIRD behind it. `asked` counts commands.
    """

    def __init__(self, socket: Path, program: str, reply_seconds: float) -> None:
        self._socket = socket
        self._program = program
        self._reply_seconds = reply_seconds
        self._connection: _Connection | None = None
        self.on_news: Callable[[], None] = lambda: None
        self.started = self.asked = 0

    async def ask(self, command: str) -> str | None:
        """The coded lines of BIRD's reply; None where no BIRD listens; raises BirdError."""
        self.asked += 1
        try:
            async with asyncio.timeout(self._reply_seconds):
                try:
                    return await self._ask(command)
                except _EndedError:  # Perhaps long ago, with the BIRD that was there before this one.
                    return await self._ask(command)
        except (_EndedError, ConsoleError) as error:
            raise BirdError(f"{self._program}: {error}") from error
        except TimeoutError:
            raise BirdError(f"{self._program} did not answer within {self._reply_seconds:g} s") from None
        except OSError as error:
            raise BirdError(f"{self._program}: {error.strerror}") from error

    async def close(self) -> None:
        """End the client."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _tell(self) -> None:
        self.on_news()

    async def _ask(self, command: str) -> str | None:
        if self._connection is None and not await self._connect():
            return None
        try:
            return await cast(_Connection, self._connection).ask(command)
        except BaseException:  # The reply may still come, and would be taken for that to the next command.
            await self.close()
            raise

    async def _connect(self) -> bool:
        """Start a client; False where no BIRD listens."""
        if not self._socket.exists():
            return False
        connection = self._connection = _Connection(self._tell)
        self.started += 1
        command = (self._program, "-v", "-s", str(self._socket))
        try:
            # A session of its own: what a terminal sends to its foreground is for the agent.
            await asyncio.get_running_loop().subprocess_exec(
                lambda: connection, *command, stderr=asyncio.subprocess.STDOUT, start_new_session=True
            )
            await connection.greeted()
            await connection.ask("echo all")
        except BaseException as error:
            await self.close()
            if isinstance(error, _EndedError) and _UNABLE in str(error):
                if any(reason in str(error) for reason in _NOT_RUNNING):
                    return False
                raise BirdError(str(error)) from error
            raise
        return True


class _Connection(asyncio.SubprocessProtocol):
    """One client process."""

    def __init__(self, on_news: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._on_news = on_news
        self._console = Console()
        self._transport: asyncio.SubprocessTransport | None = None
        self._reply: asyncio.Future[str] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._error: Exception | None = None

    async def greeted(self) -> None:
        """Wait until the client is ready; raises as `ask` does."""
        await self._reply

    async def ask(self, command: str) -> str:
        """The reply to a command; raises _EndedError or ConsoleError."""
        line = self._console.send(command)
        if self._error is not None or self._transport is None:
            raise self._error or _EndedError("not started")
        self._reply = asyncio.get_running_loop().create_future()
        stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(0))
        stdin.write(line)
        return await self._reply

    async def close(self) -> None:
        """Kill the process, if it still runs, and wait until it is gone."""
        self._reply.cancel()
        if self._transport is not None:
            self._transport.close()
            await self._gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process has been started."""
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, _fd: int, data: bytes) -> None:
        """The process printed something."""
        try:
            found = self._console.feed(data) if self._error is None else []
        except ConsoleError as error:
            self._fail(error)
            cast(asyncio.SubprocessTransport, self._transport).close()
            return
        for each in found:
            if isinstance(each, Reply) and not self._reply.done():
                self._reply.set_result(each.text)
        if any(isinstance(each, Logged) for each in found):
            self._on_news()

    def pipe_connection_lost(self, fd: int, _exc: Exception | None) -> None:
        """The process closed one of its pipes."""
        if fd == 1:
            self._fail(_EndedError(self._console.last_line))

    def connection_lost(self, _exc: Exception | None) -> None:
        """The process is gone and its pipes are closed."""
        self._gone.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            if not self._reply.done():
                self._reply.set_exception(error)
            self._on_news()
