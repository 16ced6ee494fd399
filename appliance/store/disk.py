"""Files that are whole or absent at every moment, and the lock that orders those who write them."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

LOCK_SECONDS = 5.0
_RETRY_SECONDS = 0.002


@contextlib.asynccontextmanager
async def locked(path: str) -> AsyncIterator[None]:
    """Hold a lock file alone among all processes; raises TimeoutError where another keeps it too long."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        async with asyncio.timeout(LOCK_SECONDS):
            # flock has no event to wait for, and a blocking call would stop the loop.
            while not _try_lock(lock):  # noqa: ASYNC110
                await asyncio.sleep(_RETRY_SECONDS)
        yield
    finally:
        os.close(lock)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_new(path: str, text: str, spare: str) -> None:
    """Put a text where nothing is; raises FileExistsError. `spare` is a free path, under the same lock."""
    _write_spare(path, text, spare)
    os.link(spare, path)
    Path(spare).unlink()
    _sync_folder(path)


def write_over(path: str, text: str, spare: str) -> None:
    """Put a text in the place of what is there, if anything."""
    _write_spare(path, text, spare)
    Path(spare).rename(path)
    _sync_folder(path)


def remove(path: str) -> None:
    """Remove a file, if it is there."""
    Path(path).unlink(missing_ok=True)


def _write_spare(path: str, text: str, spare: str) -> None:
    """Whoever died while writing may have left a spare that is also linked under its name: unlinked, not truncated."""
    _make_folder(Path(path).parent, below=Path(spare).parent)
    remove(spare)
    target = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        content = memoryview(text.encode())
        while content:
            content = content[os.write(target, content) :]
        os.fsync(target)
    finally:
        os.close(target)


def _make_folder(folder: Path, below: Path) -> None:
    """Make what is missing under a folder that must exist: a store that was taken away is not begun anew."""
    for missing in reversed([each for each in (folder, *folder.parents) if below in each.parents]):
        missing.mkdir(exist_ok=True)


def _sync_folder(path: str) -> None:
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
