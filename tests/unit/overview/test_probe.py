"""Probes of real sockets on the loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from appliance.overview.probe import Answering, probe
from tests.serving import Serve, closing

HERE = ip_address("127.0.0.1")


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """A server on a port of its own."""
    server = await asyncio.start_server(closing(serve), str(HERE), 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def saying(content: bytes) -> Serve:
    """A server that reads a request, says this and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1024):
            writer.write(content)

    return serve


@pytest.mark.parametrize(
    ("content", "outcome", "detail"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", Answering.ANSWERS, "HTTP/1.1 200 OK"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", Answering.ANSWERS, "HTTP/1.1 404 Not Found"),
        (b"HTTP/1.1 503 Busy \x1b[31m\r\n\r\n", Answering.FAILS, "HTTP/1.1 503 Busy  [31m"),
        (b"", Answering.BREAKS_OFF, ""),
        (b"\r\n", Answering.BREAKS_OFF, ""),
        (b"220 mail ready\r\n", Answering.BREAKS_OFF, "220 mail ready"),
        (b"x" * 5000, Answering.BREAKS_OFF, "the first line has no end"),
    ],
)
async def test_an_answer_over_http(content: bytes, outcome: Answering, detail: str) -> None:
    """Any status below 500 is the application's own word; what is no HTTP is not."""
    async with listening(saying(content)) as port:
        (answer,) = await probe([(HERE, port)], http_path="/")
    assert (answer.outcome, answer.detail) == (outcome, detail)


async def test_a_port_that_accepts_and_one_that_refuses() -> None:
    """A connection is enough where no HTTP is asked for."""
    async with listening(saying(b"")) as port:
        (accepts,) = await probe([(HERE, port)])
    (refuses,) = await probe([(HERE, port)])
    assert (accepts.outcome, refuses.outcome) == (Answering.ACCEPTS, Answering.REFUSES)


async def test_silence_is_bounded() -> None:
    """A server that says nothing costs the time that was given, not more."""
    release = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()

    async with listening(serve) as port:
        (answer,) = await probe([(HERE, port)], http_path="/", seconds=0.1)
        release.set()
    assert answer.outcome is Answering.SILENT
