"""The file a control socket is reached by."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from appliance.control.error import ControlError, ControlFault

_MODE = 0o660
_BACKLOG = 64


@contextlib.contextmanager
def listening_socket(path: Path) -> Iterator[socket.socket]:
    """A socket that listens at a path for its owner and group; replaces only a dead program's."""
    if _answers(path):
        raise ControlError(ControlFault.IN_USE, str(path))
    spare = path.with_name(f".{path.name}.{os.getpid()}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as listener:
        try:
            inode = _bind(listener, spare, path)
        except OSError as error:
            raise ControlError(ControlFault.DENIED, str(path), f"cannot listen there: {error.strerror}") from error
        try:
            yield listener
        finally:
            _remove_own(path, inode)


def _bind(listener: socket.socket, spare: Path, path: Path) -> int:
    """Nobody meets the socket at its path before its mode is right and it listens."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    spare.unlink(missing_ok=True)
    listener.bind(str(spare))
    spare.chmod(_MODE)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    inode = spare.stat().st_ino
    spare.rename(path)
    return inode


def _remove_own(path: Path, inode: int) -> None:
    """A successor may have taken the path already."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True
