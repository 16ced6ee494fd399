"""The store that is only memory: what the others are compared with, and what tests run on."""

import asyncio
from collections.abc import AsyncGenerator, Iterable

from appliance.api.kind import Kind, Object, ref_of
from appliance.api.meta import Ref
from appliance.store.change import check_version, created, found, is_same, replaced, versioned, with_status
from appliance.store.protocol import Refusal, Snapshot, StoreError


class MemoryStore:
    """Objects of one program, gone with it; the objects it begins with are taken as they are, status included."""

    def __init__(self, manifests: Iterable[Object] = ()) -> None:
        self._objects: dict[Ref, Object] = {}
        self._revision = 0
        self._watchers: set[asyncio.Event] = set()
        for manifest in manifests:
            self._put(ref_of(manifest), manifest)

    async def read(self, kinds: frozenset[Kind]) -> Snapshot:
        """The objects of some kinds as they are now."""
        return self._snapshot(kinds)

    async def watch(self, kinds: frozenset[Kind]) -> AsyncGenerator[Snapshot]:
        """The present picture at once, then a new one after every change of these kinds."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            shown: Snapshot | None = None
            while True:
                changed.clear()
                now = self._snapshot(kinds)
                if shown is None or now.objects != shown.objects:
                    shown = now
                    yield now
                else:
                    await changed.wait()
        finally:
            self._watchers.discard(changed)

    async def create(self, manifest: Object) -> Object:
        """Add an object of a new name."""
        ref = ref_of(manifest)
        if ref in self._objects:
            raise StoreError(Refusal.EXISTS, ref)
        return self._put(ref, created(manifest))

    async def replace(self, manifest: Object) -> Object:
        """Replace all but the status."""
        current = self._current(manifest)
        return self._change(current, replaced(current, manifest))

    async def replace_status(self, manifest: Object) -> Object:
        """Replace status and annotations."""
        current = self._current(manifest)
        return self._change(current, with_status(current, manifest))

    async def delete(self, ref: Ref, resource_version: str = "") -> None:
        """Remove an object."""
        check_version(found(self._objects.get(ref), ref), resource_version)
        del self._objects[ref]
        self._tell()

    def _current(self, manifest: Object) -> Object:
        ref = ref_of(manifest)
        current = found(self._objects.get(ref), ref)
        check_version(current, manifest.metadata.resource_version)
        return current

    def _change(self, current: Object, manifest: Object) -> Object:
        return current if is_same(current, manifest) else self._put(ref_of(manifest), manifest)

    def _put(self, ref: Ref, manifest: Object) -> Object:
        self._tell()
        stored = versioned(manifest, str(self._revision))
        self._objects[ref] = stored
        return stored

    def _tell(self) -> None:
        self._revision += 1
        for changed in self._watchers:
            changed.set()

    def _snapshot(self, kinds: frozenset[Kind]) -> Snapshot:
        titles = {kind.title for kind in kinds}
        objects = {ref: manifest for ref, manifest in self._objects.items() if ref.kind in titles}
        return Snapshot(objects=objects, revision=str(self._revision))
