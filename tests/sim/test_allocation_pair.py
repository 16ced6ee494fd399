"""Two allocators on one store, interleaved at every write and stopped between any two: no double, nothing lost."""

from collections import deque
from collections.abc import Mapping
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from appliance.allocator.view import WATCHED
from appliance.api.core import Service
from appliance.api.kind import Object
from appliance.api.meta import Ref
from appliance.api.metallb import IPAddressPool
from appliance.store.memory import MemoryStore
from tests.sim.allocation_store import broken_store_laws, objects_of, put, run
from tests.sim.allocation_worker import NAMES, Worker, draw_pools, draw_service, picture_of
from tests.sim.scale import scaled

MOVES = ("write", "write", "delete", "pools", *("step",) * 10, "crash")


@scaled(3000, 20)
@given(seed=st.integers(0, 2**48))
def test_no_double_and_nothing_lost(seed: int) -> None:
    """After every write every Service that was told an address is listed alone, or with those it shares with."""
    with capture_logs():
        live(Random(seed))


def live(random: Random) -> None:
    """One history."""
    store = MemoryStore(draw_pools(random))
    workers = (Worker(store), Worker(store))
    past: deque[Mapping[Ref, Object]] = deque([objects_of(store)], maxlen=12)
    for _ in range(40):
        move(random, store, workers, past)
        past.append(objects_of(store))
        assert broken_store_laws(past[-1], settled=False) == []
    come_to_rest(store, workers)
    before = objects_of(store)
    assert broken_store_laws(before, settled=True) == []
    workers[0].crash()
    come_to_rest(store, workers)
    assert objects_of(store) == before


def move(random: Random, store: MemoryStore, workers: tuple[Worker, Worker], past: deque[Mapping[Ref, Object]]) -> None:
    """One thing that happens."""
    match random.choice(MOVES):
        case "write":
            run(put(store, None, (draw_service(random),)))
        case "delete":
            ref = Ref("Service", "a", random.choice(NAMES))
            if isinstance(objects_of(store).get(ref), Service):
                run(store.delete(ref))
        case "pools":
            run(put(store, IPAddressPool, draw_pools(random)))
        case "crash":
            random.choice(workers).crash()
        case _:
            worker = random.choice(workers)
            late = random.choice(past) if random.random() < 0.3 else None
            worker.take(picture_of(store, late, random.random() < 0.5))
            worker.advance(random.choice((1, 1, 2, 3, 30)))


def come_to_rest(store: MemoryStore, workers: tuple[Worker, Worker]) -> None:
    """Let both finish and look again until nobody writes any more."""
    for _ in range(12):
        before = objects_of(store)
        for worker in workers:
            worker.finish()
            worker.take(run(store.list(WATCHED)))
            worker.finish()
        if objects_of(store) == before:
            return
    raise AssertionError("two allocators do not come to rest")
