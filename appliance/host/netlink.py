"""Netlink (netlink(7)) as far as it is needed here: questions and their answers, notifications, attributes.

Read without pyroute2, whose import takes a fifth of a second and whose messages take a millisecond each: an agent that
was killed is to answer again at once, and a resolver has tens of thousands of flows.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from appliance.host.filter import Instruction, attach_filter

ROUTE, NETFILTER = 0, 12
REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
NESTED = 0x8000

_ERROR, _DONE = 2, 3
_ATTRIBUTE_TYPE = 0x3FFF
_DATAGRAM_BYTES = 2**17
_BUFFER_BYTES = 2**20
_HEADER, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")


@dataclass(frozen=True, slots=True)
class NetlinkMessage:
    """One message: its type and what follows the header."""

    kind: int
    content: bytes


async def asked(subsystem: int, kind: int, flags: int, content: bytes) -> AsyncIterator[NetlinkMessage]:
    """Every answer to a question; raises OSError, also for what the kernel refuses."""
    loop = asyncio.get_running_loop()
    with _opened(subsystem) as opened:
        opened.bind((0, 0))
        header = _HEADER.pack(_HEADER.size + len(content), kind, REQUEST | flags, 0, 0)
        await loop.sock_sendall(opened, header + content)
        while True:
            for message in _messages(await loop.sock_recv(opened, _DATAGRAM_BYTES)):
                if message.kind in (_ERROR, _DONE):
                    (code,) = struct.unpack_from("=i", message.content)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return
                yield message


@contextlib.contextmanager
def listening(subsystem: int, groups: int, program: Sequence[Instruction] = ()) -> Iterator[socket.socket]:
    """A socket that hears what the kernel tells some groups (a mask) and a filter lets through; raises OSError."""
    with _opened(subsystem) as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        if program:
            attach_filter(opened, program)
        opened.bind((0, groups))
        yield opened


async def told(listener: socket.socket) -> list[NetlinkMessage]:
    """The next notifications; raises OSError, ENOBUFS where some were lost."""
    return list(_messages(await asyncio.get_running_loop().sock_recv(listener, _DATAGRAM_BYTES)))


def attribute(kind: int, content: bytes) -> bytes:
    """One attribute as it is sent."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content + bytes(-len(content) % 4)


def attributes(content: bytes) -> dict[int, bytes]:
    """The attributes that a message or another attribute consists of."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(content):
        length, kind = _ATTRIBUTE.unpack_from(content, at)
        found[kind & _ATTRIBUTE_TYPE] = content[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def _opened(subsystem: int) -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, subsystem)


def _messages(datagram: bytes) -> Iterator[NetlinkMessage]:
    at = 0
    while at < len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, at)
        yield NetlinkMessage(kind, datagram[at + _HEADER.size : at + length])
        at += (length + 3) & ~3
