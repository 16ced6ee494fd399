"""Clients of the control socket that do not do their part."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.control.client import drain, read_status
from appliance.control.message import AgentStatus
from appliance.control.served import ClientLimits, Limits, Routes
from appliance.control.server import ControlServer
from tests.unit.control.sample import STATUS, Served

DEADLINE_SECONDS = 60.0
PLACES = 3
SLOW_SECONDS = 0.5  # an honest client on a loaded machine needs a part of it


class Drained:
    """A program that was asked to drain so often."""

    def __init__(self) -> None:
        self.times = 0

    async def ask(self, _wanted: bool) -> None:
        """Be asked."""
        self.times += 1


@asynccontextmanager
async def served(path: Path, drained: Drained) -> AsyncIterator[None]:
    """A control socket with few places, whose clients have little time."""
    limits = Limits(
        clients=ClientLimits(connections_max=PLACES, request_seconds=SLOW_SECONDS, stall_seconds=SLOW_SECONDS)
    )
    routes = Routes(topics=Served(STATUS).topics, drain=drained.ask)
    async with asyncio.timeout(DEADLINE_SECONDS), ControlServer(path, routes, limits).serving():
        yield


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"GET /v1/sta",
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
        b"\x00" * 100_000,
    ],
    ids=["nothing", "half-a-line", "half-a-head", "half-a-body", "half-a-chunk", "pipelined", "zeros"],
)
async def test_slow_clients_leave_the_socket_to_others(tmp_path: Path, text: bytes) -> None:
    """Twice as many as there are places ask slowly or nonsense and never read; an honest client is answered soon."""
    path, drained = tmp_path / "agent.sock", Drained()
    async with served(path, drained):
        slow = [await asyncio.open_unix_connection(str(path)) for _ in range(2 * PLACES)]
        for _, writer in slow:
            writer.write(text)
        assert await read_status(path, AgentStatus) == STATUS
        await drain(path, wanted=True)
        for _, writer in slow:
            writer.close()
    assert drained.times == 1


async def test_a_body_that_comes_byte_by_byte_is_not_waited_for(tmp_path: Path) -> None:
    """The whole request has its time, and not each byte of it."""
    path, drained = tmp_path / "agent.sock", Drained()
    async with served(path, drained):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"POST /v1/drain HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")

        async def trickle() -> None:
            while True:
                writer.write(b" ")
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as tasks:
            trickling = tasks.create_task(trickle(), name="trickle")
            try:
                await reader.read()
            except ConnectionError:
                writer.close()
            trickling.cancel()
        writer.close()
    assert drained.times == 0


async def test_a_head_that_comes_byte_by_byte_is_not_waited_for(tmp_path: Path) -> None:
    """A header that never ends ends with its connection."""
    path = tmp_path / "agent.sock"
    async with served(path, Drained()):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET /v1/status HTTP/1.1\r\n")

        async def trickle() -> None:
            while True:
                writer.write(b"a: b\r\n")
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as tasks:
            trickling = tasks.create_task(trickle(), name="trickle")
            try:
                answer = await reader.read()
            except ConnectionError:
                answer = b""
            trickling.cancel()
        assert b"200 OK" not in answer
        writer.close()
