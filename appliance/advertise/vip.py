"""One address and the Services that hold it, to what hosts must know of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from appliance.advertise.eligibility import BGPVerdict, Layer2Verdict, judge_bgp, judge_layer2
from appliance.advertise.endpoint import Slices, serving
from appliance.advertise.machine import Machine
from appliance.advertise.plan import Standing, candidates
from appliance.advertise.reason import HostReason, Outcome
from appliance.advertise.route import is_told_by, routes
from appliance.api.address import IPAddress, family_of
from appliance.api.core import Service
from appliance.api.label import HOSTNAME_LABEL, LabelSelector, Operator, Requirement, any_matches
from appliance.api.pierhead import Layer2, Port, VirtualIPService, VirtualIPSpec
from appliance.config.model import Config, L2Ad


@dataclass(frozen=True, slots=True)
class Held:
    """An address, the pool it is of ("" for none) and the Services that hold it."""

    address: IPAddress
    pool: str
    services: tuple[Service, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """What there is to announce with: configuration, hosts by name, slices by Service (`namespace/name`)."""

    config: Config = field(default_factory=Config)
    machines: Mapping[str, Machine] = field(default_factory=dict)
    slices: Mapping[str, Slices] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceVerdict:
    """What was decided of one Service that holds an address."""

    service: Service
    layer2: Layer2Verdict
    bgp: BGPVerdict


@dataclass(frozen=True, slots=True)
class Announcement:
    """What hosts are told of an address, and why, Service by Service."""

    spec: VirtualIPSpec
    verdicts: tuple[ServiceVerdict, ...]


def virtual_ip(held: Held, site: Site, standing: Standing) -> Announcement:
    """What hosts must know of an address; announced if any of its Services can be."""
    services = tuple(sorted(held.services, key=_name))
    verdicts = tuple(judge(held.address, held.pool, service, site) for service in services)
    policies = ((verdict.bgp, verdict.service.spec.external_traffic_policy) for verdict in verdicts)
    spec = VirtualIPSpec(
        address=held.address,
        pool=held.pool,
        services=tuple(_listed(service) for service in services),
        layer2=_layer2(held.address, [verdict.layer2 for verdict in verdicts], site.machines, standing),
        bgp=routes(held.address, policies, site.machines),
    )
    return Announcement(spec, verdicts)


def judge(address: IPAddress, pool: str, service: Service, site: Site) -> ServiceVerdict:
    """Whether and from where one Service is announced under an address of a pool."""
    key = f"{service.metadata.namespace}/{service.metadata.name}"
    endpoints = serving(site.slices.get(key, ()), family_of(address))
    known = site.config.pools.get(pool)
    families = known.families if known else frozenset({family_of(address)})
    return ServiceVerdict(
        service,
        judge_layer2(service, site.config.l2_by_pool.get(pool, ()), endpoints, site.machines),
        judge_bgp(service, site.config.bgp_by_pool.get(pool, ()), families, endpoints, site.machines),
    )


def _name(service: Service) -> tuple[str, str]:
    return service.metadata.namespace, service.metadata.name


def _listed(service: Service) -> VirtualIPService:
    ports = sorted((port.protocol, port.port) for port in service.spec.ports)
    return VirtualIPService(
        namespace=service.metadata.namespace,
        name=service.metadata.name,
        ports=tuple(Port(protocol=protocol, port=port) for protocol, port in ports),
        external_traffic_policy=service.spec.external_traffic_policy,
    )


def _layer2(
    address: IPAddress, verdicts: Iterable[Layer2Verdict], machines: Mapping[str, Machine], standing: Standing
) -> Layer2 | None:
    announced = [verdict for verdict in verdicts if verdict.outcome is Outcome.ANNOUNCED]
    if not announced:
        return None
    ads = tuple({ad.ref: ad for verdict in announced for ad in verdict.ads}.values())
    usable = _for_all(announced, frozenset({HostReason.ELIGIBLE, HostReason.DRAINING}))
    first_choice = _for_all(announced, frozenset({HostReason.ELIGIBLE})) or usable
    return Layer2(
        interfaces=_interfaces(ads, [machines[name] for name in usable]),
        candidates=candidates(address, [machines[name] for name in first_choice], ads, standing),
        node_selectors=_bounds(ads, frozenset(usable), machines),
    )


def _for_all(verdicts: Sequence[Layer2Verdict], reasons: frozenset[HostReason]) -> tuple[str, ...]:
    """The hosts with one of some reasons for every Service; for some Service where there is no such host."""
    found = [frozenset(name for name, reason in verdict.hosts.items() if reason in reasons) for verdict in verdicts]
    return tuple(sorted(frozenset.intersection(*found) or frozenset.union(*found)))


def _interfaces(ads: Iterable[L2Ad], hosts: Sequence[Machine]) -> tuple[str, ...]:
    """The interfaces to answer on, of the advertisements that are for one of some hosts; none means all."""
    own = [ad for ad in ads if any(any_matches(ad.node_selectors, host.labels) for host in hosts)]
    if any(not ad.interfaces for ad in own):
        return ()
    return tuple(sorted({interface for ad in own for interface in ad.interfaces}))


def _bounds(ads: Sequence[L2Ad], usable: frozenset[str], machines: Mapping[str, Machine]) -> tuple[LabelSelector, ...]:
    """Selectors that admit exactly the usable hosts: the advertisements' own where those do, else by name."""
    selectors: tuple[LabelSelector, ...] = ()
    if all(ad.node_selectors for ad in ads):
        selectors = tuple(selector for ad in ads for selector in ad.node_selectors)
    if is_told_by(selectors, usable, machines):
        return selectors
    named = Requirement(key=HOSTNAME_LABEL, operator=Operator.IN, values=tuple(sorted(usable)))
    return (LabelSelector(match_expressions=(named,)),)
