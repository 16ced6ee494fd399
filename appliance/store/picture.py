"""What the batches of a watch add up to."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from appliance.api.kind import Kind, Object, ref_of
from appliance.api.meta import Ref
from appliance.api.problem import Problem, Source
from appliance.store.protocol import Changes, Listing, Store


class Picture:
    """All that one watch has told; `revision` is the same text for the same objects, whoever reads them."""

    def __init__(self) -> None:
        self.objects: dict[Ref, Object] = {}
        self.sources: dict[Ref, Source] = {}
        self.unreadable: frozenset[Ref] = frozenset()
        self.problems: tuple[Problem, ...] = ()
        self.is_complete = True
        self.listed: frozenset[Kind] = frozenset()
        self._sum = 0

    @property
    def revision(self) -> str:
        """Sixteen hexadecimal digits."""
        return f"{self._sum:016x}"

    def take(self, changes: Changes) -> None:
        """Take a batch in."""
        for manifest in changes.changed:
            ref = ref_of(manifest)
            self._replace(ref, manifest)
        for ref in changes.removed:
            self._replace(ref, None)
            self.sources.pop(ref, None)
        self.sources.update(changes.sources)
        self.listed |= changes.listed
        if changes.unreadable is not None:
            self.unreadable = changes.unreadable
        if changes.problems is not None:
            self.problems = changes.problems
        if changes.is_complete is not None:
            self.is_complete = changes.is_complete

    def _replace(self, ref: Ref, manifest: Object | None) -> None:
        before = self.objects.pop(ref, None) if manifest is None else self.objects.get(ref)
        if manifest is not None:
            self.objects[ref] = manifest
        for version in (before, manifest):
            self._sum ^= _weight(ref, version) if version is not None else 0


@dataclass(frozen=True, slots=True)
class Snapshot(Listing):
    """A picture as it was after one batch."""

    revision: str = ""


async def snapshots(store: Store, kinds: frozenset[Kind]) -> AsyncGenerator[Snapshot]:
    """The whole picture once everything is listed, then again after every batch; for readers that fold nothing."""
    picture = Picture()
    async with aclosing(cast(AsyncGenerator[Changes], store.watch(kinds))) as batches:
        async for changes in batches:
            picture.take(changes)
            if picture.listed >= kinds:
                yield Snapshot(
                    dict(picture.objects),
                    picture.unreadable,
                    picture.problems,
                    picture.is_complete,
                    dict(picture.sources),
                    picture.revision,
                )


def _weight(ref: Ref, manifest: Object) -> int:
    text = f"{ref} {manifest.metadata.resource_version}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
