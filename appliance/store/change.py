"""What a write makes of an object, alike in every store."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from pydantic import ValidationError

from appliance.api.kind import Object, kind_of, ref_of
from appliance.api.manifest import decode, encode, problems_of
from appliance.api.meta import Metadata
from appliance.api.refusal import StoreRefusal
from appliance.store.protocol import StoreError


@dataclass(frozen=True, slots=True, order=True)
class MetadataKey:
    """A label or an annotation by name; `part` is the field of the metadata it stands in."""

    part: str
    name: str


Managers = Mapping[str, frozenset[MetadataKey]]
PARTS = ("labels", "annotations")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as stored, and which of its labels and annotations each manager wrote."""

    manifest: Object
    managers: Managers = field(default_factory=dict)


def checked(manifest: Object) -> Object:
    """The object as it will be read back; refuses INVALID for one that would not be."""
    ref = ref_of(manifest)
    try:
        read = decode(kind_of(manifest), encode(manifest), strict=True)
    except ValidationError as error:
        sentences = "; ".join(f"{problem.path} {problem.text}" for problem in problems_of(error, None, None))
        raise StoreError(StoreRefusal.INVALID, ref, sentences) from error
    if ref_of(read) != ref:
        raise StoreError(StoreRefusal.INVALID, ref, f"it would be read as {ref_of(read)}")
    return read


def created(manifest: Object, manager: str) -> StoredObject:
    """A new object as stored: without status, as Kubernetes does it."""
    return StoredObject(with_status(manifest, empty_status(manifest)), managed(manifest, manager))


def managed(manifest: Object, manager: str) -> Managers:
    """All labels and annotations of an object as one manager's."""
    keys = _keys(manifest.metadata)
    return {manager: keys} if keys else {}


def applied(current: StoredObject, manifest: Object, manager: str) -> StoredObject:
    """All of `manifest` but its status, on top of what others wrote into the metadata."""
    record = with_metadata(current, manifest.metadata, manager)
    whole = replace(manifest, metadata=record.manifest.metadata)
    return replace(record, manifest=with_status(whole, getattr(current.manifest, "status", None)))


def with_metadata(current: StoredObject, wanted: Metadata, manager: str) -> StoredObject:
    """The object with a manager's labels and annotations, instead of those it wrote before."""
    before, keys = current.managers.get(manager, frozenset()), _keys(wanted)
    metadata = current.manifest.metadata
    taken = {key for key in keys if getattr(metadata, key.part).get(key.name) != getattr(wanted, key.part)[key.name]}
    others = {name: left for name, has in current.managers.items() if name != manager and (left := has - taken)}
    dropped = before - keys - frozenset[MetadataKey]().union(*others.values())
    managers = {**others, manager: keys} if keys else others
    labels = _merged(metadata.labels, wanted.labels, dropped, "labels")
    annotations = _merged(metadata.annotations, wanted.annotations, dropped, "annotations")
    if (labels, annotations) == (metadata.labels, metadata.annotations):
        return StoredObject(current.manifest, managers)
    merged = replace(metadata, labels=labels, annotations=annotations)
    return StoredObject(replace(current.manifest, metadata=merged), managers)


def reported(current: StoredObject, manifest: Object, manager: str, *, is_metadata_written: bool) -> StoredObject:
    """The object with a manifest's status, and with its manager's labels and annotations where they come along."""
    record = with_metadata(current, manifest.metadata, manager) if is_metadata_written else current
    return StoredObject(with_status(record.manifest, getattr(manifest, "status", None)), record.managers)


def with_status(manifest: Object, status: object) -> Object:
    """A copy with another status; a kind without status has nowhere to put one."""
    changes: dict[str, Any] = {"status": status}
    return replace(manifest, **changes) if status is not None and hasattr(manifest, "status") else manifest


def versioned(manifest: Object, version: str) -> Object:
    """The same object with a resource version."""
    if manifest.metadata.resource_version == version:
        return manifest
    return replace(manifest, metadata=replace(manifest.metadata, resource_version=version))


def is_same(one: StoredObject, other: StoredObject) -> bool:
    """Whether two records differ in nothing but the resource version."""
    return one.managers == other.managers and versioned(one.manifest, "") == versioned(other.manifest, "")


def check_version(current: Object, version: str) -> None:
    """Refuse CONFLICT where a version is given and is not the present one."""
    if version and version != current.metadata.resource_version:
        raise StoreError(StoreRefusal.CONFLICT, ref_of(current))


def empty_status(manifest: Object) -> object:
    """A kind's status as it is before anybody wrote one."""
    for entry in fields(manifest):
        if entry.name == "status" and callable(entry.default_factory):
            return entry.default_factory()
    return None


def encode_managers(managers: Managers) -> dict[str, list[str]]:
    """Managers as they are stored: keys as `part/name`."""
    return {name: [f"{key.part}/{key.name}" for key in sorted(keys)] for name, keys in sorted(managers.items())}


def decode_managers(content: object) -> Managers:
    """Read what `encode_managers` wrote; anything else names nobody."""
    if not isinstance(content, Mapping):
        return {}
    return {
        str(name): frozenset(MetadataKey(part, key) for part, _, key in (str(text).partition("/") for text in texts))
        for name, texts in content.items()
        if isinstance(texts, Iterable)
    }


def _keys(metadata: Metadata) -> frozenset[MetadataKey]:
    return frozenset(MetadataKey(part, name) for part in PARTS for name in getattr(metadata, part))


def _merged(
    present: Mapping[str, str], wanted: Mapping[str, str], dropped: frozenset[MetadataKey], part: str
) -> dict[str, str]:
    return {**{name: text for name, text in present.items() if MetadataKey(part, name) not in dropped}, **wanted}
