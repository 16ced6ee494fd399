"""MetalLB's kinds, group `metallb.io` (its API reference; fields that only its FRR modes accept are accepted here).

Operators write all but the last three kinds; those, and the status of a pool, the allocator writes, for users and tools
that know them from MetalLB. Nothing is decided by what they say.
"""

from dataclasses import field
from enum import StrEnum
from typing import Annotated

from pydantic import Field, WithJsonSchema

from appliance.api.address import Address, Range
from appliance.api.community import COMMUNITY_SCHEMA
from appliance.api.core import SecretReference
from appliance.api.duration import Duration
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata
from appliance.api.text import InterfaceName, OptionalInterfaceName, OptionalName, SessionPassword
from appliance.api.value import Boolean, Integer, partial_value, value

COUNT_MAX = 2**63 - 1  # what the API server takes for a number
Count = Annotated[Integer, Field(ge=0, le=COUNT_MAX)]
Uint32 = Annotated[Integer, Field(ge=0, le=0xFFFFFFFF)]
ASN = Annotated[Integer, Field(ge=1, le=0xFFFFFFFF)]

# Far beyond what anybody writes; without an end the API server could not bound what a rule for each entry costs.
_ADDRESSES_MAX = 2000
_ALIASES_MAX = 1000
_SELECTORS_MAX = 1000
Selectors = Annotated[tuple[LabelSelector, ...], Field(max_length=_SELECTORS_MAX)]


@value
class ServiceAllocation:
    """Which Services may use a pool, and how early it is tried (0 = last)."""

    priority: Annotated[Integer, Field(ge=-(2**31), lt=2**31)] = 0
    namespaces: tuple[str, ...] = ()
    namespace_selectors: Selectors = ()
    service_selectors: Selectors = ()


@value
class IPAddressPoolSpec:
    """IPAddressPoolSpec."""

    addresses: Annotated[tuple[Range, ...], Field(min_length=1, max_length=_ADDRESSES_MAX)]
    auto_assign: Boolean = True
    avoid_buggy_ips: Annotated[Boolean, Field(alias="avoidBuggyIPs")] = False
    service_allocation: ServiceAllocation | None = None


@partial_value
class IPAddressPoolStatus:
    """How many distinct addresses are given and left, by family; COUNT_MAX stands for any larger number.

    The allocator writes all four (MetalLB's schema requires them, a 0 too); absent = nobody has counted yet.
    """

    assigned_ipv4: Annotated[Count | None, Field(alias="assignedIPv4")] = None
    assigned_ipv6: Annotated[Count | None, Field(alias="assignedIPv6")] = None
    available_ipv4: Annotated[Count | None, Field(alias="availableIPv4")] = None
    available_ipv6: Annotated[Count | None, Field(alias="availableIPv6")] = None


@value
class IPAddressPool:
    """metallb.io/v1beta1 IPAddressPool."""

    metadata: Metadata
    spec: IPAddressPoolSpec
    status: IPAddressPoolStatus = field(default_factory=IPAddressPoolStatus)


@value
class PreferredNodeSelector:
    """A soft preference: matching nodes gain `weight`."""

    weight: Annotated[Integer, Field(ge=1, le=100)]
    preference: LabelSelector


@value
class L2AdvertisementSpec:
    """L2AdvertisementSpec."""

    ip_address_pools: tuple[str, ...] = ()
    ip_address_pool_selectors: Selectors = ()
    node_selectors: Selectors = ()
    interfaces: tuple[InterfaceName, ...] = ()
    service_selectors: Selectors = ()
    preferred_node_selectors: Annotated[tuple[PreferredNodeSelector, ...], Field(max_length=_SELECTORS_MAX)] = ()


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

    aggregation_length: Annotated[Integer, Field(ge=1, le=32)] = 32
    aggregation_length_v6: Annotated[Integer, Field(ge=1, le=128, alias="aggregationLengthV6")] = 128
    local_pref: Uint32 = 0
    communities: tuple[str, ...] = ()
    ip_address_pools: tuple[str, ...] = ()
    ip_address_pool_selectors: Selectors = ()
    node_selectors: Selectors = ()
    peers: tuple[str, ...] = ()
    service_selectors: Selectors = ()


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
    """BGPPeerSpec; times are durations such as 90s, absent where the operator left them out."""

    my_asn: Annotated[ASN, Field(alias="myASN")]
    peer_asn: Annotated[Uint32, Field(alias="peerASN")] = 0
    dynamic_asn: Annotated[DynamicASN | None, Field(alias="dynamicASN")] = None
    local_asn: Annotated[ASN | None, Field(alias="localASN")] = None
    peer_address: Address | None = None
    interface: OptionalInterfaceName = ""
    source_address: Address | None = None
    peer_port: Annotated[Integer, Field(ge=0, le=16384)] = 179
    hold_time: Duration | None = None
    keepalive_time: Duration | None = None
    connect_time: Duration | None = None
    router_id: Annotated[Address | None, Field(alias="routerID")] = None
    node_selectors: Selectors = ()
    password: SessionPassword = field(default="", repr=False)
    password_secret: SecretReference | None = None
    bfd_profile: OptionalName = ""
    enable_graceful_restart: Boolean = False
    ebgp_multi_hop: Boolean = False
    vrf: OptionalInterfaceName = ""
    disable_mp: Annotated[Boolean, Field(alias="disableMP")] = False
    dual_stack_address_family: Boolean = False


