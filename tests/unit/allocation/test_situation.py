"""Sites as they are in the field: faults in one object, hosts in the pool, pairs of addresses, settings."""

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address, ip_interface

import pytest

from appliance.advertise.plan import CandidateOrder
from appliance.allocation.cache import WATCHED
from appliance.allocation.event import Settings, Write, WriteOperation
from appliance.api.core import (
    FamilyName,
    FamilyPolicy,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServiceStatus,
)
from appliance.api.kind import Object, ref_of
from appliance.api.label import EXCLUDE_LABEL, LabelSelector, Operator, Requirement
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import (
    BGPPeer,
    BGPPeerSpec,
    IPAddressPool,
    L2Advertisement,
    L2AdvertisementSpec,
    ServiceAllocation,
)
from appliance.api.pierhead import Backends, Condition, Host, HostInterface, HostStatus, VirtualIP
from tests.sim.allocation_world import Store, Worker, broken_store_laws, come_to_rest, doubles, told_addresses
from tests.unit.allocation.site import endpoints, pool
from tests.unit.ipam.sample import DUAL, service

POOL = pool("a", "10.0.0.0/29")
AD = L2Advertisement(metadata=Metadata(name="ad", namespace="metallb-system"), spec=L2AdvertisementSpec())
WRONG_PEER = BGPPeer(
    metadata=Metadata(name="tor", namespace="metallb-system"),
    spec=BGPPeerSpec(my_asn=64500, peer_asn=64501, peer_address=ip_address("192.0.2.1"), bfd_profile="missing"),
)
LIMBO = ("10.96.0.1", "fd00:96::1")


def host(name: str, *addresses: str, labels: dict[str, str] | None = None) -> Host:
    """A host with one interface."""
    interface = HostInterface(
        name="eth0", hardware_address=b"\2\0\0\0\0\1", addresses=tuple(map(ip_interface, addresses))
    )
    return Host(metadata=Metadata(name=name, labels=labels or {}), status=HostStatus(interfaces=(interface,)))


def settled(*manifests: Object, settings: Settings | None = None) -> Worker:
    """An allocator that has done all there is to do, alone on its store."""
    store = Store()
    for manifest in manifests:
        store.put(manifest)
        if isinstance(manifest, Host):
            store.write(Write(WriteOperation.APPLY_STATUS, ref_of(manifest), manifest), "agent")
    worker = Worker(store, settings or Settings())
    come_to_rest([worker])
    return worker


def told(worker: Worker) -> dict[str, str]:
    """The addresses of each Service that has any."""
    found = told_addresses(worker.store.objects)
    return {path.partition("/")[2]: " ".join(sorted(map(str, held))) for path, held in found.items()}


def owner(worker: Worker, name: str) -> str:
    """The first candidate of an address."""
    vip = worker.store.objects[Ref("VirtualIP", "", name)]
    assert isinstance(vip, VirtualIP)
    return vip.spec.layer2.candidates[0] if vip.spec.layer2 else ""


def backends(worker: Worker, name: str = "10.0.0.0") -> list[str]:
    """The endpoints behind an address."""
    found = worker.store.objects[Ref("Backends", "", name)]
    assert isinstance(found, Backends)
    return [str(entry.address) for port in found.spec.ports for entry in port.backends]


def test_wrong_peer_never_stops_allocation() -> None:
    """Not even for an allocator that has just started and knows no good one."""
    assert told(settled(WRONG_PEER, POOL, service("x"))) == {"x": "10.0.0.0"}


def test_typing_mistake_and_a_restart_keep_endpoints_moving() -> None:
    """Beside an advertisement at fault that was never seen right its addresses are announced as they were."""
    worker = settled(POOL, AD, host("h1"), service("x"), endpoints("x"))
    spec = L2AdvertisementSpec(ip_address_pools=("a", "b"), interfaces=("eth0", "eth0"))
    unknown = replace(AD, spec=L2AdvertisementSpec(ip_address_pools=("a", "typo")))
    for wrong in (unknown, replace(AD, spec=spec)):
        worker.store.put(wrong)
        worker.begin()
        worker.store.put(endpoints("x", "10.244.0.9"))
        come_to_rest([worker])
        assert (backends(worker), owner(worker, "10.0.0.0")) == (["10.244.0.9"], "h1")
        worker.store.put(endpoints("x"))
        come_to_rest([worker])


