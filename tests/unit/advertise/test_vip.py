"""What hosts are told of an address."""

from dataclasses import replace

import pytest

from appliance.advertise.host import SiteHost
from appliance.advertise.plan import CandidateOrder
from appliance.advertise.vip import HeldAddress, Planner, Site
from appliance.api.address import parse_address
from appliance.api.label import LabelSelector, Operator, Requirement
from appliance.api.pierhead import Layer2, Port, Route, VirtualIPSpec
from appliance.desired.interface import interfaces_on
from tests.unit.advertise.site import BGP, L2, POOLS, endpoint, held, host, planned, service, site, slices

RACK = "nodeSelectors: [{matchLabels: {rack: r1}}]"
R1 = LabelSelector(match_labels={"rack": "r1"})
READY = slices(endpoint("x"))
TWO = host("x", "rack: r1") + host("y", "rack: r2")


def spec_of(text: str, address: str = "10.0.0.1", keep: str = "") -> VirtualIPSpec:
    """The spec of an address held by every Service of a text."""
    place, services = site(POOLS + text)
    return planned(held(services, address), place, keep).spec


def layer2_of(text: str) -> Layer2:
    """The layer-2 part, which must be there."""
    layer2 = spec_of(text).layer2
    assert layer2 is not None
    return layer2


def routes_of(text: str, address: str = "10.0.0.1") -> list[Route]:
    """The routes."""
    return list(spec_of(text, address).bgp)


def test_services_are_listed_with_their_ports() -> None:
    """Ports and policy go to the hosts whether or not anything is announced."""
    spec = spec_of(service("Local"))
    assert [(str(entry.reference), entry.ports, entry.external_traffic_policy) for entry in spec.services] == [
        ("default/echo", (Port(port=80),), "Local")
    ]
    assert (spec.pool, spec.layer2, spec.bgp) == ("a", None, ())


def test_both_kinds_are_announced() -> None:
    """A pool with both kinds of advertisements is announced over both."""
    spec = spec_of(L2 % ("l", "") + BGP % ("b", "") + host("x") + service() + READY)
    assert spec.layer2 == Layer2(candidates=("x",))
    assert [str(route.prefix) for route in spec.bgp] == ["10.0.0.1/32"]


def test_without_endpoints_nothing_is_announced() -> None:
    """An address that nobody serves is given and announced nowhere."""
    spec = spec_of(L2 % ("l", "") + BGP % ("b", "") + host("x") + service())
    assert (spec.layer2, spec.bgp) == (None, ())


@pytest.mark.parametrize("draining", [host("x", drain=True), host("x", drained=True)])
def test_draining_host_is_no_candidate(draining: str) -> None:
    """A host that drains leaves the plan, also as the present owner, whether the store or the host was told first."""
    text = L2 % ("l", "") + draining + host("y") + service() + READY
    layer2 = spec_of(text, keep="x").layer2
    assert layer2 is not None
    assert layer2.candidates == ("y",)


def test_draining_host_is_better_than_none() -> None:
    """Where all hosts drain they stay candidates."""
    assert layer2_of(L2 % ("l", "") + host("x", drain=True) + service() + READY).candidates == ("x",)


def test_interfaces_are_united() -> None:
    """Interfaces of all advertisements count; one without any means all."""
    eth0, eth1 = L2 % ("l", "interfaces: [eth0]"), L2 % ("k", "interfaces: [eth1]")
    rest = host("x") + service() + READY
    assert layer2_of(eth0 + eth1 + rest).interfaces == ("eth0", "eth1")
    assert layer2_of(eth0 + L2 % ("k", "") + rest).interfaces == ()


def test_interfaces_of_an_advertisement_for_other_hosts() -> None:
    """An advertisement that is for none of the hosts adds no interface."""
    other = L2 % ("k", "interfaces: [eth1], nodeSelectors: [{matchLabels: {rack: r9}}]")
    assert layer2_of(L2 % ("l", "interfaces: [eth0]") + other + host("x") + service() + READY).interfaces == ("eth0",)


def test_hosts_of_different_advertisements_answer_on_different_interfaces() -> None:
    """Each host has the interfaces of those advertisements that select it, as in MetalLB."""
    first = L2 % ("l", f"interfaces: [eth0], {RACK}")
    second = L2 % ("k", "interfaces: [eth1], nodeSelectors: [{matchLabels: {rack: r2}}]")
    layer2 = layer2_of(first + second + TWO + service() + READY)
    on = [interfaces_on(layer2, {"rack": rack}) for rack in ("r1", "r2", "r3")]
    assert on == [("eth0",), ("eth1",), ("eth0", "eth1")]
    alike = layer2_of(first + L2 % ("k", "interfaces: [eth1]") + TWO + service() + READY)
    assert [interfaces_on(alike, {"rack": rack}) for rack in ("r1", "r2")] == [("eth0", "eth1"), ("eth1",)]
    assert layer2_of(first + L2 % ("k", f"interfaces: [eth0], {RACK}") + TWO + service() + READY).interface_rules == ()


