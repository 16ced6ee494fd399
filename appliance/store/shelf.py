"""What all files of a directory store say together, object by object."""

import hashlib
from collections.abc import Iterable, Mapping
from itertools import chain

from appliance.api.kind import Kind, Object, ref_of
from appliance.api.manifest import Document
from appliance.api.meta import Ref
from appliance.api.problem import Problem, Source
from appliance.store.change import digest, versioned
from appliance.store.file import File
from appliance.store.layout import Layout
from appliance.store.overlay import Overlay, overlaid
from appliance.store.protocol import Snapshot


class Shelf:
    """Files in, objects out: an object that its files leave as it was stays the same Python object."""

    def __init__(self, layout: Layout) -> None:
        self.files: dict[str, File] = {}
        self._layout = layout
        self._written: dict[Ref, dict[Source, Object]] = {}
        self._made: dict[Ref, Object] = {}
        self._overlays: dict[Ref, Overlay] = {}
        self._objects: dict[str, dict[Ref, Object]] = {kind.title: {} for kind in Kind}
        self._sums = dict.fromkeys(self._objects, 0)
        self._changes = dict.fromkeys(self._objects, 0)
        self._file_problems: dict[str, tuple[Problem, ...]] = {}
        self._ref_problems: dict[Ref, tuple[Problem, ...]] = {}
        self._incomplete: set[str] = set()
        self._problem_changes = 0

    def put(self, path: str, file: File | None) -> None:
        """Take in a file as it is now, None where it is gone."""
        before = self.files.pop(path, None)
        if file is not None:
            self.files[path] = file
        if before is not None and file is not None and before.digest == file.digest:
            return
        self._note_problems(path, file)
        touched = {*self._take_out(path, before), *self._take_in(path, file)}
        for ref in sorted(touched):
            self._resolve(ref)

    def object(self, ref: Ref) -> Object | None:
        """An object as it is now."""
        return self._objects[ref.kind].get(ref)

    def written(self, ref: Ref) -> Object | None:
        """An object as an operator wrote it; the first in order of file and document where there are several."""
        documents = self._written.get(ref)
        return documents[min(documents)] if documents else None

    def orphans(self) -> Iterable[Ref]:
        """Objects no operator writes any more for which a status overlay is left."""
        return tuple(self._overlays.keys() - self._written.keys())

    def changes(self, kinds: frozenset[Kind]) -> int:
        """A number that grows whenever the picture of these kinds changes."""
        return self._problem_changes + sum(self._changes[kind.title] for kind in kinds)

    def snapshot(self, kinds: frozenset[Kind]) -> Snapshot:
        """All objects of some kinds, and every problem."""
        objects: dict[Ref, Object] = {}
        for kind in kinds:
            objects |= self._objects[kind.title]
        problems = chain(*self._file_problems.values(), *self._ref_problems.values())
        return Snapshot(
            objects=objects,
            revision=self._revision(kinds),
            problems=tuple(sorted(problems, key=_order)),
            sources=self._sources(kinds),
            complete=not self._incomplete,
        )

    def _take_out(self, path: str, file: File | None) -> Iterable[Ref]:
        for ref, source, _ in self._contents(path, file):
            if source is None:
                self._overlays.pop(ref, None)
            elif self._layout.is_own(path):
                self._made.pop(ref, None)
            else:
                self._written[ref].pop(source)
                if not self._written[ref]:
                    del self._written[ref]
            yield ref

    def _take_in(self, path: str, file: File | None) -> Iterable[Ref]:
        for ref, source, content in self._contents(path, file):
            if isinstance(content, Overlay):
                self._overlays[ref] = content
            elif self._layout.is_own(path):
                self._made[ref] = content
            elif source is not None:
                self._written.setdefault(ref, {})[source] = content
            yield ref

    def _contents(self, path: str, file: File | None) -> Iterable[tuple[Ref, Source | None, Object | Overlay]]:
        """What a file holds; what lies among programs' files under another name than its own is passed over."""
        if file is None:
            return
        if file.overlay is not None and self._layout.overlay_path(file.overlay.ref) == path:
            yield file.overlay.ref, None, file.overlay
        for document in file.documents:
            ref = ref_of(document.manifest)
            if not self._layout.is_own(path) or self._layout.object_path(ref) == path:
                yield ref, document.source, document.manifest

    def _resolve(self, ref: Ref) -> None:
        """Bring one object up to date with all that is written of it."""
        self._note_rivals(ref)
        objects = self._objects[ref.kind]
        before, now = objects.get(ref), self._merged(ref)
        if now is not None:
            now = versioned(now, digest(now))
        if (before and before.metadata.resource_version) == (now and now.metadata.resource_version):
            return
        for manifest, sign in ((before, -1), (now, 1)):
            if manifest is not None:
                self._sums[ref.kind] += sign * _weight(ref, manifest)
        self._changes[ref.kind] += 1
        if now is None:
            del objects[ref]
        else:
            objects[ref] = now

    def _merged(self, ref: Ref) -> Object | None:
        written = self.written(ref)
        if written is None:
            return self._made.get(ref)
        overlay = self._overlays.get(ref)
        return overlaid(written, overlay) if overlay else written

    def _note_problems(self, path: str, file: File | None) -> None:
        problems = file.problems if file else ()
        if problems != self._file_problems.pop(path, ()):
            self._problem_changes += 1
        if problems:
            self._file_problems[path] = problems
        self._incomplete.discard(path)
        if file is not None and not file.complete:
            self._incomplete.add(path)

    def _note_rivals(self, ref: Ref) -> None:
        """One object written in several places: the first is used, every other place is told."""
        documents = sorted(self._written.get(ref, ()))
        problems = [_duplicate(ref, source, documents[0]) for source in documents[1:]]
        if documents and ref in self._made:
            problems.append(_shadowing(ref, documents[0], self._layout.object_path(ref)))
        if tuple(problems) != self._ref_problems.pop(ref, ()):
            self._problem_changes += 1
        if problems:
            self._ref_problems[ref] = tuple(problems)

    def _revision(self, kinds: frozenset[Kind]) -> str:
        """The same text for the same objects, whoever reads them."""
        sums = sorted((kind.title, self._sums[kind.title]) for kind in kinds)
        return hashlib.blake2b(repr(sums).encode(), digest_size=8).hexdigest()

    def _sources(self, kinds: frozenset[Kind]) -> Mapping[Ref, Source]:
        titles = {kind.title for kind in kinds}
        return {ref: min(documents) for ref, documents in self._written.items() if ref.kind in titles}


def documents_of(file: File | None) -> frozenset[Ref]:
    """The names of the objects a file holds."""
    documents: tuple[Document, ...] = file.documents if file else ()
    return frozenset(ref_of(document.manifest) for document in documents)


def _weight(ref: Ref, manifest: Object) -> int:
    text = f"{ref} {manifest.metadata.resource_version}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def _duplicate(ref: Ref, source: Source, used: Source) -> Problem:
    text = f"is written twice; the one in {used.file}, document {used.document}, is used"
    return Problem(ref, "metadata.name", text, source)


def _shadowing(ref: Ref, source: Source, path: str) -> Problem:
    return Problem(ref, "metadata.name", f"is written here and by a program ({path}); this one is used", source)


def _order(problem: Problem) -> tuple[str, int, str, str]:
    source = problem.source or Source("", 0)
    return source.file, source.document, problem.path, problem.text
