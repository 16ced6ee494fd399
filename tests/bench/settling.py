"""What one change costs an allocator of many Services, and how long many changes take on a store that is not quick."""

import asyncio
import gc
import resource
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import structlog

from appliance.allocation.allocator import Allocator
from appliance.allocation.cache import WATCHED
from appliance.allocation.event import Input, ObjectsChanged, Settings, TimePassed, Write, WriteDone
from appliance.allocator.program import COLLECTOR_THRESHOLDS, run
from appliance.api.address import parse_range
from appliance.api.core import Endpoint, EndpointPort, EndpointSlice, Service, ServicePort, ServiceSpec
from appliance.api.kind import Kind, Object, ref_of
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import IPAddressPool, IPAddressPoolSpec, L2Advertisement, L2AdvertisementSpec
from appliance.api.pierhead import Backends, Host
from appliance.api.refusal import StoreRefusal
from appliance.daemon.garbage import keep_what_is_there
from appliance.store.memory import MemoryStore
from appliance.store.protocol import Changes
from tests.sim.allocation_world import Store

CHANGES = 9
WRITE_SECONDS = 0.005
NEWCOMERS = 10_000
POOL = IPAddressPool(
    metadata=Metadata(name="a", namespace="metallb-system"),
    spec=IPAddressPoolSpec(addresses=(parse_range("10.0.0.0/15"),)),
)
AD = L2Advertisement(metadata=Metadata(name="ad", namespace="metallb-system"), spec=L2AdvertisementSpec())


class Site:
    """A core on a store that answers at once; what that store does is counted too, it is a tenth or so."""

    def __init__(self, *manifests: Object) -> None:
        self.store = Store()
        self.core = Allocator(Settings())
        self.writes = 0
        self.longest = 0.0
        self._now = time.time()
        for manifest in manifests:
            self.store.put(manifest)

    def begin(self) -> float:
        """A core that knows nothing sees everything; milliseconds until it rests."""
        self.core = Allocator(Settings())
        keep_what_is_there()
        gc.disable()
        gc.set_threshold(*COLLECTOR_THRESHOLDS)
        found = tuple(self.store.objects.values())
        pieces = [ObjectsChanged(changed=found[at : at + 500], is_first=not at) for at in range(0, len(found), 500)]
        begun = process_time()
        for piece in pieces:
            self.core.handle(piece, self._now)
        gc.freeze()
        gc.enable()
        return (process_time() - begun) * 1000 + self.settle(ObjectsChanged(listed=WATCHED))

    def change(self, *manifests: Object) -> float:
        """Some objects change; milliseconds until the core rests."""
        for manifest in manifests:
            self.store.put(manifest)
        return self.settle(ObjectsChanged(changed=tuple(self.store.objects[ref_of(found)] for found in manifests)))

    def settle(self, *events: Input) -> float:
        """Hand events over, and answer what is asked, until nothing is."""
        self.writes, self.longest = 0, 0.0
        begun = process_time()
        waiting: deque[Input] = deque(events)
        while True:
            if not waiting:
                deadline = self.core.deadline()
                if deadline is None:
                    return (process_time() - begun) * 1000
                self._now = max(self._now, deadline)
                waiting.append(TimePassed())
            event = waiting.popleft()
            turn = process_time()
            commands = self.core.handle(event, self._now)
            self.longest = max(self.longest, (process_time() - turn) * 1000)
            for command in commands:
                if isinstance(command, Write):
                    self.writes += 1
                    answer = self.store.write(command)
                    waiting.append(WriteDone(command, None if isinstance(answer, StoreRefusal) else answer))


