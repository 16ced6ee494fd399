"""Text to typed objects and back, with every mistake of a text collected."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, Literal, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from appliance.api.address import vip_name
from appliance.api.core import Protocol, Service, ServicePort
from appliance.api.kind import KINDS_BY_TITLE, Kind, Object, kind_of
from appliance.api.meta import Ref
from appliance.api.pierhead import BackendPort, Backends, VirtualIP
from appliance.api.problem import Problem, Source
from appliance.api.text import shown
from appliance.api.yaml import BadYAML, describe, dump_documents, load_documents

_OUR_GROUPS = ("metallb.io", "pierhead.io")
_KNOWN_GROUPS = frozenset(kind.api_version.partition("/")[0] for kind in Kind) | {""}
_WHOLE = "whole"
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Document:
    """An object and where it was written."""

    source: Source
    manifest: Object


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a text holds: objects of kinds we know, problems, and the names of what was passed over."""

    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
    passed_over: tuple[Ref, ...] = ()


@cache
def adapter(kind: Kind) -> TypeAdapter[Object]:
    """The pydantic adapter of a kind; also the source of its JSON schema."""
    return cast(TypeAdapter[Object], TypeAdapter(kind.cls))


def parse(text: str, file: str, *, strict: bool = True) -> Parsed:
    """Read every document of a YAML text; a text that is no YAML gives what stood before the mistake.

    Each entry of a list, such as `kubectl get -o yaml` prints, counts as a document.
    Strict reading, which is for what operators write, refuses unknown fields; programs pass over what newer ones add.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    passed_over: list[Ref] = []
    number = 0
    try:
        for number, content in enumerate(contents_of(text), start=1):
            if content is None:
                continue
            read = _read(content, Source(file, number), strict)
            match read:
                case Document():
                    documents.append(read)
                case Ref():
                    passed_over.append(read)
                case _:
                    problems.extend(read)
    except BadYAML as error:
        path, sentence = describe(error)
        problems.append(Problem(None, path, sentence, Source(file, number + 1)))
    return Parsed(tuple(documents), tuple(problems), tuple(passed_over))


def contents_of(text: str) -> Iterator[object]:
    """What each document of a text holds, in the order and by the number that `parse` gives it; raises BadYAML."""
    for content in load_documents(text):
        match content:
            case {"kind": str(title), "items": list(items), **rest} if title.endswith("List"):
                for item in items:
                    yield _titled(item, title.removesuffix("List"), rest.get("apiVersion"))
            case _:
                yield content


def _titled(item: object, title: str, api_version: object) -> object:
    """An entry of a list; the API server's own lists, such as a ServiceList, tell its kind for all entries at once."""
    if not isinstance(item, dict) or "kind" in item or not title:
        return item
    return {"apiVersion": api_version, "kind": title, **item}


def _read(content: object, source: Source, strict: bool) -> Document | Ref | tuple[Problem, ...]:
    if not isinstance(content, Mapping):
        return (Problem(None, "", "a manifest is a mapping with apiVersion, kind and metadata", source),)
    title, api_version = str(content.get("kind", "")), str(content.get("apiVersion", ""))
    ref = _ref(content, title)
    kind = KINDS_BY_TITLE.get(title)
    if kind is None or api_version not in kind.versions:
        problem = _unknown(title, api_version, ref, source)
        return (problem,) if problem else ref
    try:
        return Document(source, decode(kind, content, strict=strict))
    except ValidationError as error:
        return problems_of(error, ref, source)


def _ref(content: Mapping[str, object], title: str) -> Ref:
    metadata = content.get("metadata")
    fields = metadata if isinstance(metadata, Mapping) else {}
    kind = KINDS_BY_TITLE.get(title)
    namespace = str(fields.get("namespace") or "default") if kind is None or kind.namespaced else ""
    return Ref(title or "object", namespace, str(fields.get("name") or ""))


def _unknown(title: str, api_version: str, ref: Ref, source: Source) -> Problem | None:
    """A kind that is surely meant to be one we read; None for somebody else's."""
    kind = KINDS_BY_TITLE.get(title)
    group = api_version.partition("/")[0]
    if kind is not None and (group in _OUR_GROUPS or group == kind.api_version.partition("/")[0] or not group):
        return Problem(ref, "apiVersion", f"{api_version!r} has no {title}; write {kind.api_version}", source)
    near = difflib.get_close_matches(title, KINDS_BY_TITLE, n=1, cutoff=0.85) if group in _KNOWN_GROUPS else ()
    if group in _OUR_GROUPS or near:
        hint = f"; did you mean {near[0]}?" if near else ""
        return Problem(ref, "kind", f"{title!r} is not a kind of {api_version}{hint}", source)
    if not title or not api_version:
        return Problem(None, "kind" if api_version else "apiVersion", "is required", source)
    return None


