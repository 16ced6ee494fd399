"""What every store offers: objects by name, a whole picture after every change, no name given twice."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from appliance.api.kind import Kind, Object
from appliance.api.meta import Ref
from appliance.api.problem import Problem, Source


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All objects of the kinds asked for, at one moment.

    An object that did not change is the same Python object as in the snapshot before. `problems` are mistakes in what
    operators wrote; the objects of such a text are those it held when it was last right. `complete` is False where
    a text is wrong and was never seen right, so that an object's absence means nothing.
    """

    objects: Mapping[Ref, Object] = field(default_factory=dict)
    revision: str = ""
    problems: tuple[Problem, ...] = ()
    sources: Mapping[Ref, Source] = field(default_factory=dict)
    complete: bool = True


class Refusal(Enum):
    """Why a store did not do what it was asked."""

    EXISTS = "there is an object of this name already"
    CONFLICT = "the object has changed since it was read"
    NOT_FOUND = "there is no object of this name"
    READ_ONLY = "the object was written by an operator"
    UNAVAILABLE = "the store cannot be reached"


class StoreError(Exception):
    """A store's refusal or failure."""

    def __init__(self, refusal: Refusal, subject: Ref | str, detail: str = "") -> None:
        super().__init__(f"{subject}: {refusal.value}{': ' + detail if detail else ''}")
        self.refusal = refusal
        self.subject = subject


class Store(Protocol):
    """A place objects live in; every method raises StoreError."""

    async def read(self, kinds: frozenset[Kind]) -> Snapshot:
        """The objects of some kinds as they are now."""

    def watch(self, kinds: frozenset[Kind]) -> AsyncIterator[Snapshot]:
        """The present picture at once, then a new one after every change; a slow reader gets only the latest."""

    async def create(self, manifest: Object) -> Object:
        """Add an object of a new name and return it as stored; refuses EXISTS."""

    async def replace(self, manifest: Object) -> Object:
        """Replace all but `status`; refuses CONFLICT where `resource_version` is given and no longer true."""

    async def replace_status(self, manifest: Object) -> Object:
        """Replace `status` and annotations, leave the rest; refuses CONFLICT as `replace` does."""

    async def delete(self, ref: Ref, resource_version: str = "") -> None:
        """Remove an object; refuses NOT_FOUND, and CONFLICT where a resource version is given and no longer true."""
