"""Which Services may share an address."""

from dataclasses import replace

import pytest

from appliance.api.core import LoadBalancerIngress, LoadBalancerStatus, Service, ServiceStatus
from appliance.ipam.sharing import sharing_warnings
from tests.unit.ipam.sample import service


def holding(plain: Service, ip: str) -> Service:
    """A Service that was told an address."""
    status = LoadBalancerStatus(ingress=(LoadBalancerIngress(ip=ip),))
    return replace(plain, status=ServiceStatus(load_balancer=status))


BARE = service("bare", key="k", local=True, app="", ports=(443,))


@pytest.mark.parametrize(
    ("first", "second", "is_told"),
    [
        (BARE, service("x", key="k"), True),
        (holding(BARE, "10.0.0.1"), holding(service("x", key="k"), "10.0.0.1"), True),
        (holding(BARE, "10.0.0.1"), holding(service("x", key="k"), "10.0.0.2"), False),
        (BARE, service("x", key="other"), False),
        (BARE, service("x", key="k", local=True, app=""), False),
        (replace(BARE, spec=replace(BARE.spec, selector={"app": "bare"})), service("x", key="k"), False),
        (replace(BARE, spec=replace(BARE.spec, type="ClusterIP")), service("x", key="k"), False),
        (service("y", key="k", app=""), service("x", key="k"), False),
    ],
)
def test_an_empty_selector_under_local_is_warned_of(first: Service, second: Service, is_told: bool) -> None:
    """Where MetalLB lets it share an address with a Service under Cluster, and only there."""
    warnings = list(sharing_warnings([second, first]))
    assert [str(warning.ref) for warning in warnings] == (["Service default/bare"] if is_told else [])
