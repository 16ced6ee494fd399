"""A host's events on disk: whatever happens to the disk or the program, no more is lost than the last moments."""

import asyncio
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from appliance.control.codec import checked
from appliance.control.event import EventKind, Happening
from appliance.control.message import HistoryEntry
from appliance.control.served import HistoryPage, HistoryQuery
from appliance.daemon.database import Database
from appliance.daemon.history import _SCHEMA, _VERSION, History

DEADLINE_SECONDS = 60.0
START = datetime(2026, 11, 21, 3, 12, tzinfo=UTC)


def event(
    number: int,
    *,
    run: str = "a",
    subject: str = "192.0.2.1",
    reason: str = "it was so",
    kind: EventKind = EventKind.VIP_MOVED,
) -> Happening:
    """The event of a number, one a second."""
    moment = START + timedelta(seconds=number)
    return Happening(run, number, kind, moment, subject, reason, {"from": "b", "to": "a"})


def numbers(page: HistoryPage) -> list[int]:
    """The numbers of a page's events."""
    return [checked(HistoryEntry, json.loads(line)).event.number for line in page.lines]


def written(path: Path, happened: Iterable[Happening]) -> None:
    """Have a program keep events, and end."""
    history = History(path, "a")
    for each in happened:
        history.note(each)
    history.close()


@asynccontextmanager
async def running(history: History) -> AsyncIterator[None]:
    """A history that is written meanwhile."""
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        writing = group.create_task(history.run(), name="history")
        yield
        writing.cancel()


async def read(path: Path, query: HistoryQuery | None = None) -> list[int]:
    """What the next program finds."""
    history = History(path, "a")
    page = await history.read(query or HistoryQuery())
    history.close()
    return numbers(page)


async def test_events_are_there_after_a_restart(tmp_path: Path) -> None:
    """In their order, and once each."""
    path = tmp_path / "lib" / "history.db"
    written(path, [event(number) for number in range(1, 6)])
    written(path, [event(number, run="b") for number in range(1, 3)])
    assert await read(path) == [1, 2, 3, 4, 5, 1, 2]


async def test_they_are_written_by_themselves(tmp_path: Path) -> None:
    """Soon after they happened, without anybody asking: what a kill leaves is there."""
    path = tmp_path / "history.db"
    history = History(path, "a")
    async with running(history):
        history.note(event(1))
        await on_disk(path, 1)
    history.close()


async def on_disk(path: Path, events: int) -> None:
    """Wait until so many events are there."""
    while True:
        if path.exists() and count(path) == events:
            return
        await asyncio.sleep(0.02)


def count(path: Path) -> int:
    """How many events are on disk, for somebody else."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT count(*) FROM event").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


async def test_only_the_last_are_kept(tmp_path: Path) -> None:
    """The file grows no further."""
    path = tmp_path / "history.db"
    history = History(path, "a", kept=10)
    for number in range(1, 8):
        history.note(event(number))
    assert numbers(await history.read(HistoryQuery())) == list(range(1, 8))
    for number in range(8, 26):
        history.note(event(number))
    assert numbers(await history.read(HistoryQuery())) == list(range(16, 26))
    history.close()
    assert count(path) == 10


async def test_a_session_that_flaps_pushes_no_move_out(tmp_path: Path) -> None:
    """What happens often goes first while it is more than half; what comes alone has all the room."""
    path = tmp_path / "history.db"
    history = History(path, "a", kept=10)
    for number in range(1, 31):
        history.note(event(number, kind=EventKind.SESSION_CHANGED))
    assert numbers(await history.read(HistoryQuery())) == list(range(21, 31))
    for number in (31, 32):
        history.note(event(number))
    for number in range(33, 100):
        history.note(event(number, kind=EventKind.SESSION_CHANGED))
        assert len(numbers(await history.read(HistoryQuery()))) == 10
    assert numbers(await history.read(HistoryQuery())) == [31, 32, *range(92, 100)]
    for number in range(100, 130):
        history.note(event(number))
    assert numbers(await history.read(HistoryQuery())) == list(range(120, 130))
    history.close()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (HistoryQuery(since=(START + timedelta(seconds=3)).timestamp()), [3, 4, 5, 6]),
        (HistoryQuery(until=(START + timedelta(seconds=3)).timestamp()), [1, 2]),
        (HistoryQuery(about="192.0.2.2"), [2, 4, 6]),
        (HistoryQuery(limit=2), [5, 6]),
        (HistoryQuery(before=3), [1, 2]),
        (HistoryQuery(about="' OR 1=1 --"), []),
        (HistoryQuery(about="\udce4"), []),
    ],
)
async def test_what_is_asked_for_is_found(tmp_path: Path, query: HistoryQuery, found: list[int]) -> None:
    """By time, subject, place and number."""
    path = tmp_path / "history.db"
    written(path, [event(number, subject=f"192.0.2.{1 + (number + 1) % 2}") for number in range(1, 7)])
    assert await read(path, query) == found


async def test_pages_follow_each_other(tmp_path: Path) -> None:
    """Each begins before the last one's first, and the last says that there is nothing before it."""
    path = tmp_path / "history.db"
    written(path, [event(number) for number in range(1, 8)])
    history, before, pages = History(path, "a"), None, []
    while True:
        page = await history.read(HistoryQuery(limit=3, before=before))
        pages.append(numbers(page))
        before = page.tail.before
        if before is None:
            break
    history.close()
    assert pages == [[5, 6, 7], [2, 3, 4], [1]]


