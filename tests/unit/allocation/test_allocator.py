"""From pictures of the store to writes."""

from dataclasses import replace

import pytest

from appliance.allocation.cache import WATCHED
from appliance.allocation.claim import TAKEN_BACK
from appliance.allocation.event import ObjectsChanged, TimePassed, Write, WriteOperation
from appliance.allocator.program import answered
from appliance.api.address import parse_address
from appliance.api.core import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    Namespace,
    Node,
    Service,
    ServiceStatus,
)
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import Backends, BackendsSpec, Host, VirtualIP, VirtualIPService, VirtualIPSpec
from tests.unit.allocation.site import Site, delete, endpoints, pool, site
from tests.unit.ipam.sample import service

POOL = pool("a", "10.0.0.0/30")
ANNOTATION = "metallb.io/ip-allocated-from-pool"


def told(plain: Service, *ips: str) -> Service:
    """A Service that was told addresses before."""
    ingress = tuple(LoadBalancerIngress(ip=ip) for ip in ips)
    return replace(plain, status=ServiceStatus(load_balancer=LoadBalancerStatus(ingress=ingress)))


def vip(address: str, *names: str) -> VirtualIP:
    """A VirtualIP that lists Services."""
    services = tuple(VirtualIPService(namespace="default", name=name) for name in names)
    spec = VirtualIPSpec(address=parse_address(address), pool="a", services=services)
    return VirtualIP(metadata=Metadata(name=address), spec=spec)


async def test_service_gets_address_annotation_vip_and_backends() -> None:
    """All that a new Service calls for is written, in three writes, and told once."""
    here = site(POOL, service("x"), endpoints("x"))
    written = [(operation, ref) for step, operation, ref in await history_of(here) if step == "done"]
    assert [entry for entry in written if "IPAddressPool" not in entry[1]] == [
        (WriteOperation.CREATE, "VirtualIP 10.0.0.0"),
        (WriteOperation.CREATE, "Backends 10.0.0.0"),
        (WriteOperation.APPLY_STATUS, "Service default/x"),
    ]
    stored = (await here.objects())[Ref("Service", "default", "x")]
    assert await here.told("x") == "10.0.0.0"
    assert stored.metadata.annotations[ANNOTATION] == "a"
    assert await here.vips() == {"10.0.0.0": ["default/x"]}
    assert here.events == [("default/x", "IPAllocated")]


async def test_service_is_told_once_though_the_store_tells_of_a_write_before_it_answers() -> None:
    """A watch is another connection than a write's, and often the faster one."""
    here = site(POOL, service("x"), endpoints("x"))
    listing = await here.store.list(WATCHED)
    waiting = here.hear(ObjectsChanged(tuple(listing.objects.values()), listed=WATCHED, is_first=True))
    while waiting:
        answer = await answered(here.store, waiting.pop(0))
        waiting += here.hear(ObjectsChanged(tuple((await here.objects()).values())))
        waiting += here.hear(answer)
    assert await here.told("x") == "10.0.0.0"
    assert here.events == [("default/x", "IPAllocated")]


async def test_service_without_endpoints_has_no_backends_yet() -> None:
    """It is told its address all the same; they are written with its first endpoint, and stay with none."""
    here, name = site(POOL, service("x")), Ref("Backends", "", "10.0.0.0")
    await here.settle()
    assert (await here.told("x"), name in await here.objects()) == ("10.0.0.0", False)
    await here.store.create(endpoints("x"), "operator")
    await here.settle()
    written = (await here.objects())[name]
    assert isinstance(written, Backends)
    assert [str(found.address) for found in written.spec.ports[0].backends] == ["10.244.0.1"]
    await here.store.apply(replace(endpoints("x"), endpoints=()), "operator")
    await here.settle()
    written = (await here.objects())[name]
    assert isinstance(written, Backends)
    assert [port.backends for port in written.spec.ports] == [()]


@pytest.mark.parametrize(("mode", "is_rewritten"), [(None, False), ("VIP", False), ("Proxy", True)])
async def test_status_is_compared_as_the_server_stores_it(mode: str | None, is_rewritten: bool) -> None:
    """Entries are written with `ipMode: VIP`; the API server adds it to those of an older writer."""
    here = site(POOL, service("x"))
    await here.settle()
    stored = (await here.objects())[Ref("Service", "default", "x")]
    assert isinstance(stored, Service)
    assert [entry.ip_mode for entry in stored.status.load_balancer.ingress] == ["VIP"]
    older = LoadBalancerStatus(ingress=(LoadBalancerIngress(ip="10.0.0.0", ip_mode=mode),))
    await here.store.apply_status(replace(stored, status=ServiceStatus(load_balancer=older)), "operator")
    here.restart()
    await here.settle()
    again = (await here.objects())[Ref("Service", "default", "x")]
    assert isinstance(again, Service)
    assert [entry.ip_mode for entry in again.status.load_balancer.ingress] == ["VIP" if is_rewritten else mode]
    assert here.events == [("default/x", "IPAllocated")]


