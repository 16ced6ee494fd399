"""The asking end of a control socket; every function raises ControlError."""

import asyncio
import importlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import quote, urlencode

from appliance.api.address import IPAddress
from appliance.control.codec import checked, from_json, read_json, to_json
from appliance.control.error import ControlError, ControlFault
from appliance.control.message import (
    DrainRequest,
    HistoryEntry,
    HistoryHead,
    HistoryTail,
    HostEvent,
    MoveAnswer,
    MoveRequest,
    VirtualIPVerdict,
)
from appliance.control.served import HISTORY_LIMIT_MAX, HistoryQuery
from appliance.control.topic import Topic

if TYPE_CHECKING:
    from aiohttp import ClientResponse

T = TypeVar("T")

ANSWER_SECONDS = 5.0
MOVE_SECONDS = 15.0  # longer than an owner waits for the other host
SILENCE_SECONDS = 10.0
ANSWER_BYTES_MAX = 256 << 20
LINE_BYTES_MAX = 1 << 20
KEYS_MAX = 1_000_000
_SLICE = 64


@dataclass(frozen=True, slots=True)
class TopicChange(Generic[T]):
    """News of one topic by key; of a listing, everything there is: what it does not name is gone."""

    topic: Topic
    changed: Mapping[str, T]
    removed: frozenset[str] = frozenset()
    is_listing: bool = False

    def fold(self, known: dict[str, T]) -> None:
        """Bring what is known to what is told."""
        if self.is_listing:
            known.clear()
        known.update(self.changed)
        for key in self.removed:
            known.pop(key, None)


async def read_status(path: Path, kind: type[T], *, fresh: bool = False) -> T:
    """The status of the program behind a socket; a `fresh` one costs it a question to its BIRD."""
    return _decoded(path, kind, await _ask(path, "GET", "/v1/status?fresh" if fresh else "/v1/status"))


async def explain(path: Path, address: str) -> VirtualIPVerdict:
    """Everything an agent decided about one VIP; raises NOT_FOUND or INVALID for what is none."""
    return _decoded(path, VirtualIPVerdict, await _ask(path, "GET", f"/v1/explain/{quote(address, safe='')}"))


async def drain(path: Path, wanted: bool) -> None:
    """Move everything away from an agent's host, or let it come back."""
    await _ask(path, "POST", "/v1/drain", to_json(DrainRequest(drain=wanted)))


async def move(path: Path, address: IPAddress, to: str = "") -> str:
    """Have an owner hand a VIP over, to the first able host where none is named; the host that then answers for it.

    Raises REFUSED with a MoveRefusal's text, or where the other host did not take it.
    """
    content = to_json(MoveRequest(address=address, to=to))
    return _decoded(path, MoveAnswer, await _ask(path, "POST", "/v1/move", content, MOVE_SECONDS)).owner


async def read_events(path: Path) -> tuple[HostEvent, ...]:
    """What happened lately, oldest first."""
    return _decoded(path, tuple[HostEvent, ...], await _ask(path, "GET", "/v1/events"))


@dataclass(frozen=True, slots=True)
class HostHistory:
    """Events of a program of a host, oldest first, in the order in which it recorded them.

    Its clock is `clock_ahead_seconds` ahead of this machine's, give or take `clock_error_seconds`. There are older ones
    `before` a place; `problem` is what that host's disk says, `unreadable` counts lines that were no events.
    """

    host: str
    entries: tuple[HistoryEntry, ...] = ()
    clock_ahead_seconds: float = 0.0
    clock_error_seconds: float = 0.0
    before: int | None = None
    problem: str = ""
    unreadable: int = 0
    program: str = "agent"


async def read_history(path: Path, query: HistoryQuery, at_most: int = HISTORY_LIMIT_MAX) -> HostHistory:
    """The last `at_most` events of a host that are asked for, page by page."""
    history = await _read_page(path, replace(query, limit=min(at_most, query.limit)))
    while history.before is not None and len(history.entries) < at_most:
        left = min(at_most - len(history.entries), query.limit)
        older = await _read_page(path, replace(query, before=history.before, limit=left))
        if older.before is not None and older.before >= history.before:
            raise _misunderstood(path, ValueError("its pages have no end"))
        history = replace(
            history,
            entries=older.entries + history.entries,
            before=older.before,
            unreadable=history.unreadable + older.unreadable,
        )
    return history


