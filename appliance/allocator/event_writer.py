"""Events of Services as objects of the Kubernetes API, written beside everything else."""

import asyncio
import time

import structlog

from appliance.allocation.event_queue import EventQueue, EventRequest
from appliance.allocator.lease import MANAGER
from appliance.api.refusal import StoreRefusal
from appliance.ipam.event import ServiceEvent
from appliance.store.protocol import Store, StoreError


class EventWriter:
    """Writes what it is told of, as well as it can and never faster than it should; nobody waits for it."""

    def __init__(self, store: Store) -> None:
        self._log = structlog.get_logger()
        self._store = store
        self._queue = EventQueue()
        self._is_new = asyncio.Event()
        self._is_dropping = False

    @property
    def dropped(self) -> int:
        """How many events were not written since the start."""
        return self._queue.dropped

    def emit(self, service: str, uid: str, event: ServiceEvent) -> None:
        """Tell of one event of a Service."""
        self._queue.add(service, uid, event, time.time())
        self._is_new.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            before = self._queue.dropped
            request = self._queue.take(time.time())
            if request is not None:
                self._queue.conclude(await self._write(request), time.time())
            else:
                await self._wait()
            if self._queue.dropped > before and not self._is_dropping:
                self._is_dropping = True
                self._log.warning("events_dropped", dropped=self._queue.dropped)

    async def _wait(self) -> None:
        deadline = self._queue.deadline()
        if deadline is not None:
            await asyncio.sleep(max(0.0, deadline - time.time()))
            return
        self._is_dropping = False
        self._is_new.clear()
        await self._is_new.wait()

    async def _write(self, request: EventRequest) -> StoreRefusal | None:
        try:
            if request.is_repeated:
                await self._store.apply(request.event, MANAGER)
            else:
                await self._store.create(request.event, MANAGER)
        except StoreError as error:
            return error.refusal
        return None
