"""Which programs the site runs, where, and with which words; what the supervisor was told and what it did."""

import json
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from appliance.lab import namespace
from appliance.lab.place import Place, write
from appliance.lab.topology import BACKEND_PORT, CONTROL, ROUTER, Topology

AGENT = "agent"
BIRD = "bird"
FORWARDER = "forwarder"
ALLOCATOR = "allocator"
ECHO = "echo"

_WANTED = "programs.json"
_RUNNING = "running.json"


@dataclass(frozen=True, slots=True)
class Program:
    """One program of one machine; not `wanted` means it is to stand still."""

    machine: str
    name: str
    namespace: str
    words: tuple[str, ...]
    log: str
    wanted: bool = True

    @property
    def key(self) -> str:
        """`machine/name`."""
        return f"{self.machine}/{self.name}"

    @property
    def command(self) -> tuple[str, ...]:
        """The words that start it in its namespace."""
        return (*namespace.entering(self.namespace), *self.words)


@dataclass(frozen=True, slots=True)
class Running:
    """A program's last process; its start time tells it from a later process of the same number."""

    pid: int
    started: int
    restarts: int = 0

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return start_time(self.pid) == self.started


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when it is gone or only waits to be buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def pierhead() -> str:
    """The `pierhead` command that belongs to this interpreter, so that a virtual environment need not be active."""
    beside = Path(sys.executable).with_name("pierhead")
    return str(beside) if beside.exists() else shutil.which("pierhead") or str(beside)


def bird_words(directory: Path) -> tuple[str, ...]:
    """How BIRD is started on a machine's own files."""
    return ("bird", "-f", "-c", str(directory / "bird.conf"), "-s", str(directory / "bird.ctl"))


def programs(place: Place, topology: Topology, store: str) -> tuple[Program, ...]:
    """Every program of the site; `store` is the allocator's."""
    words: dict[tuple[str, str], tuple[str, ...]] = {
        (ROUTER, BIRD): bird_words(place.machine(ROUTER)),
        (CONTROL, ALLOCATOR): (pierhead(), "allocator", "--store", store),
    }
    for backend in topology.backends:
        words[backend.name, ECHO] = (
            sys.executable, "-m", "appliance.lab.echo", "--name", backend.name, "--port", str(BACKEND_PORT),
        )  # fmt: skip
    for host in topology.hosts:
        settings = str(place.machine(host.name) / "agent.yaml")
        words[host.name, BIRD] = bird_words(place.machine(host.name))
        words[host.name, AGENT] = (pierhead(), "agent", "--config", settings)
        words[host.name, FORWARDER] = (pierhead(), "forwarder", "--config", settings)
    return tuple(
        Program(machine, name, place.namespace(machine), argv, str(place.log / f"{machine}.{name}.log"))
        for (machine, name), argv in words.items()
    )


def write_wanted(directory: Path, wanted: Iterable[Program]) -> None:
    """Write down the whole of what is to run."""
    write(directory / _WANTED, json.dumps([asdict(program) for program in wanted], indent=1))


def read_wanted(directory: Path) -> tuple[Program, ...]:
    """The whole of what is to run."""
    try:
        content = json.loads((directory / _WANTED).read_text())
    except FileNotFoundError:
        return ()
    return tuple(Program(**{**entry, "words": tuple(entry["words"])}) for entry in content)


def write_running(directory: Path, running: dict[str, Running]) -> None:
    """Write down every program's last process."""
    write(directory / _RUNNING, json.dumps({key: asdict(entry) for key, entry in running.items()}, indent=1))


def read_running(directory: Path) -> dict[str, Running]:
    """Every program's last process, by `machine/name`."""
    try:
        content = json.loads((directory / _RUNNING).read_text())
    except FileNotFoundError:
        return {}
    return {key: Running(**entry) for key, entry in content.items()}


def with_wanted(all_programs: Iterable[Program], key: str, wanted: bool) -> tuple[Program, ...]:
    """The same programs, one of them to run or to stand still."""
    return tuple(replace(entry, wanted=wanted) if entry.key == key else entry for entry in all_programs)


def is_missing(word: str) -> bool:
    """Whether a command cannot be found; sbin is searched even where PATH leaves it out."""
    return shutil.which(word, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") is None


def is_running(directory: Path, key: str) -> bool:
    """Whether a program runs at the moment."""
    entry = read_running(directory).get(key)
    return entry is not None and entry.is_alive()
