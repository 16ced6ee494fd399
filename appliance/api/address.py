"""Addresses, ranges of them, and the name a VirtualIP gets from its address.

None of them has a scope id (RFC 4007 section 11): which link is meant is told beside an address, never in it.
"""

import re
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from appliance.api.text import shown

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_PREFIX_LENGTH = re.compile(r"[0-9]{1,3}")
_HARDWARE_ADDRESS = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}")
_GROUP_BIT = 0x01
_ADDRESS_MAX = 64
_RANGE_MAX = 2 * _ADDRESS_MAX


class Family(IntEnum):
    """An address family by its IP version number."""

    IPV4 = 4
    IPV6 = 6


_FAMILIES = {family.value: family for family in Family}


def family_of(address: IPAddress) -> Family:
    """The family an address belongs to."""
    return _FAMILIES[address.version]


def vip_name(address: IPAddress) -> str:
    """The object name of an address: IPv4 as it is, IPv6 as eight groups joined by `-` (RFC 1123 has no colon)."""
    return str(address) if address.version == 4 else address.exploded.replace(":", "-")


def address_of(name: str) -> IPAddress:
    """The address a VirtualIP's name stands for; raises ValueError for any other name."""
    address = parse_address(name.replace("-", ":") if "-" in name else name)
    if vip_name(address) != name:
        raise ValueError(f"{name!r} is not how {address} is written as a name")
    return address


@dataclass(frozen=True, slots=True)
class AddressRange:
    """A run of addresses of one family, both ends included, with the text the operator wrote."""

    first: IPAddress
    last: IPAddress
    text: str

    def __contains__(self, address: IPAddress) -> bool:
        return self.first.version == address.version and int(self.first) <= int(address) <= int(self.last)

    @property
    def family(self) -> Family:
        """The family of both ends."""
        return family_of(self.first)

    @property
    def size(self) -> int:
        """How many addresses the range holds."""
        return int(self.last) - int(self.first) + 1


def parse_address(text: object) -> IPAddress:
    """Read one address, an IPv4-mapped one (RFC 4291 section 2.5.5.2) as IPv4; raises ValueError with a sentence."""
    try:
        address = text if isinstance(text, IPv4Address | IPv6Address) else ip_address(_short(str(text)).strip())
    except ValueError:
        raise ValueError(f"{shown(text)} is not an IP address") from None
    if address.version == 4:
        return address
    if address.scope_id is not None:
        raise ValueError(f"{shown(text)} has a scope id; write the address without the part after %")
    return address.ipv4_mapped or address


def _short(written: str) -> str:
    """The text, unless it is longer than any address; raises ValueError."""
    if len(written) > _ADDRESS_MAX:
        raise ValueError
    return written


def parse_range(text: object) -> AddressRange:
    """Read `first-last` or a CIDR (host bits masked off, as MetalLB does); raises ValueError."""
    if isinstance(text, AddressRange):
        return text
    written = str(text)
    if "-" in written:
        return _parse_ends(written)
    if "/" not in written:
        raise ValueError(f"{shown(written)} is neither a CIDR nor a range; write a single address as /32 or /128")
    try:
        network = ip_network(_with_prefix_length(_short(written)), strict=False)
    except ValueError:
        raise ValueError(f"{shown(written)} is not a CIDR") from None
    return AddressRange(network[0], network[-1], written)


def _parse_ends(written: str) -> AddressRange:
    first, last = (parse_address(end) for end in written.split("-", 1))
    if first.version != last.version:
        raise ValueError(f"{shown(written)} begins and ends in different address families")
    if int(first) > int(last):
        raise ValueError(f"{shown(written)} ends before it begins")
    return AddressRange(first, last, written)


def parse_network(text: object) -> IPNetwork:
    """Read a prefix without host bits; raises ValueError."""
    if isinstance(text, IPv4Network | IPv6Network):
        return text
    try:
        return ip_network(_with_prefix_length(str(text)))
    except ValueError:
        raise ValueError(f"{shown(text)} is not a network prefix") from None


def parse_interface_address(text: object) -> IPv4Interface | IPv6Interface:
    """Read an address with the prefix length of its subnet, such as 192.0.2.1/24; raises ValueError."""
    written = str(text)
    try:
        return ip_interface(_with_prefix_length(written) if "/" in written else str(parse_address(written)))
    except ValueError:
        raise ValueError(f"{shown(text)} is not an address with a prefix length") from None


def _with_prefix_length(written: str) -> str:
    """The text of a prefix that has a length, no mask, and no scope id; raises ValueError."""
    address, _, length = written.strip().partition("/")
    if "%" in address or not _PREFIX_LENGTH.fullmatch(length):
        raise ValueError
    return f"{address}/{length}"


def parse_hardware_address(text: object) -> bytes:
    """The six octets of the Ethernet address of one interface, such as aa:bb:cc:dd:ee:ff; raises ValueError."""
    if isinstance(text, bytes):
        octets = text
    elif isinstance(text, str) and _HARDWARE_ADDRESS.fullmatch(text):
        octets = bytes.fromhex(text.replace(":", ""))
    else:
        octets = b""
    if len(octets) != 6 or octets[0] & _GROUP_BIT or not any(octets):
        raise ValueError(f"{shown(text)} is not the Ethernet address of an interface, such as 02:00:5e:10:00:01")
    return octets


_TEXT = WithJsonSchema({"type": "string"})
Address = Annotated[
    IPAddress,
    BeforeValidator(parse_address),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "format": "address", "maxLength": _ADDRESS_MAX}),
]
Network = Annotated[IPNetwork, BeforeValidator(parse_network), PlainSerializer(str), _TEXT]
Range = Annotated[
    AddressRange,
    BeforeValidator(parse_range),
    PlainSerializer(lambda written: written.text),
    WithJsonSchema({"type": "string", "format": "address-range", "maxLength": _RANGE_MAX}),
]
InterfaceAddress = Annotated[
    IPv4Interface | IPv6Interface, BeforeValidator(parse_interface_address), PlainSerializer(str), _TEXT
]
HardwareAddress = Annotated[
    bytes,
    BeforeValidator(parse_hardware_address),
    PlainSerializer(lambda octets: octets.hex(":")),
    WithJsonSchema({"type": "string", "pattern": f"^{_HARDWARE_ADDRESS.pattern}$"}),
]
