"""A host's last events on disk, over restarts: to be asked in the morning what happened in the night.

An event is taken at once and written soon after, together with those that come with it, in another thread: what answers
ARP waits for no disk, and while nothing happens nothing is done. A crash loses the last moments at most. Where the disk
takes nothing, the last events are kept in memory and tried again.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NoReturn, TypeVar

import structlog

from appliance.api.text import clean_text
from appliance.control.codec import to_json
from appliance.control.event import EventKind, Happening
from appliance.control.message import HistoryTail, HostEvent
from appliance.control.served import HistoryPage, HistoryQuery
from appliance.daemon.database import Database, DatabaseError

log = structlog.get_logger()
T = TypeVar("T")

EVENTS_KEPT = 10_000
_PACE_SECONDS = 0.5
_RETRY_SECONDS_FIRST = 1.0
_RETRY_SECONDS_LONGEST = 60.0
_CLOSE_SECONDS = 5.0
_DETAILS_MAX = 16
_DETAIL_LENGTH_MAX = 300

_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
  place INTEGER PRIMARY KEY, run TEXT NOT NULL, number INTEGER NOT NULL, time REAL NOT NULL, subject TEXT NOT NULL,
  is_frequent INTEGER NOT NULL, content BLOB NOT NULL, UNIQUE (run, number)
);
CREATE INDEX IF NOT EXISTS frequent ON event (is_frequent, place)
"""
# A session that goes up and down all night may not push out why a VIP moved: of these kinds half of all go first.
_FREQUENT = frozenset(
    {
        EventKind.SESSION_CHANGED,
        EventKind.CONFIGURATION_APPLIED,
        EventKind.CONFIGURATION_REFUSED,
        EventKind.HOST_CHANGED,
        EventKind.HOST_ROUTE_CHANGED,
        EventKind.LINK_CHANGED,
        EventKind.FEED_CHANGED,
    }
)
# What a thread wrote whose program was cancelled meanwhile is written once more, and is there once.
_PUT = "INSERT OR IGNORE INTO event (run, number, time, subject, is_frequent, content) VALUES (?, ?, ?, ?, ?, ?)"
_COUNT = "SELECT count(*), sum(is_frequent) FROM event"
_TRIM_FREQUENT = (
    "DELETE FROM event WHERE place IN (SELECT place FROM event WHERE is_frequent = 1 ORDER BY place LIMIT ?)"
)
_TRIM = "DELETE FROM event WHERE place IN (SELECT place FROM event ORDER BY place LIMIT ?)"
_READ = """
SELECT place, CAST(content AS BLOB) FROM event
WHERE place < ?1 AND time >= ?2 AND time < ?3 AND (?4 IS NULL OR subject = ?4) ORDER BY place DESC LIMIT ?5
"""
_PLACE_MAX = 2**62


