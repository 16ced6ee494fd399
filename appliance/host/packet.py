"""ARP and NDP frames in and out of interfaces: one AF_PACKET socket each (packet(7)), with a kernel filter."""

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from appliance.host.filter import attach_filter

_ETH_P_ALL = 0x0003
_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")
_READ_MAX = 64
_FRAME_MAX = 2048
# Names under which files are kept for the next run, before the index of their interface.
_PACKET, _GROUPS = "packet-", "groups-"

# ARP, or ICMPv6 Neighbor Solicitation and Advertisement behind a bare header.
# A VLAN's tag is not in the frame: the kernel keeps it beside, at the ancillary offset SKF_AD_VLAN_TAG_PRESENT.
_FILTER = (
    (0x20, 0, 0, 0xFFFFF030),  # ld: VLAN tag present
    (0x15, 0, 9, 0),  # tagged: drop
    (0x28, 0, 0, 12),  # ldh [12]: EtherType
    (0x15, 6, 0, 0x0806),  # ARP: accept
    (0x15, 0, 6, 0x86DD),  # not IPv6: drop
    (0x30, 0, 0, 20),  # ldb [20]: next header
    (0x15, 0, 4, 58),  # not ICMPv6: drop
    (0x30, 0, 0, 54),  # ldb [54]: ICMPv6 type
    (0x15, 1, 0, 135),  # Neighbor Solicitation: accept
    (0x15, 0, 1, 136),  # Neighbor Advertisement: accept, else drop
    (0x06, 0, 0, 0x40000),  # ret: accept
    (0x06, 0, 0, 0),  # ret: drop
)


@dataclass(frozen=True, slots=True)
class PacketProblem:
    """What an interface could not be given, and why: a socket, or IPv6 groups beside a socket that works."""

    index: int
    text: str


class DescriptorStore(Protocol):
    """What keeps open files from one run of this program to the next, by name; several may have one."""

    def keep(self, name: str, descriptor: int) -> None:
        """Keep another one."""

    def forget(self, name: str) -> None:
        """Keep none under a name."""

    def take_kept(self) -> Mapping[str, tuple[int, ...]]:
        """Those that the run before kept, which are the caller's from now on."""


class _NoStore:
    """Keeps nothing."""

    def keep(self, name: str, descriptor: int) -> None:
        """Do not."""

    def forget(self, name: str) -> None:
        """There is nothing to forget."""

    def take_kept(self) -> Mapping[str, tuple[int, ...]]:
        """None."""
        return {}


NO_STORE = _NoStore()


class Packets:
    """Packet sockets, one an interface, by interface index: one made anew under its name is another interface.

    `on_frame` is called with each frame that comes in, `on_lost` when an interface leaves this machine or namespace.
    What `store` kept of the run before is taken up by the first `apply`: a socket with all that came in meanwhile, and
    memberships until `drop_kept_groups`, so that no switch hears of them leaving. `received` counts frames.
    """

    def __init__(
        self,
        on_frame: Callable[[int, bytes], None],
        on_lost: Callable[[], None] = lambda: None,
        store: DescriptorStore = NO_STORE,
    ) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._store = store
        self._kept = {name: [socket.socket(fileno=each) for each in kept] for name, kept in store.take_kept().items()}
        for name in self._kept:
            if name.startswith(_GROUPS):
                # Ours stay open until others have joined; the store's are not to be mistaken for those.
                store.forget(name)
        self._sockets: dict[int, socket.socket] = {}
        self._groups: dict[int, _Groups] = {}
        self.dropped = self.received = 0

    def apply(self, interfaces: Mapping[int, frozenset[bytes]]) -> tuple[PacketProblem, ...]:
        """Listen on exactly these interfaces, joined to the IPv6 groups of exactly these multicast hardware addresses.

        What cannot be had is returned, keeps nothing else from being had, and is tried again by the next call.
        """
        for index in self._sockets.keys() - interfaces.keys():
            self._close(index)
        problems: list[PacketProblem] = []
        for index, groups in interfaces.items():
            try:
                self._open(index)
            except OSError as error:
                problems.append(PacketProblem(index, f"no packet socket: {error.strerror}"))
                continue
            refused = self._groups[index].apply(groups)
            if refused:
                problems.append(PacketProblem(index, f"IPv6 groups not joined: {refused}"))
        for name in [name for name in self._kept if not name.startswith(_GROUPS)]:
            self._store.forget(name)
            _close_all(self._kept.pop(name))
        return tuple(problems)

    def drop_kept_groups(self) -> None:
        """Let go the memberships that the run before left: those that are wanted have been joined since."""
        for name in [name for name in self._kept if name.startswith(_GROUPS)]:
            _close_all(self._kept.pop(name))

    def has_waiting(self) -> bool:
        """Whether a frame waits in a socket (packet(7), SIOCINQ)."""
        sizes = (fcntl.ioctl(each, termios.FIONREAD, bytes(4)) for each in self._sockets.values())
        return any(size != bytes(4) for size in sizes)

    def send(self, index: int, frame: bytes) -> bool:
        """Send one frame; False where the interface is gone, down, or its queue is full."""
        opened = self._sockets.get(index)
        try:
            return opened is not None and opened.send(frame) == len(frame)
        except OSError:
            self.dropped += 1
            return False

    def close(self) -> None:
        """Stop listening."""
        self.drop_kept_groups()
        self.apply({})

    def _open(self, index: int) -> None:
        if index in self._sockets:
            return
        name = f"{_PACKET}{index}"
        kept = self._kept.pop(name, [])
        opened = next((each for each in kept if _is_usable(each, index)), None)
        _close_all(each for each in kept if each is not opened)
        if opened is None:
            if kept:
                self._store.forget(name)
            opened = open_filtered(index)
            self._store.keep(name, opened.fileno())
        self._sockets[index] = opened
        self._groups[index] = _Groups(index, self._store)
        asyncio.get_running_loop().add_reader(opened, self._read, index, opened)

    def _close(self, index: int) -> None:
        opened = self._sockets.pop(index)
        asyncio.get_running_loop().remove_reader(opened)
        opened.close()
        self._store.forget(f"{_PACKET}{index}")
        self._groups.pop(index).close()

    def _read(self, index: int, opened: socket.socket) -> None:
        for _ in range(_READ_MAX):
            try:
                frame = opened.recv(_FRAME_MAX)
            except BlockingIOError:
                return
            except OSError:
                self.dropped += 1
                if not is_bound(opened):
                    self._close(index)
                    self._on_lost()
                return
            self.received += 1
            self._on_frame(index, frame)
            if self._sockets.get(index) is not opened:
                return


