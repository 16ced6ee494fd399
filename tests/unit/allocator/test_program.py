"""The program on a store that changes while it runs."""

import asyncio
import gc
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from appliance.allocator.program import run
from appliance.api.core import Service
from appliance.api.kind import Kind
from appliance.api.meta import Ref
from appliance.api.refusal import StoreRefusal
from appliance.store.directory.store import DirectoryStore
from appliance.store.memory import MemoryStore
from appliance.store.protocol import Changes, Store, StoreError
from tests.unit.allocation.site import Site, pool
from tests.unit.ipam.sample import service

DEADLINE_SECONDS = 60.0


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

    async def is_owner_informed() -> bool:
        return bool(here.events)

    async def is_counted() -> bool:
        pools = [manifest for ref, manifest in (await here.objects()).items() if ref.kind == "IPAddressPool"]
        return all(getattr(manifest, "status").assigned_ipv4 == 1 for manifest in pools)  # noqa: B009  # an Object has no common status

    async with asyncio.TaskGroup() as group:
        program = group.create_task(run(store, events=here), name="allocator")
        await store.create(service("x", cluster_ips=()), "operator")
        await until(is_told)
        await until(is_counted)
        await until(is_owner_informed)
        program.cancel()
    assert here.events == [("default/x", "IPAllocated")]


@pytest.mark.parametrize("kind", ["memory", "directory"])
async def test_two_programs_on_one_store_tell_no_address_twice(kind: str, tmp_path: Path) -> None:
    """Also where Services go back to what they were before, so that only a version that grows tells them apart."""
    one: Store = MemoryStore() if kind == "memory" else DirectoryStore(tmp_path)
    other: Store = one if kind == "memory" else DirectoryStore(tmp_path)
    await one.create(pool("a", "10.0.0.0/28"), "operator")
    names = [f"s{number}" for number in range(8)]

    async def told() -> dict[str, list[str]]:
        services = (await one.list(frozenset({Kind.SERVICE}))).objects
        found = {ref.name: found for ref, found in services.items() if isinstance(found, Service)}
        return {name: [entry.ip for entry in each.status.load_balancer.ingress] for name, each in found.items()}

    async def are_all_told() -> bool:
        found = await told()
        ips = [ip for each in found.values() for ip in each]
        assert len(ips) == len(set(ips))
        return len(found) == len(ips) == len(names)

    async def is_nothing_left() -> bool:
        return len((await one.list(frozenset({Kind.VIRTUAL_IP}))).objects) == len(names)

    async with asyncio.TaskGroup() as group:
        programs = [group.create_task(run(store), name="allocator") for store in (one, other)]
        for name in names:
            await one.create(service(name, cluster_ips=()), "operator")
        await until(are_all_told)
        for wanted in ("10.0.0.15", "", "10.0.0.14", ""):
            await one.apply(service("s0", cluster_ips=(), wanted=wanted), "operator")
            await until(are_all_told)
        await until(is_nothing_left)
        for program in programs:
            program.cancel()


async def test_a_mistake_in_a_file_of_any_name_is_logged(tmp_path: Path) -> None:
    """Its name's bytes are no UTF-8, which no log takes."""
    Path(tmp_path, os.fsdecode(b"caf\xe9.yaml")).write_text("kind: [")

    async def is_logged() -> bool:
        return any(entry["event"] == "manifest_problem" for entry in logs)

    with capture_logs() as logs:
        async with asyncio.TaskGroup() as group:
            program = group.create_task(run(DirectoryStore(tmp_path)), name="allocator")
            await until(is_logged)
            program.cancel()
    (told,) = (entry["problem"] for entry in logs if entry["event"] == "manifest_problem")
    assert told.startswith(f"{tmp_path}/caf\\xe9.yaml:1:")


class NoStore(MemoryStore):
    """A store that nobody can ask."""

    async def watch(self, kinds: frozenset[Kind]) -> AsyncGenerator[Changes]:
        """Nothing."""
        raise StoreError(StoreRefusal.UNAVAILABLE, f"{len(kinds)} kinds")
        yield Changes()


async def test_garbage_is_collected_while_no_store_can_be_asked() -> None:
    """Each attempt leaves some, and nobody says how many there will be."""

    async def is_collected() -> bool:
        return gc.isenabled()

    gc.disable()
    async with asyncio.TaskGroup() as group:
        program = group.create_task(run(NoStore()), name="allocator")
        await until(is_collected)
        program.cancel()


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
