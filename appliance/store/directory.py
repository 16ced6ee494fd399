"""The store that is a folder of YAML: operators' files are only read, programs' objects stand in `.pierhead`."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

from appliance.api.kind import Kind, Object, kind_of, ref_of
from appliance.api.manifest import to_text
from appliance.api.meta import Ref
from appliance.store import disk
from appliance.store.change import check_version, created, found, is_same, replaced, versioned, with_status
from appliance.store.layout import Layout
from appliance.store.notice import folder_changes, settled
from appliance.store.overlay import overlaid, overlay_of, overlay_text
from appliance.store.protocol import Refusal, Snapshot, StoreError
from appliance.store.tree import Tree


class DirectoryStore:
    """Objects in a folder that operators and several programs share."""

    def __init__(self, path: Path) -> None:
        self._layout = Layout(path)
        self._tree = Tree(self._layout)

    async def read(self, kinds: frozenset[Kind]) -> Snapshot:
        """The objects of some kinds as they are now."""
        await settled(self._tree)
        return self._tree.shelf.snapshot(kinds)

    async def watch(self, kinds: frozenset[Kind]) -> AsyncGenerator[Snapshot]:
        """The present picture at once, then a new one after every change; refuses UNAVAILABLE when the folder goes."""
        await settled(self._tree)
        async with contextlib.aclosing(folder_changes(self._tree, self._layout)) as changes:
            shown = -1
            while True:
                self._tree.check_root()
                if shown != (now := self._tree.shelf.changes(kinds)):
                    shown = now
                    yield self._tree.shelf.snapshot(kinds)
                await anext(changes)

    async def create(self, manifest: Object) -> Object:
        """Add an object of a new name to the programs' own."""
        ref = ref_of(manifest)
        async with self._writing(ref) as current:
            if current is not None:
                raise StoreError(Refusal.EXISTS, ref)
            try:
                disk.write_new(self._layout.object_path(ref), _text(created(manifest)), self._layout.next)
            except FileExistsError as error:
                raise StoreError(Refusal.EXISTS, ref, "its file cannot be read") from error
            return self._stored(ref)

    async def replace(self, manifest: Object) -> Object:
        """Replace all but the status of an object a program made; refuses READ_ONLY for an operator's."""
        ref = ref_of(manifest)
        async with self._writing(ref) as current:
            check_version(found(current, ref), manifest.metadata.resource_version)
            self._refuse_written(ref)
            return self._put(ref, replaced(found(current, ref), manifest))

    async def replace_status(self, manifest: Object) -> Object:
        """Replace status and annotations; an operator's object gets them as an overlay."""
        ref = ref_of(manifest)
        async with self._writing(ref) as current:
            check_version(found(current, ref), manifest.metadata.resource_version)
            written = self._tree.shelf.written(ref)
            if written is None:
                return self._put(ref, with_status(found(current, ref), manifest))
            return self._overlay(ref, written, manifest)

    async def delete(self, ref: Ref, resource_version: str = "") -> None:
        """Remove an object a program made; refuses READ_ONLY for an operator's."""
        async with self._writing(ref) as current:
            check_version(found(current, ref), resource_version)
            self._refuse_written(ref)
            disk.remove(self._layout.object_path(ref))
            self._tree.look(self._layout.object_path(ref))

    @contextlib.asynccontextmanager
    async def _writing(self, ref: Ref) -> AsyncIterator[Object | None]:
        """Write alone; gives the object as it is under the lock."""
        try:
            self._tree.check_root()
            Path(self._layout.own).mkdir(exist_ok=True)
            async with disk.locked(self._layout.lock):
                yield self._current(ref)
                self._remove_orphans()
        except TimeoutError as error:
            raise StoreError(Refusal.UNAVAILABLE, ref, "another program keeps the store locked") from error
        except OSError as error:
            raise StoreError(Refusal.UNAVAILABLE, ref, f"{error.filename}: {error.strerror}") from error

    def _current(self, ref: Ref) -> Object | None:
        """The object after a look at its files; a running watch has looked at operators' already."""
        if not self._tree.is_fresh():
            self._tree.refresh_written()
        return self._stored_or_none(ref)

    def _stored_or_none(self, ref: Ref) -> Object | None:
        self._tree.look(self._layout.object_path(ref))
        self._tree.look(self._layout.overlay_path(ref))
        return self._tree.shelf.object(ref)

    def _stored(self, ref: Ref) -> Object:
        return found(self._stored_or_none(ref), ref)

    def _refuse_written(self, ref: Ref) -> None:
        if self._tree.shelf.written(ref) is not None:
            raise StoreError(Refusal.READ_ONLY, ref)

    def _put(self, ref: Ref, manifest: Object) -> Object:
        current = self._tree.shelf.object(ref)
        if current is None or not is_same(current, manifest):
            disk.write_over(self._layout.object_path(ref), _text(manifest), self._layout.next)
        return self._stored(ref)

    def _overlay(self, ref: Ref, written: Object, wanted: Object) -> Object:
        overlay = overlay_of(written, wanted)
        now, path = overlaid(written, overlay), self._layout.overlay_path(ref)
        if is_same(now, written):
            disk.remove(path)
        elif not is_same(now, found(self._tree.shelf.object(ref), ref)):
            disk.write_over(path, overlay_text(overlay, kind_of(written)), self._layout.next)
        return self._stored(ref)

    def _remove_orphans(self) -> None:
        """A status whose object no operator writes any more must not meet a later object of that name."""
        for orphan in self._tree.shelf.orphans():
            disk.remove(self._layout.overlay_path(orphan))
            self._tree.look(self._layout.overlay_path(orphan))


def _text(manifest: Object) -> str:
    return to_text((versioned(manifest, ""),))
