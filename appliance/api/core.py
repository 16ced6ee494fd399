"""The fields Pierhead reads of Kubernetes' own kinds (API reference v1, discovery.k8s.io/v1)."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from appliance.api.meta import Metadata
from appliance.api.text import ObjectName, OptionalName, shown
from appliance.api.value import Integer, partial_value, value

BASIC_AUTH = "kubernetes.io/basic-auth"

PORT_MAX = 65535
PortNumber = Annotated[Integer, Field(ge=1, le=PORT_MAX)]


def _parse_target_port(text: object) -> object:
    """Refuse a number that is no port's; what is no number is the name of a container's port."""
    if isinstance(text, int) and not 1 <= text <= PORT_MAX:
        raise ValueError(f"a port is 1 to {PORT_MAX}, not {shown(text)}")
    return text


TargetPort = Annotated[int | str, BeforeValidator(_parse_target_port)]


class Protocol(StrEnum):
    """A Service port's transport."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class TrafficPolicy(StrEnum):
    """`externalTrafficPolicy`."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


class FamilyPolicy(StrEnum):
    """`ipFamilyPolicy`."""

    SINGLE_STACK = "SingleStack"
    PREFER_DUAL_STACK = "PreferDualStack"
    REQUIRE_DUAL_STACK = "RequireDualStack"


class FamilyName(StrEnum):
    """An entry of `ipFamilies`, and the `addressType` of a slice."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"
    FQDN = "FQDN"


class SessionAffinity(StrEnum):
    """`sessionAffinity`."""

    NONE = "None"
    CLIENT_IP = "ClientIP"


@partial_value
class ServicePort:
    """One port of a Service; `target_port` is a number or the name of a container port."""

    port: PortNumber
    name: str = ""
    protocol: Protocol = Protocol.TCP
    target_port: TargetPort | None = None


@partial_value
class ServiceSpec:
    """ServiceSpec."""

    type: str = "ClusterIP"
    ports: tuple[ServicePort, ...] = ()
    selector: Mapping[str, str] = field(default_factory=dict)
    cluster_ips: Annotated[tuple[str, ...], Field(alias="clusterIPs")] = ()
    cluster_ip: Annotated[str, Field(alias="clusterIP")] = ""
    ip_families: tuple[FamilyName, ...] = ()
    ip_family_policy: FamilyPolicy | None = None
    external_traffic_policy: TrafficPolicy = TrafficPolicy.CLUSTER
    session_affinity: SessionAffinity = SessionAffinity.NONE
    load_balancer_ip: Annotated[str, Field(alias="loadBalancerIP")] = ""
    load_balancer_class: str | None = None


@partial_value
class LoadBalancerIngress:
    """One entry of a Service's status; an entry may carry a host name and no address."""

    ip: str = ""
    ip_mode: str | None = None


@partial_value
class LoadBalancerStatus:
    """`status.loadBalancer`."""

    ingress: tuple[LoadBalancerIngress, ...] = ()


@partial_value
class ServiceStatus:
    """ServiceStatus."""

    load_balancer: LoadBalancerStatus = field(default_factory=LoadBalancerStatus)


@partial_value
class Service:
    """v1 Service."""

    metadata: Metadata
    spec: ServiceSpec = field(default_factory=ServiceSpec)
    status: ServiceStatus = field(default_factory=ServiceStatus)


