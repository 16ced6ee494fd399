"""How a packet gets to each fellow host, and which hosts it cannot be sent to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from appliance.api.address import Family, IPAddress, IPNetwork, family_of
from appliance.api.pierhead import Host, HostInterface


class Reason(Enum):
    """Why no packet is sent to a host."""

    DEAD = "the host was convicted dead"
    UNKNOWN = "no Host object of this name"
    NO_HARDWARE_ADDRESS = "the host has not told its hardware addresses"
    NO_SHARED_SUBNET = "the host shares no subnet with this one"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A host that is in no ring of a family."""

    host: str
    family: Family
    reason: Reason


@dataclass(frozen=True, slots=True)
class NextHop:
    """A neighbour on one of this host's interfaces."""

    address: IPAddress
    device: str


@dataclass(frozen=True, slots=True)
class Fellow:
    """Another host: the hardware addresses it sends from, and the way to it in each family."""

    name: str
    hardware_addresses: tuple[str, ...]
    next_hops: Mapping[Family, NextHop]


def fellows_of(me: str, hosts: Mapping[str, Host], devices: Iterable[str]) -> tuple[Fellow, ...]:
    """Every other host, by name, with the way to it over some of this host's devices."""
    own = hosts.get(me)
    links = _links(own, frozenset(devices)) if own else ()
    return tuple(
        Fellow(name, _hardware_addresses(host), _next_hops(host, links))
        for name, host in sorted(hosts.items())
        if name != me
    )


def why_left_out(name: str, family: Family, fellows: Mapping[str, Fellow], dead: frozenset[str]) -> Reason | None:
    """Why a fellow host is in no ring of a family, or None where it may be."""
    if name in dead:
        return Reason.DEAD
    if name not in fellows:
        return Reason.UNKNOWN
    if not fellows[name].hardware_addresses:
        return Reason.NO_HARDWARE_ADDRESS
    return None if family in fellows[name].next_hops else Reason.NO_SHARED_SUBNET


def _links(own: Host, devices: frozenset[str]) -> tuple[tuple[str, IPNetwork], ...]:
    used = (interface for interface in own.status.interfaces if interface.name in devices)
    return tuple(
        (interface.name, address.network)
        for interface in sorted(used, key=lambda interface: interface.name)
        for address in sorted(interface.addresses, key=str)
    )


def _next_hops(host: Host, links: tuple[tuple[str, IPNetwork], ...]) -> dict[Family, NextHop]:
    addresses = sorted(_addresses(host.status.interfaces), key=lambda address: (address.version, int(address)))
    hops: dict[Family, NextHop] = {}
    for device, network in links:
        for address in addresses:
            if address.version == network.version and address in network and not address.is_link_local:
                hops.setdefault(family_of(address), NextHop(address, device))
    return hops


def _addresses(interfaces: Iterable[HostInterface]) -> Iterable[IPAddress]:
    return (address.ip for interface in interfaces if interface.up for address in interface.addresses)


def _hardware_addresses(host: Host) -> tuple[str, ...]:
    return tuple(sorted({i.hardware_address.hex(":") for i in host.status.interfaces if i.hardware_address}))
