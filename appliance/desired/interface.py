"""Which of this host's interfaces can carry VIPs, and which other hosts share a subnet with them."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from zlib import crc32

from appliance.api.address import InterfaceAddress, IPAddress
from appliance.api.label import any_matches
from appliance.api.pierhead import Host, Layer2

_POINT_TO_POINT = 2

# MetalLB's list of interfaces that belong to container networks, where an answer would break them, and bridges that
# Docker, Podman and Cilium make.
_CONTAINER = re.compile(
    r"^(docker|cbr|dummy|virbr|lxcbr|veth|cali|tunl|flannel|kube-ipvs|cni|nodelocaldns|lxc|podman|cilium_).*"
    r"|^br-[0-9a-f]{12}$|^lo$"
)


class Layer2Refusal(StrEnum):
    """Why this host answers for a VIP under no circumstances."""

    OWN_ADDRESS = "it is an address of this host itself"
    GATEWAY = "it is the address of this host's gateway"
    NETWORK_ADDRESS = "it is the network address of a subnet of this host"
    BROADCAST_ADDRESS = "it is the broadcast address of a subnet of this host"
    NOT_FORWARDED = "this host's forwarder has no rules for it yet"


@dataclass(frozen=True, slots=True)
class Unusable:
    """An address that must not be answered for on an interface; no interface = on none."""

    address: IPAddress
    refusal: Layer2Refusal
    interface: str = ""


def unusable_addresses(
    own: Mapping[str, Iterable[InterfaceAddress]], gateways: Iterable[IPAddress]
) -> tuple[Unusable, ...]:
    """The addresses that others on this host's links have, or all of them: an answer for one would break the link.

    The first address of an IPv6 subnet is its routers' anycast address (RFC 4291 section 2.6.1). A subnet of one or two
    addresses has neither a network nor a broadcast address (RFC 3021, RFC 6164).
    """
    links = [(interface, address) for interface, addresses in sorted(own.items()) for address in addresses]
    found = [Unusable(address.ip, Layer2Refusal.OWN_ADDRESS) for _, address in links]
    found += [Unusable(gateway, Layer2Refusal.GATEWAY) for gateway in sorted(gateways, key=_order)]
    for interface, address in links:
        network = address.network
        if network.num_addresses > _POINT_TO_POINT:
            found.append(Unusable(network.network_address, Layer2Refusal.NETWORK_ADDRESS, interface))
            if isinstance(network, IPv4Network):
                found.append(Unusable(network.broadcast_address, Layer2Refusal.BROADCAST_ADDRESS, interface))
    return tuple(found)


def refusal_of(address: IPAddress, interfaces: Collection[str], unusable: Iterable[Unusable]) -> Layer2Refusal | None:
    """Why an address must not be answered for on some interfaces (none = all)."""
    for entry in unusable:
        is_meant = not entry.interface or not interfaces or entry.interface in interfaces
        if entry.address == address and is_meant:
            return entry.refusal
    return None


def interfaces_on(layer2: Layer2, labels: Mapping[str, str]) -> tuple[str, ...]:
    """The interfaces a host of some labels answers on; none means all."""
    rules = [rule for rule in layer2.interface_rules if any_matches(rule.node_selectors, labels)]
    if not rules:
        return layer2.interfaces
    if any(not rule.interfaces for rule in rules):
        return ()
    return tuple(sorted({interface for rule in rules for interface in rule.interfaces}))


def can_carry(name: str, resolves: bool, enslaved: bool, chosen: Iterable[str]) -> bool:
    """Whether an interface may answer for VIPs: the operator's choice, or any that resolves and is no container's."""
    listed = tuple(chosen)
    if listed:
        return name in listed
    return resolves and not enslaved and not _CONTAINER.match(name)


def addresses_of(host: Host) -> tuple[InterfaceAddress, ...]:
    """Every address a host says it has, link-local ones left out."""
    told = (address for interface in host.status.interfaces for address in interface.addresses)
    return tuple(address for address in told if not address.is_link_local)


def reachable_address(host: Host, own: Mapping[str, Iterable[InterfaceAddress]]) -> tuple[str, IPAddress] | None:
    """The interface and the other host's address on a subnet both have, IPv4 first; None where they share none."""
    theirs = sorted(addresses_of(host), key=lambda address: (address.version, address))
    for address in theirs:
        for interface, mine in sorted(own.items()):
            if any(address.ip in ours.network and ours.version == address.version for ours in mine):
                return interface, address.ip
    return None


def router_id_of(
    own: Mapping[str, Iterable[InterfaceAddress]], gateways: Collection[IPAddress], name: str
) -> IPv4Address:
    """An address to be known by among routers: one beside the gateway, else the first of those that carry VIPs.

    A host without IPv4 takes a number from its name, as MetalLB does.
    """
    found = [
        address
        for _, addresses in sorted(own.items())
        for address in addresses
        if isinstance(address, IPv4Interface) and not address.is_link_local
    ]
    beside = [address for address in found if any(gateway in address.network for gateway in gateways)]
    chosen = (*beside, *found)
    return chosen[0].ip if chosen else IPv4Address(crc32(name.encode()) or 1)


def _order(address: IPAddress) -> tuple[int, int]:
    return address.version, int(address)