async def _read_page(path: Path, query: HistoryQuery) -> HostHistory:
    # What takes long the first time would count as the other clock's delay.
    await asyncio.to_thread(importlib.import_module, "aiohttp")
    asked = datetime.now(UTC)
    head, tail, entries, unreadable = None, HistoryTail(), [], 0
    async with _answer(path, "GET", f"/v1/history?{_written(query)}", None, ANSWER_SECONDS) as response:
        async for line in _lines(path, response):
            if head is None:
                answered = datetime.now(UTC)
                head = _decoded(path, HistoryHead, line)
                continue
            match _json_or_none(line):
                case {"event": _} as written:
                    try:
                        entries.append(checked(HistoryEntry, written))
                    except ValueError:
                        unreadable += 1
                case {"problem": _} as written:
                    tail = _checked_tail(path, written)
                case _:
                    unreadable += 1
    if head is None:
        raise _misunderstood(path, ValueError("it is empty"))
    try:
        ahead = (datetime.fromisoformat(head.time) - asked).total_seconds()
    except (ValueError, TypeError) as error:
        raise _misunderstood(path, ValueError("its time is none")) from error
    error_seconds = (answered - asked).total_seconds() / 2
    return HostHistory(
        head.host,
        tuple(entries),
        ahead - error_seconds,
        error_seconds,
        tail.before,
        tail.problem,
        unreadable,
        head.program,
    )


def _written(query: HistoryQuery) -> str:
    def moment(seconds: float) -> str | None:
        return datetime.fromtimestamp(seconds, UTC).isoformat() if isfinite(seconds) else None

    asked = {
        "since": moment(query.since),
        "until": moment(query.until),
        "about": query.about,
        "before": query.before,
        "limit": query.limit,
    }
    return urlencode({name: content for name, content in asked.items() if content is not None})


async def _lines(path: Path, response: "ClientResponse") -> AsyncIterator[bytes]:
    """The lines of an answer of bounded length."""
    rest, size = b"", 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        *whole, rest = (rest + chunk).split(b"\n")
        if size > ANSWER_BYTES_MAX or max(len(rest), *map(len, whole), 0) > LINE_BYTES_MAX:
            raise _misunderstood(path, ValueError("it has no end"))
        for line in whole:
            yield line
    if rest:
        yield rest


def _json_or_none(line: bytes) -> object:
    try:
        return read_json(line)
    except ValueError:
        return None


def _checked_tail(path: Path, written: object) -> HistoryTail:
    try:
        return checked(HistoryTail, written)
    except ValueError as error:
        raise _misunderstood(path, error) from error


async def watch_topic(path: Path, topic: Topic, kind: type[T]) -> AsyncGenerator[TopicChange[T]]:
    """A topic's listing, then its changes; raises LOST when the program ends."""
    async with aclosing(watch(path, {topic: kind})) as changes:
        async for change in changes:
            yield change


async def watch(
    path: Path, kinds: Mapping[Topic, type[T]], silence_seconds: float = SILENCE_SECONDS
) -> AsyncGenerator[TopicChange[T]]:
    """Several topics, each with its listing first; raises LOST when the program ends, TIMED_OUT when it is silent."""
    lines = TopicLines(kinds)
    async with _answer(path, "GET", f"/v1/watch?topics={','.join(kinds)}", None, silence_seconds) as response:
        async for chunk in response.content.iter_any():
            try:
                for number, _ in enumerate(lines.take(chunk), start=1):
                    # A listing of thousands is decoded on a loop that has other work too.
                    if number % _SLICE == 0:
                        await asyncio.sleep(0)
                changes = lines.changes()
            except ValueError as error:
                raise _misunderstood(path, error) from error
            for change in changes:
                yield change
    raise ControlError(ControlFault.LOST, str(path))


