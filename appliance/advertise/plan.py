"""The planned order of the hosts that may own an address."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256

from appliance.advertise.host import SiteHost
from appliance.api.address import IPAddress
from appliance.api.label import any_matches
from appliance.api.pierhead import CANDIDATES_MAX, VirtualIP
from appliance.config.model import L2Ad


class CandidateOrder(Enum):
    """How owners are chosen among hosts of equal rank."""

    SPREAD = "the present owner first, else the host that is first for the fewest addresses"
    HASH = "MetalLB's order, whatever each host carries already"


def present_owner(present: VirtualIP | None) -> str:
    """The host that answers for an address now, or was planned to; empty where there is none."""
    if present is None:
        return ""
    if present.status.owner is not None:
        return present.status.owner.host
    layer2 = present.spec.layer2
    return layer2.candidates[0] if layer2 and layer2.candidates else ""


@dataclass(frozen=True, slots=True)
class RankedHost:
    """A host that may own the addresses of some advertisements, with all of its rank that is alike for them.

    `networks` are the subnets (IP version, first and last address) it is on by interfaces the advertisements name, None
    where that plays no part; `subnet_ends` are the addresses it cannot announce.
    """

    name: str
    preference: int = 0
    networks: tuple[tuple[int, int, int], ...] | None = None
    subnet_ends: frozenset[IPAddress] = frozenset()


def ranked_hosts(
    hosts: Iterable[SiteHost], ads: Sequence[L2Ad], order: CandidateOrder = CandidateOrder.SPREAD
) -> tuple[RankedHost, ...]:
    """Hosts as candidates for every address of some advertisements."""
    found = []
    for host in hosts:
        own = [ad for ad in ads if any_matches(ad.node_selectors, host.labels)]
        weights = (entry.weight for ad in own for entry in ad.preferences if entry.preference.matches(host.labels))
        networks = {
            (network.version, int(network.network_address), int(network.broadcast_address))
            for ad in own
            for network in host.networks_of(ad.interfaces)
        }
        is_by_network = order is not CandidateOrder.HASH
        found.append(
            RankedHost(host.name, sum(weights), tuple(sorted(networks)) if is_by_network else None, host.subnet_ends)
        )
    return tuple(found)


def candidates(
    address: IPAddress,
    hosts: Iterable[RankedHost],
    owner: str = "",
    load: Mapping[str, int] | None = None,
    *,
    order: CandidateOrder = CandidateOrder.SPREAD,
) -> tuple[str, ...]:
    """The hosts that may own an address, best first, at most CANDIDATES_MAX; a present owner stays among them.

    Hosts in the address's subnet go first, then those with the most preference, then MetalLB's order: the smallest
    digest of `host#address`. `load` is for how many addresses each host is first.
    """
    number, version, text = int(address), address.version, f"#{address}"
    ranks = [
        (
            host.networks is not None and not _is_in(version, number, host.networks),
            -host.preference,
            sha256((host.name + text).encode()).digest(),
            host.name,
        )
        for host in hosts
    ]
    if not ranks:
        return ()
    ranks.sort()
    names = [rank[3] for rank in ranks]
    if order is CandidateOrder.HASH:
        return tuple(names[:CANDIDATES_MAX])
    carried = load or {}
    best = [rank[3] for rank in ranks if rank[:2] == ranks[0][:2]]
    first = owner if owner in best else min(best, key=lambda name: carried.get(name, 0))
    names.remove(first)
    planned = [first, *names[: CANDIDATES_MAX - 1]]
    if owner not in planned and owner in names:
        planned[-1] = owner
    return tuple(planned)


def _is_in(version: int, number: int, networks: tuple[tuple[int, int, int], ...]) -> bool:
    return any(first <= number <= last and version == network for network, first, last in networks)
