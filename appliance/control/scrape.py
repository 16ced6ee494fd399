"""What a program tells those who look after it from outside: its metrics, and whether it is well. Nothing else."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import NoReturn

import structlog
from aiohttp import web

from appliance.control.connection import Clients, abort
from appliance.control.error import ControlError
from appliance.control.listener import ListenAddress, listening_tcp
from appliance.control.metric import CONTENT_TYPE, Reading, exposition
from appliance.control.served import ClientLimits

log = structlog.get_logger()

_SCRAPE_SECONDS = 60.0
_AGAIN_SECONDS_FIRST, _AGAIN_SECONDS_LONGEST = 1.0, 60.0


class ScrapeServer:
    """Serves `GET /metrics` over TCP, and one path for each check: 200, or 503 with why it is not well.

    Where nothing can listen at the address, that is logged once, naming the setting it comes from, and tried again:
    a program's work does not depend on its metrics.
    """

    def __init__(
        self,
        address: ListenAddress,
        setting: str,
        metrics: Callable[[], Iterable[Reading]],
        checks: Mapping[str, Callable[[], str]] | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        """Each of `checks` returns why a program is not well, or an empty text."""
        self._address = address
        self._setting = setting
        self._metrics = metrics
        self._checks = checks or {}
        self._limits = limits or ClientLimits(connections_max=8)

    async def run(self) -> NoReturn:
        """Serve until cancelled."""
        said, wait = "", _AGAIN_SECONDS_FIRST
        while True:
            try:
                with listening_tcp(self._address) as listener:
                    clients = Clients(self._limits)
                    async with clients.served(self._application(clients), listener):
                        log.info("metrics_served", setting=self._setting, address=str(self._address))
                        await asyncio.Event().wait()
            except ControlError as error:
                if str(error) != said:
                    said = str(error)
                    log.error("metrics_not_served", setting=self._setting, error=said)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _AGAIN_SECONDS_LONGEST)

    def _application(self, clients: Clients) -> web.Application:
        async def metrics(request: web.Request) -> web.StreamResponse:
            return await expose(request, clients, self._metrics())

        async def check(request: web.Request) -> web.StreamResponse:
            reason = self._checks[request.path]()
            return web.Response(text=f"{reason or 'ok'}\n", status=503 if reason else 200)

        application = web.Application()
        application.router.add_get("/metrics", metrics)
        for path in self._checks:
            application.router.add_get(path, check)
        return application


async def expose(request: web.Request, clients: Clients, readings: Iterable[Reading]) -> web.StreamResponse:
    """Answer with metrics; they are not of one moment, and in Prometheus' text format whatever the client prefers.

    OpenMetrics has no name for a counter that does not end in `_total`.
    """
    response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE})
    response.force_close()
    await response.prepare(request)
    with suppress(ConnectionError):
        try:
            async with asyncio.timeout(_SCRAPE_SECONDS):
                for part in exposition(readings):
                    await clients.write(request, response, part)
        except TimeoutError:
            abort(request)
    return response
