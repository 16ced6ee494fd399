"""Figures as pictures of one line."""

from collections import deque
from collections.abc import Sequence
from datetime import datetime

TREND_MINUTES = 20
_STEPS = " ▁▂▃▄▅▆▇█"


def bar(percent: float, cells: int) -> str:
    """A bar that is full at 100; anything above nothing shows."""
    filled = min(cells, max(round(percent / 100 * cells), 1 if percent > 0 else 0))
    return "█" * filled + "░" * (cells - filled)


def sparkline(values: Sequence[float], top: float | None = None) -> str:
    """A cell a value, the greatest (or `top`) being full; zero is empty."""
    greatest = max(values, default=0.0) if top is None else top
    if greatest <= 0:
        return " " * len(values)
    last = len(_STEPS) - 1
    return "".join(_STEPS[0 if value <= 0 else max(1, min(last, round(value / greatest * last)))] for value in values)


class Trend:
    """A figure for each of the last minutes, the present one last."""

    def __init__(self, *, is_kept: bool) -> None:
        """One that `is_kept` goes on as it was in a minute without news; another begins each minute at zero."""
        self._is_kept = is_kept
        self._minute = -1
        self._values: deque[float] = deque(maxlen=TREND_MINUTES)

    def put(self, value: float, now: datetime) -> None:
        """The figure is another."""
        self._advance(now)
        self._values[-1] = value

    def add_at(self, moment: datetime, now: datetime, count: float = 1.0) -> None:
        """One or some more in the minute of a moment, which may be past."""
        self._advance(now)
        ago = int(now.timestamp() // 60) - int(moment.timestamp() // 60)
        while ago >= len(self._values) and len(self._values) < TREND_MINUTES:
            self._values.appendleft(0.0)
        if 0 <= ago < len(self._values):
            self._values[-1 - ago] += count

    def values(self, now: datetime) -> tuple[float, ...]:
        """The figures, the oldest first; none before the first news."""
        if self._values:
            self._advance(now)
        return tuple(self._values)

    def _advance(self, now: datetime) -> None:
        minute = int(now.timestamp() // 60)
        for _ in range(1 if self._minute < 0 else min(minute - self._minute, TREND_MINUTES)):
            self._values.append(self._values[-1] if self._is_kept and self._values else 0.0)
        self._minute = max(minute, self._minute)
