"""A naive allocator that scans every address, the random sites it is compared on, and the laws both must keep."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from hypothesis import strategies as st

from appliance.api.address import Family, IPAddress, family_of, parse_range
from appliance.api.core import FamilyName, FamilyPolicy, Protocol, Service, ServicePort, ServiceSpec, TrafficPolicy
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata
from appliance.api.metallb import IPAddressPool, IPAddressPoolSpec, ServiceAllocation
from appliance.config.compile import compile_config
from appliance.config.model import Pool
from appliance.ipam.request import DualStack, Request, read_request

BLOCKS = ("10.0.0.0/30", "10.0.0.252-10.0.1.2", "10.0.2.7/32", "10.0.3.16/30", "fd00::/126", "fd00::1:0-fd00::1:2")
ADDRESSES = ("10.0.0.1", "10.0.0.255", "10.0.3.17", "10.9.9.9", "fd00::2", "fd00::1:1")
SERVICES = tuple(f"s{number}" for number in range(8))
BOTH = (Family.IPV4, Family.IPV6)


def pool_manifest(name: str, blocks: tuple[str, ...], **options: object) -> IPAddressPool:
    """A pool of some blocks."""
    ranges = tuple(parse_range(block) for block in blocks)
    spec = IPAddressPoolSpec(addresses=ranges, **options)  # type: ignore[arg-type]  # options are drawn by name
    return IPAddressPool(metadata=Metadata(name=name, namespace="metallb-system"), spec=spec)


def compiled(manifests: tuple[IPAddressPool, ...]) -> dict[str, Pool]:
    """Pools as the configuration holds them."""
    config = compile_config(manifests).config
    if config is None:
        raise AssertionError("the drawn pools do not compile")
    return dict(config.pools)


@st.composite
def pool_sets(draw: st.DrawFn) -> tuple[IPAddressPool, ...]:
    """Up to four pools over disjoint blocks."""
    names = ("pool-a", "pool-b", "pool-c", "pool-d")
    owners = [draw(st.sampled_from((None, *names))) for _ in BLOCKS]
    found = []
    for name in names:
        blocks = tuple(block for block, owner in zip(BLOCKS, owners, strict=True) if owner == name)
        if blocks:
            found.append(pool_manifest(name, blocks, **draw(pool_options())))
    return tuple(found)


def pool_options() -> st.SearchStrategy[dict[str, object]]:
    """Everything but the addresses."""
    allocation = st.builds(
        ServiceAllocation,
        priority=st.integers(0, 2),
        namespaces=st.sampled_from(((), ("a",), ("a", "b"))),
        service_selectors=st.sampled_from(((), (LabelSelector(match_labels={"tier": "gold"}),))),
    )
    return st.fixed_dictionaries(
        {
            "auto_assign": st.sampled_from((True, True, True, False)),
            "avoid_buggy_ips": st.booleans(),
            "service_allocation": st.none() | allocation,
        }
    )


@st.composite
def services(draw: st.DrawFn, names: tuple[str, ...] = SERVICES) -> Service:
    """A Service of one of a few names, asking for anything."""
    name = draw(st.sampled_from(names))
    annotations = draw(annotation_sets())
    policy = draw(st.sampled_from((None, None, *FamilyPolicy)))
    families = draw(st.sampled_from(((), (FamilyName.IPV4,), (FamilyName.IPV6,), (FamilyName.IPV6, FamilyName.IPV4))))
    spec = ServiceSpec(
        type=draw(st.sampled_from(("LoadBalancer",) * 9 + ("ClusterIP",))),
        ports=draw(st.sampled_from(PORTS)),
        selector={"app": draw(st.sampled_from("xy"))},
        ip_families=families,
        ip_family_policy=policy,
        external_traffic_policy=draw(st.sampled_from(TrafficPolicy)),
        load_balancer_ip=draw(st.sampled_from(("",) * 9 + ADDRESSES[:1])),
    )
    labels = draw(st.sampled_from(({}, {"tier": "gold"})))
    namespace = "a" if name < "s5" else "b"
    return Service(metadata=Metadata(name=name, namespace=namespace, labels=labels, annotations=annotations), spec=spec)


PORTS = (
    (ServicePort(port=80),),
    (ServicePort(port=443),),
    (ServicePort(port=80), ServicePort(port=443, name="tls")),
    (ServicePort(port=53, protocol=Protocol.UDP),),
)


def annotation_sets() -> st.SearchStrategy[dict[str, str]]:
    """MetalLB's annotations, most Services having few."""
    texts = st.fixed_dictionaries(
        {
            "allow-shared-ip": st.sampled_from(("", "k1", "k1", "k2")),
            "address-pool": st.sampled_from(("",) * 6 + ("pool-a", "pool-b", "pool-z")),
            "loadBalancerIPs": st.sampled_from(("",) * 6 + (*ADDRESSES, "10.0.0.1, fd00::2", "nonsense")),
        }
    )
    prefixes = st.sampled_from(("metallb.io/", "metallb.universe.tf/"))
    return st.builds(lambda p, t: {p + key: text for key, text in t.items() if text}, prefixes, texts)