@partial_value
class EndpointConditions:
    """Unknown (None) means ready and serving, as Kubernetes defines it."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


@partial_value
class Endpoint:
    """One endpoint of a slice."""

    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = field(default_factory=EndpointConditions)
    node_name: OptionalName = ""


@partial_value
class EndpointPort:
    """One port of a slice, matched to a Service port by name; no number = the slice says nothing of the port."""

    port: PortNumber | None = None
    name: str = ""
    protocol: Protocol = Protocol.TCP


@partial_value
class EndpointSlice:
    """discovery.k8s.io/v1 EndpointSlice; belongs to the Service its `kubernetes.io/service-name` label names."""

    metadata: Metadata
    address_type: FamilyName = FamilyName.IPV4
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


@partial_value
class NodeAddress:
    """One address of a Node."""

    type: str
    address: str


@partial_value
class NodeCondition:
    """One condition of a Node."""

    type: str
    status: str


@partial_value
class NodeSpec:
    """NodeSpec."""

    pod_cidrs: Annotated[tuple[str, ...], Field(alias="podCIDRs")] = ()


@partial_value
class NodeStatus:
    """NodeStatus."""

    addresses: tuple[NodeAddress, ...] = ()
    conditions: tuple[NodeCondition, ...] = ()


@partial_value
class Node:
    """v1 Node."""

    metadata: Metadata
    spec: NodeSpec = field(default_factory=NodeSpec)
    status: NodeStatus = field(default_factory=NodeStatus)


@partial_value
class Namespace:
    """v1 Namespace."""

    metadata: Metadata


@partial_value
class LeaseSpec:
    """LeaseSpec; times are RFC 3339 texts with microseconds, no holder = nobody has it."""

    holder_identity: str = ""
    lease_duration_seconds: Annotated[int | None, Field(ge=0, lt=2**31)] = None
    acquire_time: str = ""
    renew_time: str = ""
    lease_transitions: Annotated[int, Field(ge=0, lt=2**31)] = 0


@partial_value
class Lease:
    """coordination.k8s.io/v1 Lease."""

    metadata: Metadata
    spec: LeaseSpec = field(default_factory=LeaseSpec)


@partial_value
class InvolvedObject:
    """The object that an Event is about, by its `uid`: one that is made anew under the same name is another."""

    api_version: str = ""
    kind: str = ""
    namespace: OptionalName = ""
    name: OptionalName = ""
    uid: str = ""


@partial_value
class EventSource:
    """Who tells of an Event."""

    component: str = ""


@partial_value
class Event:
    """v1 Event, as `kubectl describe` shows it; times are RFC 3339 texts, `type` is Normal or Warning."""

    metadata: Metadata
    involved_object: InvolvedObject = field(default_factory=InvolvedObject)
    reason: str = ""
    message: str = ""
    type: str = ""
    source: EventSource = field(default_factory=EventSource)
    reporting_component: str = ""
    first_timestamp: str = ""
    last_timestamp: str = ""
    count: Annotated[int, Field(ge=0, lt=2**31)] = 0


def decode_base64(text: object) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return base64.b64decode(text if isinstance(text, str) else "not base64", validate=True)
    except binascii.Error:
        raise ValueError("is not base64") from None


Base64 = Annotated[
    bytes,
    BeforeValidator(decode_base64),
    PlainSerializer(lambda content: base64.b64encode(content).decode()),
    WithJsonSchema({"type": "string"}),
]


@partial_value
class Secret:
    """v1 Secret."""

    metadata: Metadata
    type: str = "Opaque"
    data: Mapping[str, Base64] = field(default_factory=dict, repr=False)
    string_data: Mapping[str, str] = field(default_factory=dict, repr=False)

    def text(self, key: str) -> str | None:
        """The value of a key as text, whichever of the two maps holds it; None where it is absent or no UTF-8."""
        if key in self.string_data:
            return self.string_data[key]
        try:
            return self.data[key].decode() if key in self.data else None
        except UnicodeDecodeError:
            return None


@value
class SecretReference:
    """Names a Secret."""

    name: OptionalName = ""
    namespace: OptionalName = ""


@value
class ObjectReference:
    """Names a namespaced object of a kind the field's meaning tells."""

    namespace: ObjectName
    name: ObjectName

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def node_addresses(node: Node) -> tuple[str, ...]:
    """The texts of a Node's internal and external addresses."""
    return tuple(entry.address for entry in node.status.addresses if entry.type in ("InternalIP", "ExternalIP"))
