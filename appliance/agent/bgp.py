"""The shell around BIRD: what is wanted is applied until BIRD has it, and what BIRD reports is told when it changes."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NoReturn

import structlog

from appliance.api.pierhead import SessionStatus
from appliance.bird.change import sessions_restarted
from appliance.bird.fault import Fault, faults
from appliance.bird.model import BirdConfig, Part
from appliance.bird.render import render
from appliance.bird.session import steady_bfd, steady_bgp
from appliance.control.event import EventKind, Events
from appliance.control.message import BirdStatus, SessionFault
from appliance.daemon.systemd import Work
from appliance.host.bird import ApplyOutcome, Bird, BirdState
from appliance.host.birdcl import BirdError

log = structlog.get_logger()

# BIRD tells of its BGP sessions and reconfigurations, not of BFD: that is read after them, ever more rarely.
_READ_SECONDS_FIRST = 1.0
_READ_SECONDS_LONGEST = 10.0
_READ_SECONDS_LEAST = 0.25
_RETRY_SECONDS_FIRST = 0.5
_RETRY_SECONDS_LONGEST = 30.0
_REPAIR_SECONDS = 2.0
_SAVE_AGAIN_SECONDS = 5.0
_SESSIONS_MAX = 256  # An unnumbered session takes whoever calls; a Host is one object.
_ROUTES_IN_LOOP = 300  # A route is 4 microseconds.
_WITHOUT_BFD = "BFD is not up: a dead link is noticed by the hold timer alone"


class BgpShell:
    """Keeps BIRD at the last configuration asked for, whoever else configures it; a refused one is tried again.

    With `part` that is a part of BIRD's configuration, and the rest is an operator's.

    `status`, `bgp_sessions` and `bfd_sessions` are what others are told; `on_change` says that they differ.
    `outcomes` counts what became of texts; None = BIRD or its client did not do what it was asked.
    """

    def __init__(
        self,
        bird: Bird,
        events: Events,
        on_change: Callable[[], None],
        on_count: Callable[[], None] = lambda: None,
        part: Part | None = None,
    ) -> None:
        self._bird = bird
        self._part = part
        self._events = events
        self._on_change = on_change
        self._on_count = on_count
        self._was_read = asyncio.Event()
        self.flaps: Counter[tuple[str, str]] = Counter()
        self._wanted: BirdConfig | None = None
        self._applied: BirdConfig | None = None
        self._is_leaving = False
        self._asked = asyncio.Event()
        self._done, self._unsaved, self._saved = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._done.set()
        self._failures = 0
        self._refused = self._unread = self._not_saved = ""
        self._faults: tuple[Fault, ...] = ()
        self._apply_at = self._applied_at = self._read_at = self._read_began = float("-inf")
        self._read_seconds = _READ_SECONDS_FIRST
        self._turns = 0
        self._state = BirdState()
        self.outcomes: Counter[ApplyOutcome | None] = Counter()
        self.status = BirdStatus()
        self.bgp_sessions: tuple[SessionStatus, ...] = ()
        self.bfd_sessions: tuple[SessionStatus, ...] = ()

    @property
    def wanted(self) -> BirdConfig | None:
        """The configuration last asked for."""
        return self._wanted

    @property
    def state(self) -> BirdState:
        """What BIRD reported last: at most ten seconds ago, and soon after it says that something changed."""
        return self._state

    def work(self) -> Work:
        """Whether BIRD is to be spoken to, and how often it was; that is so too of a BIRD that does not answer."""
        is_due = self._asked.is_set() or self._due() < asyncio.get_running_loop().time()
        return Work("bird", is_due and not self._bird.waits_for_disk, self._turns + self._bird.asked)

    def take(self, wanted: BirdConfig) -> None:
        """Ask for a configuration."""
        if wanted != self._wanted and not self._is_leaving:
            self._want(wanted)

    async def withdraw(self, seconds: float) -> bool:
        """Announce nothing from now on, whatever is asked for later; whether BIRD has taken that within `seconds`."""
        self._is_leaving = True
        if self._wanted is None:
            return False
        self._want(replace(self._wanted, announcements=()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._done.wait()
                await self._saved.wait()
        return self._done.is_set() and self._saved.is_set()

    def look(self) -> None:
        """Read BIRD's state soon: something says that it may have changed."""
        now = asyncio.get_running_loop().time()
        self._read_seconds = _READ_SECONDS_FIRST
        self._read_at = min(self._read_at, max(now, self._read_began + _READ_SECONDS_LEAST))
        self._asked.set()

    async def refresh(self, seconds: float) -> None:
        """Have `state` be of this moment, as far as BIRD says so within some seconds."""
        self._was_read.clear()
        self.look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._was_read.wait()

    async def run(self) -> NoReturn:
        """Apply and read, one after the other, whenever there is reason to; the disk is waited for beside that."""
        self._bird.listen(self.look)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._save_for_ever(), name="bird-save")
                await self._talk_for_ever()
        finally:
            await self._bird.close()

    async def _talk_for_ever(self) -> NoReturn:
        clock = asyncio.get_running_loop().time
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._due()):
                    await self._asked.wait()
            self._asked.clear()
            self._turns += 1
            if self._wanted is not None and not self._done.is_set() and clock() >= self._apply_at:
                await self._apply(self._wanted)
            if clock() >= self._read_at:
                await self._read()

    def _due(self) -> float:
        return self._read_at if self._done.is_set() else min(self._read_at, self._apply_at)

    async def _save_for_ever(self) -> NoReturn:
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            try:
                await self._bird.save()
            except BirdError as error:
                unsaved = str(error)
                asyncio.get_running_loop().call_later(_SAVE_AGAIN_SECONDS, self._unsaved.set)
            else:
                unsaved = ""
                if not self._unsaved.is_set():
                    self._saved.set()
            if unsaved and unsaved != self._not_saved:
                log.error("bird_configuration_not_saved", error=unsaved)
            self._not_saved = unsaved
            self._publish()

    def _want(self, wanted: BirdConfig) -> None:
        self._wanted, self._failures, self._apply_at = wanted, 0, float("-inf")
        self._done.clear()
        self._asked.set()

    async def _apply(self, wanted: BirdConfig) -> None:
        """Bring BIRD to what is wanted, or say when that is tried again."""
        if not self._failures:
            self._predict(wanted)
        try:
            applied = await self._bird.apply(await _text(wanted, self._part))
        except BirdError as error:
            self.outcomes[None] += 1
            self._try_again(wanted, "failed", str(error))
        else:
            self.outcomes[applied.outcome] += 1
            match applied.outcome:
                case ApplyOutcome.REFUSED | ApplyOutcome.UNDONE:
                    self._try_again(wanted, applied.outcome.value, applied.message)
                case ApplyOutcome.UNCHANGED | ApplyOutcome.CONFIGURED | ApplyOutcome.CHECKED:
                    self._applied, self._applied_at = wanted, asyncio.get_running_loop().time()
                    self._failures, self._refused = 0, ""
                    self._saved.clear()
                    self._unsaved.set()
                    if wanted is self._wanted:
                        self._done.set()
                    self._events.record(
                        EventKind.CONFIGURATION_APPLIED,
                        "bird",
                        outcome=applied.outcome.value,
                        routes=str(len(wanted.announcements)),
                    )
        self._publish()

    def _try_again(self, wanted: BirdConfig, outcome: str, message: str) -> None:
        """Say once why BIRD does not have the configuration, and let some time pass; a newer one is tried at once."""
        message = message or outcome
        if wanted is self._wanted:
            longer = min(_RETRY_SECONDS_FIRST * 2.0**self._failures, _RETRY_SECONDS_LONGEST)
            self._failures, self._apply_at = self._failures + 1, asyncio.get_running_loop().time() + longer
        if message != self._refused:
            self._events.record(EventKind.CONFIGURATION_REFUSED, "bird", message, outcome=outcome)
        self._refused = message

    def _predict(self, wanted: BirdConfig) -> None:
        """Log which sessions the change interrupts, and which cannot be configured."""
        if self._applied is not None:
            for restart in sessions_restarted(self._applied, wanted):
                log.info(
                    "bgp_session_restarts", session=restart.session, fields=[str(field) for field in restart.fields]
                )
        found = faults(wanted)
        for fault in found:
            if fault not in self._faults:
                log.warning("bgp_session_faulty", session=fault.session, reason=fault.reason.value)
        self._faults = found

    async def _read(self) -> None:
        """Take BIRD's state as it is now; a BIRD that is no longer as it was configured is configured again."""
        now = self._read_began = asyncio.get_running_loop().time()
        self._read_at = now + self._read_seconds
        self._read_seconds = min(2 * self._read_seconds, _READ_SECONDS_LONGEST)
        try:
            state, unread = await self._bird.read(), ""
        except BirdError as error:
            state, unread = BirdState(), str(error)
        if unread and unread != self._unread:
            log.warning("bird_not_read", error=unread)
        self._unread = unread
        if state.status is None:
            self._read_seconds = _READ_SECONDS_FIRST
        elif self._applied is not None and self._done.is_set() and not state.is_as_applied:
            log.warning("bird_not_as_configured", reconfigured=state.status.reconfigured)
            self._apply_at = self._applied_at + _REPAIR_SECONDS
            self._done.clear()
        before = self._state
        self._state = replace(state, bgp=steady_bgp(state.bgp, before.bgp), bfd=steady_bfd(state.bfd, before.bfd))
        self._was_read.set()
        self.flaps.update(went_down(before, self._state))
        self._publish()
        if {each.key: each.channels for each in before.bgp} != {each.key: each.channels for each in self._state.bgp}:
            self._on_count()

    def _publish(self) -> None:
        """Work out what others see, and tell them if it changed."""
        told, before = self._state.status, (self.status, self.bgp_sessions, self.bfd_sessions)
        self.status = BirdStatus(
            reachable=told is not None,
            version=told.version if told else "",
            refused=self._refused or self._not_saved,
            faults=tuple(SessionFault(session=fault.session, reason=fault.reason.value) for fault in self._faults),
        )
        self.bgp_sessions = tuple(_reported(self._state, self._wanted))
        self.bfd_sessions = tuple(
            SessionStatus(name=session.interface, peer=session.address, state=session.state, since=session.since)
            for session in self._state.bfd[:_SESSIONS_MAX]
        )
        if before != (self.status, self.bgp_sessions, self.bfd_sessions):
            self._on_change()