def decode(kind: Kind, content: Mapping[str, object], *, strict: bool) -> Object:
    """A typed object from its parsed text; raises pydantic's ValidationError with every mistake in it.

    Strict reading refuses unknown fields, lenient reading passes over them.
    """
    fields = {
        name: field for name, field in content.items() if name not in ("apiVersion", "kind") and field is not None
    }
    metadata = fields.get("metadata")
    if isinstance(metadata, Mapping):
        # Nobody reads them, and they are longer than the rest.
        kept = {name: field for name, field in metadata.items() if name != "managedFields"}
        fields["metadata"] = {**kept, "namespace": kept.get("namespace") or "default"} if kind.namespaced else kept
    validate = adapter(kind).validate_python
    extra: Literal["ignore"] | None = None if strict else "ignore"
    try:
        manifest = validate(fields if _is_sound(fields) else _normal(fields), extra=extra)
    except ValidationError:
        # Null may be all that was wrong; to leave it out of every object costs more than to read one.
        manifest = validate(_normal(fields), extra=extra)
    mistakes = [
        InitErrorDetails(type=PydanticCustomError(_WHOLE, "{sentence}", {"sentence": sentence}), loc=path, input=None)
        for path, sentence in _whole_mistakes(manifest)
    ]
    if mistakes:
        raise ValidationError.from_exception_data(kind.title, mistakes)
    return manifest


def _whole_mistakes(manifest: Object) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with an object though each of its fields is right."""
    match manifest:
        case VirtualIP() | Backends() if manifest.metadata.name != vip_name(manifest.spec.address):
            yield ("metadata", "name"), f"is {vip_name(manifest.spec.address)} for the address {manifest.spec.address}"
        case Service() if manifest.spec.type == "LoadBalancer" and not manifest.spec.ports:
            yield ("spec", "ports"), "needs at least 1 entry"
        case Service() | Backends():
            ports: Iterable[ServicePort | BackendPort] = manifest.spec.ports
            seen: set[tuple[Protocol, int]] = set()
            for index, port in enumerate(ports):
                if (port.protocol, port.port) in seen:
                    yield ("spec", f"ports[{index}]"), f"{port.protocol} port {port.port} is listed already"
                seen.add((port.protocol, port.port))
        case _:
            return


def _is_sound(content: Any) -> bool:
    """Whether no text in a map or list holds half a surrogate pair, as JSON can; asked of every object there is."""
    is_map = type(content) is dict
    for entry in chain(content, content.values()) if is_map else content:
        sort = type(entry)
        if sort is str:
            if not entry.isascii() and _SURROGATE.search(entry):
                return False
        elif (sort is dict or sort is list) and not _is_sound(entry):
            return False
    return True


def _normal(content: object) -> object:
    """The same as Kubernetes reads it: null is left out, and half a surrogate pair (JSON can hold one) is no text."""
    match content:
        case str():
            return content if content.isascii() else _SURROGATE.sub("\ufffd", content)
        case Mapping():
            return {_normal(key): _normal(entry) for key, entry in content.items() if entry is not None}
        case list():
            return [_normal(entry) for entry in content]
        case _:
            return content


def encode(manifest: Object) -> dict[str, object]:
    """An object as the mapping that YAML or JSON is written from, defaults left out."""
    kind = kind_of(manifest)
    fields = adapter(kind).dump_python(manifest, mode="json", by_alias=True, exclude_defaults=True)
    return {"apiVersion": kind.api_version, "kind": kind.title, **fields}


def to_text(manifests: tuple[Object, ...]) -> str:
    """Objects as YAML documents that `parse` reads back as equal values."""
    return dump_documents([encode(manifest) for manifest in manifests])


def problems_of(error: ValidationError, ref: Ref | None, source: Source | None) -> tuple[Problem, ...]:
    """Every mistake pydantic found, each with the path of its field."""
    errors = error.errors(include_url=False)
    return tuple(Problem(ref, field_path(e), sentence_of(e), source) for e in errors if not _is_echo(e, errors))


def _is_echo(error: ErrorDetails, errors: list[ErrorDetails]) -> bool:
    """Whether a list counts as too short only because its entries are wrong, which pydantic leaves out of the count."""
    depth = len(error["loc"])
    return error["type"] == "too_short" and any(
        len(other["loc"]) > depth and other["loc"][:depth] == error["loc"] for other in errors
    )


def field_path(error: ErrorDetails) -> str:
    """`spec.addresses[0]` of a pydantic location."""
    path = ""
    for step in error["loc"]:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step not in ("function-before", "function-plain") and not step.startswith("function-"):
            path += f".{step}" if path else step
    return path


# What pydantic calls by Python's words.
_TYPES = {
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "dataclass_type": "a mapping",
    "string_type": "text",
    "bool_type": "true or false",
    "int_type": "a whole number",
}


def sentence_of(error: ErrorDetails, *, is_secret: bool = False) -> str:
    """One sentence an operator can act on; of a wrong type what is there instead, unless that may be a secret."""
    instead = "" if is_secret else f", not {shown(error['input'])}"
    match error["type"]:
        case "missing":
            return "is required"
        case "unexpected_keyword_argument" | "extra_forbidden":
            return "is not a known field"
        case "value_error":
            return str(error["ctx"]["error"])
        case "whole":
            return error["msg"]
        case "too_short":
            return f"needs at least {error['ctx']['min_length']} entry"
        case "too_long":
            return f"has {error['ctx']['max_length']} entries at most"
        case "greater_than_equal":
            return f"is {error['ctx']['ge']} or more, not {shown(error['input'])}"
        case "less_than_equal":
            return f"is {error['ctx']['le']} or less, not {shown(error['input'])}"
        case kind if kind in _TYPES:
            return f"must be {_TYPES[kind]}{instead}"
        case _:
            message = error["msg"]
            return f"{message[0].lower()}{message[1:]}{instead}"
