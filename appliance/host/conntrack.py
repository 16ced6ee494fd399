"""The kernel's connection tracking, by netlink: flows of datagrams whose backend is gone are forgotten."""

import errno
import socket
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from appliance.api.address import IPAddress
from appliance.host import netlink
from appliance.host.netlink import attribute, attributes

_SUBSYSTEM_HEADER = struct.Struct("!BBH")

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
        async for found in _asked(version, _GET, netlink.DUMP, question):
            to = _destination(version, found[_TUPLE_ORIGINAL])
            if to in backends and _source(version, found[_TUPLE_REPLY]) not in backends[to]:
                kept = {kind: found[kind] for kind in (_ID, _ZONE) if kind in found}
                flow = attribute(_TUPLE_ORIGINAL | netlink.NESTED, found[_TUPLE_ORIGINAL])
                stale.append(flow + b"".join(attribute(*one) for one in kept.items()))
    for flow in stale:
        try:
            _ = [answer async for answer in _asked(version, _DELETE, netlink.ACK, flow)]
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
        number = attribute(_DESTINATION_PORT, struct.pack("!H", port.port))
        if version == 4:
            address = attribute(_ADDRESSES[version][1], port.address.packed)
            yield _question(address, _PROTOCOL + number, _BY_PROTOCOL | _BY_DESTINATION_PORT | _BY_DESTINATION)
        else:
            # Kernels up to 6.18 at least compare IPv6 addresses the wrong way round here.
            yield _question(b"", _PROTOCOL + number, _BY_PROTOCOL | _BY_DESTINATION_PORT)


def _question(address: bytes, protocol: bytes, flags: int) -> bytes:
    nested = attribute(_TUPLE_PROTOCOL | netlink.NESTED, protocol)
    if address:
        nested = attribute(_TUPLE_IP | netlink.NESTED, address) + nested
    return (
        attribute(_TUPLE_ORIGINAL | netlink.NESTED, nested)
        + attribute(_FILTER | netlink.NESTED, attribute(_FILTER_ORIGINAL, struct.pack("=I", flags)))
        + attribute(_STATUS, struct.pack("!I", _IPS_DST_NAT))
        + attribute(_STATUS_MASK, struct.pack("!I", _IPS_DST_NAT))
    )


_PROTOCOL = attribute(_PROTOCOL_NUMBER, bytes([socket.IPPROTO_UDP]))


async def _asked(version: int, kind: int, flags: int, question: bytes) -> AsyncIterator[dict[int, bytes]]:
    """The attributes of every answer; raises OSError."""
    content = _SUBSYSTEM_HEADER.pack(_FAMILIES[version], 0, 0) + question
    async for message in netlink.asked(netlink.NETFILTER, kind, flags, content):
        yield attributes(message.content[_SUBSYSTEM_HEADER.size :])


def _destination(version: int, content: bytes) -> FlowEnd:
    return _endpoint(content, _ADDRESSES[version][1], _DESTINATION_PORT)


def _source(version: int, content: bytes) -> FlowEnd:
    return _endpoint(content, _ADDRESSES[version][0], _SOURCE_PORT)


def _endpoint(content: bytes, address: int, port: int) -> FlowEnd:
    parts = attributes(content)
    number = attributes(parts[_TUPLE_PROTOCOL])[port]
    return FlowEnd(ip_address(attributes(parts[_TUPLE_IP])[address]), int.from_bytes(number))