@value
class BGPPeer:
    """metallb.io/v1beta2 BGPPeer; v1beta1 holds a subset of the same fields."""

    metadata: Metadata
    spec: BGPPeerSpec
    status: EmptyStatus = field(default_factory=EmptyStatus)


@value
class BFDProfileSpec:
    """BFDProfileSpec; intervals in milliseconds, absent where the operator left them out."""

    receive_interval: Annotated[Integer | None, Field(ge=10, le=60000)] = None
    transmit_interval: Annotated[Integer | None, Field(ge=10, le=60000)] = None
    echo_interval: Annotated[Integer | None, Field(ge=10, le=60000)] = None
    detect_multiplier: Annotated[Integer | None, Field(ge=2, le=255)] = None
    minimum_ttl: Annotated[Integer | None, Field(ge=1, le=254)] = None
    echo_mode: Boolean = False
    passive_mode: Boolean = False


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
    value: Annotated[str, COMMUNITY_SCHEMA]


@value
class CommunitySpec:
    """CommunitySpec."""

    communities: Annotated[tuple[CommunityAlias, ...], Field(max_length=_ALIASES_MAX)] = ()


@value
class Community:
    """metallb.io/v1beta1 Community."""

    metadata: Metadata
    spec: CommunitySpec = field(default_factory=CommunitySpec)
    status: EmptyStatus = field(default_factory=EmptyStatus)


NODE_LABEL = "metallb.io/node"
SERVICE_NAME_LABEL = "metallb.io/service-name"
SERVICE_NAMESPACE_LABEL = "metallb.io/service-namespace"
COMPONENT_LABEL = "metallb.io/component-type"
COMPONENT_NODE_LABEL = "metallb.io/node-name"

# As metav1.Condition has them.
_CONDITION_TYPE = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
)
_CONDITION_REASON = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


@partial_value
class InterfaceInfo:
    """An interface an address is answered for on."""

    name: str = ""


@partial_value
class MetalLBServiceL2Status:
    """Which host answers for a Service, and where (no interface = on all); the first three fields never change."""

    node: str = ""
    service_name: str = ""
    service_namespace: str = ""
    interfaces: tuple[InterfaceInfo, ...] = ()


@partial_value
class ServiceL2Status:
    """metallb.io/v1beta1 ServiceL2Status: the owner of a Service's address; written by the allocator, one a Service.

    Its labels are NODE_LABEL, SERVICE_NAME_LABEL and SERVICE_NAMESPACE_LABEL.
    """

    metadata: Metadata
    status: MetalLBServiceL2Status = field(default_factory=MetalLBServiceL2Status)


@partial_value
class MetalLBServiceBGPStatus:
    """The BGPPeers, sorted by name, that a host is to announce a Service to; the first three fields never change."""

    node: str = ""
    service_name: str = ""
    service_namespace: str = ""
    peers: tuple[str, ...] = ()


@partial_value
class ServiceBGPStatus:
    """metallb.io/v1beta1 ServiceBGPStatus: written by the allocator, one a Service and host.

    Its labels are those of a ServiceL2Status.
    """

    metadata: Metadata
    status: MetalLBServiceBGPStatus = field(default_factory=MetalLBServiceBGPStatus)


class ConfigurationResult(StrEnum):
    """Whether a configuration is in force as it is written."""

    VALID = "Valid"
    INVALID = "Invalid"
    UNKNOWN = "Unknown"


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@partial_value
class ConfigurationCondition:
    """A Kubernetes condition as MetalLB's schema has it: all but the generation is required, the message may be empty.

    `reason` is one word in CamelCase, `last_transition_time` an RFC 3339 text with a zone.
    """

    type: Annotated[str, Field(pattern=_CONDITION_TYPE, max_length=316)]
    status: ConditionStatus
    reason: Annotated[str, Field(pattern=_CONDITION_REASON, max_length=1024)]
    message: Annotated[str, Field(max_length=32768)]
    last_transition_time: Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
    observed_generation: Annotated[Integer, Field(ge=0, lt=2**63)] = 0


@partial_value
class ConfigurationStateStatus:
    """Whether what operators wrote is right, and what is wrong with it, one problem a line."""

    result: ConfigurationResult | None = None
    error_summary: str = ""
    conditions: tuple[ConfigurationCondition, ...] = ()


@partial_value
class ConfigurationState:
    """metallb.io/v1beta1 ConfigurationState: written by the allocator, as `controller` for itself.

    Its labels are COMPONENT_LABEL and, where it is about one host, COMPONENT_NODE_LABEL.
    """

    metadata: Metadata
    status: ConfigurationStateStatus = field(default_factory=ConfigurationStateStatus)
