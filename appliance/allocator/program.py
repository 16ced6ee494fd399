"""The allocator as it runs: a watch feeds the core, the writes it asks for run side by side, their answers go back."""

import asyncio
import contextlib
import gc
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Protocol

import structlog

from appliance.allocation.allocator import Allocator
from appliance.allocation.cache import WATCHED, Cache
from appliance.allocation.event import (
    Emit,
    Input,
    ObjectsChanged,
    Settings,
    TimePassed,
    Write,
    WriteDone,
    WriteOperation,
    WriteRefused,
)
from appliance.allocation.leader_election import LeaseTerms
from appliance.allocator.lease import MANAGER, LeaseKeeper, boot_seconds
from appliance.allocator.metric import LEADER, PROBLEMS, WRITES_UNDER_WAY, AllocatorCounts, allocation_readings
from appliance.api.kind import Object
from appliance.api.meta import Ref
from appliance.api.problem import Problem, Source, locate
from appliance.api.refusal import StoreRefusal
from appliance.control.metric import Reading, one
from appliance.daemon.garbage import keep_what_is_there
from appliance.daemon.metric import CONFIG_LOADED, CONFIG_STALE, program_readings
from appliance.ipam.event import EventType, ServiceEvent
from appliance.store.protocol import Changes, Store, StoreError

OBJECTS_MAX = 500
STUCK_SECONDS = 60.0
# Nearly all that is made here is values without cycles, and what has lasted for a while stays.
COLLECTOR_THRESHOLDS = (10_000, 10, 1_000)
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.05, 5.0

# An answer goes to the core that asked, and to no other that leads by then.
_Heard = tuple[Allocator | None, Input]


class EventSink(Protocol):
    """Where the owners of Services are told of events."""

    def emit(self, service: str, uid: str, event: ServiceEvent) -> None:
        """Tell of one event of a Service (`namespace/name`), without waiting; `uid` is "" where it is gone."""


