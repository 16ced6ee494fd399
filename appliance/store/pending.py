"""What one watch has not been told yet."""

import asyncio
from dataclasses import dataclass

from appliance.api.kind import Kind, Object
from appliance.api.meta import Ref


@dataclass(frozen=True, slots=True)
class Update:
    """One change of one object: whether it was there before, and what it is now, None where it went."""

    number: int
    ref: Ref
    was_there: bool
    manifest: Object | None


class Pending:
    """The objects that changed since the last batch, each as it was then and as it is now."""

    def __init__(self, kinds: frozenset[Kind]) -> None:
        self.news = asyncio.Event()
        self.kinds = kinds
        self._titles = frozenset(kind.title for kind in kinds)
        self._begun: int | None = None
        self._early: list[Update] = []
        self._changes: dict[Ref, tuple[bool, Object | None]] = {}

    def begin(self, number: int) -> None:
        """What came up to an update of this number has been told by listing it."""
        self._begun = number
        for update in self._early:
            self.note(update)
        self._early.clear()

    def note(self, update: Update) -> None:
        """An object came, changed or went."""
        if update.ref.kind not in self._titles:
            return
        if self._begun is None:
            self._early.append(update)
        elif update.number > self._begun:
            was_there, _ = self._changes.get(update.ref, (update.was_there, None))
            self._changes[update.ref] = (was_there, update.manifest)
            self.news.set()

    def take(self) -> tuple[tuple[Object, ...], tuple[Ref, ...]]:
        """What is there and what is gone, of all that changed since the last time."""
        changes, self._changes = self._changes, {}
        changed = tuple(manifest for _, manifest in changes.values() if manifest is not None)
        removed = tuple(ref for ref, (was_there, manifest) in changes.items() if was_there and manifest is None)
        return changed, removed
