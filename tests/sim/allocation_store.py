"""What must be true of a store that allocators write to, and a store that stops or refuses between any two writes."""

from collections.abc import AsyncIterator, Generator, Iterable, Mapping
from types import coroutine
from typing import Any

from appliance.api.address import IPAddress
from appliance.api.core import Service
from appliance.api.kind import Kind, Object, ref_of
from appliance.api.meta import Ref
from appliance.api.pierhead import Backends, VirtualIP
from appliance.ipam.quarantine import FREED_AT
from appliance.ipam.request import Request, read_request
from appliance.store.memory import MemoryStore
from appliance.store.protocol import Changes, Listing
from tests.sim.allocation_model import may_share, status_addresses


def objects_of(store: MemoryStore) -> dict[Ref, Object]:
    """Everything in a memory store."""
    return dict(run(store.list(frozenset(Kind))).objects)


def run(coroutine: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stopped:
        return stopped.value
    raise AssertionError("this coroutine waits for something")


async def put(store: MemoryStore, whole: type[Object] | None, manifests: Iterable[Object]) -> None:
    """Create or replace objects; of a kind named whole, delete the others."""
    wanted = {ref_of(manifest): manifest for manifest in manifests}
    present = objects_of(store)
    for ref, manifest in present.items():
        if whole is not None and isinstance(manifest, whole) and ref not in wanted:
            await store.delete(ref)
    for ref, manifest in wanted.items():
        await (store.apply if ref in present else store.create)(manifest, "operator")


def told_addresses(objects: Mapping[Ref, Object]) -> dict[str, set[IPAddress]]:
    """What each Service was told, of those told anything."""
    told = {
        ref.path: set(status_addresses(manifest)) for ref, manifest in objects.items() if isinstance(manifest, Service)
    }
    return {path: addresses for path, addresses in told.items() if addresses}


def broken_store_laws(objects: Mapping[Ref, Object], settled: bool) -> list[str]:
    """What is wrong with a store; a settled one has nothing left over either."""
    vips = {manifest.spec.address: manifest for manifest in objects.values() if isinstance(manifest, VirtualIP)}
    listed = {address: {str(s.reference) for s in vip.spec.services} for address, vip in vips.items()}
    told = told_addresses(objects)
    broken = [
        f"{path} was told {address}, its VirtualIP lists {sorted(listed.get(address, set()))}"
        for path, addresses in told.items()
        for address in addresses
        if path not in listed.get(address, set())
    ]
    broken += _doubles(objects, told)
    if settled:
        broken += [
            f"{address} lists {path}, which was told {told.get(path)}"
            for address, paths in listed.items()
            for path in paths
            if address not in told.get(path, set())
        ]
        backends = {manifest.spec.address for manifest in objects.values() if isinstance(manifest, Backends)}
        held = {address for address, vip in vips.items() if vip.spec.services}
        if backends != held:
            broken.append(f"VirtualIPs {sorted(map(str, held))}, Backends {sorted(map(str, backends))}")
        resting = {address for address, vip in vips.items() if FREED_AT in vip.metadata.annotations}
        if resting != set(vips) - held:
            broken.append(f"of {sorted(map(str, vips))} are held {sorted(map(str, held))}, freed {resting}")
    return broken


def _doubles(objects: Mapping[Ref, Object], told: Mapping[str, set[IPAddress]]) -> list[str]:
    """Services that were told one address and may not share it by what they ask for now."""
    asked = {}
    for ref, manifest in objects.items():
        if isinstance(manifest, Service):
            asked[ref.path] = read_request(manifest, cluster_ips_known=False)
    return [
        f"{one} and {other} were both told {sorted(map(str, told[one] & told[other]))}"
        for one in told
        for other in told
        if one < other and told[one] & told[other] and not _share(asked[one], asked[other])
    ]


def _share(one: object, other: object) -> bool:
    """Whether two Services may hold one address; one that asks for nothing any more is about to lose it."""
    return not (isinstance(one, Request) and isinstance(other, Request)) or may_share(one, other)


@coroutine
def gate() -> Generator[None, None, None]:
    """Give the turn away once."""
    yield


class GatedStore:
    """A memory store seen by one allocator: it waits at a gate before every write, and after it."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def get(self, ref: Ref) -> Object:
        """One object as it is when the turn comes."""
        await gate()
        return await self._store.get(ref)

    async def list(self, kinds: frozenset[Kind]) -> Listing:
        """The objects as they are when the turn comes."""
        await gate()
        return await self._store.list(kinds)

    def watch(self, kinds: frozenset[Kind]) -> AsyncIterator[Changes]:
        """Not used here: pictures are handed over."""
        return self._store.watch(kinds)

    async def create(self, manifest: Object, manager: str) -> Object:
        """Wait, then create."""
        await gate()
        return await self._store.create(manifest, manager)

    async def apply(self, manifest: Object, manager: str) -> Object:
        """Wait, then apply."""
        await gate()
        return await self._store.apply(manifest, manager)

    async def apply_metadata(self, manifest: Object, manager: str) -> Object:
        """Wait, then apply labels and annotations."""
        await gate()
        return await self._store.apply_metadata(manifest, manager)

    async def apply_status(self, manifest: Object, manager: str) -> Object:
        """Wait, then apply the status."""
        await gate()
        return await self._store.apply_status(manifest, manager)

    async def delete(self, ref: Ref, resource_version: str = "") -> None:
        """Wait, then delete."""
        await gate()
        await self._store.delete(ref, resource_version)
