"""What a write makes of an object, alike in every store."""

import hashlib
import json
from dataclasses import fields, replace
from typing import Any

from appliance.api.kind import Object, ref_of
from appliance.api.manifest import encode
from appliance.api.meta import Metadata, Ref
from appliance.store.protocol import Refusal, StoreError


def created(manifest: Object) -> Object:
    """A new object as stored: without status, as Kubernetes does it."""
    return _with(_unversioned(manifest), status=_empty_status(manifest))


def replaced(current: Object, manifest: Object) -> Object:
    """All of `manifest` but the status, which stays."""
    return _with(_unversioned(manifest), status=getattr(current, "status", None))


def with_status(current: Object, manifest: Object) -> Object:
    """The present object with the status and annotations of `manifest`."""
    metadata = replace(current.metadata, annotations=manifest.metadata.annotations, resource_version="")
    return _with(current, status=getattr(manifest, "status", None), metadata=metadata)


def versioned(manifest: Object, version: str) -> Object:
    """The same object with a resource version."""
    return _with(manifest, metadata=replace(manifest.metadata, resource_version=version))


def is_same(one: Object, other: Object) -> bool:
    """Whether two objects differ in nothing but their resource version."""
    return _unversioned(one) == _unversioned(other)


def digest(manifest: Object) -> str:
    """A resource version made of an object's content."""
    text = json.dumps(encode(_unversioned(manifest)), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def check_version(current: Object, version: str) -> None:
    """Refuse CONFLICT where a version is given and is not the present one."""
    if version and version != current.metadata.resource_version:
        raise StoreError(Refusal.CONFLICT, ref_of(current))


def found(current: Object | None, ref: Ref) -> Object:
    """The object, or the refusal NOT_FOUND."""
    if current is None:
        raise StoreError(Refusal.NOT_FOUND, ref)
    return current


def _unversioned(manifest: Object) -> Object:
    return versioned(manifest, "") if manifest.metadata.resource_version else manifest


def _empty_status(manifest: Object) -> object:
    """A kind's status as it is before anybody wrote one."""
    for entry in fields(manifest):
        if entry.name == "status" and callable(entry.default_factory):
            return entry.default_factory()
    return None


def _with(manifest: Object, metadata: Metadata | None = None, status: object = None) -> Object:
    """A copy with other metadata or status; a kind without status has nowhere to put one."""
    changes: dict[str, Any] = {}
    if metadata is not None:
        changes["metadata"] = metadata
    if status is not None and hasattr(manifest, "status"):
        changes["status"] = status
    return replace(manifest, **changes) if changes else manifest
