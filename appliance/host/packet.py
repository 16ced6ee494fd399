"""ARP and NDP frames in and out of interfaces: one AF_PACKET socket each (packet(7)), with a kernel filter."""

import asyncio
import ctypes
import socket
import struct
from collections.abc import Callable, Mapping

_ETH_P_ALL = 0x0003
_SO_ATTACH_FILTER = 26
_SOL_PACKET = 263
_PACKET_IGNORE_OUTGOING = 23
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")
_READ_MAX = 64
_FRAME_MAX = 2048

# Linux's classic BPF (networking/filter): ARP, or ICMPv6 Neighbor Solicitation and Advertisement behind a bare header.
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


class PacketError(Exception):
    """A packet socket cannot be opened."""


class Packets:
    """The packet sockets of some interfaces; `on_frame` is called with each frame that comes in."""

    def __init__(self, on_frame: Callable[[str, bytes], None]) -> None:
        self._on_frame = on_frame
        self._sockets: dict[str, socket.socket] = {}
        self._groups: dict[str, _Groups] = {}
        self.dropped = 0

    def apply(self, interfaces: Mapping[str, frozenset[bytes]]) -> None:
        """Listen on exactly these interfaces, joined to the IPv6 groups of exactly these multicast hardware addresses.

        Raises PacketError.
        """
        for name in self._sockets.keys() - interfaces.keys():
            self._close(name)
        for name, groups in interfaces.items():
            try:
                self._open(name)
                self._groups[name].apply(groups)
            except OSError as error:
                self._close(name)
                raise PacketError(f"{name}: {error.strerror}") from error

    def send(self, interface: str, frame: bytes) -> bool:
        """Send one frame; False where the interface is gone, down, or its queue is full."""
        opened = self._sockets.get(interface)
        try:
            return opened is not None and opened.send(frame) == len(frame)
        except OSError:
            self.dropped += 1
            return False

    def close(self) -> None:
        """Stop listening."""
        self.apply({})

    def _open(self, name: str) -> None:
        if name in self._sockets:
            return
        opened = open_filtered(name)
        self._sockets[name] = opened
        self._groups[name] = _Groups(name)
        asyncio.get_running_loop().add_reader(opened, self._read, name, opened)

    def _close(self, name: str) -> None:
        opened = self._sockets.pop(name, None)
        if opened is not None:
            asyncio.get_running_loop().remove_reader(opened)
            opened.close()
        groups = self._groups.pop(name, None)
        if groups is not None:
            groups.close()

    def _read(self, name: str, opened: socket.socket) -> None:
        for _ in range(_READ_MAX):
            try:
                frame = opened.recv(_FRAME_MAX)
            except BlockingIOError:
                return
            except OSError:
                self.dropped += 1
                return
            self._on_frame(name, frame)


def open_filtered(interface: str) -> socket.socket:
    """A non-blocking packet socket that delivers ARP and NDP only, and nothing this machine sends; raises OSError."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _FILTER))
        filter_program = struct.pack("HL", len(_FILTER), ctypes.addressof(program))
        opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_program)
        opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        opened.bind((interface, _ETH_P_ALL))
    except OSError:
        opened.close()
        raise
    return opened


class _Groups:
    """IPv6 multicast memberships of one interface: the kernel sends the MLD reports that snooping switches need."""

    def __init__(self, interface: str) -> None:
        self._index = socket.if_nametoindex(interface)
        self._members: dict[bytes, socket.socket] = {}
        self._sockets: list[socket.socket] = []

    def apply(self, groups: frozenset[bytes]) -> None:
        for group in self._members.keys() - groups:
            self._members.pop(group).setsockopt(socket.IPPROTO_IPV6, socket.IPV6_LEAVE_GROUP, self._request(group))
        for group in sorted(groups - self._members.keys()):
            self._members[group] = self._join(group)

    def close(self) -> None:
        for opened in self._sockets:
            opened.close()

    def _join(self, group: bytes) -> socket.socket:
        """A socket holds as many memberships as its option memory allows; beyond that, another one is opened."""
        for opened in self._sockets[-1:]:
            try:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, self._request(group))
            except OSError:
                continue
            return opened
        opened = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._sockets.append(opened)
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, self._request(group))
        return opened

    def _request(self, group: bytes) -> bytes:
        """A solicited-node group (RFC 4291 section 2.7.1) from the low 24 bits its hardware address shows."""
        return _SOLICITED_NODE + group[-3:] + struct.pack("@I", self._index)
