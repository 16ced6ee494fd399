"""The operators' texts that the programs of a store act upon: one log, in which each change has a version.

Operators' files carry no resource version, so whoever sees a right text first writes down, under the store's lock and
before anybody acts upon it, which objects it holds and under which versions. An object written anew as it once was thus
has a new version, every program knows the same one, and what a text said when it was last right outlives all of them.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from appliance.api.kind import KINDS_BY_TITLE, ref_of
from appliance.api.manifest import Document, decode, encode
from appliance.api.meta import Ref
from appliance.api.problem import Source
from appliance.store.directory.disk import write_over
from appliance.store.directory.layout import Layout

_LINES_KEPT = 1000


@dataclass(frozen=True, slots=True)
class AcceptedLine:
    """The last line about one file: its text's digest, "" where it is gone; version and digest of each object."""

    text: str
    objects: Mapping[Ref, tuple[int, str]]
    gone: Mapping[Ref, int]
    place: int = field(compare=False)
    length: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Draft:
    """A text to be accepted: of each document its number, its name, its JSON and a digest of that."""

    text: str
    documents: tuple[tuple[int, Ref, str, str], ...] = ()


class Accepted:
    """The log as far as it was read."""

    def __init__(self, layout: Layout) -> None:
        self.entries: dict[str, AcceptedLine] = {}
        self.highest = 0
        self._layout = layout
        self._inode = 0
        self._size = 0
        self._lines = 0

    def sync(self) -> set[str]:
        """Read what was written since the last time, and return the files it speaks of. Raises OSError."""
        try:
            with Path(self._layout.accepted).open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino == self._inode and status.st_size == self._size:
                    return set()
                if status.st_ino != self._inode or status.st_size < self._size:
                    self._inode, self._size, self._lines = status.st_ino, 0, 0
                    self.entries.clear()
                file.seek(self._size)
                return self._read(file.read())
        except FileNotFoundError:
            return set()

    def _read(self, content: bytes) -> set[str]:
        whole = content[: content.rfind(b"\n") + 1]
        files: set[str] = set()
        for line in whole.splitlines(keepends=True):
            file = self._take(line, self._size)
            self._size += len(line)
            self._lines += 1
            if file is not None:
                files.add(file)
        return files

    def _take(self, line: bytes, place: int) -> str | None:
        """Take one line in; a torn one, left by a loss of power, is passed over."""
        try:
            content = json.loads(line)
            file, text = str(content["file"]), str(content["text"])
            objects = {Ref(*ref): (int(version), str(digest)) for ref, version, digest, _, _ in content["documents"]}
            gone = {Ref(*ref): int(version) for ref, version in content["gone"]}
        except (ValueError, KeyError, TypeError):
            return None
        versions = [version for version, _ in objects.values()]
        self.highest = max(self.highest, *versions, *gone.values(), 0)
        self.entries[file] = AcceptedLine(text, objects, gone, place, len(line))
        return file

    def write(self, drafts: Mapping[str, Draft], version: int) -> None:
        """Write down texts that are not the last ones of their files, what is new in them under a version."""
        lines = [self._line(file, draft, version) for file, draft in drafts.items()]
        target = os.open(self._layout.accepted, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(target, "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            torn = b"\n" if end and file.read(1) != b"\n" else b""
            file.seek(end)
            file.write(torn + b"".join(lines))
        self.sync()
        if self._lines > 2 * len(self.entries) + _LINES_KEPT:
            self._compact()

    def _line(self, file: str, draft: Draft, version: int) -> bytes:
        before = self.entries.get(file)
        known: Mapping[Ref, tuple[int, str]] = before.objects if before else {}
        documents = []
        for place, ref, content, digest in draft.documents:
            old = known.get(ref, (0, ""))
            number = old[0] if old[1] == digest else version
            documents.append(f'[{json.dumps(_names(ref))},{number},"{digest}",{place},{content}]')
        refs = {ref for _, ref, _, _ in draft.documents}
        gone = {**(before.gone if before else {}), **{ref: version for ref in known if ref not in refs}}
        left = [(_names(ref), number) for ref, number in gone.items() if ref not in refs]
        head = f'{{"file":{json.dumps(file)},"text":"{draft.text}","gone":{json.dumps(left)}'
        return f'{head},"documents":[{",".join(documents)}]}}\n'.encode()

    def documents(self, path: str, file: str) -> tuple[Document, ...]:
        """What a file held when it was last right, as far as it can still be read."""
        entry = self.entries.get(file)
        if entry is None or not entry.text:
            return ()
        with Path(self._layout.accepted).open("rb") as log:
            log.seek(entry.place)
            content = json.loads(log.read(entry.length))
        documents = []
        for (title, _, _), _, _, number, manifest in content["documents"]:
            try:
                documents.append(Document(Source(path, number), decode(KINDS_BY_TITLE[title], manifest, strict=False)))
            except (KeyError, ValidationError):
                continue
        return tuple(documents)

    def _compact(self) -> None:
        """Keep the last line of each file."""
        with Path(self._layout.accepted).open("rb") as log:
            kept = []
            for entry in self.entries.values():
                log.seek(entry.place)
                kept.append(log.read(entry.length))
        write_over(self._layout.accepted, b"".join(kept).decode(), self._layout.next, 0o600)
        self.sync()


def draft_of(text: str, documents: Iterable[Document]) -> Draft:
    """A text with each of its objects, whatever its layout."""
    drafted = []
    for document in documents:
        content = json.dumps(encode(document.manifest), sort_keys=True, separators=(",", ":"))
        digest = hashlib.blake2b(content.encode(), digest_size=12).hexdigest()
        drafted.append((document.source.document, ref_of(document.manifest), content, digest))
    return Draft(text, tuple(drafted))


def _names(ref: Ref) -> tuple[str, str, str]:
    return ref.kind, ref.namespace, ref.name