def test_fallback_is_bound_by_the_advertisements_selectors() -> None:
    """Agents may fall back to any host the selectors admit."""
    assert layer2_of(L2 % ("l", RACK) + TWO + service() + READY).node_selectors == (R1,)
    assert layer2_of(L2 % ("l", RACK) + L2 % ("k", "") + TWO + service() + READY).node_selectors == ()


def test_fallback_is_bound_by_name_under_local() -> None:
    """A host without endpoints is no fallback under Local."""
    named = Requirement(key="kubernetes.io/hostname", operator=Operator.IN, values=("x",))
    bounds = layer2_of(L2 % ("l", "") + TWO + service("Local") + READY).node_selectors
    assert bounds == (LabelSelector(match_expressions=(named,)),)


def test_route_carries_what_the_advertisement_says() -> None:
    """Local preference, communities, peers and selectors reach the hosts."""
    fields = "localPref: 7, communities: ['2:1', '1:2', 'large:1:1:1']"
    (route,) = routes_of(BGP % ("b", f"{fields}, {RACK}") + TWO + service() + READY)
    assert (route.local_preference, tuple(map(str, route.communities))) == (7, ("large:1:1:1", "1:2", "2:1"))
    assert (route.node_selectors, route.hosts) == ((R1,), None)


def test_aggregates_by_family() -> None:
    """The prefix is the address masked to the family's length."""
    text = BGP % ("b", "aggregationLength: 26, aggregationLengthV6: 124") + host("x") + service() + READY
    text += slices(endpoint("x", address="fc01::1"), family="IPv6")
    assert [str(route.prefix) for route in routes_of(text, "10.0.0.77")] == ["10.0.0.64/26"]
    assert [str(route.prefix) for route in routes_of(text, "fc00::77")] == ["fc00::70/124"]


def test_communities_of_one_route_are_united() -> None:
    """Advertisements that differ in their communities only make one route."""
    ads = BGP % ("b", "communities: ['1:1']") + BGP % ("c", "communities: ['1:2']")
    (route,) = routes_of(ads + host("x") + service() + READY)
    assert list(map(str, route.communities)) == ["1:1", "1:2"]


def test_two_lengths_make_two_routes() -> None:
    """An aggregate may stand beside the single address."""
    ads = BGP % ("b", "aggregationLength: 24, aggregationLengthV6: 120, localPref: 1") + BGP % ("c", "localPref: 2")
    prefixes = [str(route.prefix) for route in routes_of(ads + host("x") + service() + READY)]
    assert prefixes == ["10.0.0.0/24", "10.0.0.1/32"]


def test_local_lists_hosts() -> None:
    """Under Local a route names the hosts that have endpoints."""
    (route,) = routes_of(BGP % ("b", RACK) + TWO + service("Local") + slices(endpoint("x"), endpoint("y")))
    assert (route.hosts, route.node_selectors) == (("x",), ())


def test_excluded_host_makes_a_list() -> None:
    """Where the selectors would admit a host that may not announce, the others are named."""
    excluded = host("z", "node.kubernetes.io/exclude-from-external-load-balancers: ''")
    (route,) = routes_of(BGP % ("b", "") + TWO + excluded + service() + READY)
    assert route.hosts == ("x", "y")


def test_label_that_only_the_node_has_makes_a_list() -> None:
    """Agents know their own labels only, so a Node's label is worked out for them."""
    node = "{kind: Node, apiVersion: v1, metadata: {name: y, labels: {rack: r1}}}\n---\n"
    (route,) = routes_of(BGP % ("b", RACK) + host("x") + host("y") + node + service() + READY)
    assert (route.hosts, route.node_selectors) == (("y",), ())


def test_draining_host_keeps_its_routes() -> None:
    """A drain over BGP is the agent's own doing: it lowers its preference first."""
    (route,) = routes_of(BGP % ("b", "") + host("x", drain=True) + service() + READY)
    assert route.hosts is None


