"""The metrics of a program over TCP, for scrapers of every kind."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from appliance.control.error import ControlError, ControlFault
from appliance.control.listener import ListenAddress, listening_tcp, parse_listen_address
from appliance.control.metric import Metric, MetricKind, Reading, many, one
from appliance.control.scrape import ScrapeServer
from appliance.control.served import ClientLimits
from tests.port import free_port

DEADLINE_SECONDS = 60.0
OWNED = Metric("pierhead_vip_owned", MetricKind.GAUGE, "VIPs of this host.")
ANNOUNCED = Metric("metallb_speaker_announced", MetricKind.GAUGE, "What is announced.", ("ip",))
MANY = 10_000
SLOW_SECONDS = 0.5  # an honest client on a loaded machine needs a part of it
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def little() -> Iterable[Reading]:
    """One sample."""
    return (one(OWNED, 2),)


def much() -> Iterator[Reading]:
    """More than any buffer between two programs takes."""
    yield many(ANNOUNCED, ((("x" * 1000,), 1.0) for _ in range(MANY)))


@asynccontextmanager
async def served(server: ScrapeServer) -> AsyncIterator[None]:
    """A server that runs, within the deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        running = group.create_task(server.run(), name="metrics")
        yield
        running.cancel()


async def connected(port: int, host: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, as soon as somebody listens."""
    while True:
        try:
            return await asyncio.open_connection(host, port, limit=1 << 12)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)


async def ask(port: int, route: str, host: str = "127.0.0.1", headers: str = "") -> tuple[int, str, str]:
    """Status, headers and body of an answer; nothing of it where the server cut the connection."""
    reader, writer = await connected(port, host)
    writer.write(f"GET {route} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    answer = (await reader.read(-1)).decode()
    writer.close()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7472", "127.0.0.1:7472"),
        ("0.0.0.0:7472", "0.0.0.0:7472"),
        ("[::1]:7472", "[::1]:7472"),
        ("[::]:7472", "[::]:7472"),
        (":7472", "[::]:7472"),
    ],
)
def test_an_address_is_read(text: str, address: str) -> None:
    """An address and a port, or a port alone."""
    assert str(parse_listen_address(text)) == address


@pytest.mark.parametrize(
    "text", ["", "7472", "127.0.0.1", ":0", ":65536", ":-1", "::1:7472", "[127.0.0.1]:7472", "host:7472", ":²", "[]:1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """The sentence shows the text."""
    with pytest.raises(ValueError, match=r"not|brackets"):
        parse_listen_address(text)


@pytest.mark.parametrize(
    ("address", "hosts"),
    [("127.0.0.1:{}", ("127.0.0.1",)), ("[::1]:{}", ("::1",)), (":{}", ("127.0.0.1", "::1"))],
)
async def test_metrics_are_served(address: str, hosts: tuple[str, ...]) -> None:
    """On one address, or on all of both families; in Prometheus' text format."""
    port = free_port()
    async with served(ScrapeServer(parse_listen_address(address.format(port)), "metrics", little)):
        for host in hosts:
            status, head, body = await ask(port, "/metrics", host)
            assert status == 200
            assert "content-type: text/plain; version=0.0.4; charset=utf-8" in head
            assert "pierhead_vip_owned 2.0\n" in body


async def test_whoever_prefers_openmetrics_reads_the_same_names() -> None:
    """As Prometheus itself asks; OpenMetrics would have other names for MetalLB's counters."""
    port = free_port()
    accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1\r\n"
    async with served(ScrapeServer(parse_listen_address(f":{port}"), "metrics", little)):
        _, head, body = await ask(port, "/metrics", headers=accept)
    assert ("version=0.0.4" in head, "pierhead_vip_owned 2.0\n" in body, "# EOF" in body) == (True, True, False)


async def test_nothing_else_is_served() -> None:
    """Over TCP nobody reads a status or drains a host."""
    port = free_port()
    async with served(ScrapeServer(parse_listen_address(f":{port}"), "metrics", little)):
        assert [(await ask(port, route))[0] for route in ("/", "/v1/status", "/v1/drain", "/healthz")] == [404] * 4


async def test_checks_say_why_a_program_is_not_well() -> None:
    """200 where it is, 503 with the reason where it is not."""
    port, reasons = free_port(), {"/healthz": "", "/readyz": "the store was not listed yet"}
    checks = {path: lambda path=path: reasons[path] for path in reasons}
    async with served(ScrapeServer(parse_listen_address(f":{port}"), "metrics", little, checks)):
        before = [(await ask(port, path))[::2] for path in reasons]
        reasons["/readyz"] = ""
        after = await ask(port, "/readyz")
    assert (before, after[0]) == ([(200, "ok\n"), (503, "the store was not listed yet\n")], 200)


async def test_a_port_in_use_is_said_once_with_its_setting_and_had_when_it_is_free() -> None:
    """The program goes on; whoever had the port may leave."""
    address = ListenAddress(parse_listen_address(":1").address, free_port())
    with capture_logs() as logs:
        with listening_tcp(address), pytest.raises(ControlError) as caught, listening_tcp(address):
            pytest.fail("two listen at one address")
        with listening_tcp(address):
            async with served(ScrapeServer(address, "metrics", little)):
                while not logs:  # noqa: ASYNC110  a log has no event
                    await asyncio.sleep(0.01)
        async with served(ScrapeServer(address, "metrics", little)):
            assert (await ask(address.port, "/metrics"))[0] == 200
    told = [(entry["event"], entry["setting"]) for entry in logs]
    assert (caught.value.fault, told) == (
        ControlFault.IN_USE,
        [("metrics_not_served", "metrics"), ("metrics_served", "metrics")],
    )
    assert "Address already in use" in logs[0]["error"]


async def test_silent_clients_are_cut_off() -> None:
    """All places are taken by clients that send half a request, or nothing; the next one is served soon."""
    port, limits = free_port(), ClientLimits(connections_max=2, request_seconds=SLOW_SECONDS)
    async with served(ScrapeServer(parse_listen_address(f":{port}"), "metrics", little, limits=limits)):
        silent = [await connected(port) for _ in range(8)]
        for _, writer in silent[::2]:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: ")
        assert (await ask(port, "/metrics"))[0] == 200
        assert await silent[0][0].read(-1) == b""
        for _, writer in silent:
            writer.close()


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    """It has the only place, asked for much and takes none of it; the next one is served soon."""
    port, limits = (
        free_port(),
        ClientLimits(connections_max=1, stall_seconds=SLOW_SECONDS, request_seconds=SLOW_SECONDS),
    )
    async with served(ScrapeServer(parse_listen_address(f":{port}"), "metrics", much, limits=limits)):
        reader, writer = await connected(port)
        writer.write(SCRAPE)
        await reader.readexactly(100)
        status, _, body = await ask(port, "/metrics")
        assert (status, body.count("\nmetallb_speaker_announced{")) == (200, MANY)
        writer.close()


@pytest.mark.parametrize(
    "request_text",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"a" * 100_000,
        b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 10_000,
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n" + b"a" * 10_000,
    ],
    ids=["tls", "long-line", "many-headers", "long-body", "endless-chunk"],
)
async def test_hostile_requests_end_and_the_next_is_served(request_text: bytes) -> None:
    """Whatever is sent, the connection ends soon, and only that one."""
    port, limits = free_port(), ClientLimits(connections_max=1, request_seconds=SLOW_SECONDS)
    async with served(ScrapeServer(parse_listen_address(f":{port}"), "metrics", little, limits=limits)):
        reader, writer = await connected(port)
        writer.write(request_text)
        try:
            await reader.read(-1)
        except ConnectionResetError:
            writer.close()
        assert (await ask(port, "/metrics"))[0] == 200
        writer.close()
