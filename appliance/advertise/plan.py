"""The planned order of the hosts that may own an address."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
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


def load_of(present: Iterable[VirtualIP]) -> Counter[str]:
    """For how many addresses each host is first; leave out the address that is about to be planned."""
    return Counter(owner for owner in map(present_owner, present) if owner)


def tie_break(host: str, address_text: str) -> bytes:
    """What MetalLB orders hosts by, from an address's canonical text: the smallest digest wins."""
    return sha256(f"{host}#{address_text}".encode()).digest()


def candidates(
    address: IPAddress,
    hosts: Iterable[SiteHost],
    ads: Sequence[L2Ad],
    owner: str = "",
    load: Mapping[str, int] | None = None,
    *,
    order: CandidateOrder = CandidateOrder.SPREAD,
) -> tuple[str, ...]:
    """The hosts that may own an address, best first, at most CANDIDATES_MAX; a present owner stays among them.

    `load` is for how many addresses each host is first.
    """
    ranks = {host.name: _rank(address, host, ads, order) for host in hosts}
    if not ranks:
        return ()
    text = str(address)
    ordered = sorted(ranks, key=lambda name: (ranks[name], tie_break(name, text)))
    if order is CandidateOrder.HASH:
        return tuple(ordered[:CANDIDATES_MAX])
    carried = load or {}
    best = [name for name in ordered if ranks[name] == ranks[ordered[0]]]
    first = owner if owner in best else min(best, key=lambda name: carried.get(name, 0))
    planned = [first, *(name for name in ordered if name != first)][:CANDIDATES_MAX]
    if owner in ranks and owner not in planned:
        planned[-1] = owner
    return tuple(planned)


def _rank(address: IPAddress, host: SiteHost, ads: Sequence[L2Ad], order: CandidateOrder) -> tuple[bool, int]:
    """Smaller is better: hosts in the address's subnet, then those with the most preference."""
    preferred, on_link = 0, order is CandidateOrder.HASH
    for ad in ads:
        if any_matches(ad.node_selectors, host.labels):
            on_link = on_link or host.is_on_link(address, ad.interfaces)
            preferred += sum(entry.weight for entry in ad.preferences if entry.preference.matches(host.labels))
    return not on_link, -preferred
