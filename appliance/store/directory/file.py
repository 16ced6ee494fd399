"""One file of a directory store and what it holds."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from appliance.api.kind import KINDS_BY_TITLE, Kind, Object, kind_of, ref_of
from appliance.api.manifest import Document, decode, encode, parse, problems_of
from appliance.api.meta import Ref
from appliance.api.problem import Problem, Source
from appliance.api.text import printable
from appliance.store.change import Managers, StoredObject, decode_managers, encode_managers
from appliance.store.directory.disk import read_regular

Signature = tuple[int, int, int]

# A file written twice within one tick of the file system's clock shows the same times (4 ms on Debian 12).
_CLOCK_TICK_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class Seen:
    """A file's content and times; `signature` is None where the file may change without showing it."""

    content: bytes
    digest: str
    signature: Signature | None
    modified: float


@dataclass(frozen=True, slots=True)
class Text:
    """A file of operators; once taken in, the documents of a wrong text are those it held when it was last right."""

    digest: str
    signature: Signature | None
    modified: float = 0.0
    documents: tuple[Document, ...] = ()
    refs: frozenset[Ref] = frozenset()
    problems: tuple[Problem, ...] = ()

    def holding(self, documents: tuple[Document, ...]) -> "Text":
        """The same text with other documents."""
        return replace(self, documents=documents, refs=frozenset(ref_of(each.manifest) for each in documents))


@dataclass(frozen=True, slots=True)
class Overlay:
    """What programs wrote of an operator's object: its metadata, and the status where one was written."""

    ref: Ref
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    status: Mapping[str, object] | None
    managers: Managers
    version: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A program's file that cannot be decoded, with what its text says of its name and version."""

    ref: Ref
    version: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Own:
    """A file of programs as it was read; None for what is no object's file."""

    digest: str
    signature: Signature | None
    content: StoredObject | Overlay | Unreadable | None = None


def see(path: str) -> Seen | None:
    """Read a file; None where there is none. Raises OSError."""
    read = read_regular(path)
    if read is None:
        return None
    content, status = read
    is_settled = time.time_ns() - status.st_mtime_ns > _CLOCK_TICK_NS
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return Seen(content, digest, signature_of(status) if is_settled else None, status.st_mtime)


def signature_of(status: os.stat_result) -> Signature:
    """What differs between two versions of a file."""
    return status.st_mtime_ns, status.st_size, status.st_ino


def is_unchanged(path: str, text: Text | None) -> bool:
    """Whether a text that was just read is the file's still; where its times tell too little, no."""
    try:
        return text is not None and text.signature == signature_of(Path(path).stat())
    except OSError:
        return False


def read_text(path: str, known: Text | None) -> Text | None:
    """Read a file of operators; None where there is none. A wrong text holds nothing here."""
    try:
        seen = see(path)
    except OSError as error:
        sentence = f"cannot be read: {error.strerror}"
        return Text("", None, time.time(), problems=(Problem(None, "", sentence, Source(path, 1)),))
    if seen is None:
        return None
    if known is not None and known.digest == seen.digest:
        return replace(known, signature=seen.signature, modified=seen.modified)
    text = Text(seen.digest, seen.signature, seen.modified)
    try:
        parsed = parse(seen.content.decode(), path)
    except UnicodeDecodeError as error:
        sentence = f"is not UTF-8 text at byte {error.start}"
        return replace(text, problems=(Problem(None, "", sentence, Source(path, 1)),))
    return replace(text, problems=parsed.problems) if parsed.problems else text.holding(parsed.documents)


def read_own(path: str, known: Own | None, fallback: Ref | None, is_overlay: bool) -> Own | None:
    """Read a file of programs; None where there is none. Raises OSError."""
    seen = see(path)
    if seen is None:
        return None
    if known is not None and known.digest == seen.digest:
        return replace(known, signature=seen.signature)
    try:
        content = json.loads(seen.content)
    except (ValueError, RecursionError) as error:
        content = None
        problem = Problem(fallback, "", f"is not JSON: {error}", Source(path, 1))
    else:
        problem = Problem(fallback, "", "is not an object of Pierhead's", Source(path, 1))
    kind = KINDS_BY_TITLE.get(str(content.get("kind", ""))) if isinstance(content, dict) else None
    held: StoredObject | Overlay | Unreadable | None
    if kind is not None:
        held = _overlay_of(kind, content) if is_overlay else _record_of(kind, content, path)
    else:
        held = Unreadable(fallback, "", (problem,)) if fallback and not is_overlay else None
    return Own(seen.digest, seen.signature, held)


def record_text(record: StoredObject) -> str:
    """A program's object as it is stored."""
    return json.dumps({**encode(record.manifest), "managers": encode_managers(record.managers)}, indent=1) + "\n"


def overlay_text(overlay: Overlay, kind: Kind) -> str:
    """An overlay as it is stored."""
    names = {"name": overlay.ref.name} | ({"namespace": overlay.ref.namespace} if kind.namespaced else {})
    parts = {"labels": dict(overlay.labels), "annotations": dict(overlay.annotations)}
    status = {} if overlay.status is None else {"status": dict(overlay.status)}
    return json.dumps(
        {
            "apiVersion": kind.api_version,
            "kind": kind.title,
            "metadata": {**names, **parts, "resourceVersion": overlay.version},
            **status,
            "managers": encode_managers(overlay.managers),
        },
        indent=1,
    )


def overlaid(written: Object, overlay: Overlay) -> Object:
    """An operator's object under its overlay; a status that its kind no longer knows is left out."""
    metadata = replace(
        written.metadata,
        labels={**written.metadata.labels, **overlay.labels},
        annotations={**written.metadata.annotations, **overlay.annotations},
    )
    under = replace(written, metadata=metadata)
    if overlay.status is None:
        return under
    try:
        return decode(kind_of(written), {**encode(under), "status": overlay.status}, strict=False)
    except ValidationError:
        return under


def _record_of(kind: Kind, content: Mapping[str, object], path: str) -> StoredObject | Unreadable:
    """The object in a program's file, passing over fields that a newer program added."""
    managers = decode_managers(content.get("managers"))
    fields = {name: value for name, value in content.items() if name != "managers"}
    try:
        return StoredObject(decode(kind, fields, strict=False), managers)
    except ValidationError as error:
        ref, version = _names(kind, content)
        return Unreadable(ref, version, problems_of(error, ref, Source(path, 1)))


def _overlay_of(kind: Kind, content: Mapping[str, object]) -> Overlay:
    ref, version = _names(kind, content)
    metadata, status = _mapping(content.get("metadata")), content.get("status")
    return Overlay(
        ref,
        labels=_texts(metadata.get("labels")),
        annotations=_texts(metadata.get("annotations")),
        status=_mapping(status) if status is not None else None,
        managers=decode_managers(content.get("managers")),
        version=version,
    )


def _names(kind: Kind, content: Mapping[str, object]) -> tuple[Ref, str]:
    metadata = _mapping(content.get("metadata"))
    named = (metadata.get("namespace") or "default" if kind.namespaced else "", metadata.get("name") or "")
    namespace, name = (printable(str(each)) for each in named)  # JSON can hold half a surrogate pair
    return Ref(kind.title, namespace, name), str(metadata.get("resourceVersion") or "")


def _mapping(content: object) -> Mapping[str, object]:
    return content if isinstance(content, Mapping) else {}


def _texts(content: object) -> dict[str, str]:
    return {str(key): str(text) for key, text in _mapping(content).items()}
