"""What one change costs an allocator of many Services, from the picture of the store to the last write."""

import asyncio
import resource
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import process_time

import structlog

from appliance.allocator.allocator import Allocator
from appliance.allocator.setting import Settings
from appliance.allocator.view import WATCHED
from appliance.api.address import parse_range
from appliance.api.core import Service, ServicePort, ServiceSpec
from appliance.api.kind import Kind
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import IPAddressPool, IPAddressPoolSpec
from appliance.api.pierhead import Host
from appliance.ipam.event import Event
from appliance.store.memory import MemoryStore

CHANGES = 9
POOL = IPAddressPool(
    metadata=Metadata(name="a", namespace="metallb-system"),
    spec=IPAddressPoolSpec(addresses=(parse_range("10.0.0.0/15"),)),
)


class Silence:
    """Nobody listens."""

    def emit(self, service: str, event: Event) -> None:
        """Drop one."""


def changing(services: int) -> dict[str, float]:
    """Processor time in milliseconds: all Services at once, one that comes, one that changes, a Host, the pool."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    return asyncio.run(_changing(services))


async def _changing(services: int) -> dict[str, float]:
    store = MemoryStore([POOL, *(_service(number) for number in range(services))])
    before = _resident_bytes()
    allocator = Allocator(store, Silence(), Settings())
    figures = {"services": float(services), "all_at_first_ms": await _settled(allocator, store)}
    figures["resident_bytes_per_service"] = round((_resident_bytes() - before) / services)
    figures["nothing_changes_ms"] = await _middle(allocator, store, _nothing)
    figures["one_service_comes_ms"] = await _middle(
        allocator, store, lambda n: store.create(_service(services + n), "operator")
    )
    figures["one_service_changes_ms"] = await _middle(allocator, store, lambda n: _change_port(store, n))
    figures["a_host_comes_ms"] = await _middle(
        allocator, store, lambda n: store.create(Host(metadata=Metadata(name=f"h{n}")), "operator")
    )
    await store.apply(replace(POOL, spec=replace(POOL.spec, avoid_buggy_ips=True)), "operator")
    figures["the_pool_changes_ms"] = await _settled(allocator, store)
    return {name: round(value, 2) for name, value in figures.items()}


async def _nothing(_: int) -> None:
    """No change."""


async def _middle(allocator: Allocator, store: MemoryStore, change: Callable[[int], Awaitable[object]]) -> float:
    """The median of several changes, one after the other."""
    times = []
    for number in range(CHANGES):
        await change(number)
        times.append(await _settled(allocator, store))
    return median(times)


async def _settled(allocator: Allocator, store: MemoryStore) -> float:
    """How long an allocator takes to settle the store as it is now, the picture itself not counted."""
    picture = await store.list(WATCHED)
    begun = process_time()
    await allocator.settle(picture)
    return (process_time() - begun) * 1000


def _service(number: int) -> Service:
    spec = ServiceSpec(type="LoadBalancer", ports=(ServicePort(port=80),), selector={"app": f"s{number}"})
    return Service(metadata=Metadata(name=f"s{number}", namespace="default"), spec=spec)


async def _change_port(store: MemoryStore, number: int) -> None:
    """Give one Service another port, so that its VirtualIP and Backends are written again."""
    picture = await store.list(frozenset({Kind.SERVICE}))
    stored = picture.objects[Ref("Service", "default", f"s{number * 7}")]
    if isinstance(stored, Service):
        await store.apply(replace(stored, spec=replace(stored.spec, ports=(ServicePort(port=81),))), "operator")


def _resident_bytes() -> int:
    """What this process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
