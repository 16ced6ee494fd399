"""Advertisements that do not fit their pools or each other."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import summarize_address_range
from itertools import combinations, product

from appliance.api.address import AddressRange, Family
from appliance.api.label import LabelSelector, any_matches
from appliance.api.meta import Ref
from appliance.api.metallb import BFDProfileSpec
from appliance.api.problem import Problem
from appliance.config.model import BGPAd, Peer, Pool

_WHOLE_LENGTH = {Family.IPV4: 32, Family.IPV6: 128}
_LENGTH_FIELD = {Family.IPV4: "aggregationLength", Family.IPV6: "aggregationLengthV6"}


def shortest_length(run: AddressRange) -> int:
    """The prefix length of the largest of the CIDRs that a range expands to."""
    return min(network.prefixlen for network in summarize_address_range(run.first, run.last))


def aggregation_problems(ads: Iterable[BGPAd], pools: Mapping[str, Pool]) -> Iterator[Problem]:
    """Each pool entry that an advertisement's aggregate would reach beyond."""
    limits = {name: tuple((run, shortest_length(run)) for run in pool.ranges) for name, pool in pools.items()}
    for ad in ads:
        if all(ad.length(family) == whole for family, whole in _WHOLE_LENGTH.items()):
            continue
        for name in ad.pools:
            yield from _beyond(ad, pools[name], limits[name])


def _beyond(ad: BGPAd, pool: Pool, limits: Iterable[tuple[AddressRange, int]]) -> Iterator[Problem]:
    for run, shortest in limits:
        length = ad.length(run.family)
        if length < shortest:
            sentence = f"{length} reaches beyond {run.text} of {pool.ref}; write {shortest} or more"
            yield Problem(ad.ref, f"spec.{_LENGTH_FIELD[run.family]}", sentence)


def preferences_conflict(
    first: BGPAd, second: BGPAd, families: Collection[Family], hosts: Mapping[str, Mapping[str, str]]
) -> bool:
    """Whether a host would announce one route with two local preferences because of two advertisements."""
    if first.local_preference == second.local_preference:
        return False
    if families and all(first.length(family) != second.length(family) for family in families):
        return False
    if first.peers and second.peers and set(first.peers).isdisjoint(second.peers):
        return False
    return share_host(first.node_selectors, second.node_selectors, hosts)


def share_host(
    first: Sequence[LabelSelector], second: Sequence[LabelSelector], hosts: Mapping[str, Mapping[str, str]]
) -> bool:
    """Whether a host matches both lists of selectors; yes where no host is known."""
    return not hosts or any(any_matches(first, labels) and any_matches(second, labels) for labels in hosts.values())


def preference_problems(
    ads: Mapping[str, tuple[BGPAd, ...]], pools: Mapping[str, Pool], hosts: Mapping[str, Mapping[str, str]]
) -> Iterator[Problem]:
    """Pairs of advertisements of one pool with different local preferences; those that select Services wait."""
    reported: set[tuple[object, object]] = set()
    examined: set[tuple[object, ...]] = set()
    for name, own in ads.items():
        fixed = tuple(ad for ad in own if not ad.service_selectors)
        families = pools[name].families
        key = (families, *(ad.ref for ad in fixed))
        if key in examined or len({ad.local_preference for ad in fixed}) < 2:
            continue
        examined.add(key)
        for first, second in _unlike(fixed):
            if (first.ref, second.ref) in reported or not preferences_conflict(first, second, families, hosts):
                continue
            reported.add((first.ref, second.ref))
            yield _conflict(first, second, pools[name])


def _unlike(ads: Iterable[BGPAd]) -> Iterator[tuple[BGPAd, BGPAd]]:
    """Pairs with different local preferences, each in name order; cheap where nearly all have the same one."""
    groups: dict[int, list[BGPAd]] = {}
    for ad in ads:
        groups.setdefault(ad.local_preference, []).append(ad)
    for one, other in combinations(groups.values(), 2):
        yield from ((min(pair, key=_name), max(pair, key=_name)) for pair in product(one, other))


def _name(ad: BGPAd) -> Ref:
    return ad.ref


def _conflict(first: BGPAd, second: BGPAd, pool: Pool) -> Problem:
    sentence = (
        f"{second.local_preference} differs from {first.local_preference} of {first.ref}, which announces {pool.ref}"
        " at the same length, from the same hosts and to the same peers"
    )
    return Problem(second.ref, "spec.localPref", sentence)


def echo_problems(peers: Mapping[str, Peer], ads: Iterable[BGPAd], pools: Mapping[str, Pool]) -> Iterator[Problem]:
    """Peers whose BFD profile asks for echo mode and which would be told of IPv6 addresses."""
    echoing = {name: peer for name, peer in peers.items() if _echoes(peer.bfd)}
    if not echoing:
        return
    reached: dict[str, Pool] = {}
    for ad in ads:
        ipv6 = next((pools[name] for name in ad.pools if Family.IPV6 in pools[name].families), None)
        if ipv6 is not None:
            for name in ad.peers or echoing:
                reached.setdefault(name, ipv6)
    for name in sorted(echoing.keys() & reached.keys()):
        sentence = f"uses echo mode, which BFD has for IPv4 only, but the peer is told of {reached[name].ref}"
        yield Problem(echoing[name].ref, "spec.bfdProfile", sentence)


def _echoes(profile: BFDProfileSpec | None) -> bool:
    return profile is not None and profile.echo_mode
