"""What is read from a Service."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from appliance.api.address import Family
from appliance.api.core import FamilyName, FamilyPolicy, LoadBalancerIngress, LoadBalancerStatus, Service, ServiceStatus
from appliance.ipam.request import DualStack, Request, Unserved, read_held, read_request
from tests.unit.ipam.sample import DUAL, addresses, service

V4, V6 = Family.IPV4, Family.IPV6
PREFER, REQUIRE = FamilyPolicy.PREFER_DUAL_STACK, FamilyPolicy.REQUIRE_DUAL_STACK


@pytest.mark.parametrize(
    ("families", "policy", "wanted", "dual_stack"),
    [
        ((), None, (V4,), DualStack.REFUSED),
        ((FamilyName.IPV6,), None, (V6,), DualStack.REFUSED),
        ((), PREFER, (V4, V6), DualStack.PREFERRED),
        ((FamilyName.IPV6,), PREFER, (V6, V4), DualStack.PREFERRED),
        (DUAL, REQUIRE, (V4, V6), DualStack.REQUIRED),
        (DUAL, None, (V4, V6), DualStack.REQUIRED),
        (DUAL, FamilyPolicy.SINGLE_STACK, (V4,), DualStack.REFUSED),
    ],
)
def test_families_without_a_cluster(
    families: tuple[FamilyName, ...], policy: FamilyPolicy | None, wanted: tuple[Family, ...], dual_stack: DualStack
) -> None:
    """Where nobody gives cluster addresses, ipFamilies and the policy say what is wanted, IPv4 by default."""
    found = read_request(service("x", cluster_ips=(), families=families, policy=policy), cluster_ips_known=False)
    assert isinstance(found, Request)
    assert (found.families, found.dual_stack) == (wanted, dual_stack)


WRITTEN = {"address-pool": "old", "loadBalancerIPs": "10.0.0.9", "allow-shared-ip": "key"}


def asked(annotations: dict[str, str]) -> tuple[object, ...]:
    """The pool, the addresses, the key and whether a deprecated annotation is there."""
    plain = service("x")
    found = read_request(
        replace(plain, metadata=replace(plain.metadata, annotations=annotations)), cluster_ips_known=True
    )
    assert isinstance(found, Request)
    return found.pool, found.addresses, found.sharing and found.sharing.key, found.deprecated


@pytest.mark.parametrize("prefix", ["metallb.io/", "metallb.universe.tf/"])
def test_both_prefixes_are_read(prefix: str) -> None:
    """The three annotations mean the same under either prefix."""
    found = asked({prefix + name: text for name, text in WRITTEN.items()})
    assert found == ("old", addresses("10.0.0.9"), "key", prefix == "metallb.universe.tf/")


@pytest.mark.parametrize("text", ["", "new"], ids=["even when empty", "when it says something else"])
@pytest.mark.parametrize("name", list(WRITTEN))
def test_present_prefix_wins(name: str, text: str) -> None:
    """The new annotation is read where it is there at all."""
    old = {"metallb.universe.tf/" + key: written for key, written in WRITTEN.items()}
    value = "10.0.0.8" if text and name == "loadBalancerIPs" else text
    both, expected = {**old, "metallb.io/" + name: value}, {**old, "metallb.universe.tf/" + name: value}
    assert asked(both) == asked(expected)


@pytest.mark.parametrize(
    ("own", "theirs", "is_ours"),
    [(None, None, True), (None, "x", False), ("x", None, False), ("x", "x", True), ("x", "y", False)],
)
def test_class(own: str | None, theirs: str | None, is_ours: bool) -> None:
    """Without a class of our own we serve those without one, else those with ours."""
    found = read_request(service("x", service_class=theirs), cluster_ips_known=True, own_class=own)
    assert (found is not Unserved.OTHER_CLASS) is is_ours


@pytest.mark.parametrize(
    ("ips", "held"),
    [
        ((), ()),
        (("10.0.0.1",), addresses("10.0.0.1")),
        (("", "10.0.0.1"), addresses("10.0.0.1")),
        (("fd00::1", "10.0.0.1"), addresses("fd00::1 10.0.0.1")),
        (("10.0.0.1", "10.0.0.2"), None),
        (("nonsense",), None),
    ],
)
def test_held(ips: tuple[str, ...], held: object) -> None:
    """Entries without an address are passed over; what is not one of each family cannot be read."""
    ingress = tuple(LoadBalancerIngress(ip=ip) for ip in ips)
    told: Service = replace(service("x"), status=ServiceStatus(load_balancer=LoadBalancerStatus(ingress=ingress)))
    assert read_held(told) == held


def test_an_address_with_a_scope_id_is_a_mistake_of_its_service() -> None:
    """What stands after % has no name in the store: it once stopped the allocator for everybody."""
    asked = read_request(service("echo", wanted="2001:db8::5%x"), cluster_ips_known=False)
    assert isinstance(asked, Request)
    assert (asked.addresses, asked.mistake) == ((), "'2001:db8::5%x' is not a list of IP addresses")
    told = LoadBalancerStatus(ingress=(LoadBalancerIngress(ip="2001:db8::5%x"),))
    assert read_held(replace(service("echo"), status=ServiceStatus(load_balancer=told))) is None


def test_what_is_wrong_is_told_in_the_words_that_were_written() -> None:
    """Also where they stand in the field and not in the annotation."""
    given = service("echo")
    asked = read_request(replace(given, spec=replace(given.spec, load_balancer_ip="10.0.0.1,10.0.0.2")), False)
    assert isinstance(asked, Request)
    assert asked.mistake == "'10.0.0.1,10.0.0.2' names more than one address of a family"


def test_an_ipv4_mapped_address_asks_for_ipv4() -> None:
    """As Go, and so MetalLB, reads it."""
    asked = read_request(service("echo", wanted="::ffff:10.1.0.3"), cluster_ips_known=False)
    assert isinstance(asked, Request)
    assert asked.addresses == (ip_address("10.1.0.3"),)
