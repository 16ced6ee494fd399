"""MetalLB's kinds, group `metallb.io` (its API reference; fields that only its FRR modes accept are accepted here)."""

from dataclasses import field
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from appliance.api.address import Address, Range
from appliance.api.core import SecretReference
from appliance.api.duration import Duration
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata
from appliance.api.text import InterfaceName, OptionalInterfaceName, OptionalName, SessionPassword
from appliance.api.value import value

COUNT_MAX = 2**63 - 1  # what the API server takes for a number
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Uint32 = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
ASN = Annotated[int, Field(ge=1, le=0xFFFFFFFF)]


@value
class ServiceAllocation:
    """Which Services may use a pool, and how early it is tried (0 = last)."""

    priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0
    namespaces: tuple[str, ...] = ()
    namespace_selectors: tuple[LabelSelector, ...] = ()
    service_selectors: tuple[LabelSelector, ...] = ()


@value
class IPAddressPoolSpec:
    """IPAddressPoolSpec."""

    addresses: Annotated[tuple[Range, ...], Field(min_length=1)]
    auto_assign: bool = True
    avoid_buggy_ips: Annotated[bool, Field(alias="avoidBuggyIPs")] = False
    service_allocation: ServiceAllocation | None = None


@value
class IPAddressPoolStatus:
    """How many distinct addresses are given and left, by family; COUNT_MAX stands for any larger number."""

    assigned_ipv4: Annotated[Count, Field(alias="assignedIPv4")] = 0
    assigned_ipv6: Annotated[Count, Field(alias="assignedIPv6")] = 0
    available_ipv4: Annotated[Count, Field(alias="availableIPv4")] = 0
    available_ipv6: Annotated[Count, Field(alias="availableIPv6")] = 0


@value
class IPAddressPool:
    """metallb.io/v1beta1 IPAddressPool."""

    metadata: Metadata
    spec: IPAddressPoolSpec
    status: IPAddressPoolStatus = field(default_factory=IPAddressPoolStatus)


@value
class PreferredNodeSelector:
    """A soft preference: matching nodes gain `weight`."""

    weight: Annotated[int, Field(ge=1, le=100)]
    preference: LabelSelector


@value
class L2AdvertisementSpec:
    """L2AdvertisementSpec."""

    ip_address_pools: tuple[str, ...] = ()
    ip_address_pool_selectors: tuple[LabelSelector, ...] = ()
    node_selectors: tuple[LabelSelector, ...] = ()
    interfaces: tuple[InterfaceName, ...] = ()
    service_selectors: tuple[LabelSelector, ...] = ()
    preferred_node_selectors: tuple[PreferredNodeSelector, ...] = ()


@value
class EmptyStatus:
    """A status that has no fields."""


@value
class L2Advertisement:
    """metallb.io/v1beta1 L2Advertisement."""

    metadata: Metadata
    spec: L2AdvertisementSpec = field(default_factory=L2AdvertisementSpec)
    status: EmptyStatus = field(default_factory=EmptyStatus)


@value
class BGPAdvertisementSpec:
    """BGPAdvertisementSpec; an entry of `communities` is a community or the alias of one."""

    aggregation_length: Annotated[int, Field(ge=1, le=32)] = 32
    aggregation_length_v6: Annotated[int, Field(ge=1, le=128, alias="aggregationLengthV6")] = 128
    local_pref: Uint32 = 0
    communities: tuple[str, ...] = ()
    ip_address_pools: tuple[str, ...] = ()
    ip_address_pool_selectors: tuple[LabelSelector, ...] = ()
    node_selectors: tuple[LabelSelector, ...] = ()
    peers: tuple[str, ...] = ()
    service_selectors: tuple[LabelSelector, ...] = ()


@value
class BGPAdvertisement:
    """metallb.io/v1beta1 BGPAdvertisement."""

    metadata: Metadata
    spec: BGPAdvertisementSpec = field(default_factory=BGPAdvertisementSpec)
    status: EmptyStatus = field(default_factory=EmptyStatus)


class DynamicASN(StrEnum):
    """Learn the peer's AS number, and refuse one that is (external) or is not (internal) ours."""

    INTERNAL = "internal"
    EXTERNAL = "external"


@value
class BGPPeerSpec:
    """BGPPeerSpec v1beta2; times in seconds, None where the operator left them out."""

    my_asn: Annotated[ASN, Field(alias="myASN")]
    peer_asn: Annotated[Uint32, Field(alias="peerASN")] = 0
    dynamic_asn: Annotated[DynamicASN | None, Field(alias="dynamicASN")] = None
    local_asn: Annotated[ASN | None, Field(alias="localASN")] = None
    peer_address: Address | None = None
    interface: OptionalInterfaceName = ""
    source_address: Address | None = None
    peer_port: Annotated[int, Field(ge=0, le=16384)] = 179
    hold_time: Duration | None = None
    keepalive_time: Duration | None = None
    connect_time: Duration | None = None
    router_id: Annotated[Address | None, Field(alias="routerID")] = None
    node_selectors: tuple[LabelSelector, ...] = ()
    password: SessionPassword = field(default="", repr=False)
    password_secret: SecretReference | None = None
    bfd_profile: OptionalName = ""
    enable_graceful_restart: bool = False
    ebgp_multi_hop: bool = False
    vrf: OptionalInterfaceName = ""
    disable_mp: Annotated[bool, Field(alias="disableMP")] = False
    dual_stack_address_family: bool = False


@value
class BGPPeer:
    """metallb.io/v1beta2 BGPPeer; v1beta1 holds a subset of the same fields."""

    metadata: Metadata
    spec: BGPPeerSpec
    status: EmptyStatus = field(default_factory=EmptyStatus)


@value
class BFDProfileSpec:
    """BFDProfileSpec; intervals in milliseconds, None where the operator left them out."""

    receive_interval: Annotated[int | None, Field(ge=10, le=60000)] = None
    transmit_interval: Annotated[int | None, Field(ge=10, le=60000)] = None
    echo_interval: Annotated[int | None, Field(ge=10, le=60000)] = None
    detect_multiplier: Annotated[int | None, Field(ge=2, le=255)] = None
    minimum_ttl: Annotated[int | None, Field(ge=1, le=254)] = None
    echo_mode: bool = False
    passive_mode: bool = False


@value
class BFDProfile:
    """metallb.io/v1beta1 BFDProfile."""

    metadata: Metadata
    spec: BFDProfileSpec = field(default_factory=BFDProfileSpec)
    status: EmptyStatus = field(default_factory=EmptyStatus)


@value
class CommunityAlias:
    """A name for a community."""

    name: str
    value: str


@value
class CommunitySpec:
    """CommunitySpec."""

    communities: tuple[CommunityAlias, ...] = ()


@value
class Community:
    """metallb.io/v1beta1 Community."""

    metadata: Metadata
    spec: CommunitySpec = field(default_factory=CommunitySpec)
    status: EmptyStatus = field(default_factory=EmptyStatus)
