"""One address and the Services that hold it, to what hosts must know of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import NamedTuple

from appliance.advertise.eligibility import (
    BGPVerdict,
    Layer2Verdict,
    judge_bgp,
    judge_layer2,
    may_share,
    required_hosts,
)
from appliance.advertise.endpoint import Serving, Slices, serving
from appliance.advertise.host import SiteHost
from appliance.advertise.plan import CandidateOrder, RankedHost, candidates, ranked_hosts
from appliance.advertise.reason import HostReason, ServiceReason
from appliance.advertise.route import is_told_by, routes
from appliance.api.address import Family, IPAddress, IPNetwork, family_of
from appliance.api.core import Service, TrafficPolicy
from appliance.api.label import HOSTNAME_LABEL, LabelSelector, Operator, Requirement, any_matches
from appliance.api.meta import Ref
from appliance.api.pierhead import InterfaceRule, Layer2, Port, Route, VirtualIPService, VirtualIPSpec, overview_of
from appliance.config.model import BGPAd, Config, L2Ad


@dataclass(frozen=True, slots=True)
class HeldAddress:
    """An address, the pool it is of ("" for none), the Services that hold it, and the host that owns it, if any.

    `order_by` is the address whose text orders the candidates where MetalLB's order alone is asked for.
    """

    address: IPAddress
    pool: str
    services: tuple[Service, ...]
    owner: str = ""
    order_by: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """What there is to announce with: configuration, hosts by name, slices by Service (`namespace/name`)."""

    config: Config = field(default_factory=Config)
    hosts: Mapping[str, SiteHost] = field(default_factory=dict)
    slices: Mapping[str, Slices] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceVerdict:
    """What was decided of one Service that holds an address."""

    layer2: Layer2Verdict
    bgp: BGPVerdict


@dataclass(frozen=True, slots=True)
class Announcement:
    """What hosts are told of an address, and why, Service by Service (`namespace/name`)."""

    spec: VirtualIPSpec
    verdicts: tuple[tuple[str, ServiceVerdict], ...]


def judge(address: IPAddress, pool: str, service: Service, site: Site) -> ServiceVerdict:
    """Whether and from where one Service is announced under an address of a pool."""
    family = family_of(address)
    return _verdict(service, pool, family, serving(site.slices.get(_path(service), ()), family), site, address=address)


def _verdict(
    service: Service, pool: str, family: Family, endpoints: Serving, site: Site, *, address: IPAddress | None = None
) -> ServiceVerdict:
    """The same; without an address what holds for every one but the ends of the hosts' subnets."""
    known = site.config.pools.get(pool)
    families = known.families if known else frozenset({family})
    return ServiceVerdict(
        judge_layer2(service, site.config.l2_by_pool.get(pool, ()), endpoints, site.hosts, address),
        judge_bgp(service, site.config.bgp_by_pool.get(pool, ()), families, endpoints, site.hosts),
    )


class _Trait(NamedTuple):
    """What decides of a Service who announces its address; Services that are alike in it are announced alike."""

    pool: str
    family: Family
    layer2: tuple[Ref, ...]
    bgp: tuple[Ref, ...]
    policy: TrafficPolicy
    may_share: bool
    is_served: bool
    required: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class _Layer2Part:
    """What is alike of layer 2 for all addresses whose Services have the same traits."""

    hosts: tuple[RankedHost, ...]
    subnet_ends: frozenset[IPAddress]
    interfaces: tuple[str, ...]
    interface_rules: tuple[InterfaceRule, ...]
    node_selectors: tuple[LabelSelector, ...]


@dataclass(slots=True)
class _Group:
    """Addresses whose Services have the same traits: a sample of those Services, and what was found for all."""

    sample: tuple[tuple[Service, Serving], ...]
    verdicts: tuple[ServiceVerdict, ...]
    layer2: _Layer2Part | None
    bgp: tuple[Route, ...]
    addresses: set[IPAddress]


