"""Files that are whole or absent at every moment, the lock that orders those who write them, and the next version.

Everything here blocks and is called from a store's own thread.
"""

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

_RETRY_SECONDS = 0.002


@contextlib.contextmanager
def locked(path: str, patience_seconds: float) -> Iterator[None]:
    """Hold a lock file alone among all processes; raises TimeoutError where another keeps it too long."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if stat.S_IMODE(os.fstat(lock).st_mode) != 0o600:
            os.fchmod(lock, 0o600)
        deadline = time.monotonic() + patience_seconds
        while not _try_lock(lock):
            if time.monotonic() > deadline:
                raise TimeoutError(path)
            time.sleep(_RETRY_SECONDS)
        yield
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def next_version(path: str, least: int) -> int:
    """A number greater than `least` and than all that were taken before, by whichever program; under the lock.

    It is not behind the clock's microseconds, so that it also grows where the file was lost or an old one put back.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        text = os.pread(file, 32, 0).decode(errors="replace").strip()
        last = int(text) if text.isdecimal() else 0
        version = max(last + 1, least + 1, time.time_ns() // 1000)
        os.pwrite(file, f"{version:020d}\n".encode(), 0)
    finally:
        os.close(file)
    return version


def write_new(path: str, text: str, spare: str, mode: int = 0o644) -> None:
    """Put a text where nothing is; raises FileExistsError. `spare` is a free path, under the same lock."""
    _write_spare(text, spare, mode, is_durable=True)
    os.link(spare, path)
    Path(spare).unlink()


def write_over(path: str, text: str, spare: str, mode: int = 0o644, *, is_durable: bool = True) -> None:
    """Put a text in the place of what is there, if anything; one that need not last may be torn by a loss of power."""
    _write_spare(text, spare, mode, is_durable)
    Path(spare).rename(path)


def remove(path: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()


def sync_folder_of(path: str) -> None:
    """Return once the disk knows of the last change of a file's name; without it the file is as it was before."""
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_folder_of(path: str, below: str) -> None:
    """Make what is missing under a folder that must exist: a store that was taken away is not begun anew."""
    folder = Path(path).parent
    for missing in reversed([each for each in (folder, *folder.parents) if Path(below) in each.parents]):
        missing.mkdir(exist_ok=True)


def read_regular(path: str) -> tuple[bytes, os.stat_result] | None:
    """What a file holds, None where there is none; a FIFO or a device is none. Raises OSError."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    with os.fdopen(file, "rb") as opened:
        status = os.fstat(file)
        return (opened.read(), status) if stat.S_ISREG(status.st_mode) else None


def _write_spare(text: str, spare: str, mode: int, is_durable: bool) -> None:
    """Whoever died while writing may have left a spare that is also linked under its name: unlinked, not truncated."""
    Path(spare).unlink(missing_ok=True)
    target = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        content = memoryview(text.encode())
        while content:
            content = content[os.write(target, content) :]
        if is_durable:
            os.fsync(target)
    finally:
        os.close(target)
