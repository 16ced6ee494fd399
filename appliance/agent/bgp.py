"""The shell around BIRD: the wanted configuration is applied, and BIRD's own state is read."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import structlog

from appliance.api.pierhead import SessionStatus
from appliance.bird.change import sessions_restarted
from appliance.bird.fault import Fault, faults
from appliance.bird.model import BirdConfig
from appliance.bird.moment import is_same_moment
from appliance.bird.render import render
from appliance.control.message import BirdStatus, SessionFault
from appliance.host.bird import ApplyOutcome, Bird, BirdError, BirdState

log = structlog.get_logger()

_READ_SECONDS = 1.0
_RETRY_SECONDS = 1.0


class BgpShell:
    """Keeps BIRD at the last configuration asked for; one BIRD refuses is reported, and what ran keeps running."""

    def __init__(self, bird: Bird, on_change: Callable[[], None]) -> None:
        self._bird = bird
        self._on_change = on_change
        self._wanted: BirdConfig | None = None
        self._faults: tuple[Fault, ...] = ()
        self._applied: BirdConfig | None = None
        self._refused = ""
        self._state = BirdState()
        self._asked = asyncio.Event()

    def take(self, wanted: BirdConfig) -> None:
        """Ask for a configuration."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._faults = faults(wanted)
            self._asked.set()

    @property
    def status(self) -> BirdStatus:
        """What is known of BIRD."""
        told = self._state.status
        return BirdStatus(
            reachable=told is not None,
            version=told.version if told else "",
            refused=self._refused,
            faults=tuple(SessionFault(session=fault.session, reason=fault.reason.value) for fault in self._faults),
        )

    @property
    def bgp_sessions(self) -> tuple[SessionStatus, ...]:
        """BGP sessions as BIRD reports them."""
        return tuple(
            SessionStatus(
                name=session.name,
                peer=session.neighbor,
                state=session.state,
                since=session.since,
                message=session.last_error,
            )
            for session in self._state.bgp
        )

    @property
    def bfd_sessions(self) -> tuple[SessionStatus, ...]:
        """BFD sessions as BIRD reports them."""
        return tuple(
            SessionStatus(name=session.interface, peer=session.address, state=session.state, since=session.since)
            for session in self._state.bfd
        )

    async def apply_for_ever(self) -> NoReturn:
        """Apply what is asked for, one after the other, the latest only."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            if self._wanted is not None:
                await self._apply(self._wanted)

    async def read_for_ever(self) -> NoReturn:
        """Read BIRD's state each second: its control socket has no way to be told of changes."""
        while True:
            try:
                state = await self._bird.read()
            except BirdError as error:
                log.warning("bird_not_read", error=str(error))
                state = BirdState()
            state = steady(state, self._state)
            if self._rebooted(state):
                self._asked.set()
            if state != self._state:
                self._state = state
                self._on_change()
            await asyncio.sleep(_READ_SECONDS)

    def _rebooted(self, state: BirdState) -> bool:
        """Whether this is another BIRD than before, which may have read an older file."""
        before = self._state.status
        return state.status is not None and (before is None or not is_same_moment(before.booted, state.status.booted))

    async def _apply(self, wanted: BirdConfig) -> None:
        if self._applied is not None:
            for restart in sessions_restarted(self._applied, wanted):
                log.info(
                    "bgp_session_restarts", session=restart.session, fields=[str(field) for field in restart.fields]
                )
        for fault in self._faults:
            log.warning("bgp_session_faulty", session=fault.session, reason=fault.reason.value)
        try:
            applied = await self._bird.apply(render(wanted))
        except BirdError as error:
            log.warning("bird_not_configured", error=str(error))
            await asyncio.sleep(_RETRY_SECONDS)
            self._asked.set()
            return
        match applied.outcome:
            case ApplyOutcome.REFUSED | ApplyOutcome.UNDONE:
                log.error("bird_refused_configuration", outcome=applied.outcome.value, message=applied.message)
                self._refused = applied.message
            case ApplyOutcome.UNCHANGED | ApplyOutcome.CONFIGURED | ApplyOutcome.WRITTEN:
                self._refused = ""
                self._applied = wanted
                log.info("bird_configured", outcome=applied.outcome.value, routes=len(wanted.announcements))
        self._on_change()


def steady(state: BirdState, before: BirdState) -> BirdState:
    """The same state with the times of the one before where they mean the same: BIRD's tremble."""
    bgp_since = {session.protocol: session.since for session in before.bgp}
    bfd_since = {session.address: session.since for session in before.bfd}
    return replace(
        state,
        bgp=tuple(replace(s, since=_kept(s.since, bgp_since.get(s.protocol))) for s in state.bgp),
        bfd=tuple(replace(s, since=_kept(s.since, bfd_since.get(s.address))) for s in state.bfd),
    )


def _kept(since: str, before: str | None) -> str:
    return before if before is not None and is_same_moment(before, since) else since