class Planner:
    """Plans VirtualIPs; what many addresses have in common is worked out once and anew only when the site changes."""

    def __init__(self, order: CandidateOrder = CandidateOrder.SPREAD) -> None:
        self._order = order
        self._site = Site()
        self._groups: dict[tuple[_Trait, ...], _Group] = {}
        self._traits: dict[IPAddress, tuple[_Trait, ...]] = {}

    def set_site(self, config: Config, hosts: Mapping[str, SiteHost]) -> set[IPAddress]:
        """Plan with another configuration or other hosts; says which addresses are to be planned again."""
        pools = config.pools.keys() | self._site.config.pools.keys()
        changed = {pool for pool in pools if _pool_part(config, pool) != _pool_part(self._site.config, pool)}
        are_hosts_changed = dict(hosts) != dict(self._site.hosts)
        self._site = Site(config, hosts)
        concerned: set[IPAddress] = set()
        for traits, group in list(self._groups.items()):
            if any(trait.pool in changed for trait in traits):
                concerned |= group.addresses
                del self._groups[traits]
            elif are_hosts_changed and self._is_changed(traits, group):
                concerned |= group.addresses
        for address in concerned:
            self._traits.pop(address, None)
        for group in self._groups.values():
            group.addresses -= concerned
        return concerned

    def plan(self, held: HeldAddress, slices: Mapping[str, Slices], load: Mapping[str, int]) -> Announcement:
        """What hosts must know of an address; announced if any of its Services can be.

        `load` is for how many addresses each host is first.
        """
        services = tuple(sorted(held.services, key=_name)) if len(held.services) > 1 else held.services
        family = family_of(held.address)
        paths = [_path(service) for service in services]
        sample = tuple(
            [(service, serving(slices.get(path, ()), family)) for service, path in zip(services, paths, strict=True)]
        )
        traits = tuple([self._trait(held.pool, family, *pair) for pair in sample])
        group = self._groups.get(traits)
        if group is None:
            group = self._group(traits, sample)
        self._enter(held.address, traits, group)
        listed = tuple(map(_listed, services))
        layer2 = self._layer2(held, group.layer2, load)
        spec = VirtualIPSpec(
            address=held.address,
            pool=held.pool,
            services=listed,
            layer2=layer2,
            bgp=tuple([replace(route, prefix=_prefix(held.address, route)) for route in group.bgp]),
            overview=overview_of(listed, layer2, group.bgp),
        )
        return Announcement(spec, tuple(zip(paths, group.verdicts, strict=True)))

    def forget(self, address: IPAddress) -> None:
        """An address is nobody's any more."""
        traits = self._traits.pop(address, None)
        if traits is not None and traits in self._groups:
            self._groups[traits].addresses.discard(address)
            if not self._groups[traits].addresses:
                del self._groups[traits]

    def _enter(self, address: IPAddress, traits: tuple[_Trait, ...], group: _Group) -> None:
        if self._traits.get(address) != traits:
            self.forget(address)
            self._traits[address] = traits
            self._groups[traits] = group
        group.addresses.add(address)

    def _trait(self, pool: str, family: Family, service: Service, endpoints: Serving) -> _Trait:
        config = self._site.config
        return _Trait(
            pool,
            family,
            _matching(config.l2_by_pool.get(pool, ()), service),
            _matching(config.bgp_by_pool.get(pool, ()), service),
            service.spec.external_traffic_policy,
            may_share(service),
            endpoints.anywhere,
            required_hosts(service, endpoints),
        )

    def _group(self, traits: tuple[_Trait, ...], sample: tuple[tuple[Service, Serving], ...]) -> _Group:
        verdicts = tuple(
            _verdict(service, trait.pool, trait.family, endpoints, self._site)
            for trait, (service, endpoints) in zip(traits, sample, strict=True)
        )
        policies = [(verdict.bgp, trait.policy) for verdict, trait in zip(verdicts, traits, strict=True)]
        layer2 = _layer2_part([verdict.layer2 for verdict in verdicts], self._site.hosts, self._order)
        return _Group(sample, verdicts, layer2, routes(traits[0].family, policies, self._site.hosts), set())

    def _is_changed(self, traits: tuple[_Trait, ...], group: _Group) -> bool:
        """Judge a group again, and say whether its addresses' plans may differ."""
        fresh = self._group(traits, group.sample)
        is_changed = (fresh.layer2, fresh.bgp) != (group.layer2, group.bgp)
        is_changed |= _outcomes(fresh.verdicts) != _outcomes(group.verdicts)
        group.verdicts, group.layer2, group.bgp = fresh.verdicts, fresh.layer2, fresh.bgp
        return is_changed

    def _layer2(self, held: HeldAddress, part: _Layer2Part | None, load: Mapping[str, int]) -> Layer2 | None:
        if part is None:
            return None
        hosts = part.hosts
        if held.address in part.subnet_ends:
            hosts = tuple(host for host in hosts if held.address not in host.subnet_ends)
        if not hosts:
            return None
        order_by = (held.order_by or held.address) if self._order is CandidateOrder.HASH else held.address
        return Layer2(
            interfaces=part.interfaces,
            interface_rules=part.interface_rules,
            candidates=candidates(order_by, hosts, held.owner, load, order=self._order),
            node_selectors=part.node_selectors,
        )