def requests_of(found: Mapping[str, Service]) -> dict[str, Request]:
    """What Services ask for that ask for anything."""
    asked = ((path, read_request(service, cluster_ips_known=False)) for path, service in found.items())
    return {path: request for path, request in asked if isinstance(request, Request)}


def may_share(one: Request, other: Request) -> bool:
    """MetalLB's three rules."""
    return one.sharing is not None and one.sharing == other.sharing and one.ports.isdisjoint(other.ports)


@dataclass
class Model:
    """Pools and who holds what; everything is found by looking at everything."""

    pools: dict[str, Pool] = field(default_factory=dict)
    held: dict[str, tuple[IPAddress, ...]] = field(default_factory=dict)
    asked: dict[str, Request] = field(default_factory=dict)

    def pool_of(self, address: IPAddress) -> Pool | None:
        """The pool an address is in."""
        return next((pool for pool in self.pools.values() if address in pool), None)

    def is_allowed(self, request: Request, address: IPAddress) -> bool:
        """Whether a Service may hold an address beside its present holders."""
        pool = self.pool_of(address)
        if pool is None or not pool.admits(request.namespace, request.labels):
            return False
        if pool.avoid_buggy_ips and address.version == 4 and int(address) % 256 in (0, 255):
            return False
        others = (path for path, held in self.held.items() if address in held and path != request.service)
        return all(may_share(request, self.asked[path]) for path in others)

    def can_keep(self, request: Request, addresses: tuple[IPAddress, ...]) -> bool:
        """Whether a Service may hold addresses together."""
        pools = [self.pool_of(address) for address in addresses]
        return all(self.is_allowed(request, address) for address in addresses) and all(p is pools[0] for p in pools)

    def allocate(self, request: Request) -> tuple[IPAddress, ...]:
        """What a Service that holds nothing gets."""
        if request.mistake or (len(request.families) == 2 and request.dual_stack is DualStack.REFUSED):
            return ()
        if request.addresses:
            return request.addresses if self._is_request_met(request) else ()
        if request.pool is not None:
            return self._from_pools([self.pools[request.pool]] if request.pool in self.pools else [], request, BOTH)
        automatic = [pool for pool in self.pools.values() if pool.auto_assign]
        pinned = sorted((pool for pool in automatic if pool.pinned), key=lambda p: (p.priority or 99, p.name))
        others = sorted((pool for pool in automatic if not pool.pinned), key=lambda p: p.name)
        return self._from_pools(pinned, request) or self._from_pools(others, request)

    def _is_request_met(self, request: Request) -> bool:
        pool = self.pool_of(request.addresses[0])
        is_family = {family_of(address) for address in request.addresses} == set(request.families)
        is_named = pool is not None and request.pool in (None, pool.name)
        return is_family and is_named and self.can_keep(request, request.addresses)

    def _from_pools(
        self, pools: list[Pool], request: Request, fallbacks: tuple[Family, ...] = ()
    ) -> tuple[IPAddress, ...]:
        if len(request.families) == 1:
            wishes: list[tuple[Family, ...]] = [request.families]
        else:
            prefers = request.dual_stack is DualStack.PREFERRED
            wishes = [BOTH, *(((f,) for f in fallbacks or request.families) if prefers else ())]
        for wish in wishes:
            for pool in pools:
                found = [self._lowest(pool, family, request) for family in wish]
                if None not in found:
                    return tuple(address for address in found if address is not None)
        return ()

    def _lowest(self, pool: Pool, family: Family, request: Request) -> IPAddress | None:
        return next((a for a in addresses_of(pool) if family_of(a) is family and self.is_allowed(request, a)), None)


def addresses_of(pool: Pool) -> Iterator[IPAddress]:
    """Every address of a pool in order."""
    for run in pool.ranges:
        for number in range(int(run.first), int(run.last) + 1):
            yield type(run.first)(number)


def broken_laws(model: Model) -> list[str]:
    """What is wrong with who holds what."""
    broken = []
    for path, held in model.held.items():
        if not model.can_keep(model.asked[path], held):
            broken.append(f"{path} may not hold {held}")
        if len({address.version for address in held}) != len(held):
            broken.append(f"{path} holds two addresses of one family: {held}")
        if not {family_of(address) for address in held} <= set(model.asked[path].families):
            broken.append(f"{path} holds a family it does not want: {held}")
    return broken


def status_addresses(service: Service) -> tuple[IPAddress, ...]:
    """What a Service was told."""
    return tuple(ip_address(entry.ip) for entry in service.status.load_balancer.ingress)