async def run(
    store: Store,
    settings: Settings | None = None,
    events: EventSink | None = None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Allocate until cancelled, without asking who else does."""
    await Program(store, settings or Settings(), events, clock=clock).run()


class Program:
    """One core and what stands between it and the store; while another allocator leads, a cache that is kept warm.

    Without `lease` there is nobody else, or claims alone decide between them. `on_turn` is called after each turn, in
    which `describe` may have come to say something else.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        events: EventSink | None = None,
        lease: LeaseTerms | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = structlog.get_logger()
        self._store = store
        self._settings = settings
        self._events = events
        self._clock = clock
        self._cache = Cache()
        self._inputs: asyncio.Queue[_Heard] = asyncio.Queue(maxsize=settings.writes_max * 2)
        self._core = Allocator(settings, self._cache) if lease is None else None
        self._keeper = (
            LeaseKeeper(store, lease, self._begin_leading, self._stop_leading, clock) if lease is not None else None
        )
        self._writes: set[asyncio.Task[None]] = set()
        self._turned_at = boot_seconds()
        self._problems: tuple[Problem, ...] = ()
        self._sources: Mapping[Ref, Source] = {}
        self._found: tuple[Problem, ...] = ()
        self._told: frozenset[Problem] = frozenset()
        self._counts = AllocatorCounts()
        self._is_listed = asyncio.Event()
        self._is_leaving = False
        self.on_turn: Callable[[], None] = lambda: None

    @property
    def is_leader(self) -> bool:
        """Whether this program writes."""
        return self._core is not None

    @property
    def not_ready(self) -> str:
        """What a program waits for before it can take over at once, "" for nothing."""
        return "" if self._cache.is_listed else "the store has not told yet what there is"

    @property
    def not_live(self) -> str:
        """Why only a new start can help, "" where it need not."""
        is_stuck = not self._inputs.empty() and boot_seconds() - self._turned_at > STUCK_SECONDS
        return f"nothing was done for {STUCK_SECONDS:.0f} s though there is something to do" if is_stuck else ""

    def describe(self) -> str:
        """One line for `systemctl status`: what waits, or what is done, and whatever an operator should know."""
        if self.not_ready:
            return self.not_ready
        role = "gives addresses" if self.is_leader else "another allocator leads; ready to take over"
        number = len(self._found)
        mistakes = "1 mistake" if number == 1 else f"{number} mistakes"
        return f"{role}; {mistakes} in the manifests" if number else role

    async def listed(self) -> None:
        """Wait until the store has told what there is."""
        await self._is_listed.wait()

    def metrics(self) -> Iterator[Reading]:
        """What Prometheus wants to know; of pools and Services only while this program leads."""
        core = self._core
        yield from program_readings(version("pierhead"), not self.not_ready, self._store)
        yield from self._counts.readings()
        yield one(LEADER, self.is_leader)
        yield one(WRITES_UNDER_WAY, len(self._writes))
        yield one(PROBLEMS, len(self._found))
        yield one(CONFIG_LOADED, self._cache.is_listed)
        at_fault = core.configuration.at_fault if core is not None else ()
        yield one(CONFIG_STALE, bool(at_fault or self._problems or self._cache.unreadable))
        if core is not None:
            yield from allocation_readings(core)

    async def run(self) -> None:
        """Allocate, whenever this program leads, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="watch")
            group.create_task(self._work(group), name="work")
            if self._keeper is not None:
                # Who would first have to read everything leaves the Lease to those who have.
                await self._is_listed.wait()
                group.create_task(self._keeper.keep(), name="lease")

    async def leave(self) -> None:
        """Begin no further write, wait for those under way, and let another lead."""
        self._is_leaving = True
        self._core = None
        if self._writes:
            await asyncio.wait(self._writes)
        if self._keeper is not None and self._is_listed.is_set():
            await self._keeper.leave()

    def _begin_leading(self) -> None:
        if self._is_leaving:
            return
        self._core = Allocator(self._settings, self._cache)
        with contextlib.suppress(asyncio.QueueFull):
            self._inputs.put_nowait((None, TimePassed()))

    def _stop_leading(self) -> None:
        """Abandon what is under way: another leader may follow, and finds out what was done."""
        self._core = None
        for task in self._writes:
            task.cancel()

    async def _watch(self) -> None:
        """Hand on what the store tells, in pieces small enough to be taken in between two other things."""
        pause = _FIRST_RETRY_SECONDS
        while True:
            is_first = True
            try:
                async for changes in self._store.watch(WATCHED):
                    pause = _FIRST_RETRY_SECONDS
                    if changes.problems is not None:
                        self._problems = changes.problems
                    self._sources = {**self._sources, **changes.sources}
                    for piece in _pieces(changes, is_first):
                        await self._inputs.put((None, piece))
                    is_first = False
            except StoreError as error:
                # A start without a store is over with this: each further attempt leaves garbage.
                gc.enable()
                self._log.warning("watch_failed", error=str(error), retry_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_RETRY_SECONDS)

    async def _work(self, group: asyncio.TaskGroup) -> None:
        """Hand events to the core, and what it asks for to the store; never long without giving the turn away."""
        # What a store tells at first stays: looking through it even once would take a third of the start.
        keep_what_is_there()
        gc.disable()
        gc.set_threshold(*COLLECTOR_THRESHOLDS)
        is_kept = False
        while True:
            asker, event = await self._next()
            self._turned_at = boot_seconds()
            self._counts.hear(event, time.monotonic(), is_leader=self.is_leader)
            if self._cache.is_listed and not is_kept:
                is_kept = True
                gc.freeze()
                gc.enable()
            core = self._core
            if core is None:
                self._keep_warm(event)
            elif asker is None or asker is core:
                for command in core.handle(event, self._clock()):
                    match command:
                        case Write():
                            task = group.create_task(self._write(core, command), name=f"write {command.ref}")
                            self._writes.add(task)
                            task.add_done_callback(self._writes.discard)
                        case Emit():
                            self._counts.emit(command)
                            self._emit(command)
            if self._cache.is_listed:
                self._is_listed.set()
            self._tell_problems()
            self.on_turn()
            await asyncio.sleep(0)

    def _keep_warm(self, event: Input) -> None:
        """Take over what changed, for the time when this program leads."""
        if isinstance(event, ObjectsChanged):
            for _ in self._cache.absorb(event):
                pass

    async def _next(self) -> _Heard:
        """The next event, with the core it is an answer for, or that the core's deadline has come."""
        with contextlib.suppress(asyncio.QueueEmpty):
            return self._inputs.get_nowait()
        deadline = self._core.deadline() if self._core is not None else None
        seconds = None if deadline is None else max(0.0, deadline - self._clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._inputs.get()
        return None, TimePassed()

    async def _write(self, core: Allocator, write: Write) -> None:
        """Do what the core asks for, and tell it what came of it; nothing where this program leads no longer."""
        answer: WriteDone | WriteRefused = WriteRefused(write, StoreRefusal.UNAVAILABLE)
        seconds = self._keeper.write_seconds if self._keeper is not None else None
        if seconds is None or seconds > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    answer = await answered(self._store, write)
        self._counts.answer(answer, time.monotonic())
        if isinstance(answer, WriteRefused):
            self._log.info(
                "write_refused",
                operation=write.operation.name.lower(),
                subject=str(write.ref),
                why=answer.refusal.value,
            )
        if core is self._core:
            await self._inputs.put((core, answer))

    def _emit(self, emit: Emit) -> None:
        """Log an event, and tell whoever else is to know."""
        event = emit.event
        tell = self._log.warning if event.reason.event_type is EventType.WARNING else self._log.info
        tell("service_event", service=emit.service, reason=event.reason.text, message=event.message)
        if self._events is not None:
            service = self._cache.services.get(emit.service)
            self._events.emit(emit.service, service.metadata.uid if service is not None else "", event)

    def _tell_problems(self) -> None:
        """Log every mistake of operators that was not there before."""
        compiled = self._core.configuration.problems if self._core is not None else ()
        found = (*self._problems, *compiled)
        if found == self._found:
            return
        self._found = found
        problems = frozenset(locate(problem, self._sources) for problem in found)
        for problem in sorted(problems - self._told, key=str):
            self._log.warning("manifest_problem", problem=str(problem))
        self._told = problems


async def answered(store: Store, write: Write) -> WriteDone | WriteRefused:
    """Ask a store for one thing, and say what came of it; never raises StoreError."""
    try:
        return WriteDone(write, await _do(store, write))
    except StoreError as error:
        if error.refusal is StoreRefusal.NOT_FOUND and write.operation in (
            WriteOperation.GET,
            WriteOperation.DELETE,
        ):
            return WriteDone(write, None)
        return WriteRefused(write, error.refusal, error.retry_seconds)


async def _do(store: Store, write: Write) -> Object | None:
    if write.manifest is None:
        if write.operation is WriteOperation.GET:
            return await store.get(write.ref)
        await store.delete(write.ref, write.version)
        return None
    match write.operation:
        case WriteOperation.CREATE:
            return await store.create(write.manifest, MANAGER)
        case WriteOperation.APPLY:
            return await store.apply(write.manifest, MANAGER)
        case WriteOperation.APPLY_STATUS:
            return await store.apply_status(write.manifest, MANAGER, with_metadata=write.with_metadata)
        case WriteOperation.APPLY_METADATA:
            return await store.apply_metadata(write.manifest, MANAGER)
        case WriteOperation.DELETE | WriteOperation.GET:
            return None


def _pieces(changes: Changes, is_first: bool) -> Iterator[ObjectsChanged]:
    """One batch as several, what was removed and listed with the last of them."""
    last = max(0, len(changes.changed) - 1) // OBJECTS_MAX * OBJECTS_MAX
    for begin in range(0, last, OBJECTS_MAX):
        yield ObjectsChanged(changed=changes.changed[begin : begin + OBJECTS_MAX], is_first=is_first and not begin)
    yield ObjectsChanged(
        changed=changes.changed[last:],
        removed=changes.removed,
        listed=changes.listed,
        unreadable=changes.unreadable,
        is_complete=changes.is_complete,
        is_first=is_first and not last,
    )
