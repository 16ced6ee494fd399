"""Two allocators on one store, interleaved at every write and stopped between any two: no double, nothing lost."""

from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from appliance.allocator.allocator import Allocator
from appliance.allocator.setting import Settings
from appliance.allocator.view import WATCHED
from appliance.api.core import Service, ServicePort, TrafficPolicy
from appliance.api.kind import ref_of
from appliance.api.metallb import IPAddressPool
from appliance.ipam.event import Event
from appliance.store.memory import MemoryStore
from tests.sim.allocation_model import pool_sets, services
from tests.sim.allocation_store import GatedStore, broken_store_laws, objects_of, put, run
from tests.sim.scale import scaled

NAMES = ("s0", "s1", "s2", "s5")


class Silence:
    """Nobody listens."""

    def emit(self, service: str, event: Event) -> None:
        """Drop one."""


@dataclass
class Worker:
    """An allocator that advances write by write."""

    store: MemoryStore
    allocator: Allocator = field(init=False)
    running: Coroutine[Any, Any, None] | None = None

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Know nothing."""
        self.running = None
        self.allocator = Allocator(GatedStore(self.store), Silence(), Settings())

    def crash(self) -> None:
        """Stop where it is."""
        if self.running is not None:
            self.running.close()
        self.begin()

    def step(self, writes: int) -> None:
        """Take a picture if idle, then go on for some writes."""
        for _ in range(writes):
            if self.running is None:
                self.running = self.allocator.settle(run(self.store.read(WATCHED)))
            try:
                self.running.send(None)
            except StopIteration:
                self.running = None

    def finish(self) -> None:
        """Go on until nothing is under way."""
        while self.running is not None:
            self.step(1)


def plain(service: Service) -> Service:
    """The Service with terms of sharing that its name decides, so that no edit makes two holders clash."""
    number = int(service.metadata.name[1:])
    own = {key: text for key, text in service.metadata.annotations.items() if not key.endswith("allow-shared-ip")}
    annotations = own if number % 2 else {**own, "metallb.io/allow-shared-ip": "k"}
    spec = replace(
        service.spec,
        ports=(ServicePort(port=80 + number % 4),),
        external_traffic_policy=TrafficPolicy.CLUSTER,
    )
    return replace(service, metadata=replace(service.metadata, annotations=annotations), spec=spec)


edits = st.one_of(
    st.tuples(st.just("write"), services(NAMES).map(plain)),
    st.tuples(st.just("write"), services(NAMES).map(plain)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("pools"), pool_sets()),
)
moves = st.one_of(
    st.tuples(st.just("step"), st.tuples(st.integers(0, 1), st.integers(1, 6))),
    st.tuples(st.just("step"), st.tuples(st.integers(0, 1), st.integers(1, 30))),
    st.tuples(st.just("crash"), st.integers(0, 1)),
)
histories = st.lists(st.one_of(edits, moves, moves), min_size=5, max_size=30)


@scaled(100, 1)
@given(pools=pool_sets(), found=st.lists(services(NAMES), max_size=3), history=histories)
def test_no_double_and_nothing_lost(
    pools: tuple[IPAddressPool, ...], found: list[Service], history: list[tuple[str, Any]]
) -> None:
    """After every write every Service that was told an address is listed alone, or with those it shares with."""
    store = MemoryStore(pools)
    run(put(store, None, map(plain, found)))
    workers = (Worker(store), Worker(store))
    for move, argument in history:
        act(store, workers, move, argument)
        assert broken_store_laws(objects_of(store), settled=False) == []
    come_to_rest(store, workers)
    before = objects_of(store)
    assert broken_store_laws(before, settled=True) == []
    workers[0].crash()
    come_to_rest(store, workers)
    assert objects_of(store) == before


def act(store: MemoryStore, workers: tuple[Worker, Worker], move: str, argument: Any) -> None:
    """One thing that happens."""
    match move:
        case "write":
            run(put(store, None, (argument,)))
        case "delete":
            for ref, manifest in objects_of(store).items():
                if isinstance(manifest, Service) and ref.name == argument:
                    run(store.delete(ref_of(manifest)))
        case "pools":
            run(put(store, IPAddressPool, argument))
        case "step":
            workers[argument[0]].step(argument[1])
        case "crash":
            workers[argument].crash()


def come_to_rest(store: MemoryStore, workers: tuple[Worker, Worker]) -> None:
    """Let both finish and look again until nobody writes any more."""
    for worker in workers:
        worker.finish()
    for _ in range(12):
        before = objects_of(store)
        for worker in workers:
            worker.step(1)
            worker.finish()
        if objects_of(store) == before:
            return
    raise AssertionError("two allocators do not come to rest")
