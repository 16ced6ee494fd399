"""Which hosts may announce a Service, on layer 2 and on BGP, each with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from appliance.advertise.endpoint import Serving
from appliance.advertise.host import SiteHost
from appliance.advertise.reason import HostReason, ServiceReason
from appliance.api.address import Family, IPAddress
from appliance.api.core import Service, TrafficPolicy
from appliance.api.label import any_matches
from appliance.config.conflict import preferences_conflict
from appliance.config.model import BGPAd, L2Ad
from appliance.ipam.request import DEPRECATED_PREFIX, PREFIX, SHARING_KEY

_SHARING_KEYS = frozenset({PREFIX + SHARING_KEY, DEPRECATED_PREFIX + SHARING_KEY})


@dataclass(frozen=True, slots=True)
class Layer2Verdict:
    """What was decided of a Service on layer 2: the advertisements that are for it, and every host's reason."""

    outcome: ServiceReason
    ads: tuple[L2Ad, ...] = ()
    hosts: Mapping[str, HostReason] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BGPVerdict:
    """What was decided of a Service on BGP: the advertisements that are for it, and every host's reason."""

    outcome: ServiceReason
    ads: tuple[BGPAd, ...] = ()
    hosts: Mapping[str, HostReason] = field(default_factory=dict)


def judge_layer2(
    service: Service,
    ads: Sequence[L2Ad],
    serving: Serving,
    hosts: Mapping[str, SiteHost],
    address: IPAddress | None = None,
) -> Layer2Verdict:
    """Whether and from where a Service is announced on layer 2, given the advertisements of its pool.

    Without an address the answer holds for every address but the ends of the hosts' subnets.
    """
    matching = tuple(ad for ad in ads if any_matches(ad.service_selectors, service.metadata.labels))
    refusal = _advertisement_refusal(ads, matching)
    if refusal is None and may_share(service) and any(ad.service_selectors for ad in matching):
        refusal = ServiceReason.SHARED_AND_SELECTED
    if refusal is not None:
        return Layer2Verdict(refusal, matching)
    required = required_hosts(service, serving)
    reasons = {name: layer2_reason(host, matching, required, address) for name, host in hosts.items()}
    return Layer2Verdict(_outcome(reasons, serving), matching, reasons)


def judge_bgp(
    service: Service,
    ads: Sequence[BGPAd],
    families: frozenset[Family],
    serving: Serving,
    hosts: Mapping[str, SiteHost],
) -> BGPVerdict:
    """Whether and from where a Service is announced over BGP, given the advertisements and families of its pool."""
    matching = tuple(ad for ad in ads if any_matches(ad.service_selectors, service.metadata.labels))
    refusal = _advertisement_refusal(ads, matching)
    if refusal is not None:
        return BGPVerdict(refusal, matching)
    required = required_hosts(service, serving)
    reasons = {name: bgp_reason(host, matching, required, families) for name, host in hosts.items()}
    return BGPVerdict(_outcome(reasons, serving), matching, reasons)


def layer2_reason(
    host: SiteHost, ads: Sequence[L2Ad], required: frozenset[str] | None, address: IPAddress | None = None
) -> HostReason:
    """Whether a host may own an address; `required` are the hosts with endpoints, where one is needed."""
    own = tuple(ad for ad in ads if any_matches(ad.node_selectors, host.labels))
    reason = _common_reason(host, bool(own), required)
    if reason is not HostReason.ELIGIBLE:
        return reason
    if not any(host.has_interface(ad.interfaces) for ad in own):
        return HostReason.NO_INTERFACE
    if address is not None and address in host.subnet_ends:
        return HostReason.SUBNET_END
    return HostReason.DRAINING if host.draining else HostReason.ELIGIBLE


def bgp_reason(
    host: SiteHost, ads: Sequence[BGPAd], required: frozenset[str] | None, families: frozenset[Family] = frozenset()
) -> HostReason:
    """Whether a host may announce a route; a draining one still does, as the last choice."""
    own = tuple(ad for ad in ads if any_matches(ad.node_selectors, host.labels))
    reason = _common_reason(host, bool(own), required)
    if reason is HostReason.ELIGIBLE and _conflict(own, families):
        return HostReason.CONFLICTING_ADVERTISEMENTS
    return reason


def _common_reason(host: SiteHost, selected: bool, required: frozenset[str] | None) -> HostReason:
    if not selected:
        return HostReason.NOT_SELECTED
    if host.network_unavailable:
        return HostReason.NETWORK_UNAVAILABLE
    if host.excluded:
        return HostReason.EXCLUDED
    if required is not None and host.name not in required:
        return HostReason.NO_LOCAL_ENDPOINT
    return HostReason.ELIGIBLE


def required_hosts(service: Service, serving: Serving) -> frozenset[str] | None:
    """The hosts that must have an endpoint to announce a Service; None where any host may."""
    return serving.hosts if service.spec.external_traffic_policy is TrafficPolicy.LOCAL else None


def may_share(service: Service) -> bool:
    """Whether the sharing annotation is there, be it empty."""
    return not _SHARING_KEYS.isdisjoint(service.metadata.annotations)


def _advertisement_refusal(ads: Sequence[object], matching: Sequence[object]) -> ServiceReason | None:
    if not ads:
        return ServiceReason.NO_ADVERTISEMENT
    return None if matching else ServiceReason.SERVICE_NOT_SELECTED


def _conflict(ads: Sequence[BGPAd], families: frozenset[Family]) -> bool:
    """Whether one host would announce one route with two local preferences."""
    if len({ad.local_preference for ad in ads}) < 2:
        return False
    return any(preferences_conflict(first, second, families, {}) for first, second in combinations(ads, 2))


def _outcome(hosts: Mapping[str, HostReason], serving: Serving) -> ServiceReason:
    if not serving.anywhere:
        return ServiceReason.NO_ENDPOINTS
    if not hosts:
        return ServiceReason.NO_HOST
    if any(reason.is_usable for reason in hosts.values()):
        return ServiceReason.ANNOUNCED
    if HostReason.CONFLICTING_ADVERTISEMENTS in hosts.values():
        return ServiceReason.CONFLICTING_ADVERTISEMENTS
    return ServiceReason.NO_ELIGIBLE_HOST
