"""Clients of an HTTP server that shares its loop with ARP: each costs little, and all together not much more.

So many are connected at a time; the kernel keeps the others waiting, which costs this program nothing. Who sends no
request, or does not take what it asked for, is cut off. Answers are written in slices, and those of all clients take
turns: no pass of the loop has two to make.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from socket import socket
from typing import NoReturn

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from appliance.control.served import ClientLimits

log = structlog.get_logger()

_PACE_SECONDS = 0.002
_ACCEPT_PACE_SECONDS = 0.005
_ACCEPT_AGAIN_SECONDS = 1.0
_GRACE_SECONDS = 1.0


class Clients:
    """The clients of one server."""

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._room = asyncio.Semaphore(limits.connections_max)
        self._next_slice = float("-inf")

    @asynccontextmanager
    async def served(self, application: web.Application, listener: socket) -> AsyncIterator[None]:
        """Answer on a listening socket as long as the block runs."""
        application.middlewares.insert(0, _note_request)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_GRACE_SECONDS)
        await runner.setup()
        try:
            async with asyncio.TaskGroup() as tasks:
                accepting = tasks.create_task(self._accept(runner, listener), name="accept")
                try:
                    yield
                finally:
                    accepting.cancel()
        finally:
            await runner.cleanup()

    async def _accept(self, runner: web.AppRunner, listener: socket) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                connection, _ = await loop.sock_accept(listener)
                await loop.connect_accepted_socket(lambda: self._connection(runner), connection)
            except OSError as error:
                self._room.release()
                log.warning("connection_not_accepted", error=str(error))
                await asyncio.sleep(_ACCEPT_AGAIN_SECONDS)
            await asyncio.sleep(_ACCEPT_PACE_SECONDS)

    def _connection(self, runner: web.AppRunner) -> "_Connection":
        server = runner.server
        if server is None:
            raise ConnectionAbortedError
        return _Connection(server, self._limits.request_seconds, self._room.release)

    async def read(self, request: web.Request) -> bytes:
        """The content of a request; raises ConnectionError for a client that does not send it in time."""
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                return await request.read()
        except TimeoutError:
            abort(request)

    async def write(self, request: web.Request, response: web.StreamResponse, part: bytes) -> None:
        """Write a slice, or nothing, and let others work; raises ConnectionError for a client that takes nothing."""
        try:
            async with asyncio.timeout(self._limits.stall_seconds):
                if part:
                    await response.write(part)
        except TimeoutError:
            abort(request)
        now = asyncio.get_running_loop().time()
        self._next_slice = max(now, self._next_slice) + _PACE_SECONDS
        await asyncio.sleep(self._next_slice - now)


def abort(request: web.Request) -> NoReturn:
    """End a connection without waiting for its client to take what was written."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionAbortedError


class _Connection(RequestHandler):
    """One client's connection; it is cut off where the client is waited for, and does not do its part."""

    __slots__ = ("_deadline", "_on_lost", "_seconds")

    def __init__(self, server: web.Server, seconds: float, on_lost: Callable[[], None]) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), access_log=None, lingering_time=seconds)  # type: ignore[arg-type]  # None is what web.run_app passes too
        self._seconds = seconds
        self._on_lost = on_lost
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came: it has a request to send."""
        super().connection_made(transport)
        self.expect_client()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone, whoever ended it."""
        super().connection_lost(exc)
        self.expect_nothing()
        self._on_lost()

    def expect_client(self) -> None:
        """The client is to send a whole request, or to take the rest of an answer."""
        self.expect_nothing()
        if isinstance(self.transport, asyncio.WriteTransport):
            self._deadline = asyncio.get_running_loop().call_later(self._seconds, self.transport.abort)

    def expect_nothing(self) -> None:
        """The client waits for this program."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


@web.middleware
async def _note_request(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A connection carries one request."""
    connection = request.protocol
    if isinstance(connection, _Connection):
        connection.expect_nothing()
    try:
        response = await handler(request)
    except web.HTTPException as refusal:
        refusal.force_close()
        raise
    finally:
        if isinstance(connection, _Connection):
            connection.expect_client()
    response.force_close()
    return response
