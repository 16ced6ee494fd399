"""What a control socket answers, by aiohttp: imported once a program does its work, which takes less time than that."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from socket import socket

from aiohttp import web

from appliance.api.address import parse_address
from appliance.api.text import shown
from appliance.control.codec import from_json, to_json
from appliance.control.connection import Clients, abort
from appliance.control.error import ControlError, ControlFault
from appliance.control.message import DrainRequest, HistoryHead, MoveAnswer, MoveRequest
from appliance.control.scrape import expose
from appliance.control.served import HISTORY_LIMIT_MAX, SLICE, HistoryQuery, Limits, Routes, Watcher
from appliance.control.topic import HEARTBEAT, ONLY, Subscription, Topic, TopicTable

_DIGITS_MAX = 15
_STATUS_OF = {
    ControlFault.INVALID: 400,
    ControlFault.DENIED: 403,
    ControlFault.NOT_FOUND: 404,
    ControlFault.REFUSED: 409,
}


class ControlHttp:
    """The answers of one program; `watchers` are the clients that it tells of changes."""

    def __init__(
        self, routes: Routes, tables: Mapping[Topic, TopicTable], limits: Limits, watchers: set[Watcher]
    ) -> None:
        self._routes = routes
        self._tables = tables
        self._limits = limits
        self._watchers = watchers
        self._clients = Clients(limits.clients)
        self._is_closing = False

    @asynccontextmanager
    async def served(self, listener: socket) -> AsyncIterator[None]:
        """Answer on a listening socket as long as the block runs."""
        async with self._clients.served(self._application(), listener):
            try:
                yield
            finally:
                self._is_closing = True
                for watcher in self._watchers:
                    watcher.changed.set()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[_errors_as_json])
        application.router.add_get("/v1/status", self._status)
        application.router.add_get("/v1/watch", self._watch)
        application.router.add_get("/v1/events", self._recent_events)
        application.router.add_get("/v1/counters", self._counters)
        application.router.add_get("/metrics", self._metrics)
        if Topic.VIPS in self._tables:
            application.router.add_get("/v1/explain/{address}", self._explain)
        if self._routes.history is not None:
            application.router.add_get("/v1/history", self._history)
        if self._routes.drain is not None:
            application.router.add_post("/v1/drain", self._drain)
        if self._routes.move is not None:
            application.router.add_post("/v1/move", self._move)
        return application

    async def _status(self, request: web.Request) -> web.StreamResponse:
        if "fresh" in request.query and self._routes.refresh is not None:
            await self._routes.refresh()
        return await self._stream(request, _whole({topic: self._tables[topic] for topic in self._routes.topics}))

    async def _recent_events(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, _array(self._tables[Topic.EVENTS]))

    async def _stream(self, request: web.Request, parts: Iterator[bytes]) -> web.StreamResponse:
        """Write a document of any length in slices; it is not of one moment."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with suppress(ConnectionError):
            while part := b"".join(islice(parts, SLICE)):
                await self._clients.write(request, response, part)
            await self._clients.write(request, response, b"\n")
        return response

    async def _history(self, request: web.Request) -> web.StreamResponse:
        """One line of JSON a value: the head at once, so that its time says how late this host's clock is."""
        query, history = _history_query(request.query), self._routes.history
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        if history is None:
            raise web.HTTPNotFound
        await response.prepare(request)
        with suppress(ConnectionError):
            now = datetime.now(UTC).isoformat(timespec="microseconds")
            head = HistoryHead(host=history.host, time=now, program=history.program)
            await self._clients.write(request, response, to_json(head) + b"\n")
            page = await history.read(query)
            for start in range(0, len(page.lines), SLICE):
                await self._clients.write(request, response, b"".join(page.lines[start : start + SLICE]))
            await self._clients.write(request, response, to_json(page.tail) + b"\n")
        return response

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if len(self._watchers) >= self._limits.watchers_max:
            raise ControlError(ControlFault.REFUSED, "watch", f"{len(self._watchers)} clients watch already")
        tables = self._asked_for(request.query.get("topics"))
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        await response.prepare(request)
        watcher = Watcher(Subscription(tables, self._limits.keys_max), asyncio.Event())
        self._watchers.add(watcher)
        try:
            with suppress(ConnectionError):
                await self._write_lines(request, response, watcher)
        finally:
            self._watchers.discard(watcher)
        return response

    def _asked_for(self, written: str | None) -> Mapping[Topic, TopicTable]:
        if written is None:
            return self._tables
        names = written.split(",")
        unknown = [name for name in names if name not in self._tables]
        if unknown:
            raise ControlError(ControlFault.INVALID, ", ".join(unknown), f"topics here are {', '.join(self._tables)}")
        return {topic: table for topic, table in self._tables.items() if topic in names}

    async def _write_lines(self, request: web.Request, response: web.StreamResponse, watcher: Watcher) -> None:
        """Write what is due; a client that has nothing coming hears a heartbeat, however much others are told."""
        clock = asyncio.get_running_loop().time
        written_at = clock()
        while not self._is_closing:
            watcher.changed.clear()
            if watcher.subscription.is_overrun:
                abort(request)
            part = b"".join(watcher.subscription.take(SLICE))
            if not part:
                if await _is_set_by(written_at + self._limits.heartbeat_seconds, watcher.changed):
                    continue
                part = HEARTBEAT
            await self._clients.write(request, response, part)
            written_at = clock()

    async def _explain(self, request: web.Request) -> web.Response:
        written = request.match_info["address"]
        try:
            address = parse_address(written)
        except ValueError as error:
            raise ControlError(ControlFault.INVALID, written, str(error)) from None
        verdict = self._tables[Topic.VIPS].read(str(address))
        if verdict is None:
            raise ControlError(ControlFault.NOT_FOUND, str(address), "is not the address of a VIP in this host's feed")
        return _json(verdict)

    async def _drain(self, request: web.Request) -> web.Response:
        content = await self._clients.read(request)
        try:
            wanted = from_json(DrainRequest, content) if content.strip() else DrainRequest()
        except ValueError as error:
            raise ControlError(ControlFault.INVALID, "drain", str(error)) from None
        if self._routes.drain is not None:
            await self._routes.drain(wanted.drain)
        return _json(wanted)

    async def _move(self, request: web.Request) -> web.Response:
        try:
            wanted = from_json(MoveRequest, await self._clients.read(request))
        except ValueError as error:
            raise ControlError(ControlFault.INVALID, "move", str(error)) from None
        if self._routes.move is None:
            raise ControlError(ControlFault.NOT_FOUND, "move")
        return _json(MoveAnswer(owner=await self._routes.move(wanted.address, wanted.to)))

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return await expose(request, self._clients, self._routes.metrics())

    async def _counters(self, _: web.Request) -> web.Response:
        return _json(dict(self._routes.counters()))