def test_shared_address_is_announced_for_either() -> None:
    """One Service with endpoints is enough, and both are listed."""
    place, (first,) = site(POOLS + L2 % ("l", "") + host("x") + service() + READY)
    second = replace(first, metadata=replace(first.metadata, name="bare"))
    announcement = planned(held([first, second]), place)
    assert announcement.spec.layer2 is not None
    assert [entry.name for entry in announcement.spec.services] == ["bare", "echo"]
    assert [verdict.layer2.outcome.name for _, verdict in announcement.verdicts] == ["NO_ENDPOINTS", "ANNOUNCED"]


def test_unknown_pool() -> None:
    """An address whose pool is gone is announced nowhere."""
    place, services = site(POOLS + L2 % ("l", "") + host("x") + service() + READY)
    spec = planned(replace(held(services), pool=""), place).spec
    assert (spec.layer2, spec.bgp) == (None, ())


def test_end_of_a_hosts_subnet_is_not_announced_on_layer_2() -> None:
    """Its hosts take the network and the broadcast address for what they are, so nobody would be reached."""
    near = host("x", interfaces="{name: eth0, addresses: [10.0.0.9/29]}")
    text = L2 % ("l", "") + BGP % ("b", "") + near + service() + READY
    for address, is_reachable in (("10.0.0.8", False), ("10.0.0.10", True), ("10.0.0.15", False)):
        spec = spec_of(text, address)
        assert ((spec.layer2 is not None), len(spec.bgp)) == (is_reachable, 1)
    elsewhere = host("y", interfaces="{name: eth0, addresses: [10.0.0.9/24]}")
    layer2 = spec_of(text + elsewhere, "10.0.0.15").layer2
    assert layer2 is not None
    assert layer2.candidates == ("y",)


def test_local_preferences_conflict_on_the_hosts_that_both_select() -> None:
    """A host that only one of the advertisements selects goes on announcing."""
    web = "serviceSelectors: [{matchLabels: {app: web}}]"
    ads = BGP % ("b", f"localPref: 1, {RACK}, {web}") + BGP % ("c", "localPref: 2")
    (route,) = routes_of(ads + TWO + service(labels="app: web") + READY)
    assert (route.local_preference, route.hosts) == (2, ("y",))


def plan_both(order: CandidateOrder) -> tuple[tuple[str, ...], ...]:
    """The candidates of two addresses of one Service, planned as a pair."""
    place, services = site(POOLS + L2 % ("l", "") + host("x") + host("y") + host("z") + service() + READY)
    first, second = parse_address("10.0.0.1"), parse_address("10.0.0.2")
    planner = Planner(order)
    planner.set_site(place.config, place.hosts)
    found = []
    for address in (first, second):
        layer2 = planner.plan(HeldAddress(address, "a", services, order_by=first), place.slices, {}).spec.layer2
        found.append(layer2.candidates if layer2 else ())
    return tuple(found)


def test_hash_order_of_a_pair_is_that_of_its_first_address() -> None:
    """As MetalLB elects, so that both addresses have one owner."""
    first, second = plan_both(CandidateOrder.HASH)
    assert first == second
    assert plan_both(CandidateOrder.SPREAD)[0] != plan_both(CandidateOrder.SPREAD)[1]


def planner_of(place: Site, services: HeldAddress) -> Planner:
    """A planner that has planned an address."""
    planner = Planner()
    planner.set_site(place.config, place.hosts)
    planner.plan(services, place.slices, {})
    return planner


def test_change_of_the_site_names_the_addresses_it_concerns() -> None:
    """A host that may announce concerns an address, one that may not does not, and neither does another pool's."""
    place, services = site(POOLS + L2 % ("l", RACK) + host("x", "rack: r1") + service() + READY)
    planner = planner_of(place, held(services))
    assert planner.set_site(place.config, place.hosts) == set()
    elsewhere = {**place.hosts, "y": SiteHost("y", labels={"rack": "r2"}, own_labels={"rack": "r2"})}
    assert planner.set_site(place.config, elsewhere) == set()
    fellow = {**elsewhere, "z": SiteHost("z", labels={"rack": "r1"}, own_labels={"rack": "r1"})}
    assert planner.set_site(place.config, fellow) == {parse_address("10.0.0.1")}
    other, _ = site(POOLS + BGP % ("b", "") + L2 % ("l", RACK) + host("x", "rack: r1") + service() + READY)
    planner.plan(held(services), place.slices, {})
    assert planner.set_site(other.config, fellow) == {parse_address("10.0.0.1")}
    planner.plan(held(services), place.slices, {})
    planner.forget(parse_address("10.0.0.1"))
    assert planner.set_site(place.config, {}) == set()
