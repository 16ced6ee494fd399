"""What one watch has not been told yet."""

import asyncio

from appliance.api.kind import Kind
from appliance.api.meta import Ref


class Pending:
    """The names that changed since the last batch, each with whether its object was there then."""

    def __init__(self, kinds: frozenset[Kind]) -> None:
        self.news = asyncio.Event()
        self._titles = frozenset(kind.title for kind in kinds)
        self._was_there: dict[Ref, bool] = {}

    def note(self, ref: Ref, was_there: bool) -> None:
        """An object came, changed or went."""
        if ref.kind in self._titles:
            self._was_there.setdefault(ref, was_there)
            self.news.set()

    def take(self) -> dict[Ref, bool]:
        """The names since the last time."""
        taken, self._was_there = self._was_there, {}
        return taken
