"""What an allocator would do with a site as it is, found out without a store."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from appliance.allocation.allocator import Allocator
from appliance.allocation.cache import WATCHED
from appliance.allocation.claim import POOL, TAKEN_BACK
from appliance.allocation.event import (
    Emit,
    Input,
    ObjectsChanged,
    Settings,
    TimePassed,
    Write,
    WriteDone,
    WriteOperation,
)
from appliance.api.kind import KINDS_BY_TITLE, Object, ref_of
from appliance.api.meta import Ref

_WAIT_SECONDS = 5.0
_OURS = frozenset({POOL, TAKEN_BACK})


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A site when its allocator has no more to do: all its objects, and what owners of Services were told."""

    objects: Mapping[Ref, Object]
    told: tuple[Emit, ...]


def rehearse(objects: Iterable[Object], settings: Settings, now: float) -> Rehearsal:
    """Run an allocator from its start until it rests, each write done as asked; `now` is seconds since 1970.

    What it would do only after some seconds more, as when a quarantine ends, is not waited for.
    """
    present = {ref_of(manifest): manifest for manifest in objects}
    watched = tuple(manifest for ref, manifest in present.items() if KINDS_BY_TITLE[ref.kind] in WATCHED)
    core = Allocator(settings)
    inputs: deque[Input] = deque(
        [ObjectsChanged(watched, listed=WATCHED, unreadable=frozenset(), is_complete=True, is_first=True)]
    )
    told: list[Emit] = []
    versions, end = 0, now + _WAIT_SECONDS
    while inputs:
        for command in core.handle(inputs.popleft(), now):
            match command:
                case Emit():
                    told.append(command)
                case Write():
                    versions += 1
                    inputs.append(WriteDone(command, _done(present, command, f"rehearsed-{versions}")))
        deadline = core.deadline()
        if not inputs and deadline is not None and deadline <= end:
            now = max(now, deadline)
            inputs.append(TimePassed())
    return Rehearsal(present, tuple(told))


def _done(present: dict[Ref, Object], write: Write, version: str) -> Object | None:
    """Do one write as a store does it that nobody else writes to; the object as it is then."""
    current, wanted = present.get(write.ref), write.manifest
    if write.operation is WriteOperation.DELETE:
        present.pop(write.ref, None)
        return None
    if wanted is None or write.operation is WriteOperation.GET:
        return current
    made: Any = wanted
    match write.operation:
        case WriteOperation.APPLY_STATUS if current is not None:
            made = replace(cast(Any, current), status=cast(Any, wanted).status)
        case WriteOperation.APPLY if hasattr(current, "status"):
            made = replace(cast(Any, wanted), status=cast(Any, current).status)
        case WriteOperation.APPLY_METADATA if current is not None:
            made = current
        case _:
            pass
    others = {name: text for name, text in made.metadata.annotations.items() if name not in _OURS}
    metadata = replace(made.metadata, annotations={**others, **wanted.metadata.annotations}, resource_version=version)
    present[write.ref] = stored = replace(made, metadata=metadata)
    return cast(Object, stored)