def is_bound(opened: socket.socket) -> bool:
    """Whether a packet socket still has its interface: the kernel takes it away when the interface leaves."""
    return bool(opened.getsockname()[0])


def open_filtered(index: int) -> socket.socket:
    """A non-blocking packet socket that delivers ARP and NDP only, and nothing this machine sends; raises OSError."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        _narrow(opened)
        _bind(opened, index)
    except OSError:
        opened.close()
        raise
    return opened


def _is_usable(opened: socket.socket, index: int) -> bool:
    """Whether a socket of another run serves an interface as one of this run would, once it is set up anew."""
    try:
        name = opened.getsockname()[0] if opened.family is socket.AF_PACKET else ""
        if not name or socket.if_nametoindex(name) != index:
            return False
        opened.setblocking(False)
        _narrow(opened)
    except OSError:
        return False
    return True


def _narrow(opened: socket.socket) -> None:
    attach_filter(opened, _FILTER)
    opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)


def _close_all(sockets: Iterable[socket.socket]) -> None:
    for each in sockets:
        each.close()


def _bind(opened: socket.socket, index: int) -> None:
    """Bind by index (packet(7), sockaddr_ll): `socket.bind` takes a name, which another interface may have by now."""
    address = struct.pack("@HHiHBB8s", socket.AF_PACKET, socket.htons(_ETH_P_ALL), index, 0, 0, 0, b"")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.bind(opened.fileno(), address, len(address)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class _Groups:
    """IPv6 multicast memberships of one interface: the kernel sends the MLD reports that snooping switches need."""

    def __init__(self, index: int, store: DescriptorStore) -> None:
        self._index = index
        self._store = store
        self._members: dict[bytes, socket.socket] = {}
        self._sockets: list[socket.socket] = []

    def apply(self, groups: frozenset[bytes]) -> str:
        """Be a member of exactly these groups as far as the kernel lets us; returns why not of all."""
        for group in self._members.keys() - groups:
            with contextlib.suppress(OSError):  # where there is no such interface any more there is no membership
                self._members.pop(group).setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, self._request(group))
        refused = ""
        for group in sorted(groups - self._members.keys()):
            try:
                self._members[group] = self._join(group)
            except OSError as error:
                refused = str(error.strerror)
        return refused

    def close(self) -> None:
        """Leave all."""
        if self._sockets:
            self._store.forget(f"{_GROUPS}{self._index}")
        _close_all(self._sockets)

    def _join(self, group: bytes) -> socket.socket:
        """A socket holds as many memberships as its option memory allows; beyond that, another one is opened."""
        for opened in self._sockets[-1:]:
            try:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, self._request(group))
            except OSError as error:
                if error.errno not in (errno.ENOMEM, errno.ENOBUFS):
                    raise
            else:
                return opened
        opened = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        try:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, self._request(group))
        except OSError:
            opened.close()
            raise
        self._sockets.append(opened)
        self._store.keep(f"{_GROUPS}{self._index}", opened.fileno())
        return opened

    def _request(self, group: bytes) -> bytes:
        """A solicited-node group (RFC 4291 section 2.7.1) from the low 24 bits its hardware address shows."""
        return _SOLICITED_NODE + group[-3:] + struct.pack("@I", self._index)
