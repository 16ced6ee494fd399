"""What would become of the Services of a cluster that MetalLB serves."""

import pytest

from appliance.allocation.event import Settings
from appliance.allocation.takeover import Fate, take_over
from appliance.api.kind import Object
from appliance.api.manifest import parse

NOW = 1_767_225_600.0
POOLS = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: small, namespace: metallb-system}
spec: {addresses: [192.0.2.10-192.0.2.12]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: all, namespace: metallb-system}
"""


def service(name: str, addresses: tuple[str, ...] = (), spec: str = "", annotations: str = "") -> str:
    """A Service as MetalLB leaves it."""
    ingress = ", ".join(f"{{ip: {address}, ipMode: VIP}}" for address in addresses)
    pool = "metallb.io/ip-allocated-from-pool: small, " if addresses else ""
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop, annotations: {{{pool}{annotations}}}}}
spec: {{type: LoadBalancer, clusterIP: 10.96.0.7, clusterIPs: [10.96.0.7], ports: [{{port: 80}}]{spec}}}
status: {{loadBalancer: {{ingress: [{ingress}]}}}}
"""


def objects(*texts: str) -> list[Object]:
    """The objects of some texts."""
    parsed = parse("---".join((POOLS, *texts)), "cluster.yaml")
    assert parsed.problems == ()
    return [document.manifest for document in parsed.documents]


@pytest.mark.parametrize(
    ("text", "fate", "after"),
    [
        (service("kept", ("192.0.2.11",)), Fate.KEPT, ("192.0.2.11",)),
        (service("new"), Fate.GAINED, ("192.0.2.10",)),
        (service("other", ("192.0.2.11",), ", loadBalancerClass: example.com/other"), Fate.LEFT, ("192.0.2.11",)),
        (service("stray", ("198.51.100.1",)), Fate.CHANGED, ("192.0.2.10",)),
        (service("lost", ("198.51.100.1",), annotations="metallb.io/address-pool: gone"), Fate.LOST, ()),
        (service("waiting", (), annotations="metallb.io/address-pool: gone"), Fate.WAITING, ()),
    ],
)
def test_what_becomes_of_a_service(text: str, fate: Fate, after: tuple[str, ...]) -> None:
    """Each fate, alone in the cluster."""
    (found,) = take_over(objects(text), Settings(), NOW)
    assert (found.fate, found.after) == (fate, after)


def test_services_that_share_an_address_keep_it() -> None:
    """Both of them, for they have the same key and different ports."""
    key = "metallb.io/allow-shared-ip: k"
    other = service("b", ("192.0.2.11",), annotations=key).replace("port: 80", "port: 443")
    found = take_over(objects(service("a", ("192.0.2.11",), annotations=key), other), Settings(), NOW)
    assert [(each.service, each.fate) for each in found] == [("shop/a", Fate.KEPT), ("shop/b", Fate.KEPT)]


def test_an_empty_selector_under_local_ends_sharing_and_is_told() -> None:
    """MetalLB takes such a Service for one of policy Cluster; here the second loses it, and is told of first."""
    key = "metallb.io/allow-shared-ip: k"
    other = service("b", ("192.0.2.11",), ", externalTrafficPolicy: Local", key).replace("port: 80", "port: 443")
    found = take_over(objects(service("a", ("192.0.2.11",), annotations=key), other), Settings(), NOW)
    assert found[0].fate is not Fate.KEPT
    assert found[1].fate is Fate.KEPT


def test_who_is_refused_is_told_why() -> None:
    """The Event that the owner would read."""
    (found,) = take_over(objects(service("lost", (), annotations="metallb.io/address-pool: gone")), Settings(), NOW)
    assert [event.reason.text for event in found.told] == ["AllocationFailed"]


def test_what_is_there_is_not_changed() -> None:
    """A rehearsal is no more than that: the objects it was given say what they said."""
    given = objects(service("new"))
    before = list(given)
    take_over(given, Settings(), NOW)
    assert given == before
