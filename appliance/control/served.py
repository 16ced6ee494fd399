"""What a program serves on its control socket, and what that may cost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.control.topic import Subscription, Topic, TopicTable

if TYPE_CHECKING:
    from appliance.control.metric import Reading

SLICE = 64

Counters = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """How many clients may be connected, and how long one may take to send its request or to take a piece of answer."""

    connections_max: int
    request_seconds: float = 5.0
    stall_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What a program answers beside its events; what it leaves out is not there. Each may refuse by ControlError."""

    topics: Mapping[Topic, TopicTable]
    counters: Callable[[], Counters] = dict
    metrics: Callable[[], Iterable["Reading"]] = tuple
    drain: Callable[[bool], Awaitable[None]] | None = None


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
