"""What is allowed but most likely not meant."""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network

from appliance.api.address import IPNetwork
from appliance.api.core import Node, node_addresses
from appliance.api.kind import ref_of
from appliance.api.label import any_matches
from appliance.api.metallb import IPAddressPool
from appliance.api.pierhead import Host
from appliance.api.problem import Problem
from appliance.config.label_index import LabelIndex
from appliance.config.model import BGPAd, Config, L2Ad, Pool
from appliance.config.overlap import Overlaps

_Labels = Mapping[str, Mapping[str, str]]


def silence_warnings(config: Config, hosts: _Labels) -> Iterator[Problem]:
    """Pools that nothing announces, and advertisements that announce nothing."""
    for pool in config.pools.values():
        if pool.name not in config.l2_by_pool and pool.name not in config.bgp_by_pool:
            yield Problem(
                pool.ref, "spec", "no advertisement announces this pool, so its addresses are never reachable"
            )
    for layer2 in config.l2_ads:
        yield from _ad_warnings(layer2, hosts)
    for bgp in config.bgp_ads:
        yield from _ad_warnings(bgp, hosts)
    if not config.peers:
        yield from (Problem(ad.ref, "spec", "there is no BGPPeer to announce to") for ad in config.bgp_ads)


def _ad_warnings(ad: L2Ad | BGPAd, hosts: _Labels) -> Iterator[Problem]:
    if not ad.pools:
        yield Problem(ad.ref, "spec", "selects no IPAddressPool, so it announces nothing")
    if hosts and not any(any_matches(ad.node_selectors, labels) for labels in hosts.values()):
        yield Problem(ad.ref, "spec.nodeSelectors", "match no host, so it announces nothing")


def namespace_warnings(pools: Iterable[IPAddressPool], namespaces: LabelIndex) -> Iterator[Problem]:
    """Pools that are for the Namespaces of some labels, which no Namespace has."""
    for pool in pools:
        allocation = pool.spec.service_allocation
        if allocation is None or not allocation.namespace_selectors:
            continue
        if not namespaces.matching(allocation.namespace_selectors):
            sentence = "match no Namespace, so the pool admits nobody; MetalLB takes that for no restriction"
            if allocation.namespaces:
                sentence = "match no Namespace, so the pool admits only those it names"
            path = "spec.serviceAllocation.namespaceSelectors"
            yield Problem(ref_of(pool), path, sentence)


def network_warnings(
    pools: Iterable[Pool], hosts: Iterable[Host], nodes: Iterable[Node], service_networks: Iterable[IPNetwork]
) -> Iterator[Problem]:
    """Pool entries that overlap addresses of hosts, pod networks or the Service network, one warning an entry."""
    taken: dict[IPNetwork, str] = {
        **{network: f"the Service network {network}" for network in service_networks},
        **dict(_pod_networks(nodes)),
        **dict(_host_addresses(hosts, nodes)),
    }
    find = Overlaps(taken)
    for pool in pools:
        for index, run in enumerate(pool.ranges):
            network = find.widest(run)
            if network is not None:
                yield Problem(pool.ref, f"spec.addresses[{index}]", f"{run.text} overlaps {taken[network]}")


def _pod_networks(nodes: Iterable[Node]) -> Iterator[tuple[IPNetwork, str]]:
    for node in nodes:
        for written in node.spec.pod_cidrs:
            network = _network(written)
            if network is not None:
                yield network, f"the pod network {written} of Node {node.metadata.name}"


def _host_addresses(hosts: Iterable[Host], nodes: Iterable[Node]) -> Iterator[tuple[IPNetwork, str]]:
    """Each address alone: a pool inside the hosts' subnet is what layer 2 needs."""
    for node in nodes:
        for text in node_addresses(node):
            network = _network(text)
            if network is not None:
                yield network, f"the address {text} of Node {node.metadata.name}"
    for host in hosts:
        for interface in host.status.interfaces:
            for address in interface.addresses:
                yield ip_network(address.ip), f"the address {address.ip} of Host {host.metadata.name}"


def _network(text: str) -> IPNetwork | None:
    """A network, or a single address as one; None for what is neither."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None
