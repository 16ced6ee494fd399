"""The BGP routes of an address."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_network

from appliance.advertise.eligibility import BGPVerdict
from appliance.advertise.host import SiteHost
from appliance.advertise.reason import HostReason, ServiceReason
from appliance.api.address import Family
from appliance.api.core import TrafficPolicy
from appliance.api.label import LabelSelector, any_matches
from appliance.api.pierhead import Route
from appliance.config.model import BGPAd

_ANYWHERE = {Family.IPV4: ip_network("0.0.0.0/32"), Family.IPV6: ip_network("::/128")}
_Key = tuple[int, int, tuple[str, ...], tuple[str, ...], str]


def routes(
    family: Family, verdicts: Iterable[tuple[BGPVerdict, TrafficPolicy]], hosts: Mapping[str, SiteHost]
) -> tuple[Route, ...]:
    """The routes of all Services that hold an address of a family, each once, communities united, in a stable order.

    Of each prefix only the length is right: the network is the address's, and differs from one to the next.
    """
    merged: dict[_Key, Route] = {}
    for verdict, policy in verdicts:
        if verdict.outcome is ServiceReason.ANNOUNCED:
            for route in _routes(family, verdict, policy, hosts):
                key = _key(route)
                known = merged.get(key, route)
                merged[key] = replace(known, communities=tuple(sorted({*known.communities, *route.communities})))
    return tuple(merged[key] for key in sorted(merged))


def _routes(
    family: Family, verdict: BGPVerdict, policy: TrafficPolicy, hosts: Mapping[str, SiteHost]
) -> Iterator[Route]:
    usable = frozenset(name for name, reason in verdict.hosts.items() if reason is HostReason.ELIGIBLE)
    for ad in verdict.ads:
        admitted = frozenset(name for name in usable if any_matches(ad.node_selectors, hosts[name].labels))
        if admitted:
            yield _route(family, ad, admitted, policy, hosts)


def _route(
    family: Family,
    ad: BGPAd,
    admitted: frozenset[str],
    policy: TrafficPolicy,
    hosts: Mapping[str, SiteHost],
) -> Route:
    listed = policy is TrafficPolicy.LOCAL or not is_told_by(ad.node_selectors, admitted, hosts)
    return Route(
        prefix=_ANYWHERE[family].supernet(new_prefix=ad.length(family)),
        local_preference=ad.local_preference,
        communities=ad.communities,
        peers=ad.peers,
        node_selectors=() if listed else ad.node_selectors,
        hosts=tuple(sorted(admitted)) if listed else None,
    )


def is_told_by(selectors: tuple[LabelSelector, ...], admitted: frozenset[str], hosts: Mapping[str, SiteHost]) -> bool:
    """Whether selectors, asked of the labels agents know, admit exactly some hosts."""
    found = {name for name, machine in hosts.items() if any_matches(selectors, machine.own_labels)}
    return found == admitted


def _key(route: Route) -> _Key:
    """What tells two routes apart, and their order; selectors by their text, for they are not hashable."""
    hosts = () if route.hosts is None else ("listed", *route.hosts)
    return route.prefix.prefixlen, route.local_preference, route.peers, hosts, repr(route.node_selectors)
