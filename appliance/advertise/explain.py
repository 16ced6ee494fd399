"""Where the chain from a Service to an address that answers breaks, in the order users look for it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from appliance.advertise.eligibility import BGPVerdict, Layer2Verdict
from appliance.advertise.endpoint import serving
from appliance.advertise.reason import HostReason, ServiceReason
from appliance.advertise.vip import ServiceVerdict, Site, judge
from appliance.api.address import IPAddress, family_of
from appliance.api.core import Service
from appliance.ipam.reason import Reason, Refusal
from appliance.ipam.request import Unserved


class ChainLink(Enum):
    """One link of the chain."""

    IMPLEMENTATION = "implementation"
    POOL = "pool"
    ADDRESS = "address"
    ADVERTISEMENT = "advertisement"
    HOST = "host"
    ENDPOINTS = "endpoints"


class LinkVerdict(Enum):
    """Whether a link holds; unknown behind the broken one where that one decides."""

    HELD = "held"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Gap(Enum):
    """What is missing though nothing refused it."""

    NOT_GIVEN_YET = "an address is free, but no allocator has given it yet"
    UNREADABLE_REQUEST = "asks for addresses in a way that cannot be read"
    NO_PEER = "is announced over BGP only, and there is no BGPPeer"


class Medium(Enum):
    """How an address is announced."""

    LAYER2 = "layer 2"
    BGP = "BGP"


BreakReason = Unserved | Reason | ServiceReason | Gap


@dataclass(frozen=True, slots=True)
class HostFinding:
    """What was decided of one host."""

    host: str
    medium: Medium
    reason: HostReason


@dataclass(frozen=True, slots=True)
class Finding:
    """One link: its state, what it is about (a pool, an address, advertisements), and why it is broken."""

    link: ChainLink
    state: LinkVerdict
    subject: str = ""
    reason: BreakReason | None = None
    refusal: Refusal | None = None
    address: IPAddress | None = None
    hosts: tuple[HostFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class Assigned:
    """What allocation says of a Service: the addresses it holds, their pool, or why it holds none."""

    addresses: tuple[IPAddress, ...] = ()
    pool: str = ""
    unserved: Unserved | None = None
    refusal: Refusal | None = None
    mistake: str = ""


_ORDER = {link: place for place, link in enumerate(ChainLink)}
_POOL_REASONS = frozenset(
    {
        Reason.NO_POOLS,
        Reason.UNKNOWN_POOL,
        Reason.NOT_ADMITTED,
        Reason.NO_ADMITTING_POOL,
        Reason.OUTSIDE_POOLS,
        Reason.OTHER_POOL,
        Reason.SEVERAL_POOLS,
        Reason.NO_FAMILY,
    }
)
_ADVERTISEMENT_OUTCOMES = frozenset(
    {
        ServiceReason.NO_ADVERTISEMENT,
        ServiceReason.SERVICE_NOT_SELECTED,
        ServiceReason.SHARED_AND_SELECTED,
        ServiceReason.CONFLICTING_ADVERTISEMENTS,
    }
)


def explain(service: Service, assigned: Assigned, site: Site) -> tuple[Finding, ...]:
    """Every link in order; those from the advertisement on once for each address."""
    findings = list(_given(service, assigned, site))
    if findings[-1].state is LinkVerdict.HELD:
        for address in assigned.addresses:
            findings.extend(_announced(address, service, assigned.pool, site))
    reached = {finding.link for finding in findings}
    findings.extend(Finding(link, LinkVerdict.UNKNOWN) for link in ChainLink if link not in reached)
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.link]))


def first_broken(findings: tuple[Finding, ...]) -> Finding | None:
    """The link to mend first; None where the chain is whole."""
    return next((finding for finding in findings if finding.state is LinkVerdict.BROKEN), None)


def _given(service: Service, assigned: Assigned, site: Site) -> Iterator[Finding]:
    """The links up to the address, the broken one last."""
    if assigned.unserved is not None:
        yield Finding(
            ChainLink.IMPLEMENTATION, LinkVerdict.BROKEN, _class_of(service, assigned.unserved), assigned.unserved
        )
        return
    yield Finding(ChainLink.IMPLEMENTATION, LinkVerdict.HELD)
    if assigned.mistake and not assigned.addresses:
        yield Finding(ChainLink.ADDRESS, LinkVerdict.BROKEN, assigned.mistake, Gap.UNREADABLE_REQUEST)
        return
    refusal = assigned.refusal
    if refusal is None and not assigned.addresses and not site.config.pools:
        refusal = Refusal(Reason.NO_POOLS)
    if refusal is not None and not assigned.addresses:
        if refusal.reason in _POOL_REASONS:
            yield Finding(ChainLink.POOL, LinkVerdict.BROKEN, refusal.subject, refusal.reason, refusal)
            return
        yield Finding(ChainLink.POOL, LinkVerdict.HELD, _pools_of(refusal, assigned))
        yield Finding(ChainLink.ADDRESS, LinkVerdict.BROKEN, refusal.subject, refusal.reason, refusal)
        return
    yield Finding(ChainLink.POOL, LinkVerdict.HELD, assigned.pool)
    if not assigned.addresses:
        yield Finding(ChainLink.ADDRESS, LinkVerdict.BROKEN, reason=Gap.NOT_GIVEN_YET)
        return
    yield Finding(ChainLink.ADDRESS, LinkVerdict.HELD, ", ".join(map(str, assigned.addresses)), refusal=refusal)


def _class_of(service: Service, unserved: Unserved) -> str:
    if unserved is not Unserved.OTHER_CLASS:
        return ""
    return service.spec.load_balancer_class or "no loadBalancerClass"


def _pools_of(refusal: Refusal, assigned: Assigned) -> str:
    return assigned.pool or ", ".join(tried.pool for tried in refusal.tried)


def _announced(address: IPAddress, service: Service, pool: str, site: Site) -> Iterator[Finding]:
    """The links from an address on."""
    verdict = judge(address, pool, service, site)
    advertised = _advertisement(address, verdict, site)
    yield advertised
    if advertised.state is LinkVerdict.BROKEN:
        yield Finding(ChainLink.HOST, LinkVerdict.UNKNOWN, address=address)
    else:
        yield _host(address, service, verdict, site)
    yield _endpoints(address, service, site)


def _advertisement(address: IPAddress, verdict: ServiceVerdict, site: Site) -> Finding:
    layer2, bgp = verdict.layer2.outcome, verdict.bgp.outcome
    names = ", ".join((*_ads(verdict.layer2), *_ads(verdict.bgp)))
    if layer2 not in _ADVERTISEMENT_OUTCOMES:
        return Finding(ChainLink.ADVERTISEMENT, LinkVerdict.HELD, names, address=address)
    if bgp not in _ADVERTISEMENT_OUTCOMES:
        if site.config.peers:
            return Finding(ChainLink.ADVERTISEMENT, LinkVerdict.HELD, names, address=address)
        return Finding(ChainLink.ADVERTISEMENT, LinkVerdict.BROKEN, names, Gap.NO_PEER, address=address)
    reason = bgp if layer2 is ServiceReason.NO_ADVERTISEMENT else layer2
    return Finding(ChainLink.ADVERTISEMENT, LinkVerdict.BROKEN, names, reason, address=address)


def _ads(verdict: Layer2Verdict | BGPVerdict) -> tuple[str, ...]:
    return () if verdict.outcome in _ADVERTISEMENT_OUTCOMES else tuple(str(ad.ref) for ad in verdict.ads)


def _host(address: IPAddress, service: Service, verdict: ServiceVerdict, site: Site) -> Finding:
    hosts = (*_host_findings(Medium.LAYER2, verdict.layer2.hosts), *_host_findings(Medium.BGP, verdict.bgp.hosts))
    if not site.hosts:
        return Finding(ChainLink.HOST, LinkVerdict.BROKEN, reason=ServiceReason.NO_HOST, address=address)
    is_served = _is_served(address, service, site)
    possible = any(
        found.reason.is_usable or (found.reason is HostReason.NO_LOCAL_ENDPOINT and not is_served) for found in hosts
    )
    if possible:
        return Finding(ChainLink.HOST, LinkVerdict.HELD, address=address, hosts=hosts)
    return Finding(
        ChainLink.HOST, LinkVerdict.BROKEN, reason=ServiceReason.NO_ELIGIBLE_HOST, address=address, hosts=hosts
    )


def _host_findings(medium: Medium, hosts: Mapping[str, HostReason]) -> tuple[HostFinding, ...]:
    return tuple(HostFinding(host, medium, reason) for host, reason in hosts.items())


def _endpoints(address: IPAddress, service: Service, site: Site) -> Finding:
    if _is_served(address, service, site):
        return Finding(ChainLink.ENDPOINTS, LinkVerdict.HELD, address=address)
    return Finding(ChainLink.ENDPOINTS, LinkVerdict.BROKEN, reason=ServiceReason.NO_ENDPOINTS, address=address)


def _is_served(address: IPAddress, service: Service, site: Site) -> bool:
    key = f"{service.metadata.namespace}/{service.metadata.name}"
    return serving(site.slices.get(key, ()), family_of(address)).anywhere
