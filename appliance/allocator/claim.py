"""VirtualIPs as claims: what is written so that no address is ever given twice.

A Service is told an address only after its VirtualIP lists the Service, and only by a write that the store refuses
where the Service has changed since that listing was made or renewed. A listing is taken back only after a write that
changes the Service, or when the Service is gone, and only if nobody renewed the listing meanwhile. So of a teller and a
taker at the same moment the store lets one through.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from appliance.allocator.view import address_order
from appliance.api.address import IPAddress
from appliance.api.core import LoadBalancerIngress, LoadBalancerStatus, Service, ServiceStatus
from appliance.api.pierhead import VirtualIP
from appliance.ipam.request import ALLOCATED_FROM, PREFIX, Request, Unserved, read_held

RENEWED_FOR = "pierhead.io/claim-renewed-for"
TAKEN_BACK = "pierhead.io/claim-taken-back"
_POOL = PREFIX + ALLOCATED_FROM


def held_by(service: Service, claims: Iterable[IPAddress]) -> tuple[IPAddress, ...] | None:
    """What a Service was told it has, else what it is listed for: at most one address of a family, lowest first."""
    said = read_held(service)
    if said or said is None:
        return said
    by_family: dict[int, IPAddress] = {}
    for address in sorted(claims, key=address_order):
        by_family.setdefault(address.version, address)
    return tuple(by_family.values())


def was_ours(service: Service, asked: Request | Unserved, claims: frozenset[IPAddress]) -> bool:
    """Whether a Service turned to another class while it has nothing but what we gave it."""
    return asked is Unserved.OTHER_CLASS and bool(claims) and claims.issuperset(read_held(service) or ())


def lists(vip: VirtualIP, service: str) -> bool:
    """Whether a VirtualIP names a Service (`namespace/name`) among its holders."""
    return any(str(entry.reference) == service for entry in vip.spec.services)


def renewed(vip: VirtualIP, service: Service) -> VirtualIP:
    """The VirtualIP with a mark that changes it for a Service as it is now."""
    mark = f"{service.metadata.namespace}/{service.metadata.name}@{service.metadata.resource_version}"
    return replace(vip, metadata=replace(vip.metadata, annotations={**vip.metadata.annotations, RENEWED_FOR: mark}))


def told(service: Service, addresses: tuple[IPAddress, ...], pool: str) -> Service:
    """The Service with its addresses in the status and its pool in the annotation; without both for no address."""
    unchanged = [entry.ip for entry in service.status.load_balancer.ingress] == [str(address) for address in addresses]
    ingress = tuple(LoadBalancerIngress(ip=str(address)) for address in addresses)
    status = service.status if unchanged else ServiceStatus(load_balancer=LoadBalancerStatus(ingress=ingress))
    annotations = _annotations(service.metadata.annotations, pool if addresses else "", keep_mark=unchanged)
    return replace(service, status=status, metadata=replace(service.metadata, annotations=annotations))


def taken_back(service: Service, vip: VirtualIP) -> Service:
    """The Service with a mark that changes it before a listing it was never told of is taken back."""
    mark = f"{vip.metadata.name}@{vip.metadata.resource_version}"
    annotations = {**service.metadata.annotations, TAKEN_BACK: mark}
    return replace(service, metadata=replace(service.metadata, annotations=annotations))


def marks_of(service: Service, version: str) -> Service:
    """The Service as its version with no annotations but those that are ours to write."""
    ours = {key: text for key, text in service.metadata.annotations.items() if key in (_POOL, TAKEN_BACK)}
    metadata = replace(service.metadata, labels={}, annotations=ours, resource_version=version)
    return replace(service, metadata=metadata)


def is_told(service: Service, address: IPAddress) -> bool:
    """Whether a Service's status names an address."""
    return any(entry.ip == str(address) for entry in service.status.load_balancer.ingress)


def _annotations(present: Mapping[str, str], pool: str, keep_mark: bool) -> dict[str, str]:
    dropped = {_POOL} if keep_mark else {_POOL, TAKEN_BACK}
    kept = {key: text for key, text in present.items() if key not in dropped}
    return {**kept, _POOL: pool} if pool else kept
