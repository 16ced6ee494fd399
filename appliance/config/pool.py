"""IPAddressPools: their meaning, and what is wrong with each alone."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_network

from appliance.api.address import AddressRange, IPNetwork
from appliance.api.kind import ref_of
from appliance.api.metallb import IPAddressPool, ServiceAllocation
from appliance.api.problem import Problem
from appliance.config.label_index import LabelIndex
from appliance.config.model import Pool
from appliance.config.selector import repeated, selector_problems

# RFC 6890 and RFC 4291: what no packet from another machine ever comes to.
_UNREACHABLE: tuple[tuple[IPNetwork, str], ...] = tuple(
    (ip_network(written), f"{what} ({written})")
    for written, what in (
        ("0.0.0.0/32", "the unspecified address"),
        ("127.0.0.0/8", "loopback addresses"),
        ("169.254.0.0/16", "link-local addresses"),
        ("224.0.0.0/4", "multicast addresses"),
        ("255.255.255.255/32", "the broadcast address"),
        ("::/128", "the unspecified address"),
        ("::1/128", "the loopback address"),
        ("::ffff:0:0/96", "IPv4-mapped addresses"),
        ("fe80::/10", "link-local addresses"),
        ("ff00::/8", "multicast addresses"),
    )
)


def pools_of(manifests: Iterable[IPAddressPool], namespaces: LabelIndex) -> dict[str, Pool]:
    """Pools by name, in the order given."""
    return {manifest.metadata.name: _pool(manifest, namespaces) for manifest in manifests}


def _pool(manifest: IPAddressPool, namespaces: LabelIndex) -> Pool:
    spec = manifest.spec
    allocation = spec.service_allocation or ServiceAllocation()
    return Pool(
        ref=ref_of(manifest),
        ranges=spec.addresses,
        auto_assign=spec.auto_assign,
        avoid_buggy_ips=spec.avoid_buggy_ips,
        pinned=spec.service_allocation is not None,
        priority=allocation.priority,
        namespaces=_admitted(allocation, namespaces),
        service_selectors=allocation.service_selectors,
        labels=manifest.metadata.labels,
    )


def _admitted(allocation: ServiceAllocation, namespaces: LabelIndex) -> frozenset[str] | None:
    """The namespaces a pool is for, None for any; selectors that match no namespace admit none."""
    if not allocation.namespaces and not allocation.namespace_selectors:
        return None
    return frozenset(allocation.namespaces) | namespaces.matching(allocation.namespace_selectors)


def _meet(run: AddressRange, network: IPNetwork) -> bool:
    same_family = run.first.version == network.version
    return same_family and int(run.first) <= int(network[-1]) and int(network[0]) <= int(run.last)


def pool_problems(manifest: IPAddressPool) -> Iterator[Problem]:
    """What is wrong with a pool whatever stands beside it."""
    ref, allocation = ref_of(manifest), manifest.spec.service_allocation
    for index, run in enumerate(manifest.spec.addresses):
        held = next((what for network, what in _UNREACHABLE if _meet(run, network)), None)
        if held:
            yield Problem(ref, f"spec.addresses[{index}]", f"{run.text} holds {held}")
    if allocation is None:
        return
    path = "spec.serviceAllocation"
    yield from repeated(ref, f"{path}.namespaces", allocation.namespaces)
    yield from selector_problems(ref, f"{path}.namespaceSelectors", allocation.namespace_selectors)
    yield from selector_problems(ref, f"{path}.serviceSelectors", allocation.service_selectors)
