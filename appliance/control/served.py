"""What a program serves on its control socket, and what that may cost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from appliance.api.address import IPAddress
from appliance.control.message import HistoryTail
from appliance.control.topic import Subscription, Topic, TopicTable

if TYPE_CHECKING:
    from appliance.control.event import Happening
    from appliance.control.metric import Reading

SLICE = 64

Counters = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """How many clients may be connected, and how long one may take to send its request or to take a piece of answer."""

    connections_max: int
    request_seconds: float = 5.0
    stall_seconds: float = 10.0


HISTORY_LIMIT_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """Which of a host's events are asked for: the last `limit` of those between two moments, in seconds of the epoch.

    `before` is a place, for those that are older than what was answered before; `about` is the events' subject.
    """

    since: float = float("-inf")
    until: float = float("inf")
    about: str | None = None
    before: int | None = None
    limit: int = HISTORY_LIMIT_MAX


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Events as lines of JSON (HistoryEntry), oldest first, and what is said at their end."""

    lines: tuple[bytes, ...]
    tail: HistoryTail


class KeptHistory(Protocol):
    """What keeps events over restarts."""

    @property
    def host(self) -> str:
        """Whose events they are."""

    @property
    def program(self) -> str:
        """Which of its programs."""

    def note(self, happened: "Happening") -> None:
        """Take an event; returns at once."""

    async def read(self, query: HistoryQuery) -> HistoryPage:
        """The events asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What a program answers beside its events; what it leaves out is not there. Each may refuse by ControlError.

    `refresh` is waited for where a status is asked for that is of this moment; it takes bounded time.
    """

    topics: Mapping[Topic, TopicTable]
    counters: Callable[[], Counters] = dict
    metrics: Callable[[], Iterable["Reading"]] = tuple
    drain: Callable[[bool], Awaitable[None]] | None = None
    history: KeptHistory | None = None
    refresh: Callable[[], Awaitable[None]] | None = None
    move: Callable[[IPAddress, str], Awaitable[str]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What clients may cost, how many of them may watch, and how far behind each of those may fall."""

    clients: ClientLimits = ClientLimits(connections_max=128)
    heartbeat_seconds: float = 2.0
    watchers_max: int = 64
    keys_max: int = 50_000


@dataclass(frozen=True, slots=True)
class Watcher:
    """A client that watches, and the event that wakes its connection."""

    subscription: Subscription
    changed: asyncio.Event
