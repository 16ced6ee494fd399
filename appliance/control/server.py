"""The program's end of a control socket.

GET /v1/status            everything the program has to say, by topic
GET /v1/watch?topics=     one line a key: what is, then what changes
GET /v1/events            what happened lately, oldest first
GET /v1/counters          what was counted since the start
GET /metrics              what Prometheus wants to know
GET /v1/explain/ADDRESS   everything decided about one VIP
POST /v1/drain            move everything away, or take it back

The loop that serves is the loop that answers ARP: nothing here makes more than SLICE values between two awaits.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from aiohttp import web

from appliance.api.address import parse_address
from appliance.control.codec import from_json, to_json
from appliance.control.connection import ClientLimits, Clients, abort
from appliance.control.error import ControlError, ControlFault
from appliance.control.event import Events
from appliance.control.listener import listening_socket
from appliance.control.message import DrainRequest
from appliance.control.metric import Reading
from appliance.control.scrape import expose
from appliance.control.topic import HEARTBEAT, ONLY, Subscription, Topic, TopicTable

SLICE = 64

_STATUS_OF = {
    ControlFault.INVALID: 400,
    ControlFault.DENIED: 403,
    ControlFault.NOT_FOUND: 404,
    ControlFault.REFUSED: 409,
}

Counters = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What a program answers beside its events; what it leaves out is not there. Each may refuse by ControlError."""

    topics: Mapping[Topic, TopicTable]
    counters: Callable[[], Counters] = dict
    metrics: Callable[[], Iterable[Reading]] = tuple
    drain: Callable[[bool], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What clients may cost, how many of them may watch, and how far behind each of those may fall."""

    clients: ClientLimits = ClientLimits(connections_max=128)
    heartbeat_seconds: float = 2.0
    watchers_max: int = 64
    keys_max: int = 50_000


@dataclass(frozen=True, slots=True)
class _Watcher:
    """A client that watches, and the event that wakes its connection."""

    subscription: Subscription
    changed: asyncio.Event


class ControlServer:
    """Serves one program on a unix socket; the program says which keys changed, and records events."""

    def __init__(self, path: Path, routes: Routes, limits: Limits | None = None) -> None:
        self._path = path
        self._routes = routes
        self._limits = limits or Limits()
        self._clients = Clients(self._limits.clients)
        self._watchers: set[_Watcher] = set()
        self._is_closing = False
        self.events = Events(lambda number: self.publish(Topic.EVENTS, (number,)))
        self._tables = {**routes.topics, Topic.EVENTS: self.events.table}

    async def run(self) -> None:
        """Serve until cancelled; raises ControlError where the path cannot be listened on."""
        async with self.serving():
            await asyncio.Event().wait()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve as long as the block runs; connections are taken from its first line on."""
        with listening_socket(self._path) as listener:
            async with self._clients.served(self._application(), listener):
                try:
                    yield
                finally:
                    self._is_closing = True
                    for watcher in self._watchers:
                        watcher.changed.set()

    def publish(self, topic: Topic, keys: Iterable[str] = (ONLY,)) -> None:
        """Keys of a topic came, changed or went; costs next to nothing where nobody watches."""
        if not self._watchers:
            return
        changed = tuple(keys)
        for watcher in self._watchers:
            watcher.subscription.notice(topic, changed)
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
        if self._routes.drain is not None:
            application.router.add_post("/v1/drain", self._drain)
        return application

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, _whole({topic: self._tables[topic] for topic in self._routes.topics}))

    async def _recent_events(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, _array(self.events.table))

    async def _stream(self, request: web.Request, parts: Iterator[bytes]) -> web.StreamResponse:
        """Write a document of any length in slices; it is not of one moment."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        with suppress(ConnectionError):
            while part := b"".join(islice(parts, SLICE)):
                await self._clients.write(request, response, part)
            await self._clients.write(request, response, b"\n")
        return response

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if len(self._watchers) >= self._limits.watchers_max:
            raise ControlError(ControlFault.REFUSED, "watch", f"{len(self._watchers)} clients watch already")
        tables = self._asked_for(request.query.get("topics"))
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        await response.prepare(request)
        watcher = _Watcher(Subscription(tables, self._limits.keys_max), asyncio.Event())
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

    async def _write_lines(self, request: web.Request, response: web.StreamResponse, watcher: _Watcher) -> None:
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

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        return await expose(request, self._clients, self._routes.metrics())

    async def _counters(self, _: web.Request) -> web.Response:
        return _json(dict(self._routes.counters()))


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
