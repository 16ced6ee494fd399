"""Which hosts may announce a Service, on layer 2 and on BGP, each with its reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from appliance.advertise.endpoint import Serving
from appliance.advertise.machine import Machine
from appliance.advertise.reason import HostReason, Outcome
from appliance.api.address import Family
from appliance.api.core import Service, TrafficPolicy
from appliance.api.label import any_matches
from appliance.config.conflict import preferences_conflict
from appliance.config.model import BGPAd, L2Ad
from appliance.ipam.request import DEPRECATED_PREFIX, PREFIX, SHARING_KEY


@dataclass(frozen=True, slots=True)
class Layer2Verdict:
    """What was decided of a Service on layer 2: the advertisements that are for it, and every host's reason."""

    outcome: Outcome
    ads: tuple[L2Ad, ...] = ()
    hosts: Mapping[str, HostReason] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BGPVerdict:
    """What was decided of a Service on BGP: the advertisements that are for it, and every host's reason."""

    outcome: Outcome
    ads: tuple[BGPAd, ...] = ()
    hosts: Mapping[str, HostReason] = field(default_factory=dict)


def judge_layer2(
    service: Service, ads: Sequence[L2Ad], serving: Serving, machines: Mapping[str, Machine]
) -> Layer2Verdict:
    """Whether and from where a Service is announced on layer 2, given the advertisements of its pool."""
    matching = tuple(ad for ad in ads if any_matches(ad.service_selectors, service.metadata.labels))
    refusal = _advertisement_refusal(ads, matching)
    if refusal is None and _may_share(service) and any(ad.service_selectors for ad in matching):
        refusal = Outcome.SHARED_AND_SELECTED
    if refusal is not None:
        return Layer2Verdict(refusal, matching)
    required = _required_hosts(service, serving)
    hosts = {name: layer2_reason(machine, matching, required) for name, machine in machines.items()}
    return Layer2Verdict(_outcome(hosts, serving), matching, hosts)


def judge_bgp(
    service: Service,
    ads: Sequence[BGPAd],
    families: frozenset[Family],
    serving: Serving,
    machines: Mapping[str, Machine],
) -> BGPVerdict:
    """Whether and from where a Service is announced over BGP, given the advertisements and families of its pool."""
    matching = tuple(ad for ad in ads if any_matches(ad.service_selectors, service.metadata.labels))
    refusal = _advertisement_refusal(ads, matching)
    if refusal is None and _conflict(matching, families, machines):
        refusal = Outcome.CONFLICTING_ADVERTISEMENTS
    if refusal is not None:
        return BGPVerdict(refusal, matching)
    required = _required_hosts(service, serving)
    hosts = {name: bgp_reason(machine, matching, required) for name, machine in machines.items()}
    return BGPVerdict(_outcome(hosts, serving), matching, hosts)


def layer2_reason(machine: Machine, ads: Sequence[L2Ad], required: frozenset[str] | None) -> HostReason:
    """Whether a host may own an address; `required` are the hosts with endpoints, where one is needed."""
    own = tuple(ad for ad in ads if any_matches(ad.node_selectors, machine.labels))
    reason = _common_reason(machine, bool(own), required)
    if reason is not HostReason.ELIGIBLE:
        return reason
    if not any(machine.has_interface(ad.interfaces) for ad in own):
        return HostReason.NO_INTERFACE
    return HostReason.DRAINING if machine.draining else HostReason.ELIGIBLE


def bgp_reason(machine: Machine, ads: Sequence[BGPAd], required: frozenset[str] | None) -> HostReason:
    """Whether a host may announce a route; a draining one still does, as the last choice."""
    selected = any(any_matches(ad.node_selectors, machine.labels) for ad in ads)
    return _common_reason(machine, selected, required)


def _common_reason(machine: Machine, selected: bool, required: frozenset[str] | None) -> HostReason:
    if not selected:
        return HostReason.NOT_SELECTED
    if machine.network_unavailable:
        return HostReason.NETWORK_UNAVAILABLE
    if machine.excluded:
        return HostReason.EXCLUDED
    if required is not None and machine.name not in required:
        return HostReason.NO_LOCAL_ENDPOINT
    return HostReason.ELIGIBLE


def _required_hosts(service: Service, serving: Serving) -> frozenset[str] | None:
    return serving.hosts if service.spec.external_traffic_policy is TrafficPolicy.LOCAL else None


def _advertisement_refusal(ads: Sequence[object], matching: Sequence[object]) -> Outcome | None:
    if not ads:
        return Outcome.NO_ADVERTISEMENT
    return None if matching else Outcome.SERVICE_NOT_SELECTED


def _may_share(service: Service) -> bool:
    """Whether the sharing annotation is there, be it empty."""
    return any(prefix + SHARING_KEY in service.metadata.annotations for prefix in (PREFIX, DEPRECATED_PREFIX))


def _conflict(ads: Sequence[BGPAd], families: frozenset[Family], machines: Mapping[str, Machine]) -> bool:
    if len({ad.local_preference for ad in ads}) < 2:
        return False
    labels = {name: machine.labels for name, machine in machines.items()}
    return any(preferences_conflict(first, second, families, labels) for first, second in combinations(ads, 2))


def _outcome(hosts: Mapping[str, HostReason], serving: Serving) -> Outcome:
    if not serving.anywhere:
        return Outcome.NO_ENDPOINTS
    if not hosts:
        return Outcome.NO_HOST
    usable = any(reason.is_usable for reason in hosts.values())
    return Outcome.ANNOUNCED if usable else Outcome.NO_ELIGIBLE_HOST
