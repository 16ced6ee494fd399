"""History as the control socket serves it, and what a client makes of whatever answers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.control.client import read_history
from appliance.control.codec import to_json
from appliance.control.error import ControlError, ControlFault
from appliance.control.event import EventKind
from appliance.control.message import HistoryHead, HistoryTail
from appliance.control.served import HistoryQuery, Routes
from appliance.control.server import ControlServer
from appliance.daemon.history import History
from tests.unit.control.sample import STATUS, Served

DEADLINE_SECONDS = 60.0


@asynccontextmanager
async def served(folder: Path, events: int = 0) -> AsyncIterator[ControlServer]:
    """A program that keeps its history, and to which so much happened."""
    history = History(folder / "history.db", "node-a")
    server = ControlServer(folder / "agent.sock", Routes(topics=Served(STATUS).topics, history=history))
    for number in range(events):
        server.events.record(EventKind.VIP_MOVED, f"192.0.2.{number % 250}", "because", heard="something")
    try:
        async with asyncio.timeout(DEADLINE_SECONDS), server.serving():
            yield server
    finally:
        history.close()


@asynccontextmanager
async def answering(path: Path, answer: bytes) -> AsyncIterator[None]:
    """Something that answers every request with the same bytes."""

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + answer)
        writer.close()

    async with asyncio.timeout(DEADLINE_SECONDS), await asyncio.start_unix_server(answer_one, str(path)):
        yield


async def ask(path: Path, route: str) -> tuple[int, str]:
    """Status and content of whatever route."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(f"GET {route} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, content = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), content.decode(errors="replace")


async def test_all_pages_are_read(tmp_path: Path) -> None:
    """More events than one answer has, oldest first, with the host's name and a clock that is this one."""
    async with served(tmp_path, 2500):
        history = await read_history(tmp_path / "agent.sock", HistoryQuery(), at_most=2300)
    assert [entry.event.number for entry in history.entries] == list(range(201, 2501))
    assert (history.host, history.problem, history.unreadable) == ("node-a", "", 0)
    assert abs(history.clock_ahead_seconds) <= history.clock_error_seconds + 0.001


async def test_only_what_is_asked_for_is_sent(tmp_path: Path) -> None:
    """By subject and by time."""
    async with served(tmp_path, 500):
        path = tmp_path / "agent.sock"
        about = await read_history(path, HistoryQuery(about="192.0.2.7"))
        later = await read_history(path, HistoryQuery(since=(datetime.now(UTC) + timedelta(hours=1)).timestamp()))
    assert ([entry.event.number for entry in about.entries], later.entries) == ([8, 258], ())


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 200),
        ("?limit=999999999", 200),
        ("?since=2026-11-21T03:12:00Z&until=2026-11-21T03:13:00%2B01:00", 200),
        ("?limit=0", 400),
        ("?limit=-1", 400),
        ("?limit=1e9", 400),
        ("?limit=" + "9" * 5000, 400),
        ("?limit=" + quote("²"), 400),
        ("?before=x", 400),
        ("?since=yesterday", 400),
        ("?since=2026-11-21T03:12:00", 400),
        ("?since=0001-01-01T00:00:00%2B23:59", 200),
        ("?colour=blue", 400),
        ("?about=" + quote("'; DROP TABLE event; --"), 200),
        ("?about=%ff%00%0a", 200),
    ],
)
async def test_hostile_questions_are_bounded_or_refused(tmp_path: Path, query: str, status: int) -> None:
    """With a sentence; and afterwards everything is as it was."""
    path = tmp_path / "agent.sock"
    async with served(tmp_path, 3):
        answered, content = await ask(path, f"/v1/history{query}")
        assert (answered, json.loads(content)["fault"] if status == 400 else "") == (
            status,
            "INVALID" if status == 400 else "",
        )
        assert len((await read_history(path, HistoryQuery())).entries) == 3


async def test_a_program_without_history_says_so(tmp_path: Path) -> None:
    """An agent of an older version, for one."""
    server = ControlServer(tmp_path / "agent.sock", Routes(topics=Served(STATUS).topics))
    async with asyncio.timeout(DEADLINE_SECONDS), server.serving():
        with pytest.raises(ControlError) as error:
            await read_history(tmp_path / "agent.sock", HistoryQuery())
    assert error.value.fault is ControlFault.NOT_FOUND


HEAD = to_json(HistoryHead(host="node-b", time="2026-11-21T03:12:00+00:00")) + b"\n"
TAIL = to_json(HistoryTail()) + b"\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\n",
        b"[]\n",
        TAIL,
        b'{"host":"b","time":"now"}\n' + TAIL,
        b'{"host":"b","time":"2026-11-21T03:12:00"}\n' + TAIL,
        HEAD + b"x" * (2 << 20),
        HEAD + b'{"before":"x","problem":""}\n',
        HEAD + b'{"before":7,"problem":""}\n',
    ],
    ids=["nothing", "empty", "no head", "tail only", "no time", "no zone", "endless", "no place", "no end of pages"],
)
async def test_nonsense_is_an_error(tmp_path: Path, answer: bytes) -> None:
    """Never another exception, and never without end."""
    path = tmp_path / "agent.sock"
    async with answering(path, answer):
        with pytest.raises(ControlError) as error:
            await read_history(path, HistoryQuery())
    assert error.value.fault is ControlFault.PROTOCOL


@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line and b"problem" not in line), max_size=5))
async def test_lines_that_are_no_events_are_counted(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    """What is good is shown all the same."""
    path = tmp_path_factory.mktemp("history") / "agent.sock"
    good = b'{"place":1,"event":{"number":1,"time":"2026-11-21T03:12:00Z","event":"vip_moved","subject":"x"}}'
    async with answering(path, HEAD + b"\n".join([*lines, good]) + b"\n" + TAIL):
        history = await read_history(path, HistoryQuery())
    assert (len(history.entries), history.unreadable) == (1, len(lines))


async def test_the_other_clock_is_measured(tmp_path: Path) -> None:
    """A host whose clock is an hour ahead, within what the answer took."""
    path = tmp_path / "agent.sock"
    ahead = datetime.now(UTC) + timedelta(hours=1)
    head = to_json(HistoryHead(host="node-b", time=ahead.isoformat())) + b"\n"
    async with answering(path, head + TAIL):
        history = await read_history(path, HistoryQuery())
    elapsed = (datetime.now(UTC) + timedelta(hours=1) - ahead).total_seconds()
    assert 3600 - elapsed <= history.clock_ahead_seconds <= 3600
