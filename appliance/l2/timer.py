"""What is to be done when: one moment for each key, such as a record, and a pacer that spreads bursts."""

import heapq
from collections.abc import Hashable, Iterator

from appliance.l2.settings import Layer2Settings


class Timers:
    """Hashables with the moment each is due."""

    def __init__(self) -> None:
        self._moments: dict[Hashable, float] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._serial = 0

    def put(self, key: Hashable, moment: float) -> None:
        """Set when a key is due, whatever was set before."""
        if self._moments.get(key) == moment:
            return
        self._moments[key] = moment
        self._serial += 1
        heapq.heappush(self._heap, (moment, self._serial, key))

    def bring_forward(self, key: Hashable, moment: float) -> None:
        """Have a key be due at a moment, unless it is due earlier."""
        known = self._moments.get(key)
        if known is None or moment < known:
            self.put(key, moment)

    def drop(self, key: Hashable) -> None:
        """Forget a key."""
        self._moments.pop(key, None)

    def next(self) -> float | None:
        """The next moment anything is due."""
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> Iterator[tuple[Hashable, float]]:
        """Each key that is due now, with its moment; a key that is put or dropped meanwhile is heeded, once."""
        due = []
        while (moment := self.next()) is not None and moment <= now:
            due.append((self._heap[0][2], moment))
            heapq.heappop(self._heap)
        for key, moment in due:
            if self._moments.get(key) == moment:
                del self._moments[key]
                yield key, moment

    def _is_stale(self, entry: tuple[float, int, Hashable]) -> bool:
        return self._moments.get(entry[2]) != entry[0]


class Pacer:
    """Gives out moments so that no window holds more than a burst."""

    def __init__(self, settings: Layer2Settings) -> None:
        self._burst = settings.burst
        self._window = settings.burst_window_seconds
        self._start = float("-inf")
        self._given = 0

    def slot(self, moment: float) -> float:
        """The next free moment that is not before `moment`."""
        if moment >= self._start + self._window:
            self._start, self._given = moment, 0
        elif self._given >= self._burst:
            self._start, self._given = self._start + self._window, 0
        self._given += 1
        return max(moment, self._start)