async def test_annotation_that_is_somebody_elses_is_left_alone() -> None:
    """A pool named in an operator's own manifest cannot be taken away, so nobody tries again and again."""
    plain = service("x", service_type="ClusterIP")
    here = site(POOL, replace(plain, metadata=replace(plain.metadata, annotations={ANNOTATION: "old"})))
    await here.settle()
    before = await here.objects()
    await here.settle()
    assert await here.objects() == before


async def test_deleted_service_leaves_nothing() -> None:
    """The address is free again and its objects are gone."""
    here = site(POOL, service("x"))
    await here.settle()
    await delete(here, [Ref("Service", "default", "x")])
    await here.settle()
    assert {ref.kind for ref in await here.objects()} == {"IPAddressPool"}
    assert list(here.allocator.ledger.holdings()) == []


async def test_waiting_service_is_served_when_an_address_comes_free() -> None:
    """A release, and a move to another address as well, wakes those that wait."""
    here = site(pool("a", "10.0.0.1/32"), pool("b", "10.0.1.1/32"), service("x", pool_name="a"))
    await here.settle()
    await here.store.create(service("y", pool_name="a"), "operator")
    await here.settle()
    assert here.events[-1] == ("default/y", "AllocationFailed")
    moved = (await here.objects())[Ref("Service", "default", "x")]
    annotations = {**moved.metadata.annotations, "metallb.io/address-pool": "b"}
    await here.store.apply(replace(moved, metadata=replace(moved.metadata, annotations=annotations)), "operator")
    await here.settle()
    assert (await here.told("x"), await here.told("y")) == ("10.0.1.1", "10.0.0.1")


async def test_pool_renamed_rewrites_the_annotation() -> None:
    """The address stays, the annotation names the pool it is in now."""
    here = site(POOL, service("x"))
    await here.settle()
    await delete(here, [Ref("IPAddressPool", "metallb-system", "a")])
    await here.store.create(pool("renamed", "10.0.0.0/30"), "operator")
    await here.settle()
    stored = (await here.objects())[Ref("Service", "default", "x")]
    assert (await here.told("x"), stored.metadata.annotations[ANNOTATION]) == ("10.0.0.0", "renamed")
    assert here.events == [("default/x", "IPAllocated")]


async def test_all_pools_removed_clears_status_and_annotation() -> None:
    """Every Service is cleared without an event, and served again when a pool is back."""
    here = site(POOL, service("x"))
    await here.settle()
    await delete(here, [Ref("IPAddressPool", "metallb-system", "a")])
    await here.settle()
    stored = (await here.objects())[Ref("Service", "default", "x")]
    assert (await here.told("x"), ANNOTATION in stored.metadata.annotations) == ("", False)
    assert await here.vips() == {}
    await here.store.create(POOL, "operator")
    await here.settle()
    assert await here.told("x") == "10.0.0.0"


async def test_stale_deprecated_pool_annotation_is_left_alone() -> None:
    """Only the present name of the pool annotation is written; what an old MetalLB wrote stays."""
    plain = service("x")
    old = {"metallb.universe.tf/ip-allocated-from-pool": "gone"}
    here = site(POOL, replace(plain, metadata=replace(plain.metadata, annotations=old)))
    await here.settle()
    stored = (await here.objects())[Ref("Service", "default", "x")]
    assert {**old, ANNOTATION: "a"}.items() <= dict(stored.metadata.annotations).items()


async def test_holders_keep_their_addresses_at_start() -> None:
    """Nobody new, and nobody who loses an address, takes what somebody else was told."""
    here = site(
        pool("a", "10.0.0.0/31"),
        service("a-newcomer"),
        told(service("b-homeless"), "10.9.9.9"),
        told(service("z"), "10.0.0.0"),
    )
    await here.settle()
    assert await here.told("z") == "10.0.0.0"
    assert sorted([await here.told("a-newcomer"), await here.told("b-homeless")]) == ["", "10.0.0.1"]


async def test_listing_without_a_word_to_the_service_is_taken_up() -> None:
    """A crash after the claim heals: the Service gets the address it is listed for."""
    here = site(POOL, service("x"), vip("10.0.0.2", "x"))
    await here.settle()
    assert await here.told("x") == "10.0.0.2"
    assert await here.vips() == {"10.0.0.2": ["default/x"]}
    assert here.events == [("default/x", "IPAllocated")]


