"""Keeps the lab's programs running as systemd would: a killed one is back after 100 ms, however often it dies.

It owns no pipe and no state of theirs: output goes to files, processes are written down. So its own death takes none of
them along, and a new supervisor adopts what runs. supervisord was tried
and left: it restarts after 1.0 s at best, and programs that log to its pipes die with it.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from appliance.lab.namespace import kill
from appliance.lab.program import Program, Running, read_running, read_wanted, start_time, write_running

RESTART_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 2.0
SHORT_LIFE_SECONDS = 1.0

MODULE = "appliance.lab.supervise"
PID_FILE = "supervisor.pid"

# The programs of hosts, which have a machine each, do not wait for what else this one does: an agent that takes seconds
# to start again is rightly found dead.
_NICENESS = -15
_LOG_BYTES_MAX = 8 * 1024 * 1024
_LOG_CHECK_SECONDS = 5.0


@dataclass(slots=True)
class _Life:
    """One program's last process and its recent fortune; `descriptor` is that process's while it runs."""

    program: Program
    running: Running | None = None
    descriptor: int | None = None
    born: float = 0.0
    restarts: int = 0
    wait_seconds: float = RESTART_SECONDS
    restart: asyncio.TimerHandle | None = None


class Supervisor:
    """Holds the programs written down in a directory to what is written there."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lives: dict[str, _Life] = {}
        self._loop = asyncio.get_running_loop()
        self._log = structlog.get_logger()

    def adopt(self) -> None:
        """Take over what an earlier supervisor started and still runs."""
        known = read_running(self._directory)
        for program in read_wanted(self._directory):
            entry = known.get(program.key)
            if entry and entry.is_alive():
                self._watch(self._life(program), entry)
                self._log.info("program_adopted", program=program.key, pid=entry.pid)

    def apply(self) -> None:
        """Bring what runs to what is written down now."""
        for program in read_wanted(self._directory):
            life = self._life(program)
            life.program = program
            if program.wanted and life.descriptor is None and life.restart is None:
                self._start(life)
            elif not program.wanted and life.descriptor is not None and life.running:
                kill(life.running.pid, signal.SIGTERM)

    def rotate_logs(self) -> None:
        """Keep one old copy of a log that has grown; writers append, so truncation is safe under them."""
        for life in self._lives.values():
            path = Path(life.program.log)
            if path.exists() and path.stat().st_size > _LOG_BYTES_MAX:
                shutil.copyfile(path, f"{path}.1")
                os.truncate(path, 0)

    def _life(self, program: Program) -> _Life:
        return self._lives.setdefault(program.key, _Life(program))

    def _start(self, life: _Life) -> None:
        life.restart = None
        if not life.program.wanted:
            return
        pid = _spawn(life.program)
        _prefer(pid)
        self._log.info("program_started", program=life.program.key, pid=pid)
        self._watch(life, Running(pid, start_time(pid) or 0, life.restarts))
        self._record()

    def _watch(self, life: _Life, running: Running) -> None:
        try:
            life.descriptor = os.pidfd_open(running.pid)
        except ProcessLookupError:
            return
        life.running, life.restarts = running, running.restarts
        life.born = self._loop.time()
        self._loop.add_reader(life.descriptor, self._ended, life)

    def _ended(self, life: _Life) -> None:
        if life.descriptor is None or life.running is None:
            return
        self._loop.remove_reader(life.descriptor)
        os.close(life.descriptor)
        life.descriptor = None
        _bury(life.running.pid)
        self._log.info("program_ended", program=life.program.key, pid=life.running.pid)
        lived_seconds = self._loop.time() - life.born
        longer = min(life.wait_seconds * 2, LONGEST_WAIT_SECONDS)
        life.wait_seconds = longer if lived_seconds < SHORT_LIFE_SECONDS else RESTART_SECONDS
        if life.program.wanted:
            life.restarts += 1
            life.restart = self._loop.call_later(life.wait_seconds, self._start, life)
        self._record()

    def _record(self) -> None:
        write_running(self._directory, {key: life.running for key, life in self._lives.items() if life.running})


def _spawn(program: Program) -> int:
    """Start a program detached from this one: its own session, its output appended to its log."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    log = os.open(program.log, flags, 0o644)
    try:
        return os.posix_spawnp(
            program.command[0],
            program.command,
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
            setsigdef=[signal.SIGHUP, signal.SIGPIPE],
        )
    finally:
        os.close(log)


def _prefer(pid: int) -> None:
    """Let a process run before what else this machine does, as far as the kernel allows it."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, _NICENESS)
    with suppress(OSError):  # sched(7): processes of different sessions are weighed by the niceness of those alone
        Path(f"/proc/{pid}/autogroup").write_text(str(_NICENESS))


def _bury(pid: int) -> None:
    with suppress(ChildProcessError):  # an adopted process is init's child
        os.waitpid(pid, 0)


async def run(directory: Path) -> None:
    """Supervise until killed; SIGHUP says that the directory has changed."""
    _prefer(os.getpid())
    loop = asyncio.get_running_loop()
    supervisor = Supervisor(directory)
    changed = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, changed.set)
    (directory / PID_FILE).write_text(f"{os.getpid()}\n")  # fails where the lab has been taken down meanwhile
    supervisor.adopt()
    supervisor.apply()
    while True:
        try:
            await asyncio.wait_for(changed.wait(), _LOG_CHECK_SECONDS)
        except TimeoutError:
            supervisor.rotate_logs()
            continue
        changed.clear()
        supervisor.apply()


def find(directory: Path) -> int | None:
    """The process of the supervisor of a directory, its command line checked; None where it does not run."""
    try:
        pid = int((directory / PID_FILE).read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if {MODULE.encode(), os.fsencode(directory)} <= set(words) and start_time(pid) else None


def ensure(directory: Path) -> None:
    """Tell the supervisor that what is wanted has changed; start one where none runs."""
    pid = find(directory)
    if pid is not None and kill(pid, signal.SIGHUP):
        return
    (directory / PID_FILE).unlink(missing_ok=True)
    log = directory / "log" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        words = ("setsid", "--fork", sys.executable, "-m", MODULE, str(directory))
        subprocess.run(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
