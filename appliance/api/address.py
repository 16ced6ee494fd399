"""Addresses, ranges of them, and the name a VirtualIP gets from its address."""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network


class Family(IntEnum):
    """An address family by its IP version number."""

    IPV4 = 4
    IPV6 = 6


def family_of(address: IPAddress) -> Family:
    """The family an address belongs to."""
    return Family(address.version)


def vip_name(address: IPAddress) -> str:
    """The object name of an address: IPv4 as it is, IPv6 as eight groups joined by `-` (RFC 1123 has no colon)."""
    return str(address) if address.version == 4 else address.exploded.replace(":", "-")


def address_of(name: str) -> IPAddress:
    """The address a VirtualIP's name stands for; raises ValueError for any other name."""
    address = ip_address(name.replace("-", ":") if "-" in name else name)
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
    """Read one address; raises ValueError with a sentence an operator can act on."""
    if isinstance(text, IPv4Address | IPv6Address):
        return text
    try:
        return ip_address(str(text).strip())
    except ValueError:
        raise ValueError(f"{str(text)!r} is not an IP address") from None


def parse_range(text: object) -> AddressRange:
    """Read `first-last` or a CIDR (host bits masked off, as MetalLB does); raises ValueError."""
    if isinstance(text, AddressRange):
        return text
    written = str(text)
    if "-" in written:
        return _parse_ends(written)
    if "/" not in written:
        raise ValueError(f"{written!r} is neither a CIDR nor a range; write a single address as /32 or /128")
    try:
        network = ip_network(written.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{written!r} is not a CIDR") from None
    return AddressRange(network[0], network[-1], written)


def _parse_ends(written: str) -> AddressRange:
    first, last = (parse_address(end) for end in written.split("-", 1))
    if first.version != last.version:
        raise ValueError(f"{written!r} begins and ends in different address families")
    if int(first) > int(last):
        raise ValueError(f"{written!r} ends before it begins")
    return AddressRange(first, last, written)


def parse_network(text: object) -> IPNetwork:
    """Read a prefix without host bits; raises ValueError."""
    if isinstance(text, IPv4Network | IPv6Network):
        return text
    try:
        return ip_network(str(text))
    except ValueError:
        raise ValueError(f"{str(text)!r} is not a network prefix") from None


_TEXT = WithJsonSchema({"type": "string"})
Address = Annotated[IPAddress, BeforeValidator(parse_address), PlainSerializer(str), _TEXT]
Network = Annotated[IPNetwork, BeforeValidator(parse_network), PlainSerializer(str), _TEXT]
Range = Annotated[AddressRange, BeforeValidator(parse_range), PlainSerializer(lambda written: written.text), _TEXT]
