"""A small site to plan for."""

from ipaddress import ip_address, ip_interface

from appliance.api.address import parse_hardware_address, vip_name
from appliance.api.core import Protocol, SessionAffinity, TrafficPolicy
from appliance.api.meta import Metadata
from appliance.api.pierhead import (
    Backend,
    BackendPort,
    Backends,
    BackendsSpec,
    Condition,
    Host,
    HostInterface,
    HostSpec,
    HostStatus,
    VirtualIP,
    VirtualIPSpec,
)


def host(name: str, *addresses: str, drain: bool = False, drained: bool = False, hardware_address: str = "") -> Host:
    """A host with one interface; `drain` is an operator's word, `drained` its agent's."""
    own = hardware_address or f"02:00:00:00:00:{ord(name[-1]):02x}"
    interface = HostInterface(
        name="eth0", hardware_address=parse_hardware_address(own), addresses=tuple(map(ip_interface, addresses))
    )
    conditions = (Condition(type="Drained", status=str(drained)),)
    return Host(
        metadata=Metadata(name=name),
        spec=HostSpec(drain=drain),
        status=HostStatus(interfaces=(interface,), conditions=conditions),
    )


def vip(address: str) -> VirtualIP:
    """A VIP."""
    return VirtualIP(
        metadata=Metadata(name=vip_name(ip_address(address))), spec=VirtualIPSpec(address=ip_address(address), pool="p")
    )


def backend(address: str, on: str, terminating: bool = False, serving: bool = True) -> Backend:
    """A backend on port 8080."""
    return Backend(address=ip_address(address), port=8080, host=on, serving=serving, terminating=terminating)


def port(
    *backends: Backend,
    number: int = 80,
    protocol: Protocol = Protocol.TCP,
    policy: TrafficPolicy = TrafficPolicy.CLUSTER,
    affinity: SessionAffinity = SessionAffinity.NONE,
) -> BackendPort:
    """A port with backends."""
    return BackendPort(
        protocol=protocol,
        port=number,
        external_traffic_policy=policy,
        session_affinity=affinity,
        backends=backends,
    )


def behind(address: str, *ports: BackendPort) -> Backends:
    """The Backends object of a VIP."""
    return Backends(
        metadata=Metadata(name=vip_name(ip_address(address))),
        spec=BackendsSpec(address=ip_address(address), ports=ports),
    )