async def test_a_disk_that_takes_nothing_costs_nothing_but_the_disk(tmp_path: Path) -> None:
    """What happened is answered from memory, with the reason; once the disk takes it again, all of it is there."""
    blocked = tmp_path / "lib"
    blocked.write_text("")
    path = blocked / "history.db"
    history = History(path, "a", kept=5, retry_seconds=0.02)
    async with running(history):
        for number in range(1, 8):
            history.note(event(number))
        page = await history.read(HistoryQuery(limit=3))
        assert (numbers(page), "File exists" in page.tail.problem) == ([5, 6, 7], True)
        assert numbers(await history.read(HistoryQuery())) == [3, 4, 5, 6, 7]
        blocked.unlink()
        await on_disk(path, 5)
        page = await history.read(HistoryQuery())
        assert (numbers(page), page.tail.problem) == ([3, 4, 5, 6, 7], "")
    history.close()


class HangingDatabase(Database):
    """A file on a disk that does not come back until it is let go."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA, _VERSION)
        self.answers = threading.Event()

    def connection(self) -> sqlite3.Connection:
        """The connection, once the disk is back."""
        self.answers.wait()
        return super().connection()


async def test_a_disk_that_hangs_holds_nothing_but_the_history(tmp_path: Path) -> None:
    """However many ask for events, threads are left for all other work; who asked is answered once it is back."""
    path = tmp_path / "history.db"
    history = History(path, "a")
    history._database = database = HangingDatabase(path)
    history.note(event(1))
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(history.read(HistoryQuery()), name="asked") for _ in range(40)]
        try:
            await asyncio.sleep(0)
            async with asyncio.timeout(DEADLINE_SECONDS):
                assert await asyncio.to_thread(int) == 0
            assert not any(each.done() for each in asked)
        finally:
            database.answers.set()
    assert [numbers(each.result()) for each in asked] == [[1]] * 40
    history.close()
    assert count(path) == 1


def test_a_disk_that_hangs_is_not_waited_for_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last events are lost, which is told."""
    monkeypatch.setattr("appliance.daemon.history._CLOSE_SECONDS", 0.01)
    history = History(tmp_path / "history.db", "a")
    history._database = database = HangingDatabase(tmp_path / "history.db")
    history.note(event(1))
    with capture_logs() as logs:
        history.close()
    database.answers.set()
    assert [(each["event"], each["error"]) for each in logs] == [("history_not_written", "the disk does not answer")]