def _history_query(written: Mapping[str, str]) -> HistoryQuery:
    """A question for history; raises ControlError for one that is not understood."""
    unknown = written.keys() - {"since", "until", "about", "before", "limit"}
    if unknown:
        raise ControlError(ControlFault.INVALID, shown(min(unknown)), "is nothing that is known of history")
    limit = _number(written, "limit", HISTORY_LIMIT_MAX)
    return HistoryQuery(
        since=_moment(written, "since", float("-inf")),
        until=_moment(written, "until", float("inf")),
        about=written.get("about"),
        before=_number(written, "before", None),
        limit=HISTORY_LIMIT_MAX if limit is None else min(limit, HISTORY_LIMIT_MAX),
    )


def _moment(written: Mapping[str, str], name: str, default: float) -> float:
    text = written.get(name)
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.timestamp()
    except (ValueError, OverflowError):
        pass
    raise ControlError(ControlFault.INVALID, name, f"{shown(text)} is not a time with its zone, as RFC 3339 has it")


def _number(written: Mapping[str, str], name: str, default: int | None) -> int | None:
    text = written.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > _DIGITS_MAX or int(text) == 0:
        raise ControlError(ControlFault.INVALID, name, f"{shown(text)} is not a number from 1")
    return int(text)


async def _is_set_by(moment: float, event: asyncio.Event) -> bool:
    """Whether an event is set before a moment of the loop's clock; one that has passed is not waited for."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(moment):
            await asyncio.sleep(0)  # a moment that has passed ends this even where the event is set
            return await event.wait()
    return False


def _whole(tables: Mapping[Topic, TopicTable]) -> Iterator[bytes]:
    """A JSON object with one field a topic."""
    for number, topic in enumerate(topic for topic in Topic if topic in tables):
        yield b'%s"%s":' % (b"," if number else b"{", topic.encode())
        table = tables[topic]
        if table.has_one_value:
            yield to_json(table.read(ONLY))
        else:
            yield from _array(table)
    yield b"}"


def _array(table: TopicTable) -> Iterator[bytes]:
    """A JSON array of a topic's values; keys that go meanwhile are left out."""
    separator = b"["
    for key in table.keys() or ():
        content = table.read(key)
        if content is not None:
            yield separator + to_json(content)
            separator = b","
    yield b"]" if separator == b"," else b"[]"


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ControlError as error:
        return _error(_STATUS_OF.get(error.fault, 500), error.fault, str(error))
    except web.HTTPException as error:
        fault = ControlFault.NOT_FOUND if error.status == 404 else ControlFault.INVALID
        return _error(error.status, fault, f"{request.method} {request.path}: {error.reason.lower()}")


def _error(status: int, fault: ControlFault, sentence: str) -> web.Response:
    return _json({"error": sentence, "fault": fault.name}, status)


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(body=to_json(content) + b"\n", status=status, content_type="application/json")
