"""The program on a store that changes while it runs."""

import asyncio
from collections.abc import Awaitable, Callable

from appliance.allocator.program import run
from appliance.api.meta import Ref
from appliance.store.memory import MemoryStore
from tests.unit.allocation.site import Site, pool
from tests.unit.ipam.sample import service

DEADLINE_SECONDS = 10.0


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds, for so long at most."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not await holds():  # noqa: ASYNC110  # a store tells no test of its changes
            await asyncio.sleep(0.005)


async def test_program_serves_what_comes() -> None:
    """Services that come while it runs get addresses, and pools their counts."""
    store = MemoryStore([pool("a", "10.0.0.0/30")])
    here = Site(store)

    async def is_told() -> bool:
        return await here.told("x") == "10.0.0.0"

    async def is_counted() -> bool:
        pools = [manifest for ref, manifest in (await here.objects()).items() if ref.kind == "IPAddressPool"]
        return all(getattr(manifest, "status").assigned_ipv4 == 1 for manifest in pools)  # noqa: B009  # an Object has no common status

    async with asyncio.TaskGroup() as group:
        program = group.create_task(run(store, events=here), name="allocator")
        await store.create(service("x", cluster_ips=()), "operator")
        await until(is_told)
        await until(is_counted)
        program.cancel()
    assert here.events == [("default/x", "IPAllocated")]


async def test_quarantine_ends_while_nothing_changes() -> None:
    """The program wakes by itself when an address may be given again."""
    annotations = {"pierhead.io/quarantine": "200ms"}
    store = MemoryStore([pool("a", "10.0.0.0/32", annotations=annotations), service("x", cluster_ips=())])
    here = Site(store)

    async def is_x_told() -> bool:
        return await here.told("x") == "10.0.0.0"

    async def is_y_told() -> bool:
        return await here.told("y") == "10.0.0.0"

    async with asyncio.TaskGroup() as group:
        program = group.create_task(run(store, events=here), name="allocator")
        await until(is_x_told)
        await store.create(service("y", cluster_ips=()), "operator")
        await store.delete(Ref("Service", "default", "x"))
        await until(is_y_told)
        program.cancel()
