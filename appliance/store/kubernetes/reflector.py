"""One kind as an API server tells it: listed, then watched from the version of the list, for as long as it runs.

| what happens | what is done |
|---|---|
| the watch ends, or its connection breaks | it goes on from the last version seen |
| the version is too old (410), the server tells an ERROR or nonsense | all is listed anew, and what differs is told |
| the server asks to be asked later (429) | it is, after the time it says |
| reading the kind is forbidden (403) | told as a problem, and tried again at leisure; what is known stays |
| it is Secrets that are forbidden | they count as listed, too |
| the kind is not there (404) and may be absent | it counts as listed, empty, and is looked for at leisure |
| the server does not answer while a first list is wanted, or not for `patience_seconds` later on | the watch fails |
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from enum import Enum, auto
from typing import NoReturn, Protocol, cast

from pydantic import ValidationError
from pydantic_core import from_json

from appliance.api.kind import Object, ref_of
from appliance.api.manifest import decode
from appliance.api.meta import Ref
from appliance.api.refusal import StoreRefusal
from appliance.store.kubernetes.connection import Connection, Content, ExpiredError
from appliance.store.kubernetes.resource import raw_metadata, raw_ref
from appliance.store.kubernetes.selection import Selection, pages
from appliance.store.protocol import StoreError

PATIENCE_SECONDS = 5.0
WATCH_SECONDS = 300.0
_GRACE_SECONDS = 20.0
# A decoded object costs a tenth of a millisecond, and whoever answers ARP in the same loop waits for none.
_SLICE = 50
_LINE_BYTES_MAX = 32 * 1024 * 1024
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 2.0
_LEISURE_SECONDS = 30.0
# A watch that lived that long was a good one, and the next failure is a new one.
_GOOD_SECONDS = 5.0


class _Failure(Enum):
    """Why a list or a watch is begun anew; each is counted by itself, and all anew once a watch tells of something."""

    LOST = auto()
    EXPIRED = auto()
    FORBIDDEN = auto()


class Hearer(Protocol):
    """Who is told what a reflector finds."""

    def hear(self, ref: Ref, was_told: bool, manifest: Object | None) -> None:
        """An object is as it is now; None where it is gone."""

    def hear_unreadable(self, ref: Ref, is_unreadable: bool) -> None:
        """Whether the present version of an object can be decoded."""

    def hear_listed(self, selection: Selection) -> None:
        """All that is there has been told."""

    def hear_problem(self, selection: Selection, text: str) -> None:
        """Why nothing can be read; "" once it can be."""


class Reflector:
    """Follows one selection; of each object it keeps the version it told of, and nothing else."""

    def __init__(
        self, connection: Connection, selection: Selection, hearer: Hearer, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._connection = connection
        self._selection = selection
        self._hearer = hearer
        self._patience_seconds = patience_seconds
        self._known: dict[Ref, str] = {}
        self._untold: set[Ref] = set()
        self._version = ""
        self._is_listed = False
        self._failures: Counter[_Failure] = Counter()
        self._lost_at: float | None = None

    async def run(self) -> NoReturn:
        """List and watch until cancelled; raises UNAVAILABLE where the server has gone."""
        while True:
            pause = 0.0
            try:
                if not self._version:
                    await self._list()
                began = time.monotonic()
                await self._watch()
                if time.monotonic() - began < _GOOD_SECONDS:
                    pause = self._back_off(_Failure.LOST)
            except ExpiredError:
                self._version = ""
                pause = self._back_off(_Failure.EXPIRED, _LEISURE_SECONDS)
            except StoreError as error:
                pause = self._pause_after(error)
            if pause:
                await asyncio.sleep(pause)

    def _pause_after(self, error: StoreError) -> float:
        """How long to wait before the next attempt; raises the error again where there shall be none."""
        match error.refusal:
            case StoreRefusal.THROTTLED:
                return max(error.retry_seconds, _FIRST_PAUSE_SECONDS) * random.uniform(1.0, 1.5)
            case StoreRefusal.FORBIDDEN:
                if self._selection.may_be_forbidden:
                    self._become_listed()
                self._hearer.hear_problem(self._selection, str(error))
                # A server that has just started knows nobody's rights for a moment.
                return self._back_off(_Failure.FORBIDDEN, _LEISURE_SECONDS)
            case StoreRefusal.NOT_FOUND if self._selection.may_be_absent and not self._known:
                self._become_listed()
                return _LEISURE_SECONDS * random.uniform(0.75, 1.25)
            case _:
                now = time.monotonic()
                self._lost_at = self._lost_at or now
                if not self._is_listed or now - self._lost_at > self._patience_seconds:
                    raise StoreError(StoreRefusal.UNAVAILABLE, str(self._selection), str(error)) from error
                return self._back_off(_Failure.LOST)

    def _back_off(self, why: _Failure, longest: float = _LONGEST_PAUSE_SECONDS) -> float:
        """How long to wait, longer each time for one reason: whoever was away for long is heard soon all the same."""
        self._failures[why] += 1
        pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures[why], 10), longest)
        return random.uniform(pause / 2, pause)

    async def _list(self) -> None:
        """Tell of what differs from what is known, page by page."""
        seen: set[Ref] = set()
        version = ""
        async for page in pages(self._connection, self._selection):
            for number, content in enumerate(page.items, start=1):
                seen.add(self._take(content))
                if number % _SLICE == 0:
                    await asyncio.sleep(0)
            version = page.version
        for ref in self._known.keys() - seen:
            self._forget(ref)
        self._version = version
        self._become_listed()

    def _become_listed(self) -> None:
        self._hearer.hear_problem(self._selection, "")
        self._lost_at = None
        if not self._is_listed:
            self._is_listed = True
            self._hearer.hear_listed(self._selection)

    async def _watch(self) -> None:
        """Tell of what changes until the server ends the watch, as it is asked to after some minutes."""
        seconds = int(WATCH_SECONDS * random.uniform(0.8, 1.2))
        query = {
            **self._selection.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(seconds),
        }
        try:
            async with (
                asyncio.timeout(seconds + _GRACE_SECONDS),
                self._connection.stream(self._selection.path, query, str(self._selection)) as pieces,
            ):
                self._lost_at = None
                self._hearer.hear_problem(self._selection, "")
                number = 0
                async for line in lines(pieces):
                    self._take_line(line)
                    self._failures.clear()
                    number += 1
                    if number % _SLICE == 0:
                        await asyncio.sleep(0)
        except TimeoutError:
            raise StoreError(
                StoreRefusal.UNAVAILABLE, str(self._selection), "the watch neither told nor ended"
            ) from None

    def _take_line(self, line: bytes) -> None:
        try:
            event = cast(Content, from_json(line))
            content = cast(Content, event["object"])
            title = str(event["type"])
            version = str(raw_metadata(content)["resourceVersion"]) if title != "ERROR" else ""
        except (ValueError, KeyError, TypeError) as error:
            raise ExpiredError(str(self._selection), "the watch told what is no event") from error
        match title:
            case "ADDED" | "MODIFIED":
                self._take(content)
            case "DELETED":
                self._forget(raw_ref(self._selection.kind, content))
            case "ERROR":
                raise ExpiredError(str(self._selection), str(content.get("message", "")))
            case "BOOKMARK" | _:
                pass  # it has nothing but its version
        self._version = version

    def _take(self, content: Content) -> Ref:
        """Tell of an object unless this version of it is known."""
        ref = raw_ref(self._selection.kind, content)
        version = str(raw_metadata(content).get("resourceVersion", ""))
        before = self._known.get(ref)
        if before == version:
            return ref
        try:
            manifest = decode(self._selection.kind, content, strict=False)
        except ValidationError:
            if before is None:
                self._untold.add(ref)
            self._known[ref] = version
            self._hearer.hear_unreadable(ref, True)
            return ref
        # The object's own texts, so that no second copy of its name is kept.
        ref = ref_of(manifest)
        was_told = before is not None and ref not in self._untold
        self._known[ref] = manifest.metadata.resource_version
        self._untold.discard(ref)
        self._hearer.hear_unreadable(ref, False)
        self._hearer.hear(ref, was_told, manifest)
        return ref

    def _forget(self, ref: Ref) -> None:
        if self._known.pop(ref, None) is None:
            return
        was_told = ref not in self._untold
        self._untold.discard(ref)
        self._hearer.hear_unreadable(ref, False)
        self._hearer.hear(ref, was_told, None)


async def lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines of a stream however it is cut; half a line at its end is dropped, a huge one refuses EXPIRED."""
    buffer = bytearray()
    async for piece in pieces:
        searched = len(buffer)
        buffer += piece
        begin = 0
        while (end := buffer.find(b"\n", max(begin, searched))) >= 0:
            if end > begin:
                yield bytes(buffer[begin:end])
            begin = end + 1
        del buffer[:begin]
        if len(buffer) > _LINE_BYTES_MAX:
            raise ExpiredError("watch", f"a line of more than {_LINE_BYTES_MAX} bytes")
