"""Two allocators on one store: writes and answers in every order, refused, lost, late, and crashes between any two.

PIERHEAD_HISTORIES asks for so many random histories; by default there are a few, always the same. PIERHEAD_NO_SHRINK
leaves a failing one as it was found.
"""

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from appliance.allocation.cache import WATCHED
from appliance.allocation.event import Write, WriteOperation
from appliance.api.address import IPAddress, parse_range
from appliance.api.core import (
    FamilyName,
    FamilyPolicy,
    LoadBalancerIngress,
    LoadBalancerStatus,
    Service,
    ServicePort,
    ServiceSpec,
    ServiceStatus,
)
from appliance.api.kind import Kind, ref_of
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import IPAddressPool, IPAddressPoolSpec, ServiceAllocation
from appliance.api.pierhead import VirtualIP
from appliance.api.refusal import StoreRefusal
from appliance.store.directory.store import DirectoryStore
from appliance.store.memory import MemoryStore
from tests.sim.allocation_model import ADDRESSES, BLOCKS, pool_manifest
from tests.sim.allocation_world import (
    RealStore,
    Store,
    Worker,
    broken_store_laws,
    come_to_rest,
    doubles,
    endpoints,
    metadata,
    plain,
)
from tests.sim.test_allocation_store import put_pools

