"""Which of this host's interfaces can carry VIPs, and which fellow hosts share a subnet with them."""

import re
from collections.abc import Collection, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Interface
from zlib import crc32

from appliance.api.address import InterfaceAddress, IPAddress
from appliance.api.pierhead import Host

# MetalLB's list of interfaces that belong to container networks, where an answer would break them, and bridges that
# Docker, Podman and Cilium make.
_CONTAINER = re.compile(
    r"^(docker|cbr|dummy|virbr|lxcbr|veth|cali|tunl|flannel|kube-ipvs|cni|nodelocaldns|lxc|podman|cilium_).*"
    r"|^br-[0-9a-f]{12}$|^lo$"
)


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
    """The interface and the fellow's address on a subnet both have, IPv4 first; None where they share none."""
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
