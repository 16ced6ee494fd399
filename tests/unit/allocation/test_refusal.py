"""A refused write is an event: it hurts the object it is about, and nobody else."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from appliance.allocation.cache import WATCHED
from appliance.allocation.event import ObjectsChanged, Write, WriteOperation
from appliance.api.kind import Kind, Object
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import (
    Backends,
    Owner,
    VirtualIP,
    VirtualIPService,
    VirtualIPSpec,
    VirtualIPStatus,
)
from appliance.api.refusal import StoreRefusal
from tests.sim.allocation_world import Store, Worker, come_to_rest, told_addresses
from tests.unit.allocation.site import endpoints, pool
from tests.unit.ipam.sample import service

POOL = pool("a", "10.0.0.0/29")
FIRST = Ref("VirtualIP", "", "10.0.0.0")
UNREACHABLE = (StoreRefusal.UNAVAILABLE, StoreRefusal.THROTTLED)


class Refusing(Store):
    """A store that refuses what is asked of some objects."""

    def __init__(self, refusals: dict[Ref, StoreRefusal], *manifests: Object) -> None:
        self.refusals: dict[Ref, StoreRefusal] = {}
        self.refused = 0
        super().__init__(manifests)
        self.refusals = refusals

    def write(self, write: Write, manager: str = "allocator") -> Object | StoreRefusal | None:
        """Refuse, or do."""
        if write.ref in self.refusals and manager == "allocator":
            self.refused += 1
            return self.refusals[write.ref]
        return super().write(write, manager)


def told(store: Store) -> dict[str, str]:
    """The addresses of each Service that has any."""
    return {path: " ".join(sorted(map(str, held))) for path, held in told_addresses(store.objects).items()}


def free(store: Store) -> int:
    """How many addresses of the pool have no VirtualIP."""
    return 8 - sum(ref.kind == "VirtualIP" for ref in store.objects)


@pytest.mark.parametrize("refusal", [found for found in StoreRefusal if found not in UNREACHABLE])
def test_service_whose_status_cannot_be_written_stands_in_nobodys_way(refusal: StoreRefusal) -> None:
    """Whatever the reason, Services that sort after it are served; an unreachable store is another matter."""
    store = Refusing({Ref("Service", "default", "a"): refusal}, POOL, service("a"), service("b"), service("c"))
    worker = Worker(store)
    come_to_rest([worker], longest=3.0)
    assert set(told(store)) == {"default/b", "default/c"}
    store.refusals = {}
    come_to_rest([worker])
    assert set(told(store)) == {"default/a", "default/b", "default/c"}


@pytest.mark.parametrize("kind", ["Service", "VirtualIP"])
def test_right_that_is_given_back_is_noticed_by_all_who_waited_for_it(kind: str) -> None:
    """Each was to wait for minutes; one write that is no longer forbidden is enough."""
    names = "abcdef" if kind == "Service" else [f"10.0.0.{number}" for number in range(8)]
    refs = [Ref(kind, "default" if kind == "Service" else "", name) for name in names]
    store = Refusing(dict.fromkeys(refs, StoreRefusal.FORBIDDEN), POOL, *(service(name) for name in "abcdef"))
    worker = Worker(store)
    come_to_rest([worker], longest=200.0)
    assert told(store) == {}
    store.refusals = {}
    store.put(service("new"))
    come_to_rest([worker], longest=1.5)
    assert len(told(store)) == 7


@pytest.mark.parametrize("refusal", UNREACHABLE)
def test_store_that_cannot_be_reached_is_asked_less_and_less(refusal: StoreRefusal) -> None:
    """Nothing is forgotten meanwhile, and when it is back everybody is served."""
    refs = {Ref("VirtualIP", "", f"10.0.0.{number}") for number in range(8)}
    store = Refusing(dict.fromkeys(refs, refusal), POOL, *(service(name) for name in "abcdef"))
    worker = Worker(store)
    come_to_rest([worker], longest=60.0)
    assert store.refused < 200
    store.refusals = {}
    come_to_rest([worker])
    assert len(told(store)) == 6


def test_service_that_cannot_be_listed_takes_no_address() -> None:
    """Its owner is told once; every address of the pool stays for others, and time passes between two tries."""
    store = Refusing({}, POOL, service("bad"))
    store.refusals = {Ref("VirtualIP", "", f"10.0.0.{number}"): StoreRefusal.INVALID for number in range(8)}
    worker = Worker(store)
    come_to_rest([worker], longest=30.0)
    assert store.refused < 12
    assert [emit.event.reason.text for emit in worker.told] == ["InternalError"]
    store.refusals = {}
    store.put(service("good"))
    worker.go_on()
    worker.go_on()
    worker.go_on()
    assert told(store) == {"default/good": "10.0.0.0"}
    assert free(store) == 7


def test_address_whose_name_an_operator_took_is_passed_by() -> None:
    """A VirtualIP that only an operator may write keeps its address, and no other."""
    store = Refusing({FIRST: StoreRefusal.READ_ONLY}, POOL, service("x"), service("y"))
    worker = Worker(store)
    come_to_rest([worker], longest=3.0)
    assert sorted(told(store).values()) == ["10.0.0.1", "10.0.0.2"]


def test_virtual_ip_that_cannot_be_read_withholds_its_address_and_nothing_else() -> None:
    """It is in the way, whoever wrote it; nothing is read or written again and again for it."""
    store = Refusing({FIRST: StoreRefusal.INVALID}, POOL, service("x"))
    worker = Worker(store)
    worker.hear(ObjectsChanged(unreadable=frozenset({FIRST})))
    come_to_rest([worker], longest=10.0)
    assert told(store) == {"default/x": "10.0.0.1"}
    asked = store.refused
    come_to_rest([worker], longest=10.0)
    assert store.refused - asked <= 4
    store.refusals = {}
    worker.hear(ObjectsChanged(unreadable=frozenset()))
    store.put(service("y"))
    come_to_rest([worker])
    assert told(store)["default/y"] == "10.0.0.0"


def test_told_address_whose_virtual_ip_cannot_be_read_stays() -> None:
    """A newer field in it costs nobody an address."""
    store = Store([POOL, service("x")])
    worker = Worker(store)
    come_to_rest([worker])
    before = store.version
    worker.hear(ObjectsChanged(unreadable=frozenset({FIRST})))
    come_to_rest([worker])
    worker.begin()
    worker.hear(ObjectsChanged(removed=(FIRST,), unreadable=frozenset({FIRST})))
    come_to_rest([worker])
    assert (told(store), store.version) == ({"default/x": "10.0.0.0"}, before)


def test_endpoints_that_cannot_be_written_hurt_only_their_own_address() -> None:
    """An address whose Backends are refused keeps its VirtualIP; others are served, and time passes between tries."""
    refusals = {Ref("Backends", "", "10.0.0.0"): StoreRefusal.INVALID}
    store = Refusing(refusals, POOL, service("x"), service("y"), endpoints("x"), endpoints("y"))
    worker = Worker(store)
    come_to_rest([worker], longest=30.0)
    assert set(told(store)) == {"default/x", "default/y"}
    assert store.refused < 8
    assert Ref("Backends", "", "10.0.0.1") in store.objects


def test_claim_that_somebody_else_made_first_is_learnt() -> None:
    """An address of which the allocator has not heard is taken: it asks what is in its way, and takes the next."""
    store = Store([POOL, service("x"), service("y")])
    late, first = Worker(store), Worker(store)
    store.put(service("z"))
    store.delete(Ref("Service", "default", "x"))
    come_to_rest([first])
    assert told(store) == {"default/y": "10.0.0.1", "default/z": "10.0.0.0"}
    while late.asked:
        late.do(0)
    while late.answers:
        late.answer(0)
    assert [write.operation for write in late.asked] == [WriteOperation.GET, WriteOperation.GET]
    come_to_rest([first, late])
    assert told(store) == {"default/y": "10.0.0.1", "default/z": "10.0.0.0"}


def test_claim_for_a_service_that_was_not_seen_yet_is_respected() -> None:
    """Whom a VirtualIP lists may have been told, though nothing is known of that Service here."""
    store = Store([POOL, service("x")])
    late = Worker(store)
    spec = VirtualIPSpec(
        address=ip_address("10.0.0.0"), pool="a", services=(VirtualIPService(namespace="default", name="z"),)
    )
    store.put(VirtualIP(metadata=Metadata(name="10.0.0.0"), spec=spec))
    for _ in range(12):
        late.do(0)
        late.answer(0)
    assert told(store) == {"default/x": "10.0.0.1"}


def test_service_that_is_not_seen_yet_keeps_its_listing() -> None:
    """Kinds lag one another, so the store itself is asked before a listing of an unseen Service goes."""
    store = Store([POOL])
    first, late = Worker(store), Worker(store)
    store.put(service("x"))
    come_to_rest([first])
    late.look({Kind.VIRTUAL_IP, Kind.BACKENDS}, 100)
    asked = [write.operation for write in late.asked if write.ref.kind != "IPAddressPool"]
    assert asked == [WriteOperation.GET]
    for _ in range(9):
        late.do(0)
        late.answer(0)
    assert told(store) == {"default/x": "10.0.0.0"}
    assert FIRST in store.objects


def test_answer_that_was_overtaken_by_a_removal_is_not_believed() -> None:
    """What a late answer shows of an object that is gone does not bring it back."""
    store = Store([POOL, service("x")])
    worker = Worker(store)
    while not any(write.ref.kind == "Service" for write in worker.asked):
        worker.do(0)
        worker.answer(0)
    while worker.asked:
        worker.do(0)
    store.delete(Ref("Service", "default", "x"))
    worker.look(WATCHED, 100)
    come_to_rest([worker])
    assert worker.allocator.cache.services == {}
    assert FIRST not in store.objects


def test_removal_of_a_virtual_ip_names_the_version_that_was_known() -> None:
    """So that a listing somebody renewed meanwhile stays."""
    store = Store([POOL, service("x"), endpoints("x")])
    worker = Worker(store)
    come_to_rest([worker])
    store.delete(Ref("Service", "default", "x"))
    deletes: list[Write] = []
    for _ in range(12):
        worker.look(WATCHED, 100)
        deletes += [write for write in worker.asked if write.operation is WriteOperation.DELETE]
        worker.do(0)
        worker.answer(0)
    assert {write.ref.kind for write in deletes} == {"VirtualIP", "Backends"}
    assert all(write.version for write in deletes)


def test_deleted_services_leave_nothing_behind() -> None:
    """Neither in the store nor in memory."""
    store = Store([POOL])
    worker = Worker(store)
    for number in range(30):
        store.put(service(f"s{number}"))
        come_to_rest([worker])
        store.delete(Ref("Service", "default", f"s{number}"))
        come_to_rest([worker])
    assert {ref.kind for ref in store.objects} == {"IPAddressPool"}
    assert worker.allocator.cases == {}


def test_mark_of_a_freed_address_outlives_what_agents_report() -> None:
    """A host that writes its status late takes away no mark of the allocator."""
    store = Store([pool("a", "10.0.0.0/32", annotations={"pierhead.io/quarantine": "10m"}), service("x")])
    worker = Worker(store)
    come_to_rest([worker])
    known = store.objects[FIRST]
    assert isinstance(known, VirtualIP)
    store.delete(Ref("Service", "default", "x"))
    come_to_rest([worker], longest=5.0)
    late = replace(known, status=VirtualIPStatus(owner=Owner(host="h")), metadata=Metadata(name="10.0.0.0"))
    store.write(Write(WriteOperation.APPLY_STATUS, FIRST, late), "agent")
    store.put(service("y"))
    come_to_rest([worker], longest=5.0)
    assert told(store) == {}


def test_endpoints_reach_backends_before_new_services_are_served() -> None:
    """A crowd of new Services does not make those wait that are in use."""
    store = Store([pool("a", "10.0.0.0/22"), service("used")])
    worker = Worker(store)
    come_to_rest([worker])
    for number in range(500):
        store.put(service(f"new{number}"))
    worker.look(WATCHED, 1000)
    assert len(worker.asked) == worker.settings.writes_max
    store.put(endpoints("used"))
    worker.look(WATCHED, 1000)
    for _ in range(3):
        worker.do(0)
        worker.answer(0)
    (written,) = (write for write in worker.asked if write.ref == Ref("Backends", "", "10.0.0.0"))
    assert isinstance(written.manifest, Backends)
    assert [str(found.address) for found in written.manifest.spec.ports[0].backends] == ["10.244.0.1"]
