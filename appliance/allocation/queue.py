"""What is to be looked at, most urgent first, and what is to be left alone for a while."""

from collections import deque
from collections.abc import Hashable
from enum import IntEnum
from heapq import heappop, heappush
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

FIRST_SECONDS = 0.05


class Urgency(IntEnum):
    """What goes before what: endpoints of addresses that are in use before Services that have none.

    What is only looked at because an allocator begins comes last, and takes turns with Services that have none.
    """

    ADDRESS = 0
    HOLDER = 1
    NEWCOMER = 2
    REVIEW = 3
    REPORT = 4


_IN_TURN = (Urgency.ADDRESS, Urgency.HOLDER, Urgency.REVIEW, Urgency.NEWCOMER, Urgency.REPORT)


class Queue(Generic[Key]):
    """Each key once, at the most urgent of the places it was put to; of equal urgency first come, first served."""

    def __init__(self) -> None:
        self._lines: tuple[deque[Key], ...] = tuple(deque() for _ in Urgency)
        self._urgency: dict[Key, Urgency] = {}
        self._is_review_next = False

    def __len__(self) -> int:
        return len(self._urgency)

    def add(self, key: Key, urgency: Urgency) -> None:
        """Put a key to its place."""
        known = self._urgency.get(key)
        if known is None or urgency < known:
            self._urgency[key] = urgency
            self._lines[urgency].append(key)

    def pop(self) -> Key | None:
        """Take the most urgent key; None where there is none."""
        for urgency in _IN_TURN if self._is_review_next else Urgency:
            line = self._lines[urgency]
            while line:
                key = line.popleft()
                if self._urgency.get(key) is urgency:
                    del self._urgency[key]
                    self._is_review_next = urgency is Urgency.NEWCOMER
                    return key
        return None


class BackOff(Generic[Key]):
    """Keys that are left alone until a moment, each time for longer; times in seconds."""

    def __init__(self) -> None:
        self._failures: dict[Key, int] = {}
        self._until: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._entries = 0

    def __contains__(self, key: Key) -> bool:
        return bool(self._until) and key in self._until

    def put(self, key: Key, now: float, longest: float, first: float = FIRST_SECONDS) -> None:
        """Leave a key alone for twice as long as the last time, but no longer than the longest."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.wait(key, now + min(longest, first * 2 ** min(failures, 20)))

    def succeed(self, key: Key) -> None:
        """Begin anew with a short wait the next time."""
        if self._failures:
            self._failures.pop(key, None)
            self._until.pop(key, None)

    def revive(self, key: Key) -> None:
        """Leave a key alone no longer, because it is another than the one that failed."""
        if self._until:
            self._until.pop(key, None)

    def due(self, now: float) -> list[Key]:
        """The keys whose time has come, each once."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            until, _, key = heappop(self._heap)
            if self._until.get(key) == until:
                del self._until[key]
                found.append(key)
        return found

    def deadline(self) -> float | None:
        """When the next key is due."""
        while self._heap and self._until.get(self._heap[0][2]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def wait(self, key: Key, until: float) -> None:
        """Leave a key alone until a moment."""
        if self._until.get(key) == until:
            return
        self._until[key] = until
        self._entries += 1
        heappush(self._heap, (until, self._entries, key))
