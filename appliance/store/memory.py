"""The store that is only memory: what the others are compared with, and what tests run on."""

from collections.abc import AsyncGenerator, Iterable

from appliance.api.kind import Kind, Object, ref_of
from appliance.api.meta import Ref
from appliance.api.refusal import StoreRefusal
from appliance.store.change import (
    StoredObject,
    applied,
    check_version,
    checked,
    created,
    is_same,
    managed,
    reported,
    versioned,
    with_metadata,
)
from appliance.store.pending import Pending, Update
from appliance.store.protocol import Changes, Listing, StoreError


class MemoryStore:
    """Objects of one program, gone with it; those it begins with are taken as they are, status included."""

    def __init__(self, manifests: Iterable[Object] = (), manager: str = "operator") -> None:
        self._records: dict[str, dict[Ref, StoredObject]] = {kind.title: {} for kind in Kind}
        self._revision = 0
        self._pendings: set[Pending] = set()
        for manifest in manifests:
            self._put(ref_of(manifest), StoredObject(manifest, managed(manifest, manager)))

    async def get(self, ref: Ref) -> Object:
        """The object of a name."""
        return self._found(ref).manifest

    async def list(self, kinds: frozenset[Kind]) -> Listing:
        """All objects of some kinds."""
        return Listing(objects=dict(self._of(kinds)))

    async def watch(self, kinds: frozenset[Kind]) -> AsyncGenerator[Changes]:
        """All objects first, then what changes."""
        pending = Pending(kinds)
        pending.begin(self._revision)
        self._pendings.add(pending)
        try:
            present = tuple(manifest for _, manifest in self._of(kinds))
            yield Changes(present, listed=kinds, unreadable=frozenset(), problems=(), is_complete=True)
            while True:
                await pending.news.wait()
                pending.news.clear()
                changed, removed = pending.take()
                if changed or removed:
                    yield Changes(changed, removed)
        finally:
            self._pendings.discard(pending)

    async def create(self, manifest: Object, manager: str) -> Object:
        """Add an object of a new name."""
        ref = ref_of(manifest)
        if ref in self._records[ref.kind]:
            raise StoreError(StoreRefusal.EXISTS, ref)
        return self._put(ref, created(checked(manifest), manager))

    async def apply(self, manifest: Object, manager: str) -> Object:
        """Write spec, labels and annotations."""
        current = self._current(manifest)
        return self._change(current, applied(current, checked(manifest), manager))

    async def apply_metadata(self, manifest: Object, manager: str) -> Object:
        """Write labels and annotations."""
        current = self._current(manifest)
        return self._change(current, with_metadata(current, manifest.metadata, manager))

    async def apply_status(self, manifest: Object, manager: str, *, with_metadata: bool = False) -> Object:
        """Write the status, and on request labels and annotations."""
        current = self._current(manifest)
        return self._change(current, reported(current, checked(manifest), manager, is_metadata_written=with_metadata))

    async def delete(self, ref: Ref, resource_version: str = "") -> None:
        """Remove an object."""
        check_version(self._found(ref).manifest, resource_version)
        self._revision += 1
        del self._records[ref.kind][ref]
        self._tell(ref, True, None)

    def _of(self, kinds: frozenset[Kind]) -> Iterable[tuple[Ref, Object]]:
        return ((ref, record.manifest) for kind in Kind if kind in kinds for ref, record in self._kind(kind))

    def _kind(self, kind: Kind) -> Iterable[tuple[Ref, StoredObject]]:
        return self._records[kind.title].items()

    def _found(self, ref: Ref) -> StoredObject:
        record = self._records[ref.kind].get(ref)
        if record is None:
            raise StoreError(StoreRefusal.NOT_FOUND, ref)
        return record

    def _current(self, manifest: Object) -> StoredObject:
        current = self._found(ref_of(manifest))
        check_version(current.manifest, manifest.metadata.resource_version)
        return current

    def _change(self, current: StoredObject, wanted: StoredObject) -> Object:
        return current.manifest if is_same(current, wanted) else self._put(ref_of(wanted.manifest), wanted)

    def _put(self, ref: Ref, record: StoredObject) -> Object:
        self._revision += 1
        stored = versioned(record.manifest, str(self._revision))
        was_there = ref in self._records[ref.kind]
        self._records[ref.kind][ref] = StoredObject(stored, record.managers)
        self._tell(ref, was_there, stored)
        return stored

    def _tell(self, ref: Ref, was_there: bool, manifest: Object | None) -> None:
        for pending in self._pendings:
            pending.note(Update(self._revision, ref, was_there, manifest))
