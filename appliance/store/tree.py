"""The folder of a directory store as it was last looked at."""

import asyncio
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from appliance.store.file import File, read_manifests, read_overlay, signature_of
from appliance.store.layout import OWN, Layout
from appliance.store.protocol import Refusal, StoreError
from appliance.store.shelf import Shelf, documents_of

# An editor empties a file before it fills it, or takes it away before it puts the new one there.
SETTLE_SECONDS = 0.1
_FRESH_SECONDS = 0.3
_FILES_AT_ONCE = 256


class Tree:
    """Keeps a shelf equal to the folder; an operator's object is missed only once its absence has lasted."""

    def __init__(self, layout: Layout) -> None:
        self.shelf = Shelf(layout)
        self.heard = float("-inf")
        self._doubted: dict[str, float] = {}
        self._layout = layout
        self._missing: dict[str, float] = {}
        self._had_own = False
        self._is_first = True
        self._root: tuple[int, int] | None = None

    def check_root(self) -> None:
        """Refuse UNAVAILABLE where the folder is gone or is not the one seen before, as an empty mount is not."""
        try:
            status = Path(self._layout.root).stat()
            has_own = Path(self._layout.own).is_dir()
        except OSError as error:
            raise StoreError(Refusal.UNAVAILABLE, self._layout.root, str(error.strerror)) from error
        if self._had_own and not has_own:
            raise StoreError(Refusal.UNAVAILABLE, self._layout.root, f"{OWN} is gone from it")
        self._had_own = has_own
        root = (status.st_dev, status.st_ino)
        replaced, self._root = self._root not in (None, root), root
        if replaced:
            raise StoreError(Refusal.UNAVAILABLE, self._layout.root, "another folder took its place")

    async def refresh(self) -> None:
        """Look at everything, letting others run in between."""
        self.check_root()
        found: set[str] = set()
        for count, (path, entry) in enumerate(self._walk(self._layout.root)):
            found.add(path)
            self._look_if_changed(path, entry)
            if count % _FILES_AT_ONCE == 0:
                await asyncio.sleep(0)
        for path in self.shelf.files.keys() - found:
            self.look(path)
        self._is_first = False
        self.check_root()

    def refresh_written(self) -> None:
        """Look at all that operators wrote."""
        self.check_root()
        found: set[str] = set()
        for path, entry in self._walk(self._layout.root, with_own=False):
            found.add(path)
            self._look_if_changed(path, entry)
        for path in [path for path in self.shelf.files if path not in found and not self._layout.is_own(path)]:
            self.look(path)

    def look(self, path: str) -> None:
        """Look at one file."""
        known = self.shelf.files.get(path)
        if self._layout.is_overlay(path):
            file = read_overlay(path, known)
        else:
            file = read_manifests(path, known, strict=not self._layout.is_own(path))
        if self._is_doubtful(path, known, file):
            self._doubted[path] = time.monotonic() + SETTLE_SECONDS
            return
        self._doubted.pop(path, None)
        self._missing.pop(path, None)
        if file is not None or known is not None:
            self.shelf.put(path, file)

    def is_fresh(self) -> bool:
        """Whether the folder's changes are being followed."""
        return time.monotonic() - self.heard < _FRESH_SECONDS

    def look_again(self) -> float | None:
        """Look at files in doubt whose time has come; the seconds until the next one."""
        now = time.monotonic()
        for path in [path for path, due in self._doubted.items() if due <= now]:
            self.look(path)
        return max(0.0, min(self._doubted.values()) - now) if self._doubted else None

    def _look_if_changed(self, path: str, entry: "os.DirEntry[str]") -> None:
        known = self.shelf.files.get(path)
        try:
            if known is None or known.signature != signature_of(entry.stat()):
                self.look(path)
        except OSError:
            self.look(path)

    def _is_doubtful(self, path: str, known: File | None, file: File | None) -> bool:
        """Whether a file says less than before and was touched so lately that its writer may not be done."""
        if self._layout.is_own(path):
            return False
        if file is None:
            if known is None:
                return False
            return time.monotonic() - self._missing.setdefault(path, time.monotonic()) < SETTLE_SECONDS
        self._missing.pop(path, None)
        if known is not None and known.digest == file.digest:
            return False
        says_less = bool(file.problems) or not file.documents or bool(documents_of(known) - documents_of(file))
        return (says_less or self._is_first) and 0 <= time.time() - file.modified < SETTLE_SECONDS

    def _walk(self, folder: str, with_own: bool = True) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
        """Every file manifests are read from; linked folders are followed, each folder once."""
        seen: set[tuple[int, int]] = set()
        folders = [folder]
        while folders:
            for entry in _entries(folders.pop()):
                if _is_folder(entry, seen):
                    if not entry.name.startswith(".") or (with_own and entry.path == self._layout.own):
                        folders.append(entry.path)
                elif self._layout.is_manifest(entry.path):
                    yield entry.path, entry


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
        raise StoreError(Refusal.UNAVAILABLE, folder, str(error.strerror)) from error