class TopicLines(Generic[T]):
    """The bytes of a watch as changes; anything but what a server writes, and any excess, is a ValueError."""

    def __init__(self, kinds: Mapping[Topic, type[T]]) -> None:
        self._kinds = kinds
        self._rest = b""
        self._listed: set[Topic] = set()
        self._listings: dict[Topic, dict[str, T]] = {topic: {} for topic in kinds}
        self._news: dict[Topic, dict[str, T | None]] = {}
        self._complete: list[Topic] = []

    def take(self, chunk: bytes) -> Iterator[None]:
        """Read the whole lines of what has come, one a step."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        if max(len(self._rest), *map(len, whole), 0) > LINE_BYTES_MAX:
            raise ValueError("a line has no end")
        for line in whole:
            self._take_line(line)
            yield

    def changes(self) -> list[TopicChange[T]]:
        """What the lines read since the last call mean; a topic is held back until its listing is whole."""
        told: list[TopicChange[T]] = []
        for topic in self._complete:
            told.append(TopicChange(topic, self._listings.pop(topic), is_listing=True))
        for topic, news in self._news.items():
            changed = {key: content for key, content in news.items() if content is not None}
            told.append(TopicChange(topic, changed, frozenset(news.keys() - changed.keys())))
        self._complete, self._news = [], {}
        return told

    def _take_line(self, line: bytes) -> None:
        match read_json(line):
            case {"heartbeat": True}:
                return
            case {"topic": str(name), "listed": True}:
                topic = self._topic(name)
                if topic in self._listed:
                    raise ValueError(f"{topic} is listed twice")
                self._listed.add(topic)
                self._complete.append(topic)
            case {"topic": str(name), "key": str(key), "value": written}:
                topic = self._topic(name)
                self._put(topic, key, None if written is None else checked(self._kinds[topic], written))
            case _:
                raise ValueError("a line is neither a change nor the end of a listing")

    def _topic(self, name: str) -> Topic:
        topic = Topic(name)
        if topic not in self._kinds:
            raise ValueError(f"{topic} was not asked for")
        return topic

    def _put(self, topic: Topic, key: str, content: T | None) -> None:
        if topic in self._listed:
            self._news.setdefault(topic, {})[key] = content
        elif content is None:
            self._listings[topic].pop(key, None)
        elif len(self._listings[topic]) < KEYS_MAX:
            self._listings[topic][key] = content
        else:
            raise ValueError(f"{topic} has more than {KEYS_MAX} keys")


async def _ask(
    path: Path, method: str, route: str, content: bytes | None = None, seconds: float = ANSWER_SECONDS
) -> bytes:
    async with _answer(path, method, route, content, seconds) as response:
        return await _content(path, response)


async def _content(path: Path, response: "ClientResponse") -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise _misunderstood(path, ValueError("it has no end"))
        parts.append(part)
    return b"".join(parts)


@asynccontextmanager
async def _answer(
    path: Path, method: str, route: str, content: bytes | None, silence_seconds: float
) -> AsyncIterator["ClientResponse"]:
    """A good answer; `silence_seconds` may pass without a byte of it."""
    # Beside the loop, which may have the network to answer.
    await asyncio.to_thread(importlib.import_module, "aiohttp")
    from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector
    from aiohttp.client_exceptions import UnixClientConnectorError

    timeout = ClientTimeout(total=None, sock_connect=ANSWER_SECONDS, sock_read=silence_seconds)
    try:
        async with (
            ClientSession(connector=UnixConnector(str(path)), timeout=timeout) as session,
            session.request(method, f"http://pierhead{route}", data=content) as response,
        ):
            if response.status >= 400:
                raise _refusal(path, await _content(path, response))
            yield response
    except UnixClientConnectorError as error:
        fault = ControlFault.DENIED if isinstance(error.os_error, PermissionError) else ControlFault.NOT_RUNNING
        raise ControlError(fault, str(path)) from error
    except TimeoutError as error:
        raise ControlError(ControlFault.TIMED_OUT, str(path)) from error
    except (ClientError, OSError) as error:
        raise ControlError(ControlFault.LOST, str(path)) from error


def _refusal(path: Path, content: bytes) -> ControlError:
    """The error a server wrote, its sentence unchanged."""
    try:
        written = json.loads(content)
        subject, _, detail = str(written["error"]).partition(": ")
        return ControlError(ControlFault[written["fault"]], subject, detail)
    except (ValueError, KeyError, TypeError):
        return ControlError(ControlFault.PROTOCOL, str(path))


def _decoded(path: Path, kind: type[T], content: bytes) -> T:
    try:
        return from_json(kind, content)
    except ValueError as error:
        raise _misunderstood(path, error) from error


def _misunderstood(path: Path, error: ValueError) -> ControlError:
    return ControlError(ControlFault.PROTOCOL, str(path), f"{ControlFault.PROTOCOL.value} ({error})")