def test_pool_of_the_same_name_in_another_namespace_changes_nothing() -> None:
    """Configuration is read from the namespaces a setting names."""
    tenant = IPAddressPool(metadata=Metadata(name="a", namespace="aaa"), spec=pool("a", "10.9.0.0/29").spec)
    settings = Settings(configuration_namespaces=frozenset({"metallb-system"}))
    assert told(settled(tenant, POOL, service("x"), settings=settings)) == {"x": "10.0.0.0"}


def test_addresses_of_hosts_and_routers_are_not_given() -> None:
    """Neither by themselves nor by name; the rest of the pool goes on."""
    router = replace(WRONG_PEER, spec=replace(WRONG_PEER.spec, peer_address=ip_address("10.0.0.2"), bfd_profile=""))
    worker = settled(POOL, router, host("h1", "10.0.0.1/29"), *(service(name) for name in "wxyz"))
    assert set(told(worker).values()) == {"10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}
    worker.store.put(service("w", wanted="10.0.0.1"))
    come_to_rest([worker])
    assert told(worker)["w"] != "10.0.0.1"
    assert any("the address is a host's own" in emit.event.message for emit in worker.told)


def test_two_addresses_of_one_service_have_one_owner() -> None:
    """By default, so that both move together; in MetalLB's order the first address decides for both."""
    pair = service("pair", cluster_ips=LIMBO, policy=FamilyPolicy.REQUIRE_DUAL_STACK, families=DUAL)
    wide = pool("a", "10.0.0.0/28", "fd00::/124")
    slices = (endpoints("pair"), endpoints("pair", "fd01::1", FamilyName.IPV6))
    hosts = tuple(host(f"h{number}") for number in range(5))
    for order in CandidateOrder:
        worker = settled(wide, AD, *hosts, pair, *slices, settings=Settings(order=order))
        first, second = (ref.name for ref in sorted(worker.store.objects) if ref.kind == "VirtualIP")
        assert owner(worker, first) == owner(worker, second) != ""


def test_hash_order_alone_is_a_setting() -> None:
    """MetalLB's winner owns the address, whatever it carries already and whoever had it."""
    names = ("node-a", "node-b", "node-c")
    manifests: tuple[Object, ...] = (pool("a", "10.0.0.1-10.0.0.2"), AD, *map(host, names))
    slices = (endpoints("x"), endpoints("y"))
    worker = settled(*manifests, service("x"), service("y"), *slices, settings=Settings(order=CandidateOrder.HASH))
    assert {owner(worker, "10.0.0.1"), owner(worker, "10.0.0.2")} == {"node-b"}
    spread = settled(*manifests, service("x"), service("y"), *slices)
    assert len({owner(spread, "10.0.0.1"), owner(spread, "10.0.0.2")}) == 2


def test_exclude_label_may_be_ignored() -> None:
    """A setting for what MetalLB calls --ignore-exclude-lb."""
    manifests = (POOL, AD, host("h1", labels={EXCLUDE_LABEL: ""}), service("x"), endpoints("x"))
    assert owner(settled(*manifests), "10.0.0.0") == ""
    assert owner(settled(*manifests, settings=Settings(ignores_exclude_label=True)), "10.0.0.0") == "h1"


def test_after_a_change_of_pools_services_with_more_addresses_go_first() -> None:
    """Of two that lose what they have, the one with a pair gets the only pair there is."""
    pair = service("z-pair", cluster_ips=LIMBO, policy=FamilyPolicy.REQUIRE_DUAL_STACK, families=DUAL)
    worker = settled(pool("a", "10.0.0.0/29", "fd00::/125"), service("a-single"), pair)
    worker.store.put(pool("a", "10.1.0.0/32", "fd01::/128"))
    come_to_rest([worker])
    assert told(worker) == {"z-pair": "10.1.0.0 fd01::"}


GOLD = ServiceAllocation(service_selectors=(LabelSelector(match_labels={"tier": "gold"}),))
RESTRICTED = replace(pool("a", "10.0.0.0/31").spec, avoid_buggy_ips=True, service_allocation=GOLD)


def test_address_about_to_be_lost_goes_to_another_once_its_holder_was_told() -> None:
    """Of two that lose their addresses to a new rule of the pool one may have the other's, and gets it."""
    gold = service("a", labels={"tier": "gold"})
    worker = settled(pool("a", "10.0.0.0/31"), gold, service("b"))
    assert told(worker) == {"a": "10.0.0.0", "b": "10.0.0.1"}
    worker.store.put(replace(pool("a", "10.0.0.0/31"), spec=RESTRICTED))
    come_to_rest([worker])
    assert told(worker) == {"a": "10.0.0.1"}


def test_address_about_to_be_lost_is_not_told_to_two() -> None:
    """As long as the write that takes it from its holder has not been done nobody else is told it."""
    worker = settled(pool("a", "10.0.0.0/31"), service("a", labels={"tier": "gold"}), service("b"))
    worker.store.put(replace(pool("a", "10.0.0.0/31"), spec=RESTRICTED))
    worker.look(WATCHED, 100)
    for _ in range(12):
        late = [write.ref.name for write in worker.asked]
        if late != ["b"]:
            worker.do(next((number for number, name in enumerate(late) if name != "b"), 0))
        while worker.answers:
            worker.answer(0)
        assert broken_store_laws(worker.store.objects, settled=False) == []
    come_to_rest([worker])
    assert told(worker) == {"a": "10.0.0.1"}


GONE = pool("lan", "10.0.1.0/29")
NO_VALUES = LabelSelector(match_expressions=(Requirement(key="zone", operator=Operator.IN),))
UNWELCOME = replace(pool("a", "10.0.0.0/29"), spec=replace(POOL.spec, service_allocation=GOLD))
NOT_HERE = replace(AD, spec=L2AdvertisementSpec(ip_address_pools=("other",), node_selectors=(NO_VALUES,)))


@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(GONE, id="a pool moved into another one"),
        pytest.param(UNWELCOME, id="a new pool over another one, for others only"),
        pytest.param(NOT_HERE, id="an advertisement turned to another pool, and wrong"),
    ],
)
def test_who_begins_beside_a_mistake_takes_nothing_from_anybody(mistake: Object) -> None:
    """What was in force before is not known: every address and announcement stays until the mistake is mended."""
    right = (pool("lan", "10.0.0.0/29"), pool("other", "10.0.1.0/29"), AD)
    worker = settled(*right, host("h1"), service("x"), endpoints("x"))
    (vip,) = (found for found in worker.store.objects.values() if isinstance(found, VirtualIP))
    assert vip.spec.layer2 is not None
    worker.store.put(mistake)
    worker.begin()
    come_to_rest([worker])
    assert told(worker) == {"x": "10.0.0.0"}
    assert worker.store.objects[ref_of(vip)] == vip
    worker.store.put(endpoints("x", "10.244.9.9"))
    come_to_rest([worker])
    assert backends(worker) == ["10.244.9.9"]
    worker.store.delete(ref_of(mistake))
    for manifest in right:
        worker.store.put(manifest)
    worker.store.put(service("y"))
    come_to_rest([worker])
    assert told(worker) == {"x": "10.0.0.0", "y": "10.0.0.1"}


