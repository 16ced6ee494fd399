"""The program's end of a control socket.

GET /v1/status            the program's status
GET /v1/watch             one status a line: now, after each change, and as a heartbeat
GET /v1/explain/ADDRESS   everything decided about one VIP
POST /v1/drain            move everything away, or take it back
GET /v1/events            what happened lately, oldest first
GET /metrics              Prometheus text
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from appliance.api.address import IPAddress, parse_address
from appliance.control.endpoint import listening_socket
from appliance.control.error import ControlError, Fault
from appliance.control.message import DrainRequest
from appliance.control.text import from_json, to_json

HEARTBEAT_SECONDS = 2.0
_PACE_SECONDS = 0.05
_GRACE_SECONDS = 1.0

_STATUS_OF = {Fault.INVALID: 400, Fault.DENIED: 403, Fault.NOT_FOUND: 404, Fault.REFUSED: 409}


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What a program answers; what it leaves out is not there. Each may raise ControlError to refuse."""

    status: Callable[[], object]
    explain: Callable[[IPAddress], object | None] | None = None
    drain: Callable[[bool], Awaitable[None]] | None = None
    events: Callable[[], Sequence[Mapping[str, object]]] | None = None
    metrics: Callable[[], str] | None = None


class ControlServer:
    """Serves one program's routes on a unix socket; the program says when its status may have changed."""

    def __init__(self, path: Path, routes: Routes, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._path = path
        self._routes = routes
        self._heartbeat_seconds = heartbeat_seconds
        self._watchers: set[asyncio.Event] = set()
        self._is_closing = False

    async def run(self) -> None:
        """Serve until cancelled; raises ControlError where the path cannot be listened on."""
        async with self.serving():
            await asyncio.Event().wait()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve as long as the block runs; connections are taken from its first line on."""
        with listening_socket(self._path) as listener:
            runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=_GRACE_SECONDS)
            await runner.setup()
            try:
                await web.SockSite(runner, listener).start()
                yield
            finally:
                self._is_closing = True
                self.publish()
                await runner.cleanup()

    def publish(self) -> None:
        """Tell every watcher that the status may have changed; many calls at once give one line."""
        for changed in self._watchers:
            changed.set()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[_errors_as_json])
        application.router.add_get("/v1/status", self._status)
        application.router.add_get("/v1/watch", self._watch)
        for wanted, method, path, answer in (
            (self._routes.explain, "GET", "/v1/explain/{address}", self._explain),
            (self._routes.drain, "POST", "/v1/drain", self._drain),
            (self._routes.events, "GET", "/v1/events", self._events),
            (self._routes.metrics, "GET", "/metrics", self._metrics),
        ):
            if wanted is not None:
                application.router.add_route(method, path, answer)
        return application

    async def _status(self, _: web.Request) -> web.Response:
        return _json(self._routes.status())

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/jsonl"})
        await response.prepare(request)
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            with suppress(ConnectionError):
                await self._write_lines(response, changed)
        finally:
            self._watchers.discard(changed)
        return response

    async def _write_lines(self, response: web.StreamResponse, changed: asyncio.Event) -> None:
        while not self._is_closing:
            changed.clear()
            await response.write(to_json(self._routes.status()) + b"\n")
            # The status of thousands of VIPs is megabytes: a burst of changes is one line.
            await asyncio.sleep(_PACE_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), self._heartbeat_seconds)

    async def _explain(self, request: web.Request) -> web.Response:
        written = request.match_info["address"]
        try:
            address = parse_address(written)
        except ValueError as error:
            raise ControlError(Fault.INVALID, written, str(error)) from None
        verdict = self._routes.explain(address) if self._routes.explain else None
        if verdict is None:
            raise ControlError(Fault.NOT_FOUND, str(address), "is not the address of a VIP in this host's feed")
        return _json(verdict)

    async def _drain(self, request: web.Request) -> web.Response:
        content = await request.read()
        try:
            wanted = from_json(DrainRequest, content) if content.strip() else DrainRequest()
        except ValueError as error:
            raise ControlError(Fault.INVALID, "drain", str(error)) from None
        if self._routes.drain is not None:
            await self._routes.drain(wanted.drain)
        return _json(wanted)

    async def _events(self, _: web.Request) -> web.Response:
        return _json(list(self._routes.events()) if self._routes.events else [])

    async def _metrics(self, _: web.Request) -> web.Response:
        text = self._routes.metrics() if self._routes.metrics else ""
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ControlError as error:
        return _error(_STATUS_OF.get(error.fault, 500), error.fault, str(error))
    except web.HTTPException as error:
        fault = Fault.NOT_FOUND if error.status == 404 else Fault.INVALID
        return _error(error.status, fault, f"{request.method} {request.path}: {error.reason.lower()}")


def _error(status: int, fault: Fault, sentence: str) -> web.Response:
    return _json({"error": sentence, "fault": fault.name}, status)


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(body=to_json(content) + b"\n", status=status, content_type="application/json")
