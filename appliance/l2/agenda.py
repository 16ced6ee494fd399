"""What is to be done when: one moment for each key, and a pacer that spreads bursts."""

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

from appliance.l2.timing import Timing

K = TypeVar("K")


class Agenda(Generic[K]):
    """Keys with the moment each is due."""

    def __init__(self) -> None:
        self._moments: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0

    def put(self, key: K, moment: float) -> None:
        """Set when a key is due, whatever was set before."""
        if self._moments.get(key) == moment:
            return
        self._moments[key] = moment
        self._serial += 1
        heapq.heappush(self._heap, (moment, self._serial, key))

    def drop(self, key: K) -> None:
        """Forget a key."""
        self._moments.pop(key, None)

    def when(self, key: K) -> float | None:
        """When a key is due."""
        return self._moments.get(key)

    def next(self) -> float | None:
        """The next moment anything is due."""
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> Iterator[tuple[K, float]]:
        """Each key that is due now, with its moment; a key that is put or dropped meanwhile is heeded, once."""
        for key, moment in self._due(now):
            if self._moments.get(key) == moment:
                del self._moments[key]
                yield key, moment

    def _due(self, now: float) -> list[tuple[K, float]]:
        due = []
        while (moment := self.next()) is not None and moment <= now:
            due.append((self._heap[0][2], moment))
            heapq.heappop(self._heap)
        return due

    def _is_stale(self, entry: tuple[float, int, K]) -> bool:
        return self._moments.get(entry[2]) != entry[0]


class Pacer:
    """Gives out moments so that no window holds more than a burst."""

    def __init__(self, timing: Timing) -> None:
        self._burst = timing.burst
        self._window = timing.burst_window_seconds
        self._start = float("-inf")
        self._given = 0

    def slot(self, now: float) -> float:
        """The next free moment, `now` where there is room."""
        if now >= self._start + self._window:
            self._start, self._given = now, 0
        elif self._given >= self._burst:
            self._start, self._given = self._start + self._window, 0
        self._given += 1
        return max(now, self._start)
