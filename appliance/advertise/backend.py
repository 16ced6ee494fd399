"""The endpoints behind each port of an address, and the host each runs on."""

from collections.abc import Iterable, Iterator, Mapping

from appliance.advertise.endpoint import Slices, is_ready, of_family
from appliance.api.address import IPAddress, family_of, parse_address
from appliance.api.core import Endpoint, EndpointSlice, Service, ServicePort
from appliance.api.pierhead import Backend, BackendPort, BackendsSpec


def backends(address: IPAddress, services: Iterable[Service], slices: Mapping[str, Slices]) -> BackendsSpec:
    """Everything behind an address, given the slices of each Service (`namespace/name`)."""
    family = family_of(address)
    ports = []
    for service in services:
        pieces = of_family(slices.get(f"{service.metadata.namespace}/{service.metadata.name}", ()), family)
        ports += [_port(service, port, pieces) for port in service.spec.ports]
    ports.sort(key=lambda port: (port.protocol, port.port))
    return BackendsSpec(address=address, ports=tuple(ports))


def _port(service: Service, port: ServicePort, pieces: Iterable[EndpointSlice]) -> BackendPort:
    found = {}
    for piece in pieces:
        for target in _targets(port, piece):
            for endpoint in piece.endpoints:
                if (backend := _backend(endpoint, target)) is not None:
                    found[_place(backend)] = backend
    return BackendPort(
        protocol=port.protocol,
        port=port.port,
        external_traffic_policy=service.spec.external_traffic_policy,
        session_affinity=service.spec.session_affinity,
        backends=tuple([found[place] for place in sorted(found)]),
    )


def _targets(port: ServicePort, piece: EndpointSlice) -> Iterator[int]:
    """The numbers a slice has for a port; an entry without a number says nothing, as kube-proxy takes it."""
    for found in piece.ports:
        if found.name == port.name and found.protocol is port.protocol and found.port is not None:
            yield found.port


def _backend(endpoint: Endpoint, target: int) -> Backend | None:
    """An endpoint as a backend, by its first address; none where it stands on no host.

    Whatever is listed is told, ready or not: a backend that gets no new connections may hold open ones.
    """
    if not endpoint.node_name or not endpoint.addresses:
        return None
    try:
        address = parse_address(endpoint.addresses[0])
    except ValueError:
        return None
    conditions = endpoint.conditions
    terminating = conditions.terminating is True
    serving = is_ready(endpoint) or (terminating and conditions.serving is not False)
    return Backend(address=address, port=target, host=endpoint.node_name, serving=serving, terminating=terminating)


def _place(backend: Backend) -> tuple[str, int, int, int]:
    return backend.host, backend.address.version, int(backend.address), backend.port
