"""Values as JSON text and back: camelCase outside, every field written."""

from typing import Any, TypeVar

import pydantic_core
from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


_ADAPTERS: dict[object, TypeAdapter[Any]] = {}


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def to_json(content: object) -> bytes:
    """A value as one line of JSON."""
    return _adapter(type(content)).dump_json(content, by_alias=True)


def from_json(kind: type[T], text: bytes) -> T:
    """A value of a type; raises ValueError with a sentence for any other text."""
    return checked(kind, read_json(text))


def read_json(text: bytes) -> object:
    """Whatever JSON says; raises ValueError for text that is none, however deep it goes."""
    content: object = pydantic_core.from_json(text, allow_inf_nan=False)
    return content


def checked(kind: type[T], content: object) -> T:
    """A value of a type from what JSON said; raises ValueError with a sentence for anything else."""
    try:
        return _adapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(str(step) for step in first["loc"])
        raise ValueError(f"{path}: {first['msg']}" if path else first["msg"]) from None
