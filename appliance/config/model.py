"""What MetalLB's manifests mean once every default, reference and rule has been worked out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from appliance.api.address import AddressRange, Family, IPAddress
from appliance.api.community import CommunityNumber
from appliance.api.label import LabelSelector, any_matches
from appliance.api.meta import Ref
from appliance.api.metallb import BFDProfileSpec, BGPPeerSpec, PreferredNodeSelector
from appliance.api.problem import Problem


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of addresses; `namespaces` None = any, `priority` 0 = last, `pinned` = has a `serviceAllocation`."""

    ref: Ref
    ranges: tuple[AddressRange, ...]
    auto_assign: bool = True
    avoid_buggy_ips: bool = False
    pinned: bool = False
    priority: int = 0
    namespaces: frozenset[str] | None = None
    service_selectors: tuple[LabelSelector, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The pool's name, which is unique."""
        return self.ref.name

    @property
    def families(self) -> frozenset[Family]:
        """The families the pool has addresses of."""
        return frozenset(run.family for run in self.ranges)

    def __contains__(self, address: IPAddress) -> bool:
        return any(address in run for run in self.ranges)

    def admits(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether a Service of a namespace and with some labels may have an address of this pool."""
        return (self.namespaces is None or namespace in self.namespaces) and any_matches(self.service_selectors, labels)


@dataclass(frozen=True, slots=True)
class L2Ad:
    """An L2Advertisement and the names of the pools it announces; no interface = all."""

    ref: Ref
    pools: tuple[str, ...]
    interfaces: tuple[str, ...] = ()
    node_selectors: tuple[LabelSelector, ...] = ()
    service_selectors: tuple[LabelSelector, ...] = ()
    preferences: tuple[PreferredNodeSelector, ...] = ()


@dataclass(frozen=True, slots=True)
class BGPAd:
    """A BGPAdvertisement, the names of the pools it announces, its communities resolved; no peer = all."""

    ref: Ref
    pools: tuple[str, ...]
    aggregation_length: int = 32
    aggregation_length_v6: int = 128
    local_preference: int = 0
    communities: tuple[CommunityNumber, ...] = ()
    peers: tuple[str, ...] = ()
    node_selectors: tuple[LabelSelector, ...] = ()
    service_selectors: tuple[LabelSelector, ...] = ()

    def length(self, family: Family) -> int:
        """The prefix length it announces addresses of a family with."""
        return self.aggregation_length if family is Family.IPV4 else self.aggregation_length_v6


@dataclass(frozen=True, slots=True)
class Peer:
    """A BGPPeer and its BFD profile, if it names one."""

    ref: Ref
    spec: BGPPeerSpec
    bfd: BFDProfileSpec | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """Everything operators configured; maps are by object name, `l2_by_pool` and `bgp_by_pool` by pool name."""

    pools: Mapping[str, Pool] = field(default_factory=dict)
    peers: Mapping[str, Peer] = field(default_factory=dict)
    communities: Mapping[str, CommunityNumber] = field(default_factory=dict)
    l2_ads: tuple[L2Ad, ...] = ()
    bgp_ads: tuple[BGPAd, ...] = ()
    l2_by_pool: Mapping[str, tuple[L2Ad, ...]] = field(default_factory=dict)
    bgp_by_pool: Mapping[str, tuple[BGPAd, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A configuration, or None where there are problems; warnings never stand in its way.

    `faults` are those of the problems that make the meaning of an object doubtful; a name of nothing, or one written
    twice, does not. `draft` is what the manifests mean with mistakes passed over: to act upon only without faults.
    """

    config: Config | None
    problems: tuple[Problem, ...] = ()
    faults: tuple[Problem, ...] = field(default=(), kw_only=True)
    warnings: tuple[Problem, ...] = ()
    draft: Config = field(default_factory=Config)