HISTORIES = int(os.environ.get("PIERHEAD_HISTORIES", "150"))
NAMES = ("s0", "s1", "s2", "s5")
# What is given first of each block, so that somebody else wants it.
FIRST = ("10.0.0.0", "10.0.0.1", "10.0.0.252", "10.0.2.7", "10.0.3.16")
QUARANTINE = 60.0
GROUPS = (
    frozenset(WATCHED),
    frozenset({Kind.SERVICE}),
    frozenset({Kind.VIRTUAL_IP, Kind.BACKENDS}),
    frozenset({Kind.IP_ADDRESS_POOL}),
)
LOST = (
    StoreRefusal.UNAVAILABLE,
    StoreRefusal.UNAVAILABLE,
    StoreRefusal.THROTTLED,
    StoreRefusal.FORBIDDEN,
    StoreRefusal.INVALID,
)
_PHASES = tuple(phase for phase in Phase if phase is not Phase.shrink or "PIERHEAD_NO_SHRINK" not in os.environ)
history = settings(
    max_examples=HISTORIES,
    phases=_PHASES,
    derandomize="PIERHEAD_HISTORIES" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Put:
    """Somebody creates or changes a Service."""

    service: Service


@dataclass(frozen=True)
class Endpoints:
    """Some endpoints of a Service come or go."""

    name: str
    count: int


@dataclass(frozen=True)
class Delete:
    """Somebody deletes a Service."""

    name: str


@dataclass(frozen=True)
class Pools:
    """Somebody replaces the pools."""

    pools: tuple[IPAddressPool, ...]


@dataclass(frozen=True)
class Look:
    """An allocator sees some more of what happened to some kinds."""

    worker: int
    group: int
    most: int


@dataclass(frozen=True)
class Do:
    """A write reaches the store and its answer is on its way; or the write or the answer is lost."""

    worker: int
    number: int
    refusal: StoreRefusal | None
    is_done: bool


@dataclass(frozen=True)
class Answer:
    """An answer arrives."""

    worker: int
    number: int


@dataclass(frozen=True)
class Wait:
    """Time passes for everybody."""

    seconds: float


@dataclass(frozen=True)
class Crash:
    """An allocator begins anew; what it had asked for may still happen."""

    worker: int


@dataclass(frozen=True)
class Haunt:
    """A write of an allocator that crashed happens after all."""

    worker: int


Move = Put | Endpoints | Delete | Pools | Look | Do | Answer | Wait | Crash | Haunt


@st.composite
def services(draw: st.DrawFn, names: tuple[str, ...] = NAMES) -> Service:
    """A Service whose terms of sharing its name decides, so that no edit makes two holders clash."""
    name = draw(st.sampled_from(names))
    number = int(name[1:])
    annotations = {} if number % 2 else {"metallb.io/allow-shared-ip": "k"}
    wanted = draw(st.sampled_from(("",) * 6 + ADDRESSES))
    if wanted:
        annotations["metallb.io/loadBalancerIPs"] = wanted
    pool = draw(st.sampled_from(("",) * 8 + ("pool-a", "pool-b")))
    if pool:
        annotations["metallb.io/address-pool"] = pool
    spec = ServiceSpec(
        type=draw(st.sampled_from(("LoadBalancer",) * 9 + ("ClusterIP",))),
        ports=(ServicePort(port=80 + number % 4),),
        ip_family_policy=draw(st.sampled_from((None, FamilyPolicy.PREFER_DUAL_STACK, FamilyPolicy.REQUIRE_DUAL_STACK))),
        ip_families=draw(st.sampled_from(((), (FamilyName.IPV6,)))),
    )
    labels = draw(st.sampled_from(({}, {"tier": "gold"})))
    return Service(metadata=metadata(name, labels=labels, annotations=annotations), spec=spec)


@st.composite
def pool_sets(draw: st.DrawFn, annotations: tuple[tuple[str, str], ...] = ()) -> tuple[IPAddressPool, ...]:
    """Up to three pools over disjoint blocks."""
    owners = draw(st.tuples(*(st.sampled_from(("pool-a", "pool-b", "pool-c", None)) for _ in BLOCKS)))
    found = []
    for name in ("pool-a", "pool-b", "pool-c"):
        blocks = tuple(block for block, owner in zip(BLOCKS, owners, strict=True) if owner == name)
        selectors = draw(st.sampled_from(((), (LabelSelector(match_labels={"tier": "gold"}),))))
        allocation = ServiceAllocation(priority=draw(st.integers(0, 2)), service_selectors=selectors)
        if blocks:
            pool = pool_manifest(
                name,
                blocks,
                auto_assign=draw(st.sampled_from((True, True, True, False))),
                avoid_buggy_ips=draw(st.booleans()),
                service_allocation=draw(st.sampled_from((None, allocation))),
            )
            found.append(replace(pool, metadata=replace(pool.metadata, annotations=dict(annotations))))
    return tuple(found)


def moves(with_pools: bool) -> st.SearchStrategy[list[Move]]:
    """A history, mostly made of steps of the allocators."""
    who, number = st.integers(0, 1), st.integers(0, 3)
    looks = st.builds(Look, who, st.integers(0, len(GROUPS) - 1), st.sampled_from((1, 2, 100)))
    done = st.builds(Do, who, number, st.none(), st.just(True))
    lost = st.builds(Do, who, number, st.sampled_from(LOST), st.booleans()).map(
        lambda do: do if do.refusal is StoreRefusal.UNAVAILABLE else replace(do, is_done=False)
    )
    answers = st.builds(Answer, who, number)
    waits = st.builds(Wait, st.sampled_from((0.06, 1.0, 20.0, 59.0, 61.0)))
    puts = st.builds(Put, services()) | st.builds(Endpoints, st.sampled_from(NAMES), st.integers(0, 2))
    rare = [st.builds(Delete, st.sampled_from(NAMES)), st.builds(Crash, who), st.builds(Haunt, who), lost]
    if with_pools:
        rare.append(st.builds(Pools, pool_sets()))
    steps = st.one_of(looks, done, answers, looks, done, answers, waits, puts, *rare)
    return st.lists(steps, min_size=10, max_size=70)


def move(store: Store, workers: tuple[Worker, Worker], what: Move) -> None:
    """One thing that happens."""
    match what:
        case Put(service):
            store.put(service)
        case Endpoints(name, count):
            store.put(endpoints(name, count))
        case Delete(name):
            ref = Ref("Service", "a", name)
            if ref in store.objects:
                store.delete(ref)
        case Pools(pools):
            put_pools(store, pools)
        case Wait(seconds):
            for each in workers:
                each.wait(seconds)
        case _:
            step(workers, what)


def step(workers: tuple[Worker, Worker], what: Look | Do | Answer | Crash | Haunt) -> None:
    """One thing that happens to one allocator."""
    worker = workers[what.worker]
    match what:
        case Look(_, group, most):
            worker.look(GROUPS[group], most)
        case Do(_, number, refusal, is_done):
            worker.do(number, refusal, is_done)
        case Answer(_, number):
            worker.answer(number)
        case Crash():
            worker.now = max(each.now for each in workers)
            worker.begin()
        case Haunt():
            worker.haunt()


@history
@given(pools=pool_sets(), happened=moves(with_pools=True))
def test_no_double_and_nothing_lost(pools: tuple[IPAddressPool, ...], happened: list[Move]) -> None:
    """After every write every Service that was told an address is listed alone, or with those it shares with."""
    live_through(Store(pools), happened)


def live_through(store: Store, happened: list[Move]) -> None:
    """Two allocators on a store, and what must be true of it meanwhile, in the end, and after a restart."""
    workers = (Worker(store), Worker(store))
    for what in happened:
        move(store, workers, what)
        assert broken_store_laws(store.objects, settled=False) == []
    come_to_rest(workers)
    assert broken_store_laws(store.objects, settled=True) == []
    before = plain(store.objects)
    workers[0].begin()
    come_to_rest(workers)
    assert plain(store.objects) == before


@st.composite
def told_by_another(draw: st.DrawFn) -> dict[str, tuple[Service, str]]:
    """Services that another system served: each was told an address of its own."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    addresses = draw(st.permutations(FIRST))
    return {name: (draw(services((name,))), address) for name, address in zip(names, addresses, strict=False)}


@history
@given(pools=pool_sets(), served=told_by_another(), happened=moves(with_pools=True))
def test_no_double_after_another_system(
    pools: tuple[IPAddressPool, ...], served: dict[str, tuple[Service, str]], happened: list[Move]
) -> None:
    """What a Service was told by MetalLB is told to nobody else while it says so, though no VirtualIP lists it yet.

    In the end one allocator is left, as where they elect a leader: two that see a Service with different eyes may go on
    taking back what the other claimed for it.
    """
    store = Store(pools)
    for service, address in served.values():
        tell_as_another(store, service, address)
    workers = (Worker(store), Worker(store))
    for what in happened:
        move(store, workers, what)
        assert doubles(store.objects) == []
    for _ in range(10):
        for worker in workers:
            worker.haunt()
            worker.go_on()
            assert doubles(store.objects) == []
    come_to_rest(workers[:1])
    assert broken_store_laws(store.objects, settled=True) == []


def tell_as_another(store: Store, service: Service, address: str) -> None:
    """A Service, and its status as another system wrote it."""
    store.put(service)
    ingress = (LoadBalancerIngress(ip=address),)
    told = replace(service, status=ServiceStatus(load_balancer=LoadBalancerStatus(ingress=ingress)))
    store.write(Write(WriteOperation.APPLY_STATUS, ref_of(service), told), "metallb")


def test_a_mark_that_one_left_who_ended_is_laid_anew() -> None:
    """Who begins after it changes the Service once more; one that changes nothing would be asked for without end."""
    pool = IPAddressPool(
        metadata=Metadata(name="pool-a", namespace="metallb-system"),
        spec=IPAddressPoolSpec(addresses=(parse_range("10.0.0.0/30"),)),
    )
    listed = Service(
        metadata=Metadata(name="s1", namespace="a"),
        spec=ServiceSpec(type="LoadBalancer", ports=(ServicePort(port=81),)),
    )
    impossible = replace(
        listed,
        metadata=replace(listed.metadata, annotations={"metallb.io/loadBalancerIPs": "10.0.0.1"}),
        spec=replace(listed.spec, ip_families=(FamilyName.IPV6,)),
    )
    ask, look = Do(0, 0, None, True), Look(0, 0, 1)
    happened: list[Move] = [ask, ask, Put(listed), look, ask, ask, Wait(0.06), Put(impossible), look, Crash(0)]
    live_through(Store((pool,)), happened)


@settings(parent=history, max_examples=max(1, HISTORIES // 10))
@given(pools=pool_sets(), happened=moves(with_pools=True))
def test_the_same_on_the_memory_store(pools: tuple[IPAddressPool, ...], happened: list[Move]) -> None:
    """What it promises of versions, refusals and writers is what allocators rest on."""
    store = RealStore(MemoryStore(), pools)
    live_through(store, happened)
    store.close()


@settings(parent=history, max_examples=max(1, HISTORIES // 20))
@given(pools=pool_sets(), happened=moves(with_pools=True))
def test_the_same_on_the_directory_store(pools: tuple[IPAddressPool, ...], happened: list[Move]) -> None:
    """And so it is of files."""
    with tempfile.TemporaryDirectory() as folder:
        store = RealStore(DirectoryStore(Path(folder)), pools)
        live_through(store, happened)
        store.close()


class Watchman:
    """Sees every state of the store and notes when each address came free, and who had it last."""

    def __init__(self) -> None:
        self.listed: dict[IPAddress, set[str]] = {}
        self.freed: dict[IPAddress, tuple[float, set[str]]] = {}

    def look(self, store: Store, now: float) -> list[str]:
        """Who was let in too early between the last look and this one."""
        vips = [manifest for manifest in store.objects.values() if isinstance(manifest, VirtualIP)]
        listed = {vip.spec.address: {str(entry.reference) for entry in vip.spec.services} for vip in vips}
        early = [
            f"{address} freed at {self.freed[address]}, given to {sorted(holders)} at {now}"
            for address, holders in listed.items()
            if holders and not self.listed.get(address) and self.is_early(address, holders, now)
        ]
        for vip in vips:
            address = vip.spec.address
            if self.listed.get(address) and not vip.spec.services:
                self.freed[address] = (now, self.listed[address])
        early += [
            f"{address} went without a quarantine"
            for address, was in self.listed.items()
            if was and address not in listed
        ]
        self.listed = listed
        return early

    def is_early(self, address: IPAddress, holders: set[str], now: float) -> bool:
        """Whether an address is given to somebody else than its last holder before its time."""
        if address not in self.freed:
            return False
        since, last = self.freed[address]
        return now < since + QUARANTINE and not holders <= last


@history
@given(pools=pool_sets((("pierhead.io/quarantine", "1m"),)), happened=moves(with_pools=False))
def test_nobody_gets_in_early_and_nothing_is_left(pools: tuple[IPAddressPool, ...], happened: list[Move]) -> None:
    """No address goes to another Service before its quarantine is over, and all are free after it."""
    store, watchman = Store(pools), Watchman()
    workers = (Worker(store), Worker(store))
    for what in happened:
        move(store, workers, what)
        assert broken_store_laws(store.objects, settled=False) == []
        assert watchman.look(store, max(worker.now for worker in workers)) == []
    come_to_rest(workers)
    assert broken_store_laws(store.objects, settled=True) == []
    vips = [manifest for manifest in store.objects.values() if isinstance(manifest, VirtualIP)]
    assert all(vip.spec.services for vip in vips)
