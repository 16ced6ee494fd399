"""Several programs on one store: one writes, the others are ready to."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from appliance.allocation.event import Settings
from appliance.allocation.leader_election import LeaseTerms
from appliance.allocator.program import Program
from appliance.api.core import Lease
from appliance.api.kind import Kind, Object
from appliance.api.meta import Ref
from appliance.store.memory import MemoryStore
from appliance.store.protocol import Changes, Listing
from tests.unit.allocation.site import Site, pool
from tests.unit.ipam.sample import service

DEADLINE_SECONDS = 60.0
LEASE = Ref("Lease", "pierhead-system", "pierhead-allocator")


class Connection:
    """One program's way to a store; while it is shut, requests set out and arrive nowhere."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.opened = asyncio.Event()
        self.opened.set()
        self.answers = asyncio.Event()
        self.answers.set()
        self.written: list[str] = []
        self.abandoned = 0

    async def _go(self, manifest: Object | None = None) -> None:
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.abandoned += 1
            raise
        if manifest is not None and not isinstance(manifest, Lease):
            self.written.append(manifest.metadata.name)

    async def get(self, ref: Ref) -> Object:
        """As the store does."""
        await self._go()
        return await self._store.get(ref)

    async def list(self, kinds: frozenset[Kind]) -> Listing:
        """As the store does."""
        return await self._store.list(kinds)

    async def watch(self, kinds: frozenset[Kind]) -> AsyncGenerator[Changes]:
        """As the store does, from when it answers on; while requests arrive nowhere, what it tells still arrives."""
        await self.answers.wait()
        async for changes in self._store.watch(kinds):
            yield changes

    async def create(self, manifest: Object, manager: str) -> Object:
        """As the store does."""
        await self._go(manifest)
        return await self._store.create(manifest, manager)

    async def apply(self, manifest: Object, manager: str) -> Object:
        """As the store does."""
        await self._go(manifest)
        return await self._store.apply(manifest, manager)

    async def apply_metadata(self, manifest: Object, manager: str) -> Object:
        """As the store does."""
        await self._go(manifest)
        return await self._store.apply_metadata(manifest, manager)

    async def apply_status(self, manifest: Object, manager: str, *, with_metadata: bool = False) -> Object:
        """As the store does."""
        await self._go(manifest)
        return await self._store.apply_status(manifest, manager, with_metadata=with_metadata)

    async def delete(self, ref: Ref, resource_version: str = "") -> None:
        """As the store does."""
        await self._go()
        await self._store.delete(ref, resource_version)


class Replica:
    """One program and its way to the store, with times so short that a test takes no longer than it must."""

    def __init__(self, store: MemoryStore, identity: str, times: tuple[float, float, float] = (5.0, 3.0, 0.05)) -> None:
        self.connection = Connection(store)
        lease = LeaseTerms(LEASE.name, LEASE.namespace, identity, *times)
        self.program = Program(self.connection, Settings(), lease=lease)


