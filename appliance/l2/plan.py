"""What this host is told: who it is, which VIPs there are, which hosts it shares them with, which links it has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface

from appliance.api.address import IPAddress

InterfaceAddress = IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class VipPlan:
    """Who may answer for a VIP, best host first, and where (no interface = on all); `recorded_owner` is the store's."""

    address: IPAddress
    hosts: tuple[str, ...]
    interfaces: tuple[str, ...] = ()
    recorded_owner: str | None = None


@dataclass(frozen=True, slots=True)
class Fellow:
    """Another host that runs the agent."""

    name: str
    addresses: tuple[IPAddress, ...]
    hardware_addresses: tuple[bytes, ...] = ()
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole of it; `fellows` is without this host."""

    me: str
    vips: Mapping[IPAddress, VipPlan] = field(default_factory=dict)
    fellows: Mapping[str, Fellow] = field(default_factory=dict)
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Interface:
    """A link of this host; `witnesses` are addresses on it, such as a gateway's, that tell a cut from dead hosts."""

    name: str
    hardware_address: bytes
    up: bool
    addresses: tuple[InterfaceAddress, ...] = ()
    witnesses: tuple[IPAddress, ...] = ()
