"""Status and annotations that programs gave to an object an operator wrote."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError

from appliance.api.kind import KINDS_BY_TITLE, Kind, Object, kind_of, ref_of
from appliance.api.manifest import decode, encode
from appliance.api.meta import Ref
from appliance.api.yaml import BadYAML, dump_documents, load_documents


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is laid over an operator's object: annotations added or changed, and the status as written."""

    ref: Ref
    annotations: Mapping[str, str]
    status: Mapping[str, object]


def overlay_of(written: Object, wanted: Object) -> Overlay:
    """The overlay under which an operator's object gets the status and annotations wanted."""
    own = written.metadata.annotations
    annotations = {key: text for key, text in wanted.metadata.annotations.items() if own.get(key) != text}
    return Overlay(ref_of(written), annotations, cast(Mapping[str, object], encode(wanted).get("status", {})))


def overlaid(written: Object, overlay: Overlay) -> Object:
    """The object under its overlay; a status that its kind no longer knows is left out."""
    content = encode(written)
    if overlay.annotations:
        metadata = cast(Mapping[str, object], content["metadata"])
        content["metadata"] = {**metadata, "annotations": {**written.metadata.annotations, **overlay.annotations}}
    try:
        return decode(kind_of(written), {**content, "status": overlay.status}, strict=False)
    except ValidationError:
        return decode(kind_of(written), content, strict=False)


def overlay_text(overlay: Overlay, kind: Kind) -> str:
    """An overlay as it is stored."""
    names = {"name": overlay.ref.name} | ({"namespace": overlay.ref.namespace} if kind.namespaced else {})
    document: dict[str, object] = {
        "apiVersion": kind.api_version,
        "kind": kind.title,
        "metadata": {**names, "annotations": dict(overlay.annotations)},
        "status": dict(overlay.status),
    }
    return dump_documents([document])


def parse_overlay(text: str) -> Overlay | None:
    """Read what `overlay_text` wrote; None for anything else."""
    try:
        content = next(load_documents(text), None)
    except BadYAML:
        return None
    match content:
        case {
            "kind": str(kind),
            "metadata": {"name": str(name), "annotations": dict(annotations), **metadata},
            "status": dict(status),
        } if kind in KINDS_BY_TITLE:
            return Overlay(Ref(kind, str(metadata.get("namespace", "")), name), annotations, status)
        case _:
            return None
