"""VirtualIPs as claims: what is written so that no address is ever given twice.

A Service is told an address only after its VirtualIP lists the Service, and only by a write that the store refuses
where the Service has changed since that listing was made or renewed. A listing is taken back only after a write that
changes the Service, or after the store itself said that the Service is gone, and only if nobody renewed the listing
since. So of a teller and a taker at the same moment the store lets one through.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from appliance.api.address import IPAddress
from appliance.api.core import LoadBalancerIngress, LoadBalancerStatus, Service, ServiceStatus
from appliance.api.pierhead import VirtualIP
from appliance.ipam.request import ALLOCATED_FROM, PREFIX, Request, Unserved, read_held

TAKEN_BACK = "pierhead.io/claim-taken-back"
POOL = PREFIX + ALLOCATED_FROM
IP_MODE = "VIP"


def held_by(service: Service, claims: Iterable[IPAddress]) -> tuple[IPAddress, ...] | None:
    """What a Service was told it has, else what it is listed for: of the claims the lowest of each family."""
    said = read_held(service)
    if said or said is None:
        return said
    by_family: dict[int, IPAddress] = {}
    for address in claims:
        by_family.setdefault(address.version, address)
    return tuple(by_family.values())


def was_ours(service: Service, asked: Request | Unserved, claims: Iterable[IPAddress]) -> bool:
    """Whether a Service turned to another class while it has nothing but what we gave it."""
    listed = frozenset(claims)
    return asked is Unserved.OTHER_CLASS and bool(listed) and listed.issuperset(read_held(service) or ())


def lists(vip: VirtualIP | None, service: str) -> bool:
    """Whether a VirtualIP names a Service (`namespace/name`) among its holders."""
    return vip is not None and any(f"{entry.namespace}/{entry.name}" == service for entry in vip.spec.services)


def is_told(service: Service, address: IPAddress) -> bool:
    """Whether a Service's status names an address."""
    return bool(service.status.load_balancer.ingress) and address in (read_held(service) or ())


def tell(service: Service, addresses: tuple[IPAddress, ...], pool: str) -> Service:
    """The Service with some addresses in its status, and their pool ("" for none) as its only annotation."""
    ingress = tuple(LoadBalancerIngress(ip=str(address), ip_mode=IP_MODE) for address in addresses)
    annotations = {POOL: pool} if addresses and pool else {}
    return replace(
        service,
        metadata=replace(service.metadata, labels={}, annotations=annotations),
        status=ServiceStatus(load_balancer=LoadBalancerStatus(ingress=ingress)),
    )


def take_back(service: Service, listings: Mapping[IPAddress, str]) -> Service:
    """The Service with a mark that changes it before listings, by version, go that it was never told of.

    It names the version it is laid upon: a mark of the same listings that an allocator left before it ended would
    change nothing, and so prove nothing.
    """
    mark = ",".join(f"{address}@{version}" for address, version in listings.items())
    mark = f"{mark} from {service.metadata.resource_version}"
    kept = {POOL: service.metadata.annotations[POOL]} if POOL in service.metadata.annotations else {}
    annotations = {**kept, TAKEN_BACK: mark}
    return replace(service, metadata=replace(service.metadata, labels={}, annotations=annotations))


def is_all_told(service: Service, addresses: tuple[IPAddress, ...], pool: str) -> bool:
    """Whether the status names exactly some addresses, in their order, and the annotation their pool.

    The API server fills in the `ipMode` of entries written without one.
    """
    ingress = service.status.load_balancer.ingress
    return (
        len(ingress) == len(addresses)
        and read_held(service) == addresses
        and all((entry.ip_mode or IP_MODE) == IP_MODE for entry in ingress)
        and service.metadata.annotations.get(POOL) == ((pool or None) if addresses else None)
    )
