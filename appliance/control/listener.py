"""Where a program listens: the file a control socket is reached by, or a TCP port."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from appliance.api.address import IPAddress, parse_address
from appliance.api.text import shown
from appliance.control.error import ControlError, ControlFault

_MODE = 0o660
_BACKLOG = 64
_EVERYWHERE = IPv6Address(0)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address of this machine and a TCP port; `::` stands for all addresses of both families."""

    address: IPAddress
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.address.version == 6 else f"{self.address}:{self.port}"


def parse_listen_address(text: str) -> ListenAddress:
    """Read `ADDRESS:PORT`, `[ADDRESS]:PORT`, or `:PORT` for all addresses; raises ValueError."""
    written, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{shown(text)} is not ADDRESS:PORT, [ADDRESS]:PORT or :PORT with a port from 1 to 65535")
    if not written:
        return ListenAddress(_EVERYWHERE, int(port))
    is_bracketed = written.startswith("[") and written.endswith("]")
    address = parse_address(written[1:-1] if is_bracketed else written)
    if is_bracketed != isinstance(address, IPv6Address):
        raise ValueError(f"{shown(text)}: an IPv6 address, and no other, stands in brackets")
    return ListenAddress(address, int(port))


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


@contextlib.contextmanager
def listening_tcp(address: ListenAddress) -> Iterator[socket.socket]:
    """A socket that listens at a TCP port; raises ControlError."""
    try:
        listener = _listener(address)
    except OSError as error:
        fault = ControlFault.IN_USE if error.errno == errno.EADDRINUSE else ControlFault.DENIED
        raise ControlError(fault, str(address), f"cannot listen there: {error.strerror}") from error
    with listener:
        yield listener


def _listener(address: ListenAddress) -> socket.socket:
    family = socket.AF_INET6 if address.address.version == 6 else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    except OSError:
        if address.address != _EVERYWHERE:
            raise
        return _listener(ListenAddress(IPv4Address(0), address.port))  # a machine without IPv6
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address.address != _EVERYWHERE)
        listener.bind((str(address.address), address.port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


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
