"""How a packet gets to each other host, and which hosts it cannot be sent to."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from appliance.api.address import Family, IPAddress, IPNetwork, family_of
from appliance.api.pierhead import Host, HostInterface


class HopReason(Enum):
    """Why no packet is sent to a host."""

    FAILED = "the host failed, and nobody heard since that it is alive"
    UNKNOWN = "no Host object of this name"
    NO_HARDWARE_ADDRESS = "the host has not told its hardware addresses"
    NO_SHARED_SUBNET = "the host shares no subnet with this one"


@dataclass(frozen=True, slots=True, order=True)
class LeftOut:
    """A host that is in no ring of a family."""

    host: str
    family: Family
    reason: HopReason


@dataclass(frozen=True, slots=True)
class NextHop:
    """A neighbor on one of this host's interfaces."""

    address: IPAddress
    device: str


@dataclass(frozen=True, slots=True)
class RemoteHost:
    """Another host: the hardware addresses it sends from, and the way to it in each family."""

    name: str
    hardware_addresses: tuple[str, ...]
    next_hops: Mapping[Family, NextHop]


def remote_hosts(me: str, hosts: Mapping[str, Host], devices: Iterable[str]) -> dict[str, RemoteHost]:
    """Every other host, by name, with the way to it over some of this host's devices."""
    own = hosts.get(me)
    links = _links(own, frozenset(devices)) if own else ()
    own_addresses = frozenset(_addresses(own.status.interfaces)) if own else frozenset()
    return {
        name: RemoteHost(name, _hardware_addresses(host), _next_hops(host, links, own_addresses))
        for name, host in sorted(hosts.items())
        if name != me
    }


def why_left_out(
    name: str, family: Family, remote: Mapping[str, RemoteHost], failed: frozenset[str]
) -> HopReason | None:
    """Why another host is in no ring of a family, or None where it may be."""
    if name in failed:
        return HopReason.FAILED
    if name not in remote:
        return HopReason.UNKNOWN
    if not remote[name].hardware_addresses:
        return HopReason.NO_HARDWARE_ADDRESS
    return None if family in remote[name].next_hops else HopReason.NO_SHARED_SUBNET


def _links(own: Host, devices: frozenset[str]) -> tuple[tuple[str, IPNetwork], ...]:
    used = (interface for interface in own.status.interfaces if interface.name in devices)
    return tuple(
        (interface.name, address.network)
        for interface in sorted(used, key=lambda interface: interface.name)
        for address in sorted(interface.addresses, key=str)
    )


def _next_hops(
    host: Host, links: tuple[tuple[str, IPNetwork], ...], own_addresses: frozenset[IPAddress]
) -> dict[Family, NextHop]:
    told = (address for address in _addresses(host.status.interfaces) if address not in own_addresses)
    addresses = sorted(told, key=lambda address: (address.version, int(address)))
    hops: dict[Family, NextHop] = {}
    for device, network in links:
        for address in addresses:
            if address.version == network.version and address in network and _is_of_one_host(address, network):
                hops.setdefault(family_of(address), NextHop(address, device))
    return hops


def _is_of_one_host(address: IPAddress, network: IPNetwork) -> bool:
    if address.version == 4 and network.prefixlen < 31:
        return address not in (network.network_address, network.broadcast_address)
    return not address.is_link_local


def _addresses(interfaces: Iterable[HostInterface]) -> Iterator[IPAddress]:
    return (address.ip for interface in interfaces if interface.up for address in interface.addresses)


def _hardware_addresses(host: Host) -> tuple[str, ...]:
    return tuple(sorted({i.hardware_address.hex(":") for i in host.status.interfaces if i.hardware_address}))
