"""Neighbor Solicitation and Advertisement (RFC 4861) with their IPv6 header."""

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address

from appliance.wire.drop import Drop

UNSPECIFIED = IPv6Address(0)
ALL_NODES = IPv6Address("ff02::1")
_SOLICITED_NODE_PREFIX = int(IPv6Address("ff02::1:ff00:0"))
_HEADER = struct.Struct("!IHBB16s16s")
_BODY = struct.Struct("!BBHI16s")
_NEXT_HEADER_ICMPV6 = 58
_HOP_LIMIT = 255
_VERSION_6 = 0x60000000
_SOLICITATION = 135
_ADVERTISEMENT = 136
_ROUTER, _SOLICITED, _OVERRIDE = 0x80000000, 0x40000000, 0x20000000
_SOURCE_LINK_LAYER, _TARGET_LINK_LAYER, _NONCE = 1, 2, 14
_OPTION_UNIT = 8


@dataclass(frozen=True, slots=True)
class NeighborSolicitation:
    """A Neighbor Solicitation; `nonce` is the option of RFC 7527, 6 bytes."""

    source: IPv6Address
    destination: IPv6Address
    target: IPv6Address
    source_hardware_address: bytes | None = None
    nonce: bytes | None = None

    @property
    def is_probe(self) -> bool:
        """Whether it is part of Duplicate Address Detection (RFC 4862 section 5.4)."""
        return self.source == UNSPECIFIED


@dataclass(frozen=True, slots=True)
class NeighborAdvertisement:
    """A Neighbor Advertisement."""

    source: IPv6Address
    destination: IPv6Address
    target: IPv6Address
    target_hardware_address: bytes | None = None
    router: bool = False
    solicited: bool = False
    override: bool = False

    @property
    def is_announcement(self) -> bool:
        """Whether nobody's question is answered by it alone."""
        return not self.solicited


def solicited_node(address: IPv6Address) -> IPv6Address:
    """The multicast address questions about an address are sent to (RFC 4291 section 2.7.1)."""
    return IPv6Address(_SOLICITED_NODE_PREFIX | int(address) & 0xFFFFFF)


def multicast_hardware_address(group: IPv6Address) -> bytes:
    """The Ethernet address of an IPv6 multicast group (RFC 2464 section 7)."""
    return b"\x33\x33" + group.packed[12:]


def decode(packet: bytes) -> NeighborSolicitation | NeighborAdvertisement | Drop:
    """Read an IPv6 packet, with every check of RFC 4861 sections 7.1.1 and 7.1.2."""
    if len(packet) < _HEADER.size:
        return Drop.TRUNCATED
    word, length, next_header, hop_limit, source, destination = _HEADER.unpack_from(packet)
    body = packet[_HEADER.size : _HEADER.size + length]
    if word >> 28 != 6 or next_header != _NEXT_HEADER_ICMPV6 or body[:1] not in (b"\x87", b"\x88"):
        return Drop.NOT_NEIGHBOR_DISCOVERY
    if hop_limit != _HOP_LIMIT:
        return Drop.HOP_LIMIT
    if len(body) < length or length < _BODY.size:
        return Drop.TRUNCATED
    if _checksum(source, destination, body):
        return Drop.CHECKSUM
    return _decode_body(IPv6Address(source), IPv6Address(destination), body)


def _decode_body(
    source: IPv6Address, destination: IPv6Address, body: bytes
) -> NeighborSolicitation | NeighborAdvertisement | Drop:
    kind, code, _, flags, target_bytes = _BODY.unpack_from(body)
    target, options = IPv6Address(target_bytes), _options(body[_BODY.size :])
    if code != 0 or target.is_multicast or options is None:
        return Drop.MALFORMED
    if kind == _ADVERTISEMENT:
        if destination.is_multicast and flags & _SOLICITED:
            return Drop.MALFORMED
        return NeighborAdvertisement(
            source,
            destination,
            target,
            _hardware_address(options, _TARGET_LINK_LAYER),
            router=bool(flags & _ROUTER),
            solicited=bool(flags & _SOLICITED),
            override=bool(flags & _OVERRIDE),
        )
    link_layer = _hardware_address(options, _SOURCE_LINK_LAYER)
    if source == UNSPECIFIED and (link_layer is not None or destination != solicited_node(target)):
        return Drop.MALFORMED
    return NeighborSolicitation(source, destination, target, link_layer, _hardware_address(options, _NONCE))


def _options(content: bytes) -> dict[int, bytes] | None:
    options: dict[int, bytes] = {}
    while content:
        length = content[1] * _OPTION_UNIT if len(content) > 1 else 0
        if not 0 < length <= len(content):
            return None
        options.setdefault(content[0], content[2:length])
        content = content[length:]
    return options


def _hardware_address(options: dict[int, bytes], kind: int) -> bytes | None:
    value = options.get(kind)
    return value if value is not None and len(value) == 6 else None


def encode(message: NeighborSolicitation | NeighborAdvertisement) -> bytes:
    """The message as an IPv6 packet with hop limit and checksum."""
    body = _encode_body(message)
    source, destination = message.source.packed, message.destination.packed
    checksum = _checksum(source, destination, body)
    body = body[:2] + checksum.to_bytes(2) + body[4:]
    return _HEADER.pack(_VERSION_6, len(body), _NEXT_HEADER_ICMPV6, _HOP_LIMIT, source, destination) + body


def _encode_body(message: NeighborSolicitation | NeighborAdvertisement) -> bytes:
    match message:
        case NeighborSolicitation():
            head = _BODY.pack(_SOLICITATION, 0, 0, 0, message.target.packed)
            options = _option(_SOURCE_LINK_LAYER, message.source_hardware_address)
            return head + options + _option(_NONCE, message.nonce)
        case NeighborAdvertisement():
            flags = _ROUTER * message.router | _SOLICITED * message.solicited | _OVERRIDE * message.override
            head = _BODY.pack(_ADVERTISEMENT, 0, 0, flags, message.target.packed)
            return head + _option(_TARGET_LINK_LAYER, message.target_hardware_address)


def _option(kind: int, value: bytes | None) -> bytes:
    return b"" if value is None else bytes((kind, 1)) + value


def _checksum(source: bytes, destination: bytes, body: bytes) -> int:
    content = source + destination + len(body).to_bytes(4) + _NEXT_HEADER_ICMPV6.to_bytes(4) + body
    if len(content) % 2:
        content += b"\0"
    total: int = sum(struct.unpack(f"!{len(content) // 2}H", content))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