async def until(holds: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds, for so long at most."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.005)


def told(site: Site, name: str) -> Callable[[], Awaitable[bool]]:
    """Whether a Service has an address."""

    async def is_told() -> bool:
        return bool(await site.told(name))

    return is_told


async def test_one_writes_and_the_next_takes_over_when_it_leaves() -> None:
    """The Lease is given back after the last write, and the follower knows what there is already."""
    site = Site(MemoryStore([pool("a", "10.0.0.0/30")]))
    one, other = Replica(site.store, "one"), Replica(site.store, "other")
    async with asyncio.TaskGroup() as group:
        first = group.create_task(one.program.run(), name="one")
        await until(lambda: one.program.is_leader)
        second = group.create_task(other.program.run(), name="other")
        await site.store.create(service("x", cluster_ips=()), "operator")
        await until(told(site, "x"))
        await until(lambda: not other.program.not_ready)
        assert not other.program.is_leader
        await one.program.leave()
        await site.store.create(service("y", cluster_ips=()), "operator")
        await until(told(site, "y"))
        assert not one.program.is_leader
        first.cancel()
        second.cancel()
    assert "x" in one.connection.written
    assert "y" not in one.connection.written
    assert {"x", "10.0.0.0"}.isdisjoint(other.connection.written)


async def test_a_lease_that_is_given_back_is_taken_without_waiting_for_the_next_look() -> None:
    """That would be minutes away: the follower watches the Lease."""
    site = Site(MemoryStore([pool("a", "10.0.0.0/30")]))
    times = (4 * DEADLINE_SECONDS, 3 * DEADLINE_SECONDS, 2 * DEADLINE_SECONDS)
    one, other = Replica(site.store, "one", times), Replica(site.store, "other", times)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one.program.run(), name="one")]
        await until(lambda: one.program.is_leader)
        tasks.append(group.create_task(other.program.run(), name="other"))
        await until(lambda: not other.program.not_ready)
        await one.program.leave()
        await until(lambda: other.program.is_leader)
        for task in tasks:
            task.cancel()


async def test_a_leader_that_cannot_renew_writes_no_more() -> None:
    """What is under way is abandoned before another may lead; what was decided and not written is decided anew."""
    site = Site(MemoryStore([pool("a", "10.0.0.0/30")]))
    one, other = Replica(site.store, "one"), Replica(site.store, "other")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one.program.run(), name="one")]
        await until(lambda: one.program.is_leader and not one.program.not_ready)
        tasks.append(group.create_task(other.program.run(), name="other"))
        one.connection.opened.clear()
        await site.store.create(service("x", cluster_ips=()), "operator")
        await until(lambda: other.program.is_leader)
        assert not one.program.is_leader
        assert one.connection.abandoned
        await until(told(site, "x"))
        one.connection.opened.set()
        await site.store.create(service("y", cluster_ips=()), "operator")
        await until(told(site, "y"))
        assert not one.program.is_leader
        for task in tasks:
            task.cancel()
    lease = await site.store.get(LEASE)
    assert isinstance(lease, Lease)
    assert (lease.spec.holder_identity, lease.spec.lease_transitions) == ("other", 1)
    assert {"x", "y"}.isdisjoint(one.connection.written)


async def test_who_leaves_while_nobody_leads_takes_nothing() -> None:
    """Its request for the Lease is under way when it is told to leave: it writes nothing, and nobody is named after."""
    site = Site(MemoryStore([pool("a", "10.0.0.0/30"), service("x", cluster_ips=())]))
    one = Replica(site.store, "one")
    async with asyncio.TaskGroup() as group:
        one.connection.opened.clear()
        running = group.create_task(one.program.run(), name="one")
        await until(lambda: not one.program.not_ready)
        leaving = group.create_task(one.program.leave(), name="leave")
        await asyncio.sleep(0)
        one.connection.opened.set()
        await leaving
        running.cancel()
    assert one.connection.written == []
    objects = (await site.store.list(frozenset({Kind.LEASE}))).objects.values()
    assert [lease.spec.holder_identity for lease in objects if isinstance(lease, Lease)] in ([], [""])


async def test_who_does_not_know_yet_what_there_is_leaves_the_lease_to_others() -> None:
    """To read a large site takes seconds, in which nobody would be served."""
    site = Site(MemoryStore([pool("a", "10.0.0.0/30"), service("x", cluster_ips=())]))
    one, other = Replica(site.store, "one"), Replica(site.store, "other")
    async with asyncio.TaskGroup() as group:
        one.connection.answers.clear()
        running = [group.create_task(one.program.run(), name="one")]
        await asyncio.sleep(0)
        running.append(group.create_task(other.program.run(), name="other"))
        await until(told(site, "x"))
        assert other.program.is_leader
        one.connection.answers.set()
        await until(lambda: not one.program.not_ready)
        await other.program.leave()
        await until(lambda: one.program.is_leader)
        for task in running:
            task.cancel()
