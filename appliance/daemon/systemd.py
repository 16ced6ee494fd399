"""What systemd is told of a program, and what it keeps from one run of it to the next (sd_notify(3)).

Elsewhere, in the lab for instance, nobody is told and nothing is kept.
"""

import asyncio
import contextlib
import faulthandler
import os
import select
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import structlog

from appliance.api.text import printable

log = structlog.get_logger()

READY_SECONDS = 5.0
_STATUS_SECONDS_LEAST = 1.0
_LOOKS = 3  # in the time after which systemd gives a silent program up
_MICROSECONDS = 1_000_000
_FIRST = 3  # open file that systemd hands over

_Notify = Callable[[str, list[int]], None]


@dataclass(frozen=True, slots=True)
class Work:
    """A part of a program's work: whether something waits to be done now, and how much was done since the start."""

    name: str
    waits: bool
    done: int


def works_at_rest(before: Iterable[Work], now: Iterable[Work]) -> tuple[str, ...]:
    """The names of works that had something to do at both looks and did nothing between them."""
    waited = {work.name: work.done for work in before if work.waits}
    return tuple(work.name for work in now if work.waits and waited.get(work.name) == work.done)


class Unit:
    """The unit that this program is, found by what systemd has put into the environment."""

    def __init__(self) -> None:
        self._notify = _notification()
        self._is_heard = True
        self._watchdog_seconds = _watchdog_seconds(os.environ) if self._notify else 0.0
        self._kept = _kept() if self._notify else {}
        self._told = ""
        self._is_stopping = False
        self._news = asyncio.Event()
        self._before: tuple[Work, ...] = ()
        self._at_rest: tuple[str, ...] = ()
        if self._watchdog_seconds:
            # systemd ends a program that hangs by SIGABRT: where it hung is then in the journal.
            faulthandler.enable()

    async def run(
        self,
        settled: Awaitable[object],
        describe: Callable[[], str],
        works: Callable[[], Iterable[Work]],
        *,
        ready_seconds: float = READY_SECONDS,
    ) -> NoReturn:
        """Say that the program is ready once it has `settled`, or in `ready_seconds`; then what it is doing.

        `describe` is asked after each `look_again`. The watchdog hears of the program as long as none of its works
        stands still and the loop that this runs in turns: what others do or leave undone is never among them.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ready_seconds):
                await settled
        self.ready(describe())
        async with asyncio.TaskGroup() as tasks:
            if self._notify:
                tasks.create_task(self._describe_for_ever(describe), name="status")
            if self._watchdog_seconds:
                tasks.create_task(self._ping_for_ever(works), name="watchdog")
            await asyncio.Event().wait()
        raise AssertionError("an event that nobody sets was set")

    def look_again(self) -> None:
        """What `describe` says may have changed."""
        self._news.set()

    def ready(self, status: str) -> None:
        """The start, or a reload, is over; said of no program that is stopping."""
        if not self._is_stopping:
            self._told = status
            self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; it is over with `ready`."""
        if not self._is_stopping:
            self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        """The end has begun; what the program does meanwhile is not described any more."""
        self._is_stopping = True
        self._tell("STOPPING=1", f"STATUS={status}")

    def keep(self, name: str, descriptor: int) -> None:
        """Have an open file kept for the next run of the unit; several may have one name."""
        # Without FDPOLL=0 a socket whose interface goes down for a moment would be dropped.
        self._tell("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0", files=(descriptor,))

    def forget(self, name: str) -> None:
        """Have nothing kept under a name any more."""
        self._tell("FDSTOREREMOVE=1", f"FDNAME={name}")

    def take_kept(self) -> Mapping[str, tuple[int, ...]]:
        """The open files that the run before had kept, by name, the caller's from now on; none the second time."""
        kept, self._kept = self._kept, {}
        return kept

    async def _describe_for_ever(self, describe: Callable[[], str]) -> NoReturn:
        while True:
            await self._news.wait()
            self._news.clear()
            status = describe()
            if status != self._told and not self._is_stopping:
                self._told = status
                self._tell(f"STATUS={status}")
                await asyncio.sleep(_STATUS_SECONDS_LEAST)

    async def _ping_for_ever(self, works: Callable[[], Iterable[Work]]) -> NoReturn:
        while True:
            self._look(tuple(works()))
            await asyncio.sleep(self._watchdog_seconds / _LOOKS)

    def _look(self, now: tuple[Work, ...]) -> None:
        """Tell the watchdog that the program works, unless part of it does not."""
        at_rest = works_at_rest(self._before, now)
        self._before = now
        if at_rest and at_rest != self._at_rest:
            log.error("work_stands_still", works=list(at_rest))
        self._at_rest = at_rest
        if not at_rest:
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str, files: Sequence[int] = ()) -> None:
        """Say something to who listens; one that reads nothing is not waited for: the network has to be answered."""
        if self._notify is None:
            return
        problem = ""
        try:
            with connected(os.environ["NOTIFY_SOCKET"]) as listener:
                if takes_more(listener):
                    self._notify("\n".join(map(printable, lines)), list(files))
                else:
                    problem = "it reads nothing"
        except OSError as error:
            problem = str(error)
        if problem and self._is_heard:
            log.warning("systemd_not_told", lines=list(lines), error=problem)
        self._is_heard = not problem


def connected(path: str) -> socket.socket:
    """A datagram socket connected to a path, "@" for an abstract one; raises OSError."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        probe.connect(f"\0{path[1:]}" if path.startswith("@") else path)
    except OSError:
        probe.close()
        raise
    return probe


def takes_more(listener: socket.socket) -> bool:
    """Whether a datagram to who a socket is connected to would go at once: systemd's own functions wait for ever."""
    waiting = select.poll()
    waiting.register(listener, select.POLLOUT)
    return bool(waiting.poll(0))


def credential(name: str) -> Path | None:
    """The file of a credential that the unit was given (systemd.exec(5), LoadCredential=); None where it has none.

    One with nothing in it stands for a file that is not there: a unit has to name something in its place.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    path = Path(folder) / name
    return path if folder and path.is_file() and path.read_bytes().strip() else None


def _notification() -> _Notify | None:
    """What tells systemd; None where nobody listens."""
    if "NOTIFY_SOCKET" not in os.environ:
        return None
    try:
        from systemd import daemon
    except ImportError:
        return _send
    return lambda lines, files: daemon.notify(lines, fds=files)


def _send(lines: str, files: list[int]) -> None:
    """What sd_notify(3) does, for a Python that systemd-python was not built for; raises OSError."""
    with connected(os.environ["NOTIFY_SOCKET"]) as listener:
        socket.send_fds(listener, [lines.encode()], files)


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """After which silence systemd gives this program up; 0 where it waits for ever (sd_watchdog_enabled(3))."""
    is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    written = environment.get("WATCHDOG_USEC", "")
    return int(written) / _MICROSECONDS if is_ours and written.isdecimal() else 0.0


def _kept() -> dict[str, tuple[int, ...]]:
    """What the run before gave away, by name (sd_listen_fds_with_names(3)); no child is told of it."""
    told = {name: os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    kept: dict[str, tuple[int, ...]] = {}
    if told["LISTEN_PID"] == str(os.getpid()):
        for descriptor, name in enumerate(told["LISTEN_FDNAMES"].split(":")[: int(told["LISTEN_FDS"])], start=_FIRST):
            os.set_inheritable(descriptor, False)
            kept[name] = (*kept.get(name, ()), descriptor)
    return kept