async def test_class_of_somebody_else() -> None:
    """A Service that turns to another class gives back what we gave it; one that was never ours is not touched."""
    here = site(POOL, service("x"), told(service("theirs", service_class="other"), "10.0.0.2"))
    await here.settle()
    stored = (await here.objects())[Ref("Service", "default", "x")]
    assert isinstance(stored, Service)
    await here.store.apply(replace(stored, spec=replace(stored.spec, load_balancer_class="other")), "operator")
    await here.settle()
    assert (await here.told("x"), await here.told("theirs")) == ("", "10.0.0.2")
    assert await here.vips() == {}


async def test_name_that_stands_in_the_way_is_passed_by() -> None:
    """A VirtualIP that lists a Service of another class is nobody's to give, and the next address is given."""
    here = site(
        POOL, told(service("theirs", service_class="other"), "10.0.0.9"), vip("10.0.0.0", "theirs"), service("x")
    )
    await here.settle()
    assert await here.told("x") == "10.0.0.1"


async def history_of(here: Site) -> list[tuple[str, WriteOperation, str]]:
    """What the allocator asks for and what is done of it, in order."""
    happened: list[tuple[str, WriteOperation, str]] = []
    waiting: list[Write] = []

    def ask(writes: list[Write]) -> None:
        happened.extend(("asked", write.operation, str(write.ref)) for write in writes)
        waiting.extend(writes)

    listing = await here.store.list(WATCHED)
    ask(here.hear(ObjectsChanged(tuple(listing.objects.values()), listed=WATCHED, is_first=True)))
    while waiting:
        write = waiting.pop(0)
        answer = await answered(here.store, write)
        happened.append(("done", write.operation, str(write.ref)))
        ask(here.hear(answer))
    return happened


async def test_old_listing_is_renewed_before_the_service_is_told() -> None:
    """A listing of which nobody knows for which version of the Service it was made is made anew first."""
    listed = vip("10.0.0.2", "x")
    beside = Backends(metadata=listed.metadata, spec=BackendsSpec(address=listed.spec.address))
    happened = await history_of(site(POOL, service("x"), listed, beside))
    renewed = ("done", WriteOperation.APPLY, "VirtualIP 10.0.0.2")
    assert happened.index(renewed) < happened.index(("asked", WriteOperation.APPLY_STATUS, "Service default/x"))


async def test_of_two_that_were_told_one_address_the_one_with_the_claim_keeps_it() -> None:
    """However it came about, the VirtualIP decides, whatever the Services are called."""
    here = site(POOL, told(service("a"), "10.0.0.1"), told(service("z"), "10.0.0.1"), vip("10.0.0.1", "z"))
    await here.settle()
    assert (await here.told("a"), await here.told("z")) == ("10.0.0.0", "10.0.0.1")


async def test_listing_left_behind_is_taken_back_after_a_mark_on_the_service() -> None:
    """A Service told another address is changed before an old listing goes, so that no late teller succeeds."""
    known = told(service("x"), "10.0.0.1")
    known = replace(known, metadata=replace(known.metadata, annotations={ANNOTATION: "a"}))
    here = site(POOL, known, vip("10.0.0.1", "x"), vip("10.0.0.2", "x"))
    happened = await history_of(here)
    marked = ("done", WriteOperation.APPLY_STATUS, "Service default/x")
    assert happened.index(marked) < happened.index(("asked", WriteOperation.DELETE, "VirtualIP 10.0.0.2"))
    stored = (await here.objects())[Ref("Service", "default", "x")]
    assert await here.vips() == {"10.0.0.1": ["default/x"]}
    assert TAKEN_BACK in stored.metadata.annotations


async def test_listed_service_goes_before_one_that_has_nothing() -> None:
    """An address that is listed for a Service is that Service's, and nobody who comes with it gets it."""
    here = site(POOL, service("x"))
    await here.settle()
    await here.store.create(service("y"), "operator")
    await here.store.create(vip("10.0.0.1", "z"), "operator")
    await here.store.create(service("z"), "operator")
    await here.settle()
    assert (await here.told("y"), await here.told("z")) == ("10.0.0.2", "10.0.0.1")


async def test_incomplete_picture_takes_nothing_away() -> None:
    """Where a text could not be read, what is missing may only be unread; new Services are served all the same."""
    here = site(POOL, service("x"))
    await here.settle()
    await delete(here, [Ref("Service", "default", "x")])
    await here.store.create(service("y"), "operator")
    await here.settle(is_complete=False)
    assert await here.vips() == {"10.0.0.0": ["default/x"], "10.0.0.1": ["default/y"]}
    await here.settle()
    assert await here.vips() == {"10.0.0.1": ["default/y"]}


