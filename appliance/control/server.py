"""The program's end of a control socket.

GET /v1/status            everything the program has to say, by topic; ?fresh asks BIRD first
GET /v1/watch?topics=     one line a key: what is, then what changes
GET /v1/events            what happened lately, oldest first
GET /v1/history           what happened over restarts: since=, until= (RFC 3339), about= (a subject), limit=, before=
GET /v1/counters          what was counted since the start
GET /metrics              what Prometheus wants to know
GET /v1/explain/ADDRESS   everything decided about one VIP
POST /v1/drain            move everything away, or take it back
POST /v1/move             hand one VIP over to another host

The loop that serves is the loop that answers ARP: nothing here makes more than SLICE values between two awaits.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from appliance.control.event import Events, Happening
from appliance.control.listener import listening_socket
from appliance.control.served import Limits, Routes, Watcher
from appliance.control.topic import ONLY, Topic

_HTTP = "appliance.control.http"


class ControlServer:
    """Serves one program on a unix socket; the program says which keys changed, and records events."""

    def __init__(self, path: Path, routes: Routes, limits: Limits | None = None) -> None:
        self._path = path
        self._routes = routes
        self._limits = limits or Limits()
        self._watchers: set[Watcher] = set()
        self.events = Events(self._take_event)
        self._tables = {**routes.topics, Topic.EVENTS: self.events.table}

    def _take_event(self, happened: Happening) -> None:
        if self._routes.history is not None:
            self._routes.history.note(happened)
        self.publish(Topic.EVENTS, (str(happened.number),))

    async def run(self) -> None:
        """Serve until cancelled; raises ControlError where the path cannot be listened on."""
        async with self.serving():
            await asyncio.Event().wait()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve as long as the block runs; connections are taken from its first line on."""
        with listening_socket(self._path) as listener:
            # Beside the loop: it has the network to answer.
            await asyncio.to_thread(importlib.import_module, _HTTP)
            from appliance.control.http import ControlHttp

            async with ControlHttp(self._routes, self._tables, self._limits, self._watchers).served(listener):
                yield

    def publish(self, topic: Topic, keys: Iterable[str] = (ONLY,)) -> None:
        """Keys of a topic came, changed or went; costs next to nothing where nobody watches."""
        if not self._watchers:
            return
        changed = tuple(keys)
        for watcher in self._watchers:
            watcher.subscription.notice(topic, changed)
            watcher.changed.set()
