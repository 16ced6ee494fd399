"""Objects that the store tests write."""

from dataclasses import replace
from ipaddress import IPv4Address

from appliance.api.core import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
)
from appliance.api.kind import Kind
from appliance.api.meta import Metadata
from appliance.api.pierhead import Host, HostSpec, HostStatus, Owner, VirtualIP, VirtualIPSpec, VirtualIPStatus

VIPS = frozenset({Kind.VIRTUAL_IP})
HOSTS = frozenset({Kind.HOST})
SERVICES = frozenset({Kind.SERVICE})
SERVICE = Service(
    metadata=Metadata(name="web", namespace="default", labels={"app": "web"}),
    spec=ServiceSpec(type="LoadBalancer", ports=(ServicePort(port=80),)),
)


def vip(
    number: int, pool: str = "lan", version: str = "", owner: str = "", label: str = "", *, epoch: int = 0
) -> VirtualIP:
    """The VIP 10.0.x.y of a number, with any text as its label."""
    address = IPv4Address("10.0.0.0") + number
    return VirtualIP(
        metadata=Metadata(name=str(address), resource_version=version, labels={"text": label} if label else {}),
        spec=VirtualIPSpec(address=address, pool=pool),
        status=VirtualIPStatus(owner=Owner(host=owner, epoch=epoch) if owner else None),
    )


def host(name: str, drain: bool = False, version: str = "") -> Host:
    """A host of a name."""
    return Host(
        metadata=Metadata(name=name),
        spec=HostSpec(drain=drain),
        status=HostStatus(version=version) if version else HostStatus(),
    )


def addressed(service: Service, address: str) -> Service:
    """The same Service with an address, as the allocator writes it."""
    ingress = (LoadBalancerIngress(ip=address, ip_mode="VIP"),) if address else ()
    return replace(service, status=ServiceStatus(load_balancer=LoadBalancerStatus(ingress=ingress)))


def noted(service: Service, **annotations: str) -> Service:
    """The same Service with only such annotations, and no labels."""
    return replace(service, metadata=replace(service.metadata, labels={}, annotations=annotations))