async def test_incomplete_picture_at_start_keeps_what_was_told() -> None:
    """A pool that cannot be read costs nobody an address."""
    here = site(POOL, told(service("x"), "10.7.0.1"), vip("10.7.0.1", "x"))
    await here.settle(is_complete=False)
    assert await here.told("x") == "10.7.0.1"
    await here.settle()
    assert await here.told("x") == "10.0.0.0"


async def test_wrong_configuration_keeps_the_last_good_one() -> None:
    """An overlapping pool changes nothing; Services go on being served."""
    here = site(POOL, service("x"))
    await here.settle()
    await here.store.create(pool("overlapping", "10.0.0.0/24"), "operator")
    await here.store.create(service("y"), "operator")
    await here.settle()
    assert (await here.told("x"), await here.told("y")) == ("10.0.0.0", "10.0.0.1")


async def test_at_the_start_an_object_at_fault_is_left_out() -> None:
    """Of two pools that overlap the first by name serves; whoever holds an address of the other one keeps it."""
    here = site(POOL, pool("overlapping", "10.0.0.0/24"), told(service("w"), "10.0.0.9"), service("x"))
    await here.settle()
    assert (await here.told("w"), await here.told("x")) == ("10.0.0.9", "10.0.0.0")
    await here.store.create(service("y", pool_name="overlapping"), "operator")
    await here.settle()
    assert await here.told("y") == ""
    await delete(here, [Ref("IPAddressPool", "metallb-system", "a")])
    await here.settle()
    assert await here.told("y") == "10.0.0.1"


async def test_host_gets_the_labels_of_its_node() -> None:
    """Agents cannot read Nodes; a label that goes from the Node goes from the Host, the Host's own stay."""
    node = Node(metadata=Metadata(name="h", labels={"rack": "1", "role": "node"}))
    host = Host(metadata=Metadata(name="h", labels={"role": "edge"}))
    here = site(POOL, node, host)
    await here.settle()
    stored = (await here.objects())[Ref("Host", "", "h")]
    assert dict(stored.metadata.labels) == {"rack": "1", "role": "edge"}
    await here.store.apply(Node(metadata=Metadata(name="h")), "operator")
    await here.settle()
    stored = (await here.objects())[Ref("Host", "", "h")]
    assert dict(stored.metadata.labels) == {"role": "edge"}


async def test_reservation_and_quota_by_annotation() -> None:
    """A reserved address waits for its Service; a namespace holds no more than its quota."""
    reserving = pool("a", "10.0.0.0/29", annotations={"pierhead.io/reserved": "10.0.0.0=default/later"})
    namespace = Namespace(metadata=Metadata(name="small", annotations={"pierhead.io/address-quota": "1"}))
    small = (service("one", namespace="small"), service("two", namespace="small"))
    here = site(reserving, namespace, service("x"), *small)
    await here.settle()
    assert await here.told("x") == "10.0.0.1"
    assert sorted([await here.told("one", "small"), await here.told("two", "small")]) == ["", "10.0.0.2"]
    await here.store.create(service("later"), "operator")
    await here.settle()
    assert await here.told("later") == "10.0.0.0"


@pytest.mark.parametrize("kind", ["VirtualIP", "Backends"])
async def test_object_removed_by_hand_comes_back(kind: str) -> None:
    """What somebody deletes of a held address is written again."""
    here = site(POOL, service("x"), endpoints("x"))
    await here.settle()
    await here.settle()
    await delete(here, [Ref(kind, "", "10.0.0.0")])
    await here.settle()
    assert Ref(kind, "", "10.0.0.0") in await here.objects()
    assert await here.told("x") == "10.0.0.0"


async def test_who_waits_is_served_before_what_is_settled_is_looked_at_again() -> None:
    """An allocator that begins on a large site enters who holds what, and then has new Services wait for nothing."""
    names = [f"s{number}" for number in range(300)]
    here = site(pool("a", "10.0.0.0/23"), *map(service, names), *map(endpoints, names))
    await here.settle()
    here.restart()
    await here.store.create(service("z-new"), "operator")
    changed = tuple((await here.store.list(WATCHED)).objects.values())
    asked = here.hear(ObjectsChanged(changed=changed, listed=WATCHED, is_first=True))
    while not asked:
        asked = here.hear(TimePassed())
    assert [str(write.ref) for write in asked] == ["VirtualIP 10.0.1.44"]
    assert here.allocator.queue_length > len(names)
