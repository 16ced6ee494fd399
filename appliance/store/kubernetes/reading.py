"""What several reflectors found and the reader of a watch has not been told yet."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from appliance.api.kind import Kind, Object
from appliance.api.meta import Ref
from appliance.api.problem import Problem
from appliance.store.kubernetes.reflector import Reflector
from appliance.store.kubernetes.selection import Selection
from appliance.store.pending import Pending, Update
from appliance.store.protocol import Changes, StoreError


class Reading:
    """One watch: changes of all its selections as batches; `failure` is why it cannot go on."""

    def __init__(self, kinds: frozenset[Kind], selections: Iterable[Selection]) -> None:
        self.failure: StoreError | None = None
        self._is_answered = asyncio.Event()
        self._pending = Pending(kinds)
        self._pending.begin(0)
        self._unlisted = set(selections)
        self._listed: set[Kind] = set()
        self._unreadable: set[Ref] = set()
        self._problems: dict[Selection, Problem] = {}
        self._told_unreadable: frozenset[Ref] = frozenset()
        self._told_problems: tuple[Problem, ...] = ()
        self._is_first = True

    async def follow(self, reflector: Reflector) -> None:
        """Let a reflector run; its end is the reader's to hear, not the task group's."""
        try:
            await reflector.run()
        except StoreError as error:
            self.failure = error
            self._pending.news.set()

    async def follow_others(self, reflector: Reflector) -> None:
        """Let a reflector run once another one had an answer from the server."""
        await self._is_answered.wait()
        await self.follow(reflector)

    async def wait(self) -> None:
        """Wait until there may be something to take."""
        await self._pending.news.wait()
        self._pending.news.clear()

    def take(self) -> Changes | None:
        """What is new since the last time; None where nothing is."""
        changed, removed = self._pending.take()
        listed, self._listed = frozenset(self._listed), set()
        unreadable, problems = frozenset(self._unreadable), tuple(self._problems.values())
        news = Changes(
            changed,
            removed,
            listed,
            unreadable=unreadable if unreadable != self._told_unreadable else None,
            problems=problems if problems != self._told_problems else None,
        )
        if news == Changes():
            return None
        is_first, self._is_first = self._is_first, False
        self._told_unreadable, self._told_problems = unreadable, problems
        # Who begins to read is told where there is nothing to complain of, too.
        return replace(news, unreadable=unreadable, problems=problems, is_complete=True) if is_first else news

    def hear(self, ref: Ref, was_told: bool, manifest: Object | None) -> None:
        """An object is as it is now; None where it is gone."""
        self._is_answered.set()
        self._pending.note(Update(1, ref, was_told, manifest))

    def hear_unreadable(self, ref: Ref, is_unreadable: bool) -> None:
        """Whether the present version of an object can be decoded."""
        if is_unreadable:
            self._unreadable.add(ref)
            self._pending.news.set()
        elif ref in self._unreadable:
            self._unreadable.discard(ref)
            self._pending.news.set()

    def hear_listed(self, selection: Selection) -> None:
        """All that is there has been told; a kind is listed when all of its selections are."""
        self._is_answered.set()
        self._unlisted.discard(selection)
        if not any(other.kind is selection.kind for other in self._unlisted):
            self._listed.add(selection.kind)
            self._pending.news.set()

    def hear_problem(self, selection: Selection, text: str) -> None:
        """Why nothing can be read; "" once it can be."""
        self._is_answered.set()
        if text:
            self._problems[selection] = Problem(None, "", text)
            self._pending.news.set()
        elif self._problems.pop(selection, None):
            self._pending.news.set()
