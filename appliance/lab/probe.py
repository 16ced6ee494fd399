"""A client that asks again and again on fresh connections, so that an outage can be measured from outside."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.lab.http import Answer, HttpTarget, NoAnswerError, get

INTERVAL_SECONDS = 0.01
HASTY_SECONDS = 0.25
PATIENT_SECONDS = 5.0  # longer than this process is ever kept from running; what the network loses counts all the same

_WELL_SECONDS = 0.4
_WELL_REQUESTS = 10


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request: when it began and ended, on the loop's clock, and its answer or what went wrong."""

    began: float
    ended: float
    answer: Answer | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Outage:
    """What a client noticed; `seconds` from the first request that failed to the first answered after the last one."""

    requests: int
    failed: int
    seconds: float


def outage(attempts: Sequence[Attempt]) -> Outage:
    """What a run of attempts amounts to, in whatever order they ended."""
    failed = sorted(attempt.began for attempt in attempts if attempt.answer is None)
    after = [attempt.began for attempt in attempts if failed and attempt.answer and attempt.began > failed[-1]]
    seconds = min(after, default=failed[-1]) - failed[0] if failed else 0.0
    return Outage(len(attempts), len(failed), seconds)


class Prober:
    """Asks every 10 ms on a fresh connection, whether or not the request before has been answered."""

    def __init__(self, target: HttpTarget, timeout_seconds: float = HASTY_SECONDS) -> None:
        self.attempts: list[Attempt] = []
        self._target = target
        self._timeout_seconds = timeout_seconds
        self._stopped = asyncio.Event()
        self._under_way: set[float] = set()

    async def run(self) -> None:
        """Ask until stopped; ends when the last request has."""
        async with asyncio.TaskGroup() as group:
            while not self._stopped.is_set():
                group.create_task(self._ask(), name=f"probe {self._target}")
                try:
                    await asyncio.wait_for(self._stopped.wait(), INTERVAL_SECONDS)
                except TimeoutError:
                    continue

    def forget(self) -> None:
        """Count anew from here, what is under way included."""
        self.attempts.clear()

    def stop(self) -> None:
        """Begin no further request."""
        self._stopped.set()

    def answered_since(self, moment: float) -> list[Answer]:
        """The answers to requests that began at or after a moment."""
        return [attempt.answer for attempt in self.attempts if attempt.answer and attempt.began >= moment]

    def is_well(self) -> bool:
        """Whether of late every request was answered, and none waits for long; how many that are, the machine says."""
        late = asyncio.get_running_loop().time() - _WELL_SECONDS
        ended = [attempt for attempt in self.attempts[-300:] if attempt.ended > late]
        due = max(ended, self.attempts[-_WELL_REQUESTS:], key=len)
        is_waiting = min(self._under_way, default=late) < late
        return len(due) >= _WELL_REQUESTS and not is_waiting and all(attempt.answer for attempt in due)

    def errors(self) -> str:
        """What went wrong with requests, and how often."""
        counted = Counter(attempt.error for attempt in self.attempts if attempt.answer is None)
        return ", ".join(f"{count} x {error}" for error, count in counted.most_common())

    def outage(self) -> Outage:
        """What was noticed so far."""
        return outage(self.attempts)

    def failures(self) -> list[str]:
        """What went wrong with each request that was not answered, and how long after the first request it began."""
        first = min((attempt.began for attempt in self.attempts), default=0.0)
        failed = sorted((attempt for attempt in self.attempts if attempt.answer is None), key=lambda each: each.began)
        return [f"{attempt.error} at {(attempt.began - first) * 1000:.0f} ms" for attempt in failed]

    async def _ask(self) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        self._under_way.add(began)
        try:
            answer = await get(self._target, self._timeout_seconds)
        except NoAnswerError as error:
            self.attempts.append(Attempt(began, clock(), None, str(error)))
        else:
            self.attempts.append(Attempt(began, clock(), answer))
        finally:
            self._under_way.discard(began)
