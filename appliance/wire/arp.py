"""ARP for IPv4 over Ethernet (RFC 826), with the questions of RFC 5227."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address

from appliance.wire.drop import Drop

UNSPECIFIED = IPv4Address(0)
_LAYOUT = struct.Struct("!HHBBH6s4s6s4s")
_HARDWARE_ETHERNET = 1
_PROTOCOL_IPV4 = 0x0800


class Operation(IntEnum):
    """The operations of RFC 826."""

    REQUEST = 1
    REPLY = 2


_OPERATIONS = {int(operation): operation for operation in Operation}


@dataclass(frozen=True, slots=True)
class Arp:
    """One ARP packet."""

    operation: Operation
    sender_hardware_address: bytes
    sender_address: IPv4Address
    target_hardware_address: bytes
    target_address: IPv4Address

    @property
    def is_probe(self) -> bool:
        """Whether it asks for an address without claiming one (RFC 5227 section 1.1)."""
        return self.operation is Operation.REQUEST and self.sender_address == UNSPECIFIED

    @property
    def is_announcement(self) -> bool:
        """Whether it is gratuitous: a claim of the sender's own address, as a request or as a reply."""
        return self.sender_address == self.target_address and self.sender_address != UNSPECIFIED


def decode(payload: bytes) -> Arp | Drop:
    """Read a packet; trailing padding is passed over."""
    if len(payload) < _LAYOUT.size:
        return Drop.TRUNCATED
    fields = _LAYOUT.unpack_from(payload)
    hardware, protocol, hardware_length, protocol_length, operation, *addresses = fields
    if (hardware, protocol, hardware_length, protocol_length) != (_HARDWARE_ETHERNET, _PROTOCOL_IPV4, 6, 4):
        return Drop.NOT_ETHERNET_IPV4
    known = _OPERATIONS.get(operation)
    if known is None:
        return Drop.OPERATION
    sender_hardware, sender, target_hardware, target = addresses
    return Arp(known, sender_hardware, IPv4Address(sender), target_hardware, IPv4Address(target))


def encode(arp: Arp) -> bytes:
    """The packet as bytes."""
    return _LAYOUT.pack(
        _HARDWARE_ETHERNET,
        _PROTOCOL_IPV4,
        6,
        4,
        arp.operation,
        arp.sender_hardware_address,
        arp.sender_address.packed,
        arp.target_hardware_address,
        arp.target_address.packed,
    )
