"""What the kernel tells of folders: inotify(7), which costs nothing while nothing happens."""

import contextlib
import ctypes
import errno
import os
import struct
import weakref
from collections import deque
from dataclasses import dataclass

_IN_ATTRIB, _IN_CLOSE_WRITE = 0x4, 0x8
_IN_MOVED_FROM, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE = 0x40, 0x80, 0x100, 0x200
_IN_DELETE_SELF, _IN_MOVE_SELF = 0x400, 0x800
_IN_Q_OVERFLOW, _IN_IGNORED = 0x4000, 0x8000
_ENTRIES = _IN_CREATE | _IN_DELETE | _IN_MOVED_FROM | _IN_MOVED_TO
_MASK = _ENTRIES | _IN_ATTRIB | _IN_CLOSE_WRITE | _IN_DELETE_SELF | _IN_MOVE_SELF
_EVENT = struct.Struct("iIII")
_BUFFER_BYTES = 1 << 16
_HEARD_MAX = 1000

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Notices:
    """Paths that may have changed; `is_overflown` where the kernel left some out."""

    paths: frozenset[str] = frozenset()
    is_overflown: bool = False


class Inotify:
    """One inotify instance, closed with its last user; `fileno` is readable when there is something to hear.

    A loop may `hear` what there is, to decide whether that concerns it; the thread that does `read` gets it too.
    """

    def __init__(self) -> None:
        self._file = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "inotify_init1")
        self._paths: dict[int, str] = {}
        self._heard: deque[Notices] = deque()
        self.waiters = 0
        weakref.finalize(self, os.close, self._file)

    def fileno(self) -> int:
        """The file descriptor to wait on."""
        return self._file

    def add(self, path: str) -> None:
        """Hear of a folder's entries, or of one file; one that is gone by now is left out. Raises OSError."""
        watch = _libc.inotify_add_watch(self._file, os.fsencode(path), _MASK)
        if watch < 0 and ctypes.get_errno() in (errno.ENOENT, errno.ENOTDIR):
            return
        self._paths[_checked(watch, path)] = path

    def hear(self) -> Notices:
        """What happened since the last time; it stays to be read, of which `has_much` reminds."""
        heard = self._next()
        self._heard.append(heard)
        return heard

    @property
    def has_much(self) -> bool:
        """Whether it is time to read, whatever it was that was heard."""
        return len(self._heard) >= _HEARD_MAX

    def read(self) -> Notices:
        """All that happened since the last time it was read."""
        all_notices = [self._next()]
        with contextlib.suppress(IndexError):
            while True:
                all_notices.append(self._heard.popleft())
        return Notices(
            frozenset().union(*(notices.paths for notices in all_notices)),
            any(notices.is_overflown for notices in all_notices),
        )

    def _next(self) -> Notices:
        paths: set[str] = set()
        is_overflown = False
        while chunk := self._chunk():
            place = 0
            while place < len(chunk):
                watch, mask, _, length = _EVENT.unpack_from(chunk, place)
                name = os.fsdecode(chunk[place + _EVENT.size : place + _EVENT.size + length].rstrip(b"\0"))
                place += _EVENT.size + length
                is_overflown |= bool(mask & _IN_Q_OVERFLOW)
                if (folder := self._paths.get(watch)) is not None:
                    paths.add(f"{folder}/{name}" if name else folder)
                if mask & _IN_IGNORED:
                    self._paths.pop(watch, None)
        return Notices(frozenset(paths), is_overflown)

    def _chunk(self) -> bytes:
        try:
            return os.read(self._file, _BUFFER_BYTES)
        except BlockingIOError:
            return b""


def _checked(outcome: int, subject: str) -> int:
    if outcome < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), subject)
    return outcome
