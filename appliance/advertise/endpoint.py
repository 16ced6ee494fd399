"""What the EndpointSlices of a Service say of where it is served."""

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.api.address import Family
from appliance.api.core import Endpoint, EndpointSlice, FamilyName

SERVICE_LABEL = "kubernetes.io/service-name"

Slices = tuple[EndpointSlice, ...]
_FAMILY_NAMES = {Family.IPV4: FamilyName.IPV4, Family.IPV6: FamilyName.IPV6}


@dataclass(frozen=True, slots=True)
class Serving:
    """Whether a Service has an endpoint that can serve, and the hosts that have one."""

    anywhere: bool = False
    hosts: frozenset[str] = frozenset()


_NOWHERE = Serving()


def slices_by_service(slices: Iterable[EndpointSlice]) -> dict[str, Slices]:
    """The slices of each Service (`namespace/name`), in name order."""
    found: dict[str, list[EndpointSlice]] = {}
    for piece in sorted(slices, key=lambda piece: (piece.metadata.namespace, piece.metadata.name)):
        service = piece.metadata.labels.get(SERVICE_LABEL)
        if service:
            found.setdefault(f"{piece.metadata.namespace}/{service}", []).append(piece)
    return {service: tuple(own) for service, own in found.items()}


def of_family(slices: Iterable[EndpointSlice], family: Family) -> Iterable[EndpointSlice]:
    """The slices with addresses of a family."""
    name = _FAMILY_NAMES[family]
    return [piece for piece in slices if piece.address_type is name]


def is_ready(endpoint: Endpoint) -> bool:
    """Whether an endpoint takes new connections; not known means yes."""
    return endpoint.conditions.ready is not False


def can_serve(endpoint: Endpoint) -> bool:
    """Whether an endpoint is ready, or terminating and serving still."""
    return is_ready(endpoint) or endpoint.conditions.serving is True


def serving(slices: Iterable[EndpointSlice], family: Family) -> Serving:
    """Where the endpoints of a family can serve."""
    pieces = of_family(slices, family)
    hosts = [endpoint.node_name for piece in pieces for endpoint in piece.endpoints if can_serve(endpoint)]
    return Serving(True, frozenset(filter(None, hosts))) if hosts else _NOWHERE
