"""Manifests to their meaning, with every mistake of all of them collected."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from appliance.api import metallb
from appliance.api.address import IPNetwork
from appliance.api.core import Namespace, Node, Secret
from appliance.api.kind import Object, ref_of
from appliance.api.meta import Ref
from appliance.api.metallb import BFDProfile, BGPAdvertisement, BGPPeer, IPAddressPool, L2Advertisement
from appliance.api.pierhead import Host
from appliance.api.problem import Problem
from appliance.config.advertisement import bgp_ads, bgp_problems, by_pool, l2_ads, l2_problems
from appliance.config.community import aliases_of, community_problems
from appliance.config.conflict import aggregation_problems, echo_problems, preference_problems
from appliance.config.hostlabel import labels_by_host, labels_by_namespace
from appliance.config.label_index import label_index
from appliance.config.model import Compiled, Config
from appliance.config.overlap import overlap_problems
from appliance.config.peer import peer_problems, peers_of, same_peer_warnings
from appliance.config.pool import pool_problems, pools_of
from appliance.config.warning import namespace_warnings, network_warnings, silence_warnings

T = TypeVar(
    "T", IPAddressPool, L2Advertisement, BGPAdvertisement, BGPPeer, BFDProfile, metallb.Community, Namespace, Node, Host
)


@dataclass(frozen=True, slots=True)
class _Manifests:
    """The manifests that configure something, by kind, each kind in name order; of one name only the first."""

    pools: tuple[IPAddressPool, ...]
    l2: tuple[L2Advertisement, ...]
    bgp: tuple[BGPAdvertisement, ...]
    peers: tuple[BGPPeer, ...]
    profiles: tuple[BFDProfile, ...]
    communities: tuple[metallb.Community, ...]
    namespaces: tuple[Namespace, ...]
    nodes: tuple[Node, ...]
    hosts: tuple[Host, ...]
    secrets: Mapping[Ref, Secret]
    repeated: tuple[Problem, ...]


def compile_config(manifests: Iterable[Object], service_networks: Iterable[IPNetwork] = ()) -> Compiled:
    """The configuration that manifests of all kinds amount to, in whatever order they come."""
    sorted_out = _sort_out(manifests)
    config = _mean(sorted_out)
    problems = _in_order(chain(sorted_out.repeated, _own_problems(sorted_out), _joint_problems(sorted_out, config)))
    warnings = _in_order(_warnings(sorted_out, config, service_networks))
    faults = tuple(filter(_is_fault, problems))
    return Compiled(None if problems else config, problems, warnings, config, faults=faults)


def _is_fault(problem: Problem) -> bool:
    """Whether an object cannot be acted upon as it stands; names of nothing announce nothing, doubles mean one."""
    names_nothing = problem.path.startswith(("spec.ipAddressPools[", "spec.peers[")) and problem.text.startswith(
        "there is no "
    )
    return not names_nothing and not problem.text.endswith("listed twice")


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems by the object they are about, those of one object in the order they were found."""
    return tuple(sorted(problems, key=lambda problem: problem.ref or Ref("", "", "")))


def _sort_out(manifests: Iterable[Object]) -> _Manifests:
    listed = sorted(manifests, key=ref_of)
    repeated: list[Problem] = []
    return _Manifests(
        pools=_unique(listed, IPAddressPool, repeated),
        l2=_unique(listed, L2Advertisement, repeated),
        bgp=_unique(listed, BGPAdvertisement, repeated),
        peers=_unique(listed, BGPPeer, repeated),
        profiles=_unique(listed, BFDProfile, repeated),
        communities=_unique(listed, metallb.Community, repeated),
        namespaces=_unique(listed, Namespace, repeated),
        nodes=_unique(listed, Node, repeated),
        hosts=_unique(listed, Host, repeated),
        secrets={ref_of(manifest): manifest for manifest in listed if isinstance(manifest, Secret)},
        repeated=tuple(repeated),
    )


def _unique(listed: Iterable[Object], cls: type[T], repeated: list[Problem]) -> tuple[T, ...]:
    """The objects of one kind; what has the name of an earlier one is a problem, in another namespace too."""
    found: dict[str, T] = {}
    for manifest in listed:
        if not isinstance(manifest, cls):
            continue
        first = found.setdefault(manifest.metadata.name, manifest)
        if first is not manifest:
            sentence = f"{manifest.metadata.name!r} is the name of {ref_of(first)} already"
            repeated.append(Problem(ref_of(manifest), "metadata.name", sentence))
    return tuple(found.values())


def _mean(given: _Manifests) -> Config:
    """What manifests mean, mistakes passed over."""
    pools = pools_of(given.pools, label_index(labels_by_namespace(given.namespaces)))
    labels = label_index({name: pool.labels for name, pool in pools.items()})
    aliases = aliases_of(given.communities)
    layer2, bgp = l2_ads(given.l2, labels), bgp_ads(given.bgp, labels, aliases)
    return Config(
        pools=pools,
        peers=peers_of(given.peers, {profile.metadata.name: profile for profile in given.profiles}),
        communities=aliases,
        l2_ads=layer2,
        bgp_ads=bgp,
        l2_by_pool=by_pool(layer2),
        bgp_by_pool=by_pool(bgp),
    )


def _own_problems(given: _Manifests) -> Iterator[Problem]:
    """Mistakes of single objects and of their references."""
    pools = frozenset(pool.metadata.name for pool in given.pools)
    peers = frozenset(peer.metadata.name for peer in given.peers)
    profiles = {profile.metadata.name: profile for profile in given.profiles}
    aliases = frozenset(entry.name for manifest in given.communities for entry in manifest.spec.communities)
    for pool in given.pools:
        yield from pool_problems(pool)
    for layer2 in given.l2:
        yield from l2_problems(layer2, pools)
    for bgp in given.bgp:
        yield from bgp_problems(bgp, pools, peers, aliases)
    for peer in given.peers:
        yield from peer_problems(peer, profiles, given.secrets)
    yield from community_problems(given.communities)


def _joint_problems(given: _Manifests, config: Config) -> Iterator[Problem]:
    """Mistakes that only show where objects meet."""
    hosts = labels_by_host(given.hosts, given.nodes)
    yield from overlap_problems(config.pools.values())
    yield from aggregation_problems(config.bgp_ads, config.pools)
    yield from preference_problems(config.bgp_by_pool, config.pools, hosts)
    yield from echo_problems(config.peers, config.bgp_ads, config.pools)


def _warnings(given: _Manifests, config: Config, service_networks: Iterable[IPNetwork]) -> Iterator[Problem]:
    hosts = labels_by_host(given.hosts, given.nodes)
    yield from silence_warnings(config, hosts)
    yield from namespace_warnings(given.pools, label_index(labels_by_namespace(given.namespaces)))
    yield from network_warnings(config.pools.values(), given.hosts, given.nodes, service_networks)
    yield from same_peer_warnings(config.peers.values(), hosts)
