"""Probes of real sockets on the loopback."""

from ipaddress import ip_address

import pytest

from appliance.overview.probe import Answering, probe
from tests.serving import say_nothing, saying, serving

HERE = ip_address("127.0.0.1")


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
    with serving(saying(content)) as port:
        (answer,) = await probe([(HERE, port)], http_path="/")
    assert (answer.outcome, answer.detail) == (outcome, detail)


async def test_a_port_that_accepts_and_one_that_refuses() -> None:
    """A connection is enough where no HTTP is asked for."""
    with serving(saying(b"")) as port:
        (accepts,) = await probe([(HERE, port)])
    (refuses,) = await probe([(HERE, port)])
    assert (accepts.outcome, refuses.outcome) == (Answering.ACCEPTS, Answering.REFUSES)


async def test_silence_is_bounded() -> None:
    """A server that says nothing costs the time that was given, not more."""
    with serving(say_nothing) as port:
        (answer,) = await probe([(HERE, port)], http_path="/", seconds=0.1)
    assert answer.outcome is Answering.SILENT