async def test_a_full_disk_is_told_and_got_over(tmp_path: Path) -> None:
    """SQLite's own limit on the file stands for the disk's."""
    path = tmp_path / "history.db"
    written(path, [event(1)])
    history = History(path, "a")
    assert numbers(await history.read(HistoryQuery())) == [1]
    database = history._database
    pages = database.connection().execute("PRAGMA page_count").fetchone()[0]
    database.connection().execute(f"PRAGMA max_page_count = {pages}")
    for number in range(2, 200):
        history.note(event(number, reason="x" * 900))
    page = await history.read(HistoryQuery())
    assert ("full" in page.tail.problem, numbers(page)[-1], len(numbers(page))) == (True, 199, 199)
    page = await history.read(HistoryQuery())
    assert (page.tail.problem, len(numbers(page))) == ("", 199)
    history.close()


@given(st.data())
def test_a_file_cut_at_any_byte_hurts_nothing(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """The write-ahead log: what is whole is there, in order, from the first on. The file itself: a new one begins."""
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "history.db"
    history = History(path, "a")
    for number in range(1, 30):
        history.note(event(number))
        if number % 7 == 0:
            asyncio.run(history.read(HistoryQuery()))
    asyncio.run(history.read(HistoryQuery()))
    torn = folder / "torn"
    torn.mkdir()
    for file in folder.glob("history.db*"):
        (torn / file.name).write_bytes(file.read_bytes())
    history.close()
    (torn / "history.db-shm").unlink(missing_ok=True)
    victim = torn / data.draw(st.sampled_from(["history.db", "history.db-wal"]))
    content = victim.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    victim.write_bytes(content[:cut] + (b"\xa5" * 100 if data.draw(st.booleans()) else b""))
    found = asyncio.run(read(torn / "history.db"))
    assert found == list(range(1, len(found) + 1))
    written(torn / "history.db", [event(1, run="b")])
    assert asyncio.run(read(torn / "history.db"))[-1] == 1


_WRITER = """
import asyncio, sys
from pathlib import Path
from appliance.daemon.history import History
from tests.unit.daemon.test_history import event, HistoryQuery
async def main():
    history = History(Path(sys.argv[1]), "a")
    number = 0
    while True:
        for _ in range(50):
            number += 1
            history.note(event(number, run=sys.argv[2]))
        await history.read(HistoryQuery(limit=1))
        print(number, flush=True)
asyncio.run(main())
"""


async def test_a_kill_in_the_midst_of_writing_loses_only_what_was_not_written(tmp_path: Path) -> None:
    """Four programs, one after the other, each killed while it writes: what was said to be there is there."""
    path = tmp_path / "history.db"
    promised: list[tuple[str, int]] = []
    for run in range(4):
        program = subprocess.Popen(
            (sys.executable, "-c", _WRITER, str(path), str(run)), stdout=subprocess.PIPE, text=True
        )
        assert program.stdout is not None
        lines = [int(program.stdout.readline()) for _ in range(3 + run)]
        os.kill(program.pid, signal.SIGKILL)
        lines += [int(line) for line in program.stdout.read().splitlines() if line.endswith("0")]
        program.stdout.close()
        program.wait()
        promised.append((str(run), max(lines)))
    history = History(path, "a")
    page = await history.read(HistoryQuery())
    history.close()
    entries = [checked(HistoryEntry, json.loads(line)) for line in page.lines]
    assert [entry.place for entry in entries] == sorted(entry.place or 0 for entry in entries)
    for run, group in itertools.groupby(entries, key=lambda entry: entry.event.run):
        of_run = [entry.event.number for entry in group]
        assert of_run == list(range(of_run[0], of_run[-1] + 1))
        assert of_run[-1] >= dict(promised)[run]


async def test_what_others_said_is_bounded_and_one_line(tmp_path: Path) -> None:
    """A peer's or a stranger's text breaks no line, and is no longer than fits."""
    path = tmp_path / "history.db"
    hostile = '\n{"problem": "none"}\x00\udce4' + "x" * 100_000
    happened = Happening(
        "a\n", 1, EventKind.VIP_MOVED, START, hostile, hostile, dict.fromkeys(map(str, range(99)), hostile)
    )
    written(path, [happened])
    history = History(path, "a")
    (line,) = (await history.read(HistoryQuery())).lines
    history.close()
    assert (line.count(b"\n"), len(line) < 10_000) == (1, True)
    assert checked(HistoryEntry, json.loads(line)).event.number == 1
