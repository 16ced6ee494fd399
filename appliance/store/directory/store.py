"""The store that is a folder of YAML: operators' files are only read, programs' objects stand in `.pierhead`."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar, cast

from appliance.api.kind import KINDS_BY_TITLE, Kind, Object, ref_of
from appliance.api.manifest import encode
from appliance.api.meta import Metadata, Ref
from appliance.api.refusal import StoreRefusal
from appliance.store.change import (
    StoredObject,
    applied,
    check_version,
    checked,
    created,
    is_same,
    reported,
    versioned,
    with_metadata,
)
from appliance.store.directory import disk
from appliance.store.directory.file import Overlay, Unreadable, overlay_text, record_text
from appliance.store.directory.inotify import Inotify
from appliance.store.directory.layout import Layout
from appliance.store.directory.tree import Told, Tree
from appliance.store.pending import Pending
from appliance.store.protocol import Changes, Listing, StoreError

T = TypeVar("T")

# How long a file that is written again and again keeps a listing waiting.
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Done(Generic[T]):
    """What came of a write, and the file whose name the disk may not know yet, if it has to."""

    outcome: T
    unsynced: str = ""


class DirectoryStore:
    """Objects in a folder that operators and several programs share; all that touches the disk runs in one thread."""

    def __init__(self, path: Path) -> None:
        self._layout = Layout(path)
        self._tree = Tree(self._layout)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._pendings: set[Pending] = set()

    async def get(self, ref: Ref) -> Object:
        """The object of a name."""
        await self._bring_up_to_date()
        if ref in self._tree.told.unreadable:
            raise StoreError(StoreRefusal.INVALID, ref, "it cannot be decoded")
        if (manifest := self._tree.object(ref)) is None:
            raise StoreError(StoreRefusal.NOT_FOUND, ref)
        return manifest

    async def list(self, kinds: frozenset[Kind]) -> Listing:
        """All objects of some kinds."""
        await self._bring_up_to_date()
        objects: dict[Ref, Object] = {}
        for kind in Kind:
            if kind in kinds:
                objects |= self._tree.objects[kind.title]
        told = self._tree.told
        sources = {ref: source for ref in objects if (source := self._tree.sources.get(ref))}
        return Listing(objects, _of(told.unreadable, kinds), told.problems, told.is_complete, sources)

    async def watch(self, kinds: frozenset[Kind]) -> AsyncGenerator[Changes]:
        """All objects first, then what changes; refuses UNAVAILABLE when the folder goes."""
        pending = Pending(kinds)
        self._pendings.add(pending)
        try:
            await self._bring_up_to_date()
            number, present, told = await self._in_thread(partial(self._tree.present, kinds))
            pending.begin(number)
            yield replace(self._changes(kinds, present, (), told, None), listed=kinds)
            while True:
                before, told = told, self._tree.told
                changed, removed = pending.take()
                if (changes := self._changes(kinds, changed, removed, told, before)) != Changes():
                    yield changes
                else:
                    await self._news(pending)
        finally:
            self._pendings.discard(pending)

    async def create(self, manifest: Object, manager: str) -> Object:
        """Add an object of a new name to the programs' own."""
        record = created(checked(manifest), manager)
        return await self._write(partial(self._create, ref_of(manifest), record))

    async def apply(self, manifest: Object, manager: str) -> Object:
        """Write spec, labels and annotations; an operator's object keeps its spec."""
        return await self._write(partial(self._apply, checked(manifest), manager))

    async def apply_metadata(self, manifest: Object, manager: str) -> Object:
        """Write labels and annotations; over an operator's object they are laid."""
        return await self._write(partial(self._apply_metadata, manifest, manager))

    async def apply_status(self, manifest: Object, manager: str, *, with_metadata: bool = False) -> Object:
        """Write the status, on request labels and annotations; over an operator's object they are laid."""
        return await self._write(partial(self._apply_status, checked(manifest), manager, with_metadata))

    async def delete(self, ref: Ref, resource_version: str = "") -> None:
        """Remove an object a program made."""
        await self._write(partial(self._delete, ref, resource_version))

    # On the loop.

    async def _bring_up_to_date(self) -> None:
        """Look at what may have changed, and again at files in doubt until none is left."""
        await self._in_thread(self._tree.follow)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (due := self._tree.doubt_due) is not None and due < deadline:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._in_thread(self._tree.follow)

    async def _news(self, pending: Pending) -> None:
        """Wait until something may have changed, and look at it; refuses UNAVAILABLE where the kernel tells nothing."""
        inotify, loop = self._tree.notices, asyncio.get_running_loop()
        if inotify is None:
            raise StoreError(
                StoreRefusal.UNAVAILABLE, self._layout.root, "it cannot be watched: no inotify instance is left"
            )
        inotify.waiters += 1
        loop.add_reader(inotify.fileno(), self._hear, inotify)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._tree.due - time.monotonic())):
                    await pending.news.wait()
        finally:
            inotify.waiters -= 1
            if not inotify.waiters:
                loop.remove_reader(inotify.fileno())
        pending.news.clear()
        await self._in_thread(partial(self._tree.follow, self._kinds()))

    def _hear(self, inotify: Inotify) -> None:
        """There are notices: where they concern somebody, whoever waits reads them, in the thread."""
        if self._tree.is_news(inotify.hear(), self._kinds()) or inotify.has_much:
            asyncio.get_running_loop().remove_reader(inotify.fileno())
            self._wake_all()

    def _kinds(self) -> frozenset[Kind]:
        return frozenset[Kind]().union(*(pending.kinds for pending in self._pendings))

    def _wake_all(self) -> None:
        for pending in self._pendings:
            pending.news.set()

    async def _write(self, work: Callable[[], _Done[T]]) -> T:
        """Do one write; what has to last lasts when this returns, and others go on meanwhile."""
        done = await self._in_thread(work)
        if done.unsynced:
            await self._in_thread(partial(disk.sync_folder_of, done.unsynced), is_ordered=False)
        return done.outcome

    async def _in_thread(self, work: Callable[[], T], *, is_ordered: bool = True) -> T:
        """Do work in the store's thread, or in any, and pass on what it changed."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread if is_ordered else None, work)
        except OSError as error:
            self._wake_all()
            raise StoreError(
                StoreRefusal.UNAVAILABLE, self._layout.root, f"{error.filename}: {error.strerror}"
            ) from error
        except StoreError as error:
            if error.refusal is StoreRefusal.UNAVAILABLE:
                self._wake_all()
            raise
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._tree.updates:
            update = self._tree.updates.popleft()
            for pending in self._pendings:
                pending.note(update)

    def _changes(
        self,
        kinds: frozenset[Kind],
        changed: tuple[Object, ...],
        removed: tuple[Ref, ...],
        told: Told,
        before: Told | None,
    ) -> Changes:
        """A batch, with what is told of all objects where that is not what was told before."""
        sources = {ref: source for ref in map(ref_of, changed) if (source := self._tree.sources.get(ref))}
        unreadable = _of(told.unreadable, kinds)
        return Changes(
            changed=changed,
            removed=removed,
            unreadable=unreadable if before is None or unreadable != _of(before.unreadable, kinds) else None,
            problems=told.problems if before is None or told.problems != before.problems else None,
            is_complete=told.is_complete if before is None or told.is_complete != before.is_complete else None,
            sources=sources,
        )

    # In the thread.

    def _create(self, ref: Ref, record: StoredObject) -> _Done[Object]:
        with self._tree.writing(ref):
            path, made = self._layout.object_path(ref), self._tree.made(ref)
            if isinstance(made, Unreadable) and self._layout.is_derived(path):
                return self._put(path, record)
            if self._tree.object(ref) is not None or made is not None:
                raise StoreError(StoreRefusal.EXISTS, ref)
            try:
                return self._put(path, record, is_new=True)
            except FileExistsError as error:
                raise StoreError(StoreRefusal.EXISTS, ref, "its file cannot be read") from error

    def _apply(self, manifest: Object, manager: str) -> _Done[Object]:
        ref = ref_of(manifest)
        with self._tree.writing(ref):
            current = self._current(ref, manifest.metadata.resource_version)
            wanted = applied(current, manifest, manager)
            if (written := self._tree.written(ref)) is None:
                return self._replace(current, wanted)
            if replace(wanted.manifest, metadata=current.manifest.metadata) != current.manifest:
                raise StoreError(StoreRefusal.READ_ONLY, ref)
            return self._lay(current, _described(self._overlay(ref), written, manifest.metadata, manager))

    def _apply_metadata(self, manifest: Object, manager: str) -> _Done[Object]:
        ref = ref_of(manifest)
        with self._tree.writing(ref):
            current = self._current(ref, manifest.metadata.resource_version)
            if (written := self._tree.written(ref)) is None:
                return self._replace(current, with_metadata(current, manifest.metadata, manager))
            return self._lay(current, _described(self._overlay(ref), written, manifest.metadata, manager))

    def _apply_status(self, manifest: Object, manager: str, is_metadata_written: bool) -> _Done[Object]:
        ref = ref_of(manifest)
        with self._tree.writing(ref):
            current = self._current(ref, manifest.metadata.resource_version)
            if (written := self._tree.written(ref)) is None:
                wanted = reported(current, manifest, manager, is_metadata_written=is_metadata_written)
                return self._replace(current, wanted)
            overlay = self._overlay(ref)
            if is_metadata_written:
                overlay = _described(overlay, written, manifest.metadata, manager)
            status = getattr(manifest, "status", None)
            if status is not None and status != getattr(current.manifest, "status", None):
                overlay = replace(overlay, status=cast(dict[str, object], encode(manifest).get("status", {})))
            return self._lay(current, overlay)

    def _delete(self, ref: Ref, resource_version: str) -> _Done[None]:
        path = self._layout.object_path(ref)
        with self._tree.writing(ref):
            made = self._tree.made(ref)
            if isinstance(made, Unreadable) and self._tree.written(ref) is None:
                if resource_version and resource_version != made.version:
                    raise StoreError(StoreRefusal.CONFLICT, ref)
            else:
                self._current(ref, resource_version)
            if self._tree.written(ref) is not None:
                raise StoreError(StoreRefusal.READ_ONLY, ref)
            disk.remove(path)
            self._tree.look_own(path)
        return _Done(None, "" if self._layout.is_derived(path) else path)

    def _current(self, ref: Ref, version: str) -> StoredObject:
        """What is stored of a name, as it is under the lock."""
        made = self._tree.made(ref)
        if isinstance(made, Unreadable) and self._tree.written(ref) is None:
            raise StoreError(StoreRefusal.INVALID, ref, "what is stored of it cannot be decoded")
        if (manifest := self._tree.object(ref)) is None:
            raise StoreError(StoreRefusal.NOT_FOUND, ref)
        check_version(manifest, version)
        return StoredObject(manifest, made.managers if isinstance(made, StoredObject) else {})

    def _replace(self, current: StoredObject, wanted: StoredObject) -> _Done[Object]:
        if is_same(current, wanted):
            return _Done(current.manifest)
        return self._put(self._layout.object_path(ref_of(wanted.manifest)), wanted)

    def _put(self, path: str, record: StoredObject, *, is_new: bool = False) -> _Done[Object]:
        """Write a program's file; what is derived is not waited for: torn, it would be written again."""
        ref = ref_of(record.manifest)
        text = record_text(replace(record, manifest=versioned(record.manifest, str(self._tree.next_version()))))
        is_durable = not self._layout.is_derived(path)
        disk.make_folder_of(path, below=self._layout.own)
        if is_new and is_durable:
            disk.write_new(path, text, self._layout.next, _mode(ref))
        else:
            disk.write_over(path, text, self._layout.next, _mode(ref), is_durable=is_durable)
        self._tree.look_own(path)
        stored = self._tree.object(ref)
        if stored is None:
            raise StoreError(StoreRefusal.UNAVAILABLE, ref, "it was not there any more once it was written")
        return _Done(stored, path if is_durable else "")

    def _overlay(self, ref: Ref) -> Overlay:
        return self._tree.overlay(ref) or Overlay(ref, {}, {}, None, {}, "")

    def _lay(self, current: StoredObject, overlay: Overlay) -> _Done[Object]:
        """Write what is laid over an operator's object, where that is not there already."""
        if overlay == self._overlay(overlay.ref):
            return _Done(current.manifest)
        path = self._layout.overlay_path(overlay.ref)
        versioned_overlay = replace(overlay, version=str(self._tree.next_version()))
        text = overlay_text(versioned_overlay, KINDS_BY_TITLE[overlay.ref.kind])
        disk.make_folder_of(path, below=self._layout.own)
        disk.write_over(path, text, self._layout.next, is_durable=False)
        self._tree.look_own(path)
        return _Done(self._current(overlay.ref, "").manifest)


def _mode(ref: Ref) -> int:
    """The mode of a program's file: a Secret is for the store's owner alone."""
    return 0o600 if ref.kind == Kind.SECRET.title else 0o644


def _described(overlay: Overlay, written: Object, wanted: Metadata, manager: str) -> Overlay:
    """An overlay with a manager's labels and annotations instead of those it laid before."""
    bare = Metadata(name=wanted.name, labels=overlay.labels, annotations=overlay.annotations)
    laid = with_metadata(StoredObject(replace(written, metadata=bare), overlay.managers), wanted, manager)
    metadata = laid.manifest.metadata
    return replace(overlay, labels=metadata.labels, annotations=metadata.annotations, managers=laid.managers)


def _of(refs: frozenset[Ref], kinds: frozenset[Kind]) -> frozenset[Ref]:
    titles = {kind.title for kind in kinds}
    return frozenset(ref for ref in refs if ref.kind in titles)
