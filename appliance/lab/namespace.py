"""Network namespaces by name, as `ip netns` keeps them: make, enter, find who lives in one, remove."""

import ctypes
import os
import signal
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from pyroute2 import AsyncIPRoute, netns

DIRECTORY = Path("/run/netns")

_CLONE_NEWNET = 0x40000000
_MNT_DETACH = 2


class NamespaceError(Exception):
    """The kernel refused something about a network namespace."""


def path_of(namespace: str) -> Path:
    """Where `ip netns` keeps a namespace."""
    return DIRECTORY / namespace


def entering(namespace: str) -> tuple[str, ...]:
    """The words before a command that is to run in a namespace; nsenter gives its own process to the command."""
    return ("nsenter", f"--net={path_of(namespace)}", "--")


def existing(namespaces: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that are taken."""
    return tuple(namespace for namespace in namespaces if path_of(namespace).exists())


def create(namespace: str) -> None:
    """Make a namespace; raises NamespaceError."""
    try:
        netns.create(namespace)
    except OSError as error:
        raise NamespaceError(f"namespace {namespace} could not be made: {error}") from error


def remove(namespace: str) -> None:
    """Remove a namespace's name if it is there; the kernel frees it with its last process."""
    libc = ctypes.CDLL(None, use_errno=True)
    path = path_of(namespace)
    libc.umount2(os.fsencode(path), _MNT_DETACH)  # a crash between mkdir and mount leaves a plain file: no error then
    path.unlink(missing_ok=True)


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Run a block of this thread in a namespace; a socket made in it stays there. Never await in the block."""
    with Path("/proc/thread-self/ns/net").open("rb") as home:
        enter(namespace)
        try:
            yield
        finally:
            _enter(home.fileno())


def enter(namespace: str) -> None:
    """Bring this thread into a namespace for good."""
    try:
        target = path_of(namespace).open("rb")
    except OSError as error:
        raise NamespaceError(f"there is no namespace {namespace}") from error
    with target:
        _enter(target.fileno())


@asynccontextmanager
async def netlink(namespace: str) -> AsyncIterator[AsyncIPRoute]:
    """A routing socket of a namespace."""
    with inside(namespace):
        opened = AsyncIPRoute()
        _ = opened.socket  # made when first looked at, and it must be made here
    async with opened:
        yield opened


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise NamespaceError(f"setns: {os.strerror(ctypes.get_errno())}")


def inhabitants(namespaces: Iterable[str]) -> tuple[int, ...]:
    """The processes that live in any of the namespaces."""
    wanted = {identity for namespace in namespaces if (identity := _identity(path_of(namespace)))}
    processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return tuple(sorted(pid for pid in processes if _identity(Path(f"/proc/{pid}/ns/net")) in wanted))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def kill_inhabitants(namespaces: Iterable[str]) -> tuple[int, ...]:
    """Send SIGKILL to every process in the namespaces, this one excepted, and return those that were there."""
    found = tuple(pid for pid in inhabitants(namespaces) if pid != os.getpid())
    for pid in found:
        kill(pid)
    return found


def is_over(pid: int) -> bool:
    """Whether a process is gone, or only waits for its parent to notice."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Send a signal; False when the process is gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