class History:
    """The last `kept` events of a program on a `host`; `run` writes them, `close` writes the last."""

    def __init__(
        self,
        path: Path,
        host: str,
        *,
        program: str = "agent",
        kept: int = EVENTS_KEPT,
        retry_seconds: float = _RETRY_SECONDS_FIRST,
    ) -> None:
        self.host = host
        self.program = program
        self._kept = kept
        self._retry_seconds = retry_seconds
        self._database = Database(path, _SCHEMA, _VERSION)
        # A thread of its own: where the disk hangs, who asks for events takes none from what reads BIRD's answers.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._unwritten: deque[Happening] = deque(maxlen=kept)
        self._is_new = asyncio.Event()
        self._problem = ""

    def note(self, happened: Happening) -> None:
        """Take an event, to be written soon."""
        self._unwritten.append(happened)
        self._is_new.set()

    async def run(self) -> NoReturn:
        """Bring the disk up to date whenever there is something new; what it does not take is tried again."""
        failures = 0
        while True:
            await self._is_new.wait()
            longer = min(self._retry_seconds * 2.0**failures, _RETRY_SECONDS_LONGEST)
            await asyncio.sleep(longer if failures else _PACE_SECONDS)
            self._is_new.clear()
            failures = 0 if await self._save() else failures + 1
            if failures:
                self._is_new.set()

    async def read(self, query: HistoryQuery) -> HistoryPage:
        """The events asked for, those of this moment among them."""
        await self._save()
        newer = [] if query.before is not None else [each for each in self._unwritten if _is_asked_for(each, query)]
        newer = newer[-query.limit :]
        try:
            rows = await self._in_thread(partial(self._select, query, query.limit - len(newer) + 1))
        except DatabaseError as error:
            self._take_problem(str(error))
            rows = []
        has_more = len(rows) > query.limit - len(newer)
        shown = rows[: query.limit - len(newer)][::-1]
        before = shown[0][0] if shown else _PLACE_MAX
        lines = [b'{"place":%d,"event":%s}\n' % (place, content.replace(b"\n", b" ")) for place, content in shown]
        lines += [b'{"event":%s}\n' % to_json(_bounded(happened)) for happened in newer]
        return HistoryPage(tuple(lines), HistoryTail(before=before if has_more else None, problem=self._problem))

    def close(self) -> None:
        """Write what is left, and let the file go; blocks, for _CLOSE_SECONDS at most, and is for the end."""
        last = self._thread.submit(copy_context().run, self._end)
        try:
            last.result(_CLOSE_SECONDS)
        except DatabaseError as error:
            log.warning("history_not_written", error=str(error))
        except TimeoutError:
            log.warning("history_not_written", error="the disk does not answer")
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Do what may wait for the disk, one thing at a time; it goes on where its task is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, copy_context().run, work)

    def _end(self) -> None:
        try:
            self._write(tuple(self._unwritten))
        finally:
            self._database.close()

    async def _save(self) -> bool:
        """Write what is new; whether the disk has it."""
        writing = tuple(self._unwritten)
        if not writing:
            return True
        try:
            await self._in_thread(partial(self._write, writing))
        except DatabaseError as error:
            self._take_problem(str(error))
            return False
        self._take_problem("")
        last = writing[-1].number
        while self._unwritten and self._unwritten[0].number <= last:
            self._unwritten.popleft()
        return True

    def _write(self, happened: tuple[Happening, ...]) -> None:
        """Put events on disk, all or none; raises DatabaseError."""
        if not happened:
            return
        try:
            connection = self._database.connection()
            with connection:
                connection.execute("BEGIN")
                connection.executemany(_PUT, map(_row, happened))
                self._trim(connection)
        except (sqlite3.Error, OSError) as error:
            raise self._database.failure(error) from error

    def _trim(self, connection: sqlite3.Connection) -> None:
        """Forget the oldest, first of the kinds that happen often, as long as they are more than half."""
        total, frequent = connection.execute(_COUNT).fetchone()
        excess = total - self._kept
        if excess > 0:
            of_frequent = max(0, min(excess, frequent - self._kept // 2))
            connection.execute(_TRIM_FREQUENT, (of_frequent,))
            connection.execute(_TRIM, (excess - of_frequent,))

    def _select(self, query: HistoryQuery, limit: int) -> list[tuple[int, bytes]]:
        """The newest rows that are asked for, the newest first; raises DatabaseError."""
        try:
            if not self._database.exists():
                return []
            about = None if query.about is None else clean_text(query.about)
            values = (query.before or _PLACE_MAX, query.since, query.until, about, limit)
            return list(self._database.connection().execute(_READ, values))
        except (sqlite3.Error, OSError) as error:
            raise self._database.failure(error) from error

    def _take_problem(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("history_not_written", error=problem)
        self._problem = problem


def _is_asked_for(happened: Happening, query: HistoryQuery) -> bool:
    is_about = query.about is None or happened.subject == query.about
    return is_about and query.since <= happened.moment.timestamp() < query.until


def _row(happened: Happening) -> tuple[str, int, float, str, bool, bytes]:
    event, is_frequent = _bounded(happened), happened.kind in _FREQUENT
    return happened.run, happened.number, happened.moment.timestamp(), event.subject, is_frequent, to_json(event)


def _bounded(happened: Happening) -> HostEvent:
    """An event of a bounded length, each text one line: some of it is what others said."""
    told = happened.told()
    details = {
        str(clean_text(name))[:_DETAIL_LENGTH_MAX]: str(clean_text(content))[:_DETAIL_LENGTH_MAX]
        for name, content in islice(told.details.items(), _DETAILS_MAX)
    }
    return replace(told, subject=str(clean_text(told.subject)), reason=str(clean_text(told.reason)), details=details)