def _pool_part(config: Config, pool: str) -> tuple[object, ...]:
    """What of a configuration decides how addresses of one pool are announced."""
    known = config.pools.get(pool)
    return known and known.families, config.l2_by_pool.get(pool, ()), config.bgp_by_pool.get(pool, ())


def _outcomes(verdicts: Iterable[ServiceVerdict]) -> list[tuple[ServiceReason, ServiceReason]]:
    return [(verdict.layer2.outcome, verdict.bgp.outcome) for verdict in verdicts]


def _matching(ads: Sequence[L2Ad] | Sequence[BGPAd], service: Service) -> tuple[Ref, ...]:
    return tuple([ad.ref for ad in ads if any_matches(ad.service_selectors, service.metadata.labels)])


def _path(service: Service) -> str:
    return f"{service.metadata.namespace}/{service.metadata.name}"


def _name(service: Service) -> tuple[str, str]:
    return service.metadata.namespace, service.metadata.name


def _listed(service: Service) -> VirtualIPService:
    ports = sorted([(port.protocol, port.port) for port in service.spec.ports])
    return VirtualIPService(
        namespace=service.metadata.namespace,
        name=service.metadata.name,
        ports=tuple([Port(protocol=protocol, port=port) for protocol, port in ports]),
        external_traffic_policy=service.spec.external_traffic_policy,
    )


def _prefix(address: IPAddress, route: Route) -> IPNetwork:
    return ip_network((address, route.prefix.prefixlen), strict=False)


def _layer2_part(
    verdicts: Iterable[Layer2Verdict], hosts: Mapping[str, SiteHost], order: CandidateOrder
) -> _Layer2Part | None:
    announced = [verdict for verdict in verdicts if verdict.outcome is ServiceReason.ANNOUNCED]
    if not announced:
        return None
    ads = tuple({ad.ref: ad for verdict in announced for ad in verdict.ads}.values())
    usable = _for_all(announced, frozenset({HostReason.ELIGIBLE, HostReason.DRAINING}))
    first_choice = _for_all(announced, frozenset({HostReason.ELIGIBLE})) or usable
    own = [ad for ad in ads if any(any_matches(ad.node_selectors, hosts[name].labels) for name in usable)]
    ranked = ranked_hosts((hosts[name] for name in first_choice), ads, order)
    return _Layer2Part(
        hosts=ranked,
        subnet_ends=frozenset[IPAddress]().union(*(host.subnet_ends for host in ranked)),
        interfaces=_interfaces(own),
        interface_rules=_interface_rules(own),
        node_selectors=_bounds(ads, frozenset(usable), hosts),
    )


def _for_all(verdicts: Sequence[Layer2Verdict], reasons: frozenset[HostReason]) -> tuple[str, ...]:
    """The hosts with one of some reasons for every Service; for some Service where there is no such host."""
    found = [frozenset(name for name, reason in verdict.hosts.items() if reason in reasons) for verdict in verdicts]
    return tuple(sorted(frozenset.intersection(*found) or frozenset.union(*found)))


def _interfaces(ads: Iterable[L2Ad]) -> tuple[str, ...]:
    """The interfaces of some advertisements together; none means all."""
    named = [ad.interfaces for ad in ads]
    return tuple(sorted({interface for own in named for interface in own})) if all(named) else ()


def _interface_rules(ads: Sequence[L2Ad]) -> tuple[InterfaceRule, ...]:
    """What tells hosts apart, where the advertisements name different interfaces for different hosts."""
    if len({ad.interfaces for ad in ads}) < 2 or not any(ad.node_selectors for ad in ads):
        return ()
    return tuple(InterfaceRule(interfaces=ad.interfaces, node_selectors=ad.node_selectors) for ad in ads)


def _bounds(ads: Sequence[L2Ad], usable: frozenset[str], hosts: Mapping[str, SiteHost]) -> tuple[LabelSelector, ...]:
    """Selectors that admit exactly the usable hosts: the advertisements' own where those do, else by name."""
    selectors: tuple[LabelSelector, ...] = ()
    if all(ad.node_selectors for ad in ads):
        selectors = tuple(selector for ad in ads for selector in ad.node_selectors)
    if is_told_by(selectors, usable, hosts):
        return selectors
    named = Requirement(key=HOSTNAME_LABEL, operator=Operator.IN, values=tuple(sorted(usable)))
    return (LabelSelector(match_expressions=(named,)),)