def told_already(asking: Service, address: str) -> Service:
    """The Service with an address in its status."""
    status = ServiceStatus(load_balancer=LoadBalancerStatus(ingress=(LoadBalancerIngress(ip=address),)))
    return replace(asking, status=status)


def test_address_that_another_system_told_is_free_once_its_service_says_so() -> None:
    """MetalLB's Service that may not keep its address here loses it in its status before another is told it."""
    moved = told_already(service("a", wanted="10.0.0.9"), "10.0.0.0")
    store = Store([pool("a", "10.0.0.0/32"), pool("b", "10.0.0.8/29"), moved, service("b", pool_name="a")])
    store.write(Write(WriteOperation.APPLY_STATUS, ref_of(moved), moved), "metallb")
    worker = Worker(store)
    while worker.asked:
        late = [number for number, write in enumerate(worker.asked) if write.ref != ref_of(moved)]
        worker.do(late[0] if late else 0)
        while worker.answers:
            worker.answer(0)
        assert doubles(store.objects) == []
    come_to_rest([worker])
    assert told(worker) == {"a": "10.0.0.9", "b": "10.0.0.0"}


def test_address_of_another_class_is_given_to_nobody_while_a_status_names_it() -> None:
    """Whoever serves that Service, and though it is never listed here."""
    others = told_already(service("a", service_class="example.com/other"), "10.0.0.0")
    store = Store([POOL, others, service("b")])
    store.write(Write(WriteOperation.APPLY_STATUS, ref_of(others), others), "metallb")
    worker = Worker(store)
    come_to_rest([worker])
    assert told(worker) == {"a": "10.0.0.0", "b": "10.0.0.1"}
    store.delete(ref_of(others))
    store.put(service("c"))
    come_to_rest([worker])
    assert told(worker) == {"b": "10.0.0.1", "c": "10.0.0.0"}


