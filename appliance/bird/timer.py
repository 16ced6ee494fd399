"""A BGP session's timers in the whole seconds that BIRD counts in."""

from dataclasses import dataclass

from appliance.bird.model import Session

_CONNECT_RETRY = 5
_HOLD_MIN = 3  # RFC 4271 section 4.2; zero = no hold timer
_HOLD_DEFAULT = 240  # BIRD's own
_LONGEST = 65535


@dataclass(frozen=True, slots=True)
class SessionTimers:
    """Whole seconds; None = BIRD's own choice."""

    hold: int | None
    keepalive: int | None
    connect_retry: int


def timers(session: Session) -> SessionTimers:
    """What the session's timers come to in BIRD."""
    connect = session.connect_seconds
    hold = 0 if session.hold_seconds == 0 else _optional(session.hold_seconds, _HOLD_MIN)
    keepalive = None if hold == 0 else _optional(session.keepalive_seconds, 1)
    if keepalive is not None:
        # BIRD refuses all of its configuration where one keepalive time is longer than the hold time.
        keepalive = min(keepalive, hold or _HOLD_DEFAULT)
    return SessionTimers(
        hold=hold,
        keepalive=keepalive,
        connect_retry=_CONNECT_RETRY if connect is None else _bounded(connect, 1),
    )


def _optional(seconds: float | None, least: int) -> int | None:
    return None if seconds is None else _bounded(seconds, least)


def _bounded(seconds: float, least: int) -> int:
    return min(max(least, round(seconds)), _LONGEST)
