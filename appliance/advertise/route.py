"""The BGP routes of an address."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_network

from appliance.advertise.eligibility import BGPVerdict
from appliance.advertise.machine import Machine
from appliance.advertise.reason import HostReason, Outcome
from appliance.api.address import IPAddress, family_of
from appliance.api.core import TrafficPolicy
from appliance.api.label import LabelSelector, any_matches
from appliance.api.pierhead import Route
from appliance.config.model import BGPAd

_Key = tuple[int, int, tuple[str, ...], tuple[str, ...], str]


def routes(
    address: IPAddress, verdicts: Iterable[tuple[BGPVerdict, TrafficPolicy]], machines: Mapping[str, Machine]
) -> tuple[Route, ...]:
    """The routes of all Services that hold an address, each once, communities united, in a stable order."""
    merged: dict[_Key, Route] = {}
    for verdict, policy in verdicts:
        if verdict.outcome is Outcome.ANNOUNCED:
            for route in _routes(address, verdict, policy, machines):
                key = _key(route)
                known = merged.get(key, route)
                merged[key] = replace(known, communities=tuple(sorted({*known.communities, *route.communities})))
    return tuple(merged[key] for key in sorted(merged))


def _routes(
    address: IPAddress, verdict: BGPVerdict, policy: TrafficPolicy, machines: Mapping[str, Machine]
) -> Iterator[Route]:
    usable = frozenset(name for name, reason in verdict.hosts.items() if reason is HostReason.ELIGIBLE)
    for ad in verdict.ads:
        admitted = frozenset(name for name in usable if any_matches(ad.node_selectors, machines[name].labels))
        if admitted:
            yield _route(address, ad, admitted, policy, machines)


def _route(
    address: IPAddress,
    ad: BGPAd,
    admitted: frozenset[str],
    policy: TrafficPolicy,
    machines: Mapping[str, Machine],
) -> Route:
    listed = policy is TrafficPolicy.LOCAL or not is_told_by(ad.node_selectors, admitted, machines)
    return Route(
        prefix=ip_network((address, ad.length(family_of(address))), strict=False),
        local_preference=ad.local_preference,
        communities=ad.communities,
        peers=ad.peers,
        node_selectors=() if listed else ad.node_selectors,
        hosts=tuple(sorted(admitted)) if listed else None,
    )


def is_told_by(selectors: tuple[LabelSelector, ...], admitted: frozenset[str], machines: Mapping[str, Machine]) -> bool:
    """Whether selectors, asked of the labels agents know, admit exactly some hosts."""
    found = {name for name, machine in machines.items() if any_matches(selectors, machine.own_labels)}
    return found == admitted


def _key(route: Route) -> _Key:
    """What tells two routes apart, and their order; selectors by their text, for they are not hashable."""
    hosts = () if route.hosts is None else ("listed", *route.hosts)
    return route.prefix.prefixlen, route.local_preference, route.peers, hosts, repr(route.node_selectors)
