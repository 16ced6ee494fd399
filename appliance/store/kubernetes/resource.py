"""Objects as the API server addresses them, and which of their labels and annotations each field manager has."""

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from pydantic import ValidationError

from appliance.api.kind import KINDS_BY_TITLE, Kind, Object
from appliance.api.manifest import decode
from appliance.api.meta import Ref
from appliance.api.refusal import StoreRefusal
from appliance.store.change import PARTS, MetadataKey
from appliance.store.protocol import StoreError

Content = dict[str, object]


def collection_path(kind: Kind, namespace: str = "") -> str:
    """Where the objects of a kind are, of all namespaces or of one."""
    group = "/api/" if "/" not in kind.api_version else "/apis/"
    place = f"/namespaces/{namespace}" if namespace and kind.namespaced else ""
    return f"{group}{kind.api_version}{place}/{kind.plural}"


def object_path(ref: Ref, subresource: str = "") -> str:
    """Where one object is."""
    path = f"{collection_path(KINDS_BY_TITLE[ref.kind], ref.namespace)}/{ref.name}"
    return f"{path}/{subresource}" if subresource else path


def raw_ref(kind: Kind, content: Mapping[str, object]) -> Ref:
    """The name of an object that may not be decodable."""
    metadata = raw_metadata(content)
    namespace = str(metadata.get("namespace", "")) if kind.namespaced else ""
    return Ref(kind.title, namespace, str(metadata.get("name", "")))


def raw_metadata(content: object) -> Content:
    """The metadata of an object as it was sent; empty for what is no object."""
    metadata = content.get("metadata") if isinstance(content, dict) else None
    return cast(Content, metadata) if isinstance(metadata, dict) else {}


def decoded(kind: Kind, content: Content) -> Object:
    """The typed object; refuses INVALID where it cannot be decoded."""
    try:
        return decode(kind, content, strict=False)
    except ValidationError as error:
        raise StoreError(StoreRefusal.INVALID, raw_ref(kind, content), "it cannot be decoded") from error


def keys_of(content: Mapping[str, object]) -> dict[MetadataKey, str]:
    """The labels and annotations of an object."""
    metadata = raw_metadata(content)
    return {
        MetadataKey(part, name): str(text)
        for part in PARTS
        for name, text in cast(Mapping[str, str], metadata.get(part) or {}).items()
    }


def grouped(keys: Mapping[MetadataKey, str | None]) -> Content:
    """Labels and annotations as metadata holds them."""
    parts: dict[str, dict[str, str | None]] = {}
    for key, text in keys.items():
        parts.setdefault(key.part, {})[key.name] = text
    return cast(Content, parts)


class Entry:
    """One entry of `managedFields`: what one manager has by one way of writing.

    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/ (ManagedFieldsEntry)
    """

    def __init__(self, content: Content) -> None:
        self.content = content
        self.manager = str(content.get("manager", ""))

    @property
    def keys(self) -> frozenset[MetadataKey]:
        """The labels and annotations it names."""
        return frozenset(MetadataKey(part, name) for part in PARTS for name in self._names(part))

    def without(self, keys: frozenset[MetadataKey]) -> Content | None:
        """The entry without some labels and annotations; None where nothing is left of it."""
        metadata = dict(self._metadata())
        for part in PARTS:
            left: Content = {f"f:{name}": {} for name in self._names(part) if MetadataKey(part, name) not in keys}
            metadata.pop(f"f:{part}", None)
            if left:
                metadata[f"f:{part}"] = left
        fields = {name: entry for name, entry in self._fields().items() if name != "f:metadata"}
        fields |= {"f:metadata": metadata} if metadata else {}
        return {**self.content, "fieldsV1": fields} if fields else None

    def _fields(self) -> Mapping[str, object]:
        return cast(Mapping[str, object], self.content.get("fieldsV1") or {})

    def _metadata(self) -> Mapping[str, object]:
        return cast(Mapping[str, object], self._fields().get("f:metadata") or {})

    def _names(self, part: str) -> Iterator[str]:
        fields = cast(Iterable[str], self._metadata().get(f"f:{part}") or ())
        return (field.removeprefix("f:") for field in fields if field.startswith("f:"))


def entries_of(content: Mapping[str, object]) -> tuple[Entry, ...]:
    """Who has what of an object."""
    entries = cast(Iterable[Content], raw_metadata(content).get("managedFields") or ())
    return tuple(map(Entry, entries))
