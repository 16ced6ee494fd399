"""What every store offers: objects by name, changes as they come, one writer for each part of an object.

A write has one of three parts, as the Kubernetes API has them: the spec (`apply`), labels and annotations
(`apply_metadata`, also a part of `apply`) and the status (`apply_status`, with labels and annotations on request).
`manager` names the writer, as the field manager of a server-side apply does: of labels and annotations each manager has
those it wrote last, a key it writes no longer goes, and what others wrote stays. A write that changes nothing gives no
new version.

A resource version is opaque; of one object it grows with every change and never comes back, whoever wrote it and
whatever was restarted. Where a manifest carries one, the write is refused as CONFLICT unless it is the present one.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from appliance.api.kind import Kind, Object
from appliance.api.meta import Ref
from appliance.api.problem import Problem, Source
from appliance.api.refusal import StoreRefusal


@dataclass(frozen=True, slots=True)
class Changes:
    """What is new since the batch before; no object is named twice in one batch, and none goes back in time.

    `unreadable`, `problems` and `is_complete` are told where they changed, else None. An unreadable object exists and
    cannot be decoded: its last good version stays with whoever had it. `problems` are all mistakes there are now in
    what operators wrote; the objects of such a text stay as they were when it was last right. `is_complete` is False
    while a text is wrong that was never seen right: then nothing an operator wrote is told as removed, and what was
    never told may be there all the same.
    """

    changed: tuple[Object, ...] = ()
    removed: tuple[Ref, ...] = ()
    listed: frozenset[Kind] = frozenset()
    unreadable: frozenset[Ref] | None = None
    problems: tuple[Problem, ...] | None = None
    is_complete: bool | None = None
    sources: Mapping[Ref, Source] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of some kinds, with what `Changes` tells of them; `sources` is where operators wrote theirs."""

    objects: Mapping[Ref, Object] = field(default_factory=dict)
    unreadable: frozenset[Ref] = frozenset()
    problems: tuple[Problem, ...] = ()
    is_complete: bool = True
    sources: Mapping[Ref, Source] = field(default_factory=dict)


class StoreError(Exception):
    """A store's refusal or failure; `retry_seconds` is how long a THROTTLED one asks to wait, where it says."""

    def __init__(self, refusal: StoreRefusal, subject: Ref | str, detail: str = "", retry_seconds: float = 0.0) -> None:
        super().__init__(f"{subject}: {refusal.value}{': ' + detail if detail else ''}")
        self.refusal = refusal
        self.subject = subject
        self.retry_seconds = retry_seconds


class Store(Protocol):
    """A place objects live in; every method raises StoreError."""

    async def get(self, ref: Ref) -> Object:
        """The object of a name; refuses NOT_FOUND, and INVALID where it cannot be decoded."""

    async def list(self, kinds: frozenset[Kind]) -> Listing:
        """All objects of some kinds; each is as it was at some moment since the call, not all at one moment."""

    def watch(self, kinds: frozenset[Kind]) -> AsyncIterator[Changes]:
        """All objects first, then what changes; a slow reader gets several changes as one batch.

        Listing anew after a gap is done inside: a reader sees changes and removals only. Raises UNAVAILABLE where the
        store goes; the next watch then tells everything again, and what it has not told by `listed` is gone.
        """

    async def create(self, manifest: Object, manager: str) -> Object:
        """Add an object of a new name, without its status, and return it as stored; refuses EXISTS."""

    async def apply(self, manifest: Object, manager: str) -> Object:
        """Write the spec as a whole, and labels and annotations as `apply_metadata` does; refuses NOT_FOUND.

        An object that an operator wrote keeps its spec: refuses READ_ONLY where the spec differs.
        """

    async def apply_metadata(self, manifest: Object, manager: str) -> Object:
        """Let a manager have exactly the manifest's labels and annotations, besides those of others."""

    async def apply_status(self, manifest: Object, manager: str, *, with_metadata: bool = False) -> Object:
        """Write the status as a whole, and nothing else of the manifest.

        `with_metadata`: labels and annotations too, as `apply_metadata` does; of a Service in one write.
        """

    async def delete(self, ref: Ref, resource_version: str = "") -> None:
        """Remove an object; refuses CONFLICT where a version is given and no longer true, READ_ONLY for an operator's.

        An object that cannot be decoded can be removed where no version is given.
        """
