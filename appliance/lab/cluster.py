"""What a cluster would know of the lab: its Nodes, and the EndpointSlices its controllers would write."""

from collections.abc import Iterable

from appliance.api.core import (
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSlice,
    FamilyName,
    FamilyPolicy,
    Node,
    NodeAddress,
    NodeCondition,
    NodeSpec,
    NodeStatus,
    Service,
    ServicePort,
)
from appliance.api.meta import Metadata
from appliance.lab.topology import LabBackend, LabHost, Topology

BACKEND_LABELS = {"app": "echo"}
SERVICE_NAME_LABEL = "kubernetes.io/service-name"


def nodes(topology: Topology) -> tuple[Node, ...]:
    """A Node for every host."""
    return tuple(_node(host) for host in topology.hosts)


def _node(host: LabHost) -> Node:
    return Node(
        metadata=Metadata(name=host.name, labels={"kubernetes.io/hostname": host.name}),
        spec=NodeSpec(pod_cidrs=(str(host.pods4.network), str(host.pods6.network))),
        status=NodeStatus(
            addresses=tuple(
                NodeAddress(type="InternalIP", address=str(address.ip)) for address in (host.ipv4, host.ipv6)
            ),
            conditions=(NodeCondition(type="Ready", status="True"),),
        ),
    )


def slices(topology: Topology, services: Iterable[Service], unready: frozenset[str]) -> tuple[EndpointSlice, ...]:
    """The slices of every Service whose selector the lab's backends match; `unready` names backends."""
    return tuple(
        _slice(topology, service, family, unready)
        for service in services
        if selects_backends(service)
        for family in families(service)
    )


def selects_backends(service: Service) -> bool:
    """Whether the lab's backends stand behind a Service; one without a selector is nobody's to fill."""
    selector = service.spec.selector
    return bool(selector) and selector.items() <= BACKEND_LABELS.items()


def families(service: Service) -> tuple[FamilyName, ...]:
    """The families of a Service's endpoints, IPv4 alone where it says nothing."""
    spec = service.spec
    if spec.ip_families:
        return spec.ip_families
    dual = spec.ip_family_policy in (FamilyPolicy.PREFER_DUAL_STACK, FamilyPolicy.REQUIRE_DUAL_STACK)
    return (FamilyName.IPV4, FamilyName.IPV6) if dual else (FamilyName.IPV4,)


def _slice(topology: Topology, service: Service, family: FamilyName, unready: frozenset[str]) -> EndpointSlice:
    name = service.metadata.name
    return EndpointSlice(
        metadata=Metadata(
            name=f"{name}-{family.value.lower()}",
            namespace=service.metadata.namespace,
            labels={SERVICE_NAME_LABEL: name},
        ),
        address_type=family,
        endpoints=tuple(_endpoint(backend, family, backend.name not in unready) for backend in topology.backends),
        ports=tuple(
            EndpointPort(name=port.name, port=_target(port), protocol=port.protocol) for port in service.spec.ports
        ),
    )


def _endpoint(backend: LabBackend, family: FamilyName, ready: bool) -> Endpoint:
    address = backend.ipv6 if family is FamilyName.IPV6 else backend.ipv4
    conditions = EndpointConditions(ready=ready, serving=ready, terminating=False)
    return Endpoint(addresses=(str(address.ip),), conditions=conditions, node_name=backend.host)


def _target(port: ServicePort) -> int:
    return port.target_port if isinstance(port.target_port, int) else port.port
