"""L2Advertisements and BGPAdvertisements: their meaning, and what is wrong with each alone."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from appliance.api.community import CommunityNumber
from appliance.api.kind import ref_of
from appliance.api.label import LabelSelector
from appliance.api.metallb import BGPAdvertisement, L2Advertisement
from appliance.api.problem import Problem
from appliance.config.community import reference_problems, resolve
from appliance.config.label_index import LabelIndex
from appliance.config.model import BGPAd, L2Ad
from appliance.config.selector import label_problems, listed, repeated, selector_problems

Ad = TypeVar("Ad", L2Ad, BGPAd)
Advertisement = L2Advertisement | BGPAdvertisement


def l2_ads(manifests: Iterable[L2Advertisement], pools: LabelIndex) -> tuple[L2Ad, ...]:
    """The layer-2 advertisements, in the order given."""
    every = tuple(sorted(pools.labels))
    return tuple(
        L2Ad(
            ref=ref_of(manifest),
            pools=_selected(manifest, pools, every),
            interfaces=manifest.spec.interfaces,
            node_selectors=manifest.spec.node_selectors,
            service_selectors=manifest.spec.service_selectors,
            preferences=manifest.spec.preferred_node_selectors,
        )
        for manifest in manifests
    )


def bgp_ads(
    manifests: Iterable[BGPAdvertisement], pools: LabelIndex, aliases: Mapping[str, CommunityNumber]
) -> tuple[BGPAd, ...]:
    """The BGP advertisements, in the order given."""
    every = tuple(sorted(pools.labels))
    return tuple(
        BGPAd(
            ref=ref_of(manifest),
            pools=_selected(manifest, pools, every),
            aggregation_length=manifest.spec.aggregation_length,
            aggregation_length_v6=manifest.spec.aggregation_length_v6,
            local_preference=manifest.spec.local_pref,
            communities=resolve(manifest.spec.communities, aliases),
            peers=tuple(sorted(set(manifest.spec.peers))),
            node_selectors=manifest.spec.node_selectors,
            service_selectors=manifest.spec.service_selectors,
        )
        for manifest in manifests
    )


def _selected(manifest: Advertisement, pools: LabelIndex, every: tuple[str, ...]) -> tuple[str, ...]:
    """The pools an advertisement names or selects, sorted; all of them where it does neither."""
    spec = manifest.spec
    if not spec.ip_address_pools and not spec.ip_address_pool_selectors:
        return every
    named = frozenset(spec.ip_address_pools) & pools.labels.keys()
    return tuple(sorted(named | pools.matching(spec.ip_address_pool_selectors)))


def by_pool(ads: Iterable[Ad]) -> dict[str, tuple[Ad, ...]]:
    """The advertisements of each pool that has any."""
    found: dict[str, list[Ad]] = {}
    for ad in ads:
        for pool in ad.pools:
            found.setdefault(pool, []).append(ad)
    return {pool: tuple(own) for pool, own in found.items()}


def l2_problems(manifest: L2Advertisement, pools: frozenset[str]) -> Iterator[Problem]:
    """What is wrong with a layer-2 advertisement, given the names of all pools."""
    ref, spec = ref_of(manifest), manifest.spec
    yield from _common_problems(manifest, pools)
    yield from repeated(ref, "spec.interfaces", spec.interfaces)
    yield from repeated(ref, "spec.preferredNodeSelectors", spec.preferred_node_selectors)
    for index, preferred in enumerate(spec.preferred_node_selectors):
        yield from label_problems(ref, f"spec.preferredNodeSelectors[{index}].preference", preferred.preference)


def bgp_problems(
    manifest: BGPAdvertisement, pools: frozenset[str], peers: frozenset[str], aliases: frozenset[str]
) -> Iterator[Problem]:
    """What is wrong with a BGP advertisement, given the names of all pools, peers and aliases."""
    ref, spec = ref_of(manifest), manifest.spec
    yield from _common_problems(manifest, pools)
    yield from repeated(ref, "spec.communities", spec.communities)
    yield from reference_problems(ref, spec.communities, aliases)
    yield from repeated(ref, "spec.peers", spec.peers)
    for index, name in enumerate(spec.peers):
        if name not in peers:
            sentence = f"there is no BGPPeer {name!r}; BGPPeers: {_some(peers)}"
            yield Problem(ref, f"spec.peers[{index}]", sentence)
    yield from _aggregate_problems(manifest)


def _aggregate_problems(manifest: BGPAdvertisement) -> Iterator[Problem]:
    spec = manifest.spec
    if spec.service_selectors and (spec.aggregation_length, spec.aggregation_length_v6) != (32, 128):
        sentence = "cannot stand beside an aggregation length: an aggregate attracts traffic of Services not selected"
        yield Problem(ref_of(manifest), "spec.serviceSelectors", sentence)


def _common_problems(manifest: Advertisement, pools: frozenset[str]) -> Iterator[Problem]:
    ref, spec = ref_of(manifest), manifest.spec
    yield from repeated(ref, "spec.ipAddressPools", spec.ip_address_pools)
    for index, name in enumerate(spec.ip_address_pools):
        if name not in pools:
            sentence = f"there is no IPAddressPool {name!r}; IPAddressPools: {_some(pools)}"
            yield Problem(ref, f"spec.ipAddressPools[{index}]", sentence)
    lists: tuple[tuple[str, tuple[LabelSelector, ...]], ...] = (
        ("ipAddressPoolSelectors", spec.ip_address_pool_selectors),
        ("nodeSelectors", spec.node_selectors),
        ("serviceSelectors", spec.service_selectors),
    )
    for field, selectors in lists:
        yield from selector_problems(ref, f"spec.{field}", selectors)


def _some(names: frozenset[str], most: int = 5) -> str:
    """Some of the names there are, for a sentence."""
    left = len(names) - most
    return listed(sorted(names)[:most]) + (f" and {left} more" if left > 0 else "")
