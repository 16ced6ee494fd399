"""Two allocators, interleaved and stopped between any two writes, on pools with a quarantine: nobody is early."""

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from appliance.api.address import IPAddress
from appliance.api.core import Service
from appliance.api.kind import Object
from appliance.api.meta import Ref
from appliance.api.pierhead import VirtualIP
from appliance.ipam.quarantine import FREED_AT
from appliance.store.memory import MemoryStore
from tests.sim.allocation_store import broken_store_laws, objects_of, put, run
from tests.sim.allocation_worker import NAMES, Clock, Worker, draw_pools, draw_service, picture_of
from tests.sim.scale import scaled
from tests.sim.test_allocation_pair import come_to_rest

QUARANTINE = timedelta(seconds=60)
MOVES = ("write", "write", "delete", "wait", *("step",) * 20, "crash")
Past = deque[Mapping[Ref, Object]]


class Watchman:
    """Sees every state of the store and notes when each address came free, as was written, and who had it last."""

    def __init__(self) -> None:
        self.listed: dict[IPAddress, set[str]] = {}
        self.freed: dict[IPAddress, tuple[datetime, set[str]]] = {}

    def look(self, objects: Mapping[Ref, Object], time: datetime) -> list[str]:
        """Who was let in too early between the last look and this one."""
        vips = [manifest for manifest in objects.values() if isinstance(manifest, VirtualIP)]
        listed = {vip.spec.address: {str(entry.reference) for entry in vip.spec.services} for vip in vips}
        early = [
            f"{address} freed at {self.freed[address]}, given to {sorted(now)} at {time}"
            for address, now in listed.items()
            if now and not self.listed.get(address) and self.is_early(address, now, time)
        ]
        for vip in vips:
            if self.listed.get(vip.spec.address) and not vip.spec.services:
                moment = datetime.fromisoformat(vip.metadata.annotations[FREED_AT])
                self.freed[vip.spec.address] = (moment, self.listed[vip.spec.address])
        gone = [address for address, before in self.listed.items() if before and address not in listed]
        early += [f"{address} went without a quarantine" for address in gone]
        self.listed = listed
        return early

    def is_early(self, address: IPAddress, holders: set[str], time: datetime) -> bool:
        """Whether an address is given to somebody else than its last holder before its time."""
        if address not in self.freed:
            return False
        since, last = self.freed[address]
        return time < since + QUARANTINE and holders != last


@scaled(2000, 20)
@given(seed=st.integers(0, 2**48))
def test_nobody_gets_in_early_and_nothing_is_left(seed: int) -> None:
    """No address goes to another Service before its quarantine is over, and all are free after it."""
    with capture_logs():
        live(Random(seed))


def live(random: Random) -> None:
    """One history; pools stand, for a change of them may end a quarantine."""
    store = MemoryStore(draw_pools(random, {"pierhead.io/quarantine": "1m"}))
    clock, watchman = Clock(), Watchman()
    workers = (Worker(store, clock), Worker(store, clock))
    past: Past = deque([objects_of(store)], maxlen=12)
    for _ in range(60):
        move(random, store, workers, past)
        past.append(objects_of(store))
        assert broken_store_laws(past[-1], settled=False) == []
        assert watchman.look(past[-1], clock.now) == []
    come_to_rest(store, workers)
    assert broken_store_laws(objects_of(store), settled=True) == []
    clock.now += 2 * QUARANTINE
    come_to_rest(store, workers)
    clock.now += 2 * QUARANTINE
    come_to_rest(store, workers)
    vips = [manifest for manifest in objects_of(store).values() if isinstance(manifest, VirtualIP)]
    assert all(vip.spec.services for vip in vips)


def move(random: Random, store: MemoryStore, workers: tuple[Worker, Worker], past: Past) -> None:
    """One thing that happens; of an allocator's work one write at most."""
    worker = random.choice(workers)
    match random.choice(MOVES):
        case "write":
            run(put(store, None, (draw_service(random),)))
        case "delete":
            ref = Ref("Service", "a", random.choice(NAMES))
            if isinstance(objects_of(store).get(ref), Service):
                run(store.delete(ref))
        case "wait":
            worker.clock.now += timedelta(seconds=random.choice((1, 20, 59, 61)))
        case "crash":
            worker.crash()
        case _:
            late = random.choice(past) if random.random() < 0.3 else None
            worker.take(picture_of(store, late, random.random() < 0.5))
            worker.advance(1)