def changing(services: int) -> dict[str, float]:
    """Processor time in milliseconds of the allocator itself, the store's not counted."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    before = _resident_bytes()
    site = Site(POOL, *(_service(number) for number in range(services)))
    figures = {"services": float(services), "all_new_at_the_start_ms": site.begin()}
    figures["writes_a_new_service"] = site.writes / services
    figures["longest_turn_ms"] = site.longest
    figures["resident_bytes_per_service"] = round((_resident_bytes() - before) / services)
    figures["start_on_a_settled_store_ms"] = site.begin()
    figures["longest_turn_of_that_ms"] = site.longest
    figures["one_service_comes_ms"] = _middle(lambda n: site.change(_service(services + n)))
    figures["one_service_changes_ms"] = _middle(lambda n: site.change(_service(n * 7, 81)))
    figures["one_endpoint_changes_ms"] = _middle(lambda n: site.change(_slice(n * 11)))
    figures["a_host_comes_ms"] = _middle(lambda n: site.change(Host(metadata=Metadata(name=f"h{n}"))))
    figures["the_pool_changes_ms"] = site.change(replace(POOL, spec=replace(POOL.spec, avoid_buggy_ips=True)))
    figures["writes_of_that"] = float(site.writes)
    return {name: round(value, 2) for name, value in figures.items()}


def announcing(services: int) -> dict[str, float]:
    """The same where every address is announced on layer 2: each has endpoints, and ten hosts may own it."""
    hosts = [Host(metadata=Metadata(name=f"h{number}")) for number in range(10)]
    slices = [_slice(number) for number in range(services)]
    site = Site(POOL, AD, *hosts, *slices, *(_service(number) for number in range(services)))
    figures = {"services": float(services), "all_new_at_the_start_ms": site.begin()}
    figures["start_on_a_settled_store_ms"] = site.begin()
    figures["one_endpoint_changes_ms"] = _middle(lambda n: site.change(_slice(n * 11, "10.244.9.9")))
    drained = replace(hosts[0], metadata=Metadata(name="h0", labels={"rack": "1"}))
    figures["a_host_that_is_no_candidate_changes_ms"] = _middle(
        lambda n: site.change(Host(metadata=Metadata(name=f"other{n}", labels=EXCLUDED)))
    )
    figures["a_label_of_a_host_changes_ms"] = site.change(drained)
    figures["writes_of_that"] = float(site.writes)
    figures["a_host_comes_that_may_own_all_ms"] = site.change(Host(metadata=Metadata(name="new")))
    figures["writes_of_that_one"] = float(site.writes)
    return {name: round(value, 2) for name, value in figures.items()}


EXCLUDED = {"node.kubernetes.io/exclude-from-external-load-balancers": ""}


class SlowStore(MemoryStore):
    """A store that takes some time for each write, as one behind a network does."""

    async def create(self, manifest: Object, manager: str) -> Object:
        """Create, after a while."""
        await asyncio.sleep(WRITE_SECONDS)
        return await super().create(manifest, manager)

    async def apply(self, manifest: Object, manager: str) -> Object:
        """Write the spec, after a while."""
        await asyncio.sleep(WRITE_SECONDS)
        return await super().apply(manifest, manager)

    async def apply_status(self, manifest: Object, manager: str, *, with_metadata: bool = False) -> Object:
        """Write the status, after a while."""
        await asyncio.sleep(WRITE_SECONDS)
        return await super().apply_status(manifest, manager, with_metadata=with_metadata)

    async def apply_metadata(self, manifest: Object, manager: str) -> Object:
        """Write labels and annotations, after a while."""
        await asyncio.sleep(WRITE_SECONDS)
        return await super().apply_metadata(manifest, manager)


def flooding(newcomers: int = NEWCOMERS, *, are_served: bool = True) -> dict[str, float]:
    """Wall-clock seconds until that many new Services have addresses, and how long another's endpoints wait.

    `are_served`: each of them has endpoints, which makes three writes of each; two where it has none.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    return asyncio.run(_flooding(newcomers, are_served))


async def _flooding(newcomers: int, are_served: bool) -> dict[str, float]:
    store = SlowStore([POOL, _service(0), *(_slice(number) for number in range(newcomers + 1 if are_served else 1))])
    waits: list[float] = []
    async with asyncio.TaskGroup() as group:
        program = group.create_task(run(store), name="allocator")
        watch = store.watch(frozenset({Kind.SERVICE, Kind.BACKENDS}))
        await _until(watch, lambda found: isinstance(found, Backends), 1)
        for number in range(1, newcomers + 1):
            await MemoryStore.create(store, _service(number), "operator")
        begun, worked = perf_counter(), process_time()
        probes = group.create_task(_probing(store, waits), name="probes")
        await _until(watch, _has_address, newcomers)
        seconds, busy_seconds = perf_counter() - begun, process_time() - worked
        probes.cancel()
        program.cancel()
    return {
        "newcomers": float(newcomers),
        "seconds": round(seconds, 2),
        "processor_seconds": round(busy_seconds, 2),
        "endpoint_median_ms": round(median(waits) * 1000, 1),
        "endpoint_worst_ms": round(max(waits) * 1000, 1),
        "endpoint_changes": float(len(waits)),
    }


async def _probing(store: MemoryStore, waits: list[float]) -> None:
    """Change the endpoints of one Service again and again, and see when its Backends follow."""
    watch = store.watch(frozenset({Kind.BACKENDS}))
    number = 0
    while True:
        number += 1
        address = f"10.244.{number // 250 + 1}.{number % 250 + 1}"
        begun = perf_counter()
        await MemoryStore.apply(store, _slice(0, address), "operator")
        await _until(watch, partial(_mentions, address), 1)
        waits.append(perf_counter() - begun)
        await asyncio.sleep(0.1)


async def _until(watch: AsyncIterator[Changes], holds: Callable[[Object], bool], count: int) -> None:
    """Wait until so many objects were seen of which something holds."""
    found: set[Ref] = set()
    async for changes in watch:
        found |= {ref_of(manifest) for manifest in changes.changed if holds(manifest)}
        if len(found) >= count:
            return


def _mentions(address: str, found: Object) -> bool:
    return address in str(found)


def _has_address(found: Object) -> bool:
    return isinstance(found, Service) and bool(found.status.load_balancer.ingress)


def _middle(change: Callable[[int], float]) -> float:
    """The median of several changes, one after the other."""
    return median(change(number) for number in range(CHANGES))


def _service(number: int, port: int = 80) -> Service:
    spec = ServiceSpec(type="LoadBalancer", ports=(ServicePort(port=port),), selector={"app": f"s{number}"})
    return Service(metadata=Metadata(name=f"s{number}", namespace="default"), spec=spec)


def _slice(number: int, address: str = "10.244.0.1") -> EndpointSlice:
    name = f"s{number}"
    return EndpointSlice(
        metadata=Metadata(name=f"{name}-1", namespace="default", labels={"kubernetes.io/service-name": name}),
        endpoints=(Endpoint(addresses=(address,), node_name=f"h{number % 10}"),),
        ports=(EndpointPort(port=8080),),
    )


def _resident_bytes() -> int:
    """What this process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
