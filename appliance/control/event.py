"""What happened lately in a program: said once, in its log and to whoever asks."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import uuid4

import structlog

from appliance.control.message import HostEvent
from appliance.control.topic import TopicTable

log = structlog.get_logger()

EVENTS_MAX = 1000


class EventKind(StrEnum):
    """What happens in a host's programs; the value is also the name of the log line."""

    PROGRAM_STARTED = "program_started"
    PROGRAM_STOPPED = "program_stopped"
    VIP_MOVED = "vip_moved"
    VIP_RELEASED = "vip_released"
    CONFLICT_SEEN = "conflict_seen"
    CONFLICT_ENDED = "conflict_ended"
    HOST_CHANGED = "host_changed"
    HOST_ROUTE_CHANGED = "host_route_changed"
    LINK_CHANGED = "link_changed"
    SESSION_CHANGED = "session_changed"
    FEED_CHANGED = "feed_changed"
    DRAIN_ASKED = "drain_asked"
    DRAIN_CHANGED = "drain_changed"
    MOVE_ASKED = "move_asked"
    CONFIGURATION_REFUSED = "configuration_refused"
    CONFIGURATION_APPLIED = "configuration_applied"


@dataclass(frozen=True, slots=True)
class Happening:
    """An event before anybody asked for its text; `run` is the program's, `number` counts within it from 1."""

    run: str
    number: int
    kind: EventKind
    moment: datetime
    subject: str
    reason: str
    details: Mapping[str, str]

    def told(self) -> HostEvent:
        """The event as others read it."""
        return HostEvent(
            number=self.number,
            run=self.run,
            time=self.moment.isoformat(timespec="milliseconds"),
            event=self.kind.value,
            subject=self.subject,
            reason=self.reason,
            details=self.details,
        )


class Events:
    """The last EVENTS_MAX events of this run, numbered from 1; `on_record` hears of each new one."""

    def __init__(self, on_record: Callable[[Happening], None] = lambda _: None) -> None:
        self._on_record = on_record
        self._run = uuid4().hex[:12]
        self._kept: deque[Happening] = deque(maxlen=EVENTS_MAX)
        self._count = 0
        self.table = TopicTable(self._keys, self._read)

    def record(self, kind: EventKind, subject: str, reason: str = "", **details: str) -> None:
        """Log and keep an event: to whom or what it happened, why, and what else is known of it."""
        log.info(kind.value, subject=subject, reason=reason, **details)
        self._count += 1
        happened = Happening(self._run, self._count, kind, datetime.now(UTC), subject, reason, details)
        self._kept.append(happened)
        self._on_record(happened)

    def _keys(self) -> Iterable[str]:
        return map(str, range(self._count - len(self._kept) + 1, self._count + 1))

    def _read(self, key: str) -> HostEvent | None:
        place = int(key) - 1 - (self._count - len(self._kept))
        return self._kept[place].told() if place >= 0 else None
