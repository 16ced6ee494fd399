"""How a kind is declared: a frozen dataclass whose fields are camelCase on the outside."""

from dataclasses import dataclass
from typing import Annotated, TypeVar, dataclass_transform

from pydantic import ConfigDict, Strict
from pydantic.alias_generators import to_camel

T = TypeVar("T")

# As the API server has them: a text such as "179" or "true" is neither.
Integer = Annotated[int, Strict()]
Boolean = Annotated[bool, Strict()]

_STRICT = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")
_OPEN = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


def _declare(cls: type[T], config: ConfigDict) -> type[T]:
    cls.__pydantic_config__ = config  # type: ignore[attr-defined]  # the hook pydantic documents for dataclasses
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[T]) -> type[T]:
    """Declare a kind of ours or MetalLB's: a field nobody knows is refused."""
    return _declare(cls, _STRICT)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def partial_value(cls: type[T]) -> type[T]:
    """Declare the part we read of somebody else's kind: other fields are passed over."""
    return _declare(cls, _OPEN)
