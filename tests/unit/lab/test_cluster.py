"""What stands in for a cluster's controllers."""

from collections.abc import Mapping

import pytest

from appliance.api.core import FamilyName, FamilyPolicy, Service, ServicePort, ServiceSpec
from appliance.api.meta import Metadata
from appliance.lab.cluster import families, nodes, selects_backends, slices
from appliance.lab.topology import plan


def service(selector: Mapping[str, str], **spec: object) -> Service:
    """A Service `default/web` with one port that leads to 5678."""
    ports = (ServicePort(name="http", port=80, target_port=5678),)
    return Service(
        metadata=Metadata(name="web", namespace="default"),
        spec=ServiceSpec(ports=ports, selector=selector, **spec),  # type: ignore[arg-type]  # a test's shorthand
    )


def test_nodes_carry_their_host_name_label() -> None:
    """Advertisements select hosts by it."""
    assert [node.metadata.labels["kubernetes.io/hostname"] for node in nodes(plan(2))] == ["node-a", "node-b"]


@pytest.mark.parametrize(
    ("selector", "selected"),
    [({"app": "echo"}, True), ({}, False), ({"app": "other"}, False), ({"app": "echo", "tier": "x"}, False)],
)
def test_only_services_that_select_the_backends_get_slices(selector: Mapping[str, str], selected: bool) -> None:
    """A Service without a selector is nobody's to fill."""
    assert selects_backends(service(selector)) is selected
    assert bool(slices(plan(1), [service(selector)], frozenset())) is selected


@pytest.mark.parametrize(
    ("given", "policy", "expected"),
    [
        ((), None, (FamilyName.IPV4,)),
        ((FamilyName.IPV6,), None, (FamilyName.IPV6,)),
        ((), FamilyPolicy.PREFER_DUAL_STACK, (FamilyName.IPV4, FamilyName.IPV6)),
    ],
)
def test_slices_have_the_families_of_their_service(
    given: tuple[FamilyName, ...], policy: FamilyPolicy | None, expected: tuple[FamilyName, ...]
) -> None:
    """One slice a family, IPv4 where nothing is said."""
    wanted = service({"app": "echo"}, ip_families=given, ip_family_policy=policy)
    assert families(wanted) == expected
    assert tuple(entry.address_type for entry in slices(plan(1), [wanted], frozenset())) == expected


def test_an_unready_backend_stays_listed_and_is_not_ready() -> None:
    """As a cluster's controller would leave it."""
    (found,) = slices(plan(1), [service({"app": "echo"})], frozenset({"node-a-2"}))
    assert [(endpoint.addresses, endpoint.conditions.ready) for endpoint in found.endpoints] == [
        (("10.244.1.2",), True),
        (("10.244.1.3",), False),
    ]
    assert found.ports[0].port == 5678
    assert found.metadata.labels == {"kubernetes.io/service-name": "web"}