async def _text(wanted: BirdConfig, part: Part | None) -> str:
    """BIRD's configuration; a long one is written in another thread, a short one is done before that has begun."""
    is_short = len(wanted.announcements) * len(wanted.sessions) <= _ROUTES_IN_LOOP
    return render(wanted, part) if is_short else await asyncio.to_thread(render, wanted, part)


def went_down(before: BirdState, now: BirdState) -> Iterator[tuple[str, str]]:
    """The sessions that were up and are not, or are up anew; of a BIRD that cannot be asked nothing is known."""
    since = {each.key: each.since for each in now.bgp if each.is_established}
    for session in before.bgp if now.status is not None else ():
        if session.is_established and since.get(session.key) != session.since:
            yield session.key


def _reported(state: BirdState, wanted: BirdConfig | None) -> Iterator[SessionStatus]:
    """The BGP sessions BIRD has; one that is up without the BFD it was given says so."""
    with_bfd = {session.name for session in wanted.sessions if session.bfd is not None} if wanted else set()
    reached = {session.address for session in state.bfd if session.is_up}
    for session in state.bgp[:_SESSIONS_MAX]:
        is_unguarded = session.is_established and session.name in with_bfd and session.address not in reached
        yield SessionStatus(
            name=session.name,
            peer=session.neighbor,
            state=session.state,
            since=session.since,
            message=_WITHOUT_BFD if is_unguarded else session.last_error,
        )
