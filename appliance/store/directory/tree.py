"""The folder of a directory store as it was last looked at.

All of it blocks and runs in the store's own thread; the loop reads `objects` and `told`, one operation at a time.

What makes versions right: an operator's text is taken in only under the lock, accepted, and together with what programs
wrote of its objects; and whoever reads a program's file reads the log of accepted texts after it. So what was shown
under a version is all that ever had it.
"""

import contextlib
import errno
import gc
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import cast

from appliance.api.kind import KINDS_BY_TITLE, Kind, Object, ref_of
from appliance.api.manifest import Document
from appliance.api.meta import Ref
from appliance.api.problem import Problem, Source
from appliance.api.refusal import StoreRefusal
from appliance.store.change import StoredObject, versioned
from appliance.store.directory import disk
from appliance.store.directory.accepted import Accepted, AcceptedLine, Draft, draft_of
from appliance.store.directory.file import (
    Overlay,
    Own,
    Text,
    Unreadable,
    is_unchanged,
    overlaid,
    read_own,
    read_text,
    signature_of,
)
from appliance.store.directory.inotify import Inotify, Notices
from appliance.store.directory.layout import OWN, Layout
from appliance.store.pending import Update
from appliance.store.protocol import StoreError

# An editor empties a file before it fills it, or takes it away before it puts the new one there.
SETTLE_SECONDS = 0.1
LOCK_SECONDS = 5.0
# A reader waits less for the lock: what it could not take in it looks at again.
_READER_LOCK_SECONDS = 0.5
# What the kernel says nothing of, as on a network file system, is found by walking, in a five-hundredth of the time.
_WALK_SECONDS_MIN = 60.0
_WALK_SHARE = 500
# Whoever watches only what programs write leaves it to others to be the first that read what operators wrote, and waits
# neither for that nor for the lock it needs.
_TEXT_SECONDS = 0.25
_OF_PROGRAMS = frozenset((Kind.VIRTUAL_IP, Kind.BACKENDS, Kind.BGP_SESSION, Kind.HOST, Kind.SECRET))
# From so many names on it is cheaper to walk over the programs' files than to ask for each.
_LOOKS_MAX = 1000

_NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of all objects together."""

    problems: tuple[Problem, ...] = ()
    unreadable: frozenset[Ref] = frozenset()
    is_complete: bool = True


class Tree:
    """Keeps objects equal to the folder; an operator's object is missed only once its absence has lasted."""

    def __init__(self, layout: Layout) -> None:
        self.objects: dict[str, dict[Ref, Object]] = {kind.title: {} for kind in Kind}
        self.told = Told()
        self.sources: dict[Ref, Source] = {}
        self.updates: deque[Update] = deque()
        self.due = 0.0
        self.doubt_due: float | None = None
        self.notices: Inotify | None = None
        self._layout = layout
        self._number = 0
        self._highest = 0
        self._accepted = Accepted(layout)
        self._texts: dict[str, Text] = {}
        self._taken: dict[str, AcceptedLine] = {}
        self._owns: dict[str, Own] = {}
        self._made: dict[Ref, StoredObject | Unreadable] = {}
        self._overlays: dict[Ref, Overlay] = {}
        self._written: dict[Ref, dict[Source, Object]] = {}
        self._versions: dict[Ref, int] = {}
        self._unresolved: dict[Ref, None] = {}
        self._lagging: set[str] = set()
        self._held: set[str] = set()
        self._never_right: set[str] = set()
        self._text_problems: dict[str, tuple[Problem, ...]] = {}
        self._ref_problems: dict[Ref, tuple[Problem, ...]] = {}
        self._is_told = True
        self._doubted: dict[str, float] = {}
        self._missing: dict[str, float] = {}
        self._put_off: set[str] = set()
        self._texts_due: float | None = None
        self._folders: set[str] = set()
        self._walk_due = 0.0
        self._is_first = True
        self._is_locked = False
        self._had_own = False
        self._root: tuple[int, int] | None = None

    def refresh(self) -> None:
        """Look at everything."""
        begun = time.monotonic()
        self._check_root()
        self._note_lines()
        if self.notices is None:
            # Without the kernel's notices, of which a user has a limited number, each look is at everything.
            with contextlib.suppress(OSError):
                self.notices = Inotify()
        self._folders = {self._layout.root}
        with _collecting_later() if self._is_first else contextlib.nullcontext():
            self._put_off.clear()
            self._texts_due = None
            self._look(self._changed())
        self._is_first = False
        self._check_root()
        now = time.monotonic()
        self._walk_due = now + max(_WALK_SECONDS_MIN, _WALK_SHARE * (now - begun))
        self._tell()

    def follow(self, kinds: frozenset[Kind] = frozenset(Kind)) -> None:
        """Look at what the kernel told of, and at files in doubt whose time has come.

        Given kinds that programs write, at what programs wrote of them; at the rest once somebody asks for it, and at
        what operators wrote a little later.
        """
        self._check_root()
        inotify = self.notices
        notices = inotify.read() if inotify else None
        now = time.monotonic()
        if notices is None or notices.is_overflown or now >= self._walk_due:
            self.refresh()
            return
        files = {path for path in notices.paths if self._layout.is_manifest(path)}
        if any(self._is_more_than_a_file(path) for path in notices.paths - files):
            self.refresh()
            return
        if not kinds <= _OF_PROGRAMS or now >= (self._texts_due or now + 1):
            kinds, self._texts_due = frozenset(Kind), None
        files |= self._put_off
        self._put_off = {path for path in files if not self._layout.is_of(path, kinds)}
        doubted = {path for path, due in self._doubted.items() if due <= now}
        self._look((files - self._put_off) | doubted, kinds)

    def is_news(self, notices: Notices, kinds: frozenset[Kind]) -> bool:
        """Whether what the kernel told is to be looked at now by who watches some kinds."""
        if notices.is_overflown:
            return True
        for path in notices.paths:
            if self._layout.is_manifest(path):
                # Of operators' files it is enough to know that there are some to be looked at.
                if not kinds <= _OF_PROGRAMS or self._layout.is_of(path, kinds):
                    return True
                if not self._layout.is_own(path) and self._texts_due is None:
                    return True
            elif path in self._folders or not self._layout.is_on_the_way(path):
                return True
        return False

    def present(self, kinds: frozenset[Kind]) -> tuple[int, tuple[Object, ...], Told]:
        """All objects of some kinds and what is told of all, with the number of the last update in them."""
        titles = [kind.title for kind in Kind if kind in kinds]
        objects = tuple(manifest for title in titles for manifest in self.objects[title].values())
        return self._number, objects, self.told

    @contextlib.contextmanager
    def writing(self, ref: Ref) -> Iterator[None]:
        """Write alone, knowing all that is written of one object; refuses UNAVAILABLE."""
        try:
            self._check_root()
            if self._is_first:
                # Outside the lock: nobody waits for a first look at everything.
                self.refresh()
            with self._locked(LOCK_SECONDS):
                self.follow()
                texts = {source.file for source in self._written.get(ref, ())}
                self._look({*texts, self._layout.object_path(ref), self._layout.overlay_path(ref)})
                yield
        except TimeoutError as error:
            raise StoreError(StoreRefusal.UNAVAILABLE, ref, "another program keeps the store locked") from error
        except OSError as error:
            refusal = StoreRefusal.FORBIDDEN if error.errno in _NOT_OURS else StoreRefusal.UNAVAILABLE
            raise StoreError(refusal, ref, f"{error.filename}: {error.strerror}") from error

    def look_own(self, path: str) -> None:
        """Look at a program's file that was just written, under the lock."""
        self._look({path})

    def next_version(self) -> int:
        """A version higher than every one there was; under the lock."""
        return disk.next_version(self._layout.version, max(self._highest, self._accepted.highest))

    def object(self, ref: Ref) -> Object | None:
        """An object as it is now."""
        return self.objects[ref.kind].get(ref)

    def written(self, ref: Ref) -> Object | None:
        """An object as an operator wrote it; the first in order of file and document where there are several."""
        documents = self._written.get(ref)
        return documents[min(documents)] if documents else None

    def made(self, ref: Ref) -> StoredObject | Unreadable | None:
        """An object as a program wrote it."""
        return self._made.get(ref)

    def overlay(self, ref: Ref) -> Overlay | None:
        """What programs wrote of an operator's object."""
        return self._overlays.get(ref)

    def _check_root(self) -> None:
        """Refuse UNAVAILABLE where the folder is gone or is not the one seen before, as an empty mount is not."""
        try:
            status = Path(self._layout.root).stat()
            has_own = Path(self._layout.own).is_dir()
        except OSError as error:
            raise StoreError(StoreRefusal.UNAVAILABLE, self._layout.root, str(error.strerror)) from error
        if self._had_own and not has_own:
            raise StoreError(StoreRefusal.UNAVAILABLE, self._layout.root, f"{OWN} is gone from it")
        self._had_own = has_own
        root = (status.st_dev, status.st_ino)
        replaced, self._root = self._root not in (None, root), root
        if replaced:
            self._forget()
            raise StoreError(StoreRefusal.UNAVAILABLE, self._layout.root, "another folder took its place")

    def _forget(self) -> None:
        """Know nothing of the files any more; the objects go, or change, once others have been read."""
        self._unresolved.update(dict.fromkeys(ref for objects in self.objects.values() for ref in objects))
        self._accepted = Accepted(self._layout)
        self.notices = None
        for files in (self._texts, self._owns, self._taken, self._doubted, self._missing, self._text_problems):
            cast(dict[str, object], files).clear()
        for objects in (self._made, self._overlays, self._written, self._versions, self._ref_problems):
            cast(dict[Ref, object], objects).clear()
        for paths in (self._lagging, self._held, self._never_right, self._put_off):
            paths.clear()
        self._is_told, self._walk_due = False, 0.0

    def _changed(self) -> set[str]:
        """Walk over the folder: every file that is new, gone or not as it was, and those in doubt."""
        found: set[str] = set()
        changed = set(self._doubted)
        for path, entry in self._walk([self._layout.root]):
            found.add(path)
            if self._differs(path, entry):
                changed.add(path)
        return changed.union(path for path in (*self._texts, *self._owns) if path not in found)

    def _walk(self, folders: list[str]) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
        """Every file objects are read from; linked folders are followed, each folder once."""
        seen: set[tuple[int, int]] = set()
        inotify = self.notices
        while folders:
            folder = folders.pop()
            if inotify is not None:
                inotify.add(folder)
            for entry in _entries(folder):
                if _is_folder(entry, seen):
                    if not entry.name.startswith(".") or entry.path == self._layout.own:
                        folders.append(entry.path)
                        self._folders.add(entry.path)
                elif self._layout.is_manifest(entry.path):
                    if inotify is not None and entry.is_symlink():
                        inotify.add(entry.path)
                    yield entry.path, entry

    def _differs(self, path: str, entry: "os.DirEntry[str]") -> bool:
        known = self._owns.get(path) or self._texts.get(path)
        try:
            return known is None or known.signature != signature_of(entry.stat())
        except OSError:
            return True

    def _is_more_than_a_file(self, path: str) -> bool:
        """Whether a notice that is not of a manifest may concern files below a folder or behind a link."""
        if path in self._folders:
            return path not in (self._layout.root, self._layout.own)
        place = Path(path)
        is_hidden = place.name.startswith(".") and path != self._layout.own
        return place.is_symlink() or (place.is_dir() and not is_hidden)

    def _look(self, paths: set[str], kinds: frozenset[Kind] = frozenset(Kind)) -> None:
        """Take in what some files hold, and what the log says of others that concern some kinds."""
        for path in paths:
            if self._layout.is_own(path):
                self._take_own(path)
        texts = {path: text for path in sorted(paths) if not self._layout.is_own(path) for text in self._read(path)}
        self._note_lines()
        if texts or self._lagging_of(kinds):
            try:
                with self._locked(_READER_LOCK_SECONDS):
                    self._take_texts(texts, kinds, is_written_down=True)
            except TimeoutError:
                # Nothing is shown before it: what programs wrote meanwhile may rest on those texts.
                lagging = self._lagging_of(kinds)
                self._doubted.update(dict.fromkeys((*texts, *lagging), time.monotonic() + SETTLE_SECONDS))
                self._tell()
                return
            except OSError as error:
                if error.errno not in _NOT_OURS:
                    raise
                self._take_texts(texts, kinds, is_written_down=False)
        for ref in self._unresolved:
            self._resolve(ref)
        self._unresolved.clear()
        self._tell()

    @contextlib.contextmanager
    def _locked(self, patience_seconds: float) -> Iterator[None]:
        if self._is_locked:
            yield
            return
        for folder in (self._layout.own, self._layout.writing):
            Path(folder).mkdir(exist_ok=True)
        self._had_own = True
        with disk.locked(self._layout.lock, patience_seconds):
            self._is_locked = True
            try:
                yield
            finally:
                self._is_locked = False

    def _note_lines(self) -> None:
        """Read on in the log: files whose last line is not the one taken in are to be looked at."""
        with contextlib.suppress(PermissionError):
            for name in self._accepted.sync():
                path = f"{self._layout.root}/{name}"
                if self._accepted.entries[name] != self._taken.get(path):
                    self._lagging.add(path)

    def _lagging_of(self, kinds: frozenset[Kind]) -> set[str]:
        """The texts whose last line is not the one taken in, as far as that line or the one before is of some kinds."""
        if len(kinds) == len(Kind):
            return self._lagging
        titles = {kind.title for kind in kinds}
        return {path for path in self._lagging if any(ref.kind in titles for ref in self._refs_of(path))}

    def _refs_of(self, path: str) -> Iterator[Ref]:
        """Every object that a text holds or held, as far as is known."""
        entry, known = self._accepted.entries.get(self._name(path)), self._texts.get(path)
        yield from (*entry.objects, *entry.gone) if entry else ()
        yield from known.refs if known else ()

    def _read(self, path: str) -> Iterator[Text | None]:
        """A text that is not the one taken in, unless it is in doubt."""
        known = self._texts.get(path)
        text = read_text(path, known)
        if self._is_doubtful(path, known, text):
            self._doubted[path] = time.monotonic() + SETTLE_SECONDS
            return
        self._doubted.pop(path, None)
        if known is not None and text is not None and known.digest == text.digest:
            self._texts[path] = text
        elif text is not None or known is not None:
            yield text

    def _is_doubtful(self, path: str, known: Text | None, text: Text | None) -> bool:
        """Whether a file says less than before and was touched so lately that its writer may not be done."""
        if text is None:
            if known is None:
                return False
            return time.monotonic() - self._missing.setdefault(path, time.monotonic()) < SETTLE_SECONDS
        self._missing.pop(path, None)
        if known is not None and known.digest == text.digest:
            return False
        says_less = bool(text.problems) or not text.documents or (known is not None and not known.refs <= text.refs)
        return (says_less or self._is_first) and 0 <= time.time() - text.modified < SETTLE_SECONDS

    def _take_texts(self, texts: dict[str, Text | None], kinds: frozenset[Kind], is_written_down: bool) -> None:
        """Take texts in as they are now, under the lock; what is right and new is accepted first."""
        self._note_lines()
        present = {path: self._now(path, texts.get(path)) for path in sorted({*texts, *self._lagging_of(kinds)})}
        for path, text in present.items():
            is_never_right = text is not None and bool(text.problems) and self._remembered(path) is None
            (self._never_right.add if is_never_right else self._never_right.discard)(path)
        if not self._never_right:
            present |= {path: read_text(path, None) for path in self._held - present.keys()}
            self._held.clear()
        whole = {path: self._whole(path, text) for path, text in present.items()}
        drafts = {self._name(path): draft for path, text in whole.items() for draft in self._draft(path, text)}
        if drafts and is_written_down:
            self._accepted.write(drafts, self.next_version())
        for path, text in whole.items():
            self._put_text(path, text)
        self._lagging.difference_update(whole)
        self._look_at_own(tuple(self._unresolved))
        if is_written_down:
            self._forget_overlays()

    def _now(self, path: str, read: Text | None) -> Text | None:
        """A text as it is under the lock; where that is in doubt, what the log says of it."""
        known = self._texts.get(path)
        text = read if is_unchanged(path, read) else read_text(path, read or known)
        entry = self._accepted.entries.get(self._name(path))
        is_accepted = entry is not None and entry.text == (text.digest if text else "")
        if not is_accepted and self._is_doubtful(path, known, text):
            self._doubted[path] = time.monotonic() + SETTLE_SECONDS
            return self._remembered(path)
        self._doubted.pop(path, None)
        self._missing.pop(path, None)
        return text

    def _remembered(self, path: str) -> Text | None:
        """What a file said when it was last right, as far as anybody knows."""
        known, entry = self._texts.get(path), self._accepted.entries.get(self._name(path))
        if entry is None or (known is not None and self._taken.get(path) == entry):
            return known if path not in self._never_right else None
        if not entry.text:
            return None
        return Text(entry.text, None).holding(self._accepted.documents(path, self._name(path)))

    def _whole(self, path: str, text: Text | None) -> Text | None:
        """A text with what it held before, where it is wrong or where that may stand in one that was never right."""
        if text is not None and text.problems:
            last = self._remembered(path)
            return text.holding(last.documents) if last else text
        if not self._never_right:
            return text
        last = self._remembered(path)
        refs = text.refs if text else frozenset[Ref]()
        left = tuple(each for each in last.documents if ref_of(each.manifest) not in refs) if last else ()
        if left:
            self._held.add(path)
        if text is None:
            return last if left else None
        return replace(text, digest=f"{text.digest}+").holding((*text.documents, *left)) if left else text

    def _draft(self, path: str, text: Text | None) -> Iterator[Draft]:
        """What is to be written down of a text, where that is not its last line."""
        entry = self._accepted.entries.get(self._name(path))
        if text is None:
            if entry is not None and entry.text:
                yield Draft("")
        elif not text.problems and (entry is None or entry.text != text.digest):
            yield draft_of(text.digest, text.documents)

    def _put_text(self, path: str, text: Text | None) -> None:
        known = self._texts.pop(path, None)
        if known is not None:
            for document in known.documents:
                self._drop_document(document)
        if text is not None:
            self._texts[path] = text
            for document in text.documents:
                self._written.setdefault(ref_of(document.manifest), {})[document.source] = document.manifest
        for version in (known, text):
            self._unresolved.update(dict.fromkeys(version.refs if version else ()))
        self._put_versions(path, text)
        problems = text.problems if text else ()
        if problems != self._text_problems.pop(path, ()):
            self._is_told = False
        if problems:
            self._text_problems[path] = problems

    def _drop_document(self, document: Document) -> None:
        ref = ref_of(document.manifest)
        documents = self._written[ref]
        documents.pop(document.source, None)
        if not documents:
            del self._written[ref]

    def _put_versions(self, path: str, text: Text | None) -> None:
        """The versions a text's objects were accepted under; none where nobody could write that down."""
        entry = self._accepted.entries.get(self._name(path))
        if text is not None and not text.problems and (entry is None or entry.text != text.digest):
            for ref in text.refs:
                self._versions.pop(ref, None)
            return
        if entry is None:
            return
        if text is not None:
            self._taken[path] = entry
        else:
            self._taken.pop(path, None)
        for ref, (version, _) in entry.objects.items():
            self._versions[ref] = max(self._versions.get(ref, 0), version)
        for ref, version in entry.gone.items():
            if version > self._versions.get(ref, 0):
                self._versions[ref] = version
                self._unresolved[ref] = None

    def _look_at_own(self, refs: Sequence[Ref]) -> None:
        """Look at what programs wrote of some objects."""
        if len(refs) > _LOOKS_MAX:
            for path, entry in self._walk([self._layout.own]):
                if self._differs(path, entry):
                    self._take_own(path)
            return
        for ref in refs:
            self._take_own(self._layout.object_path(ref))
            self._take_own(self._layout.overlay_path(ref))

    def _forget_overlays(self) -> None:
        """What programs wrote of an object that no operator writes any more must not meet a later one of that name."""
        for ref in [ref for ref in self._unresolved if ref in self._overlays and ref not in self._written]:
            disk.remove(self._layout.overlay_path(ref))
            self._take_own(self._layout.overlay_path(ref))

    def _take_own(self, path: str) -> None:
        """Take in a program's file; what lies under another name than its own is passed over."""
        known = self._owns.get(path)
        is_overlay = self._layout.is_overlay(path)
        own = read_own(path, known, self._layout.ref_of_path(path), is_overlay)
        if own is not None:
            self._owns[path] = own
        elif known is not None:
            del self._owns[path]
        if (own.digest if own else None) == (known.digest if known else None):
            return
        for content in (known.content if known else None, own.content if own else None):
            self._put_own(path, content, is_there=own is not None and content is own.content)

    def _put_own(self, path: str, content: StoredObject | Overlay | Unreadable | None, is_there: bool) -> None:
        match content:
            case None:
                return
            case Overlay():
                if self._layout.overlay_path(content.ref) != path:
                    return
                self._overlays.pop(content.ref, None)
                if is_there:
                    self._overlays[content.ref] = content
                self._highest = max(self._highest, _number(content.version))
                self._unresolved[content.ref] = None
            case StoredObject() | Unreadable():
                ref = content.ref if isinstance(content, Unreadable) else ref_of(content.manifest)
                if self._layout.object_path(ref) != path:
                    return
                self._made.pop(ref, None)
                if is_there:
                    self._made[ref] = content
                if isinstance(content, StoredObject):
                    self._highest = max(self._highest, _number(content.manifest.metadata.resource_version))
                self._is_told &= not isinstance(content, Unreadable)
                self._unresolved[ref] = None

    def _resolve(self, ref: Ref) -> None:
        """Bring one object up to date with all that is written of it."""
        self._note_rivals(ref)
        objects = self.objects[ref.kind]
        before = objects.get(ref)
        now = self._merged(ref, before)
        if now == before:
            return
        if now is None:
            del objects[ref]
        else:
            objects[ref] = now
        if documents := self._written.get(ref):
            self.sources[ref] = min(documents)
        else:
            self.sources.pop(ref, None)
        self._number += 1
        self.updates.append(Update(self._number, ref, before is not None, now))

    def _merged(self, ref: Ref, before: Object | None) -> Object | None:
        written, made, overlay = self.written(ref), self._made.get(ref), self._overlays.get(ref)
        version = self._versions.get(ref, 0)
        if written is not None:
            if overlay is not None:
                written = overlaid(written, overlay)
                version = version and max(version, _number(overlay.version))
            return versioned(written, str(version or ""))
        match made:
            case StoredObject():
                version = max(version, _number(made.manifest.metadata.resource_version))
                return versioned(made.manifest, str(version or ""))
            case Unreadable():
                return before
            case None:
                return None

    def _note_rivals(self, ref: Ref) -> None:
        """One object written in several places: the first is used, every other place is told."""
        written, made = self._written.get(ref, ()), self._made.get(ref)
        if (
            len(written) + (made is not None) <= 1
            and not isinstance(made, Unreadable)
            and ref not in self._ref_problems
        ):
            return
        documents = sorted(written)
        problems = [_duplicate(ref, source, documents[0]) for source in documents[1:]]
        if documents and made is not None:
            problems.append(_shadowing(ref, documents[0], self._layout.object_path(ref)))
        if isinstance(made, Unreadable):
            problems.extend(made.problems)
        if tuple(problems) != self._ref_problems.pop(ref, ()):
            self._is_told = False
        if problems:
            self._ref_problems[ref] = tuple(problems)

    def _tell(self) -> None:
        """Say what the loop may want to know, each thing in one assignment."""
        self.doubt_due = min(self._doubted.values(), default=None)
        if self._texts_due is None and (self._lagging or not all(map(self._layout.is_own, self._put_off))):
            self._texts_due = time.monotonic() + _TEXT_SECONDS
        self.due = min(self._walk_due, self.doubt_due or self._walk_due, self._texts_due or self._walk_due)
        is_complete = not self._never_right
        if self._is_told and self.told.is_complete == is_complete:
            return
        self._is_told = True
        problems = tuple(chain(*self._text_problems.values(), *self._ref_problems.values()))
        refs = {problem.ref for texts in self._text_problems.values() for problem in texts if problem.ref}
        unreadable = {ref for ref in refs if ref.kind in KINDS_BY_TITLE and ref.name}
        unreadable |= {ref for ref, made in self._made.items() if isinstance(made, Unreadable)}
        self.told = Told(tuple(sorted(problems, key=_order)), frozenset(unreadable), is_complete)

    def _name(self, path: str) -> str:
        return path[len(self._layout.root) + 1 :]


@contextlib.contextmanager
def _collecting_later() -> Iterator[None]:
    """Search for no garbage meanwhile: all that a first look makes stays, and each search takes longer."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else 0


def _is_folder(entry: "os.DirEntry[str]", seen: set[tuple[int, int]]) -> bool:
    """Whether an entry is a folder that was not seen before."""
    if not entry.is_dir():
        return False
    status = entry.stat()
    identity = (status.st_dev, status.st_ino)
    is_new = identity not in seen
    seen.add(identity)
    return is_new


def _entries(folder: str) -> Iterable["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        raise StoreError(StoreRefusal.UNAVAILABLE, folder, str(error.strerror)) from error


def _duplicate(ref: Ref, source: Source, used: Source) -> Problem:
    text = f"is written twice; the one in {used.file}, document {used.document}, is used"
    return Problem(ref, "metadata.name", text, source)


def _shadowing(ref: Ref, source: Source, path: str) -> Problem:
    return Problem(ref, "metadata.name", f"is written here and by a program ({path}); this one is used", source)


def _order(problem: Problem) -> tuple[str, int, str, str]:
    source = problem.source or Source("", 0)
    return source.file, source.document, problem.path, problem.text
