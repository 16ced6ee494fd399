"""The kernel's connection tracking, by netlink: flows of datagrams whose backend is gone are forgotten.

Read and written without pyroute2, whose messages take a millisecond each: a resolver has tens of thousands of flows.
"""

import asyncio
import errno
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from appliance.api.address import IPAddress

# linux/netlink.h
_NETLINK_NETFILTER = 12
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x4, 0x300
_NLA_F_NESTED, _NLA_TYPE = 0x8000, 0x3FFF
_HEADER, _ATTRIBUTE, _SUBSYSTEM_HEADER = struct.Struct("=IHHII"), struct.Struct("=HH"), struct.Struct("!BBH")

# linux/netfilter/nfnetlink_conntrack.h
_CONNTRACK = 1 << 8
_GET, _DELETE = _CONNTRACK | 1, _CONNTRACK | 2
_TUPLE_ORIGINAL, _TUPLE_REPLY, _STATUS, _ID, _ZONE, _FILTER, _STATUS_MASK = 1, 2, 3, 12, 18, 25, 26
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_ADDRESSES = {4: (1, 2), 6: (3, 4)}
_PROTOCOL_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3
_FILTER_ORIGINAL = 1
_BY_DESTINATION, _BY_PROTOCOL, _BY_DESTINATION_PORT = 1 << 1, 1 << 3, 1 << 5
_IPS_DST_NAT = 1 << 5

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_DATAGRAM_BYTES = 2**16
# The kernel walks its whole table for each question: past so many ports, one question for all flows is cheaper.
_PORTS_MOST = 16


class ConntrackError(Exception):
    """The table cannot be read or written; the message is the kernel's."""


@dataclass(frozen=True, slots=True)
class FlowEnd:
    """An address and a port."""

    address: IPAddress
    port: int


class Conntrack:
    """The flows of UDP through this network namespace that were sent to a backend."""

    async def keep(self, backends: Mapping[FlowEnd, frozenset[FlowEnd]]) -> int:
        """Forget the flows to each of some VIPs' ports whose backend is not among those named; how many they were."""
        try:
            return sum([await _keep(version, backends) for version in _FAMILIES])
        except OSError as error:
            raise ConntrackError(error.strerror or str(error)) from error


async def _keep(version: int, backends: Mapping[FlowEnd, frozenset[FlowEnd]]) -> int:
    ports = [port for port in backends if port.address.version == version]
    stale: list[bytes] = []
    for question in _questions(version, ports):
        async for attributes in _asked(version, _GET, _NLM_F_DUMP, question):
            to = _destination(version, attributes[_TUPLE_ORIGINAL])
            if to in backends and _source(version, attributes[_TUPLE_REPLY]) not in backends[to]:
                kept = {kind: attributes[kind] for kind in (_ID, _ZONE) if kind in attributes}
                flow = _attribute(_TUPLE_ORIGINAL | _NLA_F_NESTED, attributes[_TUPLE_ORIGINAL])
                stale.append(flow + b"".join(_attribute(*one) for one in kept.items()))
    for flow in stale:
        try:
            _ = [answer async for answer in _asked(version, _DELETE, _NLM_F_ACK, flow)]
        except OSError as error:
            # A flow may have ended by itself.
            if error.errno != errno.ENOENT:
                raise
    return len(stale)


def _questions(version: int, ports: list[FlowEnd]) -> Iterator[bytes]:
    if len(ports) > _PORTS_MOST:
        yield _question(b"", _PROTOCOL, _BY_PROTOCOL)
        return
    for port in ports:
        number = _attribute(_DESTINATION_PORT, struct.pack("!H", port.port))
        if version == 4:
            address = _attribute(_ADDRESSES[version][1], port.address.packed)
            yield _question(address, _PROTOCOL + number, _BY_PROTOCOL | _BY_DESTINATION_PORT | _BY_DESTINATION)
        else:
            # Kernels up to 6.18 at least compare IPv6 addresses the wrong way round here.
            yield _question(b"", _PROTOCOL + number, _BY_PROTOCOL | _BY_DESTINATION_PORT)


def _question(address: bytes, protocol: bytes, flags: int) -> bytes:
    nested = _attribute(_TUPLE_PROTOCOL | _NLA_F_NESTED, protocol)
    if address:
        nested = _attribute(_TUPLE_IP | _NLA_F_NESTED, address) + nested
    return (
        _attribute(_TUPLE_ORIGINAL | _NLA_F_NESTED, nested)
        + _attribute(_FILTER | _NLA_F_NESTED, _attribute(_FILTER_ORIGINAL, struct.pack("=I", flags)))
        + _attribute(_STATUS, struct.pack("!I", _IPS_DST_NAT))
        + _attribute(_STATUS_MASK, struct.pack("!I", _IPS_DST_NAT))
    )


def _attribute(kind: int, content: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(content), kind) + content + bytes(-len(content) % 4)


_PROTOCOL = _attribute(_PROTOCOL_NUMBER, bytes([socket.IPPROTO_UDP]))


async def _asked(version: int, kind: int, flags: int, question: bytes) -> AsyncIterator[dict[int, bytes]]:
    """The attributes of every answer; raises OSError."""
    loop = asyncio.get_running_loop()
    body = _SUBSYSTEM_HEADER.pack(_FAMILIES[version], 0, 0) + question
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER) as netlink:
        netlink.bind((0, 0))
        header = _HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST | flags, 0, 0)
        await loop.sock_sendall(netlink, header + body)
        while True:
            for answer, content in _messages(await loop.sock_recv(netlink, _DATAGRAM_BYTES)):
                if answer in (_NLMSG_ERROR, _NLMSG_DONE):
                    (code,) = struct.unpack_from("=i", content)
                    if code:
                        raise OSError(-code, os.strerror(-code))
                    return
                yield _attributes(content[_SUBSYSTEM_HEADER.size :])


def _messages(datagram: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(datagram):
        length, kind, *_ = _HEADER.unpack_from(datagram, at)
        yield kind, datagram[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _attributes(content: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    at = 0
    while at < len(content):
        length, kind = _ATTRIBUTE.unpack_from(content, at)
        found[kind & _NLA_TYPE] = content[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found


def _destination(version: int, content: bytes) -> FlowEnd:
    return _endpoint(content, _ADDRESSES[version][1], _DESTINATION_PORT)


def _source(version: int, content: bytes) -> FlowEnd:
    return _endpoint(content, _ADDRESSES[version][0], _SOURCE_PORT)


def _endpoint(content: bytes, address: int, port: int) -> FlowEnd:
    parts = _attributes(content)
    number = _attributes(parts[_TUPLE_PROTOCOL])[port]
    return FlowEnd(ip_address(_attributes(parts[_TUPLE_IP])[address]), int.from_bytes(number))
