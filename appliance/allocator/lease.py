"""The Lease as it is kept: the core of the leader election, fed by a store and by the clock."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

import structlog

from appliance.allocation.event import TimePassed
from appliance.allocation.leader_election import (
    BeginLeading,
    ElectionInput,
    LeaderElection,
    LeaseRefused,
    LeaseSeen,
    LeaseTerms,
    LeaseTold,
    LeaveAsked,
    ReadLease,
    StopLeading,
    WriteLease,
)
from appliance.api.core import Lease
from appliance.api.kind import Kind, ref_of
from appliance.api.meta import Ref
from appliance.api.refusal import StoreRefusal
from appliance.store.protocol import Store, StoreError

MANAGER = "pierhead-allocator"
_WATCH_RETRY_SECONDS = 5.0


def boot_seconds() -> float:
    """Seconds of the clock that goes on while the machine is suspended: what was written before is old then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaseKeeper:
    """Takes part in the election until it is told to leave; `on_begin` and `on_stop` hear of the own leading."""

    def __init__(
        self,
        store: Store,
        terms: LeaseTerms,
        on_begin: Callable[[], None],
        on_stop: Callable[[], None],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = structlog.get_logger()
        self._store = store
        self._terms = terms
        self._ref = Ref("Lease", terms.namespace, terms.name)
        self._on_begin = on_begin
        self._on_stop = on_stop
        self._wall_clock = wall_clock
        self._election = LeaderElection(terms, random.random)
        self._inputs: asyncio.Queue[ElectionInput] = asyncio.Queue()
        self._is_over = asyncio.Event()
        self._holder = ""
        self._is_failing = False

    @property
    def is_leader(self) -> bool:
        """Whether writes are this program's."""
        return self._election.is_leader

    @property
    def write_seconds(self) -> float:
        """How long a write that begins now may take, 0 where none may begin."""
        now = boot_seconds()
        return self._election.writes_end - now if self._election.may_write(now) else 0.0

    async def keep(self) -> None:
        """Take part until `leave` was called and the Lease, where it was ours, is given back."""
        self._inputs.put_nowait(TimePassed())
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch(), name="lease watch")
            while not self._election.is_over:
                event = await self._next()
                for command in self._election.handle(event, boot_seconds(), self._wall_clock()):
                    match command:
                        case ReadLease() | WriteLease():
                            group.create_task(self._request(command), name="lease")
                        case BeginLeading():
                            self._log.info("leading_began", identity=self._terms.identity)
                            self._on_begin()
                        case StopLeading():
                            self._log.info("leading_ended", identity=self._terms.identity)
                            self._on_stop()
                self._tell_holder()
            watching.cancel()
        self._is_over.set()

    async def leave(self) -> None:
        """Give the Lease back, and end; no write may be under way."""
        self._inputs.put_nowait(LeaveAsked())
        await self._is_over.wait()

    async def _watch(self) -> None:
        """Hand on what the store tells of the Lease; without it the election asks for itself."""
        while True:
            with contextlib.suppress(StoreError):
                async for changes in self._store.watch(frozenset({Kind.LEASE})):
                    for manifest in changes.changed:
                        if isinstance(manifest, Lease) and ref_of(manifest) == self._ref:
                            self._inputs.put_nowait(LeaseSeen(manifest))
            await asyncio.sleep(_WATCH_RETRY_SECONDS * random.uniform(0.5, 1.0))

    async def _next(self) -> ElectionInput:
        deadline = self._election.deadline()
        seconds = None if deadline is None else max(0.0, deadline - boot_seconds())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._inputs.get()
        return TimePassed()

    async def _request(self, request: ReadLease | WriteLease) -> None:
        """Ask the store, for half the time there is to renew; its answer is an event."""
        try:
            async with asyncio.timeout(self._terms.renew_seconds / 2):
                lease = await self._ask(request)
            answer: ElectionInput = LeaseTold(lease)
            self._tell_failure("")
        except StoreError as error:
            answer = LeaseRefused(error.refusal)
            if error.refusal not in (StoreRefusal.CONFLICT, StoreRefusal.EXISTS):
                self._tell_failure(str(error))
        except TimeoutError:
            answer = LeaseRefused(StoreRefusal.UNAVAILABLE)
            self._tell_failure("no answer in time")
        self._inputs.put_nowait(answer)

    async def _ask(self, request: ReadLease | WriteLease) -> Lease | None:
        match request:
            case WriteLease(lease) if lease.metadata.resource_version:
                found = await self._store.apply(lease, MANAGER)
            case WriteLease(lease):
                found = await self._store.create(lease, MANAGER)
            case ReadLease():
                try:
                    found = await self._store.get(self._ref)
                except StoreError as error:
                    if error.refusal is StoreRefusal.NOT_FOUND:
                        return None
                    raise
        return found if isinstance(found, Lease) else None

    def _tell_failure(self, reason: str) -> None:
        if reason and not self._is_failing:
            self._log.warning("lease_failed", reason=reason)
        self._is_failing = bool(reason)

    def _tell_holder(self) -> None:
        if self._election.holder != self._holder:
            self._holder = self._election.holder
            self._log.info("leader_changed", leader=self._holder or "nobody")