def test_wrong_configuration_at_a_start_makes_nobody_busy() -> None:
    """An allocator that knows no good version looks at it once, and waits for news."""
    worker = settled(WRONG_PEER, replace(AD, spec=L2AdvertisementSpec(interfaces=("eth0", "eth0"))), POOL, service("x"))
    assert worker.allocator.configuration.problems != ()
    assert (worker.asked, worker.allocator.deadline()) == ([], None)


def test_second_family_is_given_when_it_comes_free() -> None:
    """A PreferDualStack Service that got one family for want of the other waits for it."""
    wide = pool("a", "10.0.0.0/29", "fd00::/128")
    waiting = service("x", cluster_ips=LIMBO, policy=FamilyPolicy.PREFER_DUAL_STACK, families=DUAL)
    worker = settled(wide, service("holder", cluster_ips=("fd00:96::2",)))
    worker.store.put(waiting)
    come_to_rest([worker])
    assert told(worker)["x"] == "10.0.0.0"
    assert [emit.event.reason.text for emit in worker.told][-1] == "AdditionalAssignFailed"
    worker.store.delete(Ref("Service", "default", "holder"))
    come_to_rest([worker])
    assert told(worker)["x"] == "10.0.0.0 fd00::"


def test_new_addresses_are_spread_though_they_are_planned_at_once() -> None:
    """What is only just being written counts as well."""
    names = [f"s{number}" for number in range(12)]
    slices, hosts = map(endpoints, names), (host(f"h{number}") for number in range(4))
    worker = settled(pool("a", "10.0.0.0/28"), AD, *hosts, *slices, *map(service, names))
    owners = Counter(owner(worker, f"10.0.0.{number}") for number in range(12))
    assert set(owners.values()) == {3}


def test_a_host_that_says_an_address_in_use_is_its_own_takes_it_from_nobody() -> None:
    """What a host reports may be a lie: only free addresses are kept from being given for it, also after a restart."""
    worker = settled(pool("a", "10.0.0.1-10.0.0.3"), service("web"))
    liar = host("liar", "10.0.0.1/24", "10.0.0.2/24")
    worker.store.put(liar)
    worker.store.write(Write(WriteOperation.APPLY_STATUS, ref_of(liar), liar), "agent")
    come_to_rest([worker])
    worker.store.put(service("late"))
    come_to_rest([worker])
    again = settled(*worker.store.objects.values())
    assert told(worker) == told(again) == {"web": "10.0.0.1", "late": "10.0.0.3"}


def test_a_host_that_was_told_to_drain_is_left_though_the_store_was_not() -> None:
    """Where a host may not write its own Host's spec, its status says it; what else it says changes no plan."""
    worker = settled(POOL, AD, host("h1"), host("h2"), service("x"), endpoints("x"))
    before = owner(worker, "10.0.0.0")
    left = host(before)
    drained = replace(left, status=replace(left.status, conditions=(Condition(type="Drained", status="True"),)))
    worker.store.write(Write(WriteOperation.APPLY_STATUS, ref_of(drained), drained), "agent")
    come_to_rest([worker])
    assert {before, owner(worker, "10.0.0.0")} == {"h1", "h2"}
