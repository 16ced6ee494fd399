"""What a Service asks for: its annotations and families read once into a value."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from appliance.api.address import Family, IPAddress, family_of, parse_address
from appliance.api.core import FamilyName, FamilyPolicy, Protocol, Service, ServiceSpec, TrafficPolicy

POOL = "address-pool"
ADDRESSES = "loadBalancerIPs"
SHARING_KEY = "allow-shared-ip"
ALLOCATED_FROM = "ip-allocated-from-pool"
PREFIX = "metallb.io/"
DEPRECATED_PREFIX = "metallb.universe.tf/"
POOL_CHOICE = "pierhead.io/pool-choice"
LEAST_USED = "least-used"
_TEXTS_MAX = 1 << 18

PortKey = tuple[Protocol, int]


@dataclass(frozen=True, slots=True)
class SharingTerms:
    """What two Services must have in common to share: the key, and the selector (None under policy Cluster)."""

    key: str
    selector: tuple[tuple[str, str], ...] | None


class DualStack(Enum):
    """How a Service with two families takes to getting one."""

    REFUSED = "SingleStack"
    PREFERRED = "PreferDualStack"
    REQUIRED = "RequireDualStack"


@dataclass(frozen=True, slots=True)
class Request:
    """What one Service (`namespace/name`) asks for; `families` primary first, `mistake` = unreadable addresses."""

    service: str
    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)
    families: tuple[Family, ...] = (Family.IPV4,)
    dual_stack: DualStack = DualStack.REFUSED
    addresses: tuple[IPAddress, ...] = ()
    pool: str | None = None
    sharing: SharingTerms | None = None
    ports: frozenset[PortKey] = frozenset()
    mistake: str = ""
    deprecated: bool = False
    least_used: bool = False


class Unserved(Enum):
    """Why a Service is no customer of ours as it stands."""

    NOT_LOAD_BALANCER = "is not of type LoadBalancer"
    OTHER_CLASS = "is not of the loadBalancerClass that is served here"
    NO_CLUSTER_IP = "has no cluster address"
    NOT_ENOUGH_CLUSTER_IPS = "asks for RequireDualStack and has one cluster address"
    UNREADABLE_CLUSTER_IPS = "has cluster addresses that are not one of each family"


def read_request(service: Service, cluster_ips_known: bool, own_class: str | None = None) -> Request | Unserved:
    """What a Service asks for; without a cluster its families stand in for its cluster addresses."""
    spec = service.spec
    if spec.type != "LoadBalancer":
        return Unserved.NOT_LOAD_BALANCER
    if (spec.load_balancer_class or None) != own_class:
        return Unserved.OTHER_CLASS
    families = _families(spec, cluster_ips_known)
    if isinstance(families, Unserved):
        return families
    wanted, dual_stack = families
    addresses, mistake = _addresses(service)
    annotations = service.metadata.annotations
    return Request(
        service=f"{service.metadata.namespace}/{service.metadata.name}",
        namespace=service.metadata.namespace,
        labels=service.metadata.labels,
        families=wanted,
        dual_stack=dual_stack,
        addresses=addresses,
        pool=annotation(annotations, POOL) or None,
        sharing=_sharing(service),
        ports=frozenset((port.protocol, port.port) for port in spec.ports),
        mistake=mistake,
        deprecated=any(key.startswith(DEPRECATED_PREFIX) for key in annotations),
        least_used=annotations.get(POOL_CHOICE) == LEAST_USED,
    )


def annotation(annotations: Mapping[str, str], name: str) -> str:
    """MetalLB's annotation of a name; the present prefix wins over the deprecated one even when it is empty."""
    return annotations.get(PREFIX + name, annotations.get(DEPRECATED_PREFIX + name, ""))


def read_held(service: Service) -> tuple[IPAddress, ...] | None:
    """The addresses a Service's status names, in its order; None where they cannot be one of each family."""
    ingress = service.status.load_balancer.ingress
    if not ingress:
        return ()
    try:
        held = tuple([_address_of_text(entry.ip) for entry in ingress if entry.ip])
    except ValueError:
        return None
    return held if len({address.version for address in held}) == len(held) else None


def read_told(service: Service) -> tuple[IPAddress, ...]:
    """Every address that a Service's status names, whatever they are together."""
    told = []
    for entry in service.status.load_balancer.ingress:
        with suppress(ValueError):
            told.append(_address_of_text(entry.ip))
    return tuple(told)


@lru_cache(maxsize=_TEXTS_MAX)
def _address_of_text(text: str) -> IPAddress:
    """Statuses are read again and again, and parsing is what costs most of it."""
    return parse_address(text)


def _families(spec: ServiceSpec, cluster_ips_known: bool) -> tuple[tuple[Family, ...], DualStack] | Unserved:
    texts = spec.cluster_ips or ((spec.cluster_ip,) if spec.cluster_ip else ())
    if texts and texts[0] == "None":
        return Unserved.NO_CLUSTER_IP
    policy = _policy(spec, len(texts))
    if not texts:
        return Unserved.NO_CLUSTER_IP if cluster_ips_known else _wanted_families(spec, policy)
    if policy is DualStack.REQUIRED and len(texts) < 2:
        return Unserved.NOT_ENOUGH_CLUSTER_IPS
    try:
        families = tuple(family_of(_address_of_text(text)) for text in texts)
    except ValueError:
        return Unserved.UNREADABLE_CLUSTER_IPS
    if len(set(families)) != len(families):
        return Unserved.UNREADABLE_CLUSTER_IPS
    if len(families) == 2 and spec.ip_families:
        families = _primary_first(spec.ip_families)
    return families, policy


def _policy(spec: ServiceSpec, cluster_ips: int) -> DualStack:
    """The policy, with the API server's default for two families where there is no API server."""
    if spec.ip_family_policy is None and not cluster_ips and len(spec.ip_families) == 2:
        return DualStack.REQUIRED
    return DualStack((spec.ip_family_policy or FamilyPolicy.SINGLE_STACK).value)


def _wanted_families(spec: ServiceSpec, policy: DualStack) -> tuple[tuple[Family, ...], DualStack]:
    ordered = _primary_first(spec.ip_families)
    return (ordered[:1] if policy is DualStack.REFUSED else ordered), policy


def _primary_first(names: tuple[FamilyName, ...]) -> tuple[Family, Family]:
    v6_first = bool(names) and names[0] is FamilyName.IPV6
    return (Family.IPV6, Family.IPV4) if v6_first else (Family.IPV4, Family.IPV6)


def _sharing(service: Service) -> SharingTerms | None:
    key = annotation(service.metadata.annotations, SHARING_KEY)
    if not key:
        return None
    local = service.spec.external_traffic_policy is TrafficPolicy.LOCAL
    return SharingTerms(key, tuple(sorted(service.spec.selector.items())) if local else None)


def _addresses(service: Service) -> tuple[tuple[IPAddress, ...], str]:
    """The requested addresses, or what is wrong with them."""
    written = annotation(service.metadata.annotations, ADDRESSES)
    field_text = service.spec.load_balancer_ip
    if written and field_text:
        return (), f"{PREFIX}{ADDRESSES} and spec.loadBalancerIP are both set"
    texts = (written or field_text).split(",") if written or field_text else []
    try:
        addresses = tuple(_address_of_text(text) for text in texts)
    except ValueError:
        return (), f"{written or field_text!r} is not a list of IP addresses"
    if len({address.version for address in addresses}) != len(addresses):
        return (), f"{written or field_text!r} names more than one address of a family"
    return addresses, ""
