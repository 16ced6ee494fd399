"""The endpoints behind each port of an address."""

import pytest

from appliance.advertise.backend import backends
from appliance.api.address import parse_address
from tests.unit.advertise.site import endpoint, service, site, slices

ROWS = [
    ("ready", "ready: true", (True, False)),
    ("unknown", "", (True, False)),
    ("not ready", "ready: false", (False, False)),
    ("terminating and serving", "ready: false, serving: true, terminating: true", (True, True)),
    ("terminating and not serving", "ready: false, serving: false, terminating: true", (False, True)),
]


@pytest.mark.parametrize(("conditions", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_conditions(conditions: str, expected: tuple[bool, bool]) -> None:
    """Whatever is listed is told, with whether it serves and whether it terminates: it may hold connections."""
    place, services = site(service() + slices(endpoint("x", conditions)))
    (port,) = backends(parse_address("10.0.0.1"), services, place.slices).ports
    (backend,) = port.backends
    assert (backend.host, backend.port) == ("x", 5678)
    assert (backend.serving, backend.terminating) == expected


def test_family_of_the_address_counts() -> None:
    """An IPv6 address has IPv6 backends."""
    text = service() + slices(endpoint("x")) + slices(endpoint("y", address="fc01::1"), family="IPv6")
    place, services = site(text)
    (port,) = backends(parse_address("fc00::1"), services, place.slices).ports
    assert [(backend.host, str(backend.address)) for backend in port.backends] == [("y", "fc01::1")]


def test_endpoint_on_no_host_is_left_out() -> None:
    """No host can be sent what is for an endpoint of nowhere."""
    place, services = site(service() + slices(endpoint("")))
    assert backends(parse_address("10.0.0.1"), services, place.slices).ports[0].backends == ()


def test_port_without_endpoints_is_there() -> None:
    """A port nobody serves is listed, so that hosts can refuse it."""
    place, services = site(service("Local"))
    (port,) = backends(parse_address("10.0.0.1"), services, place.slices).ports
    assert (port.port, port.external_traffic_policy, port.backends) == (80, "Local", ())


def test_each_endpoint_once_in_order() -> None:
    """Backends come by host and address, whatever the slices' order."""
    text = service() + slices(endpoint("y"), endpoint("x", address="10.244.9.9"), endpoint("y"))
    place, services = site(text)
    (port,) = backends(parse_address("10.0.0.1"), services, place.slices).ports
    assert [(backend.host, str(backend.address)) for backend in port.backends] == [
        ("x", "10.244.9.9"),
        ("y", "10.244.1.1"),
    ]


def test_a_slice_port_without_a_number_is_passed_over() -> None:
    """It says nothing of where to send a connection, and is no mistake."""
    text = (service() + slices(endpoint("x"))).replace("port: 5678", "appProtocol: http")
    place, services = site(text)
    (port,) = backends(parse_address("10.0.0.1"), services, place.slices).ports
    assert port.backends == ()
