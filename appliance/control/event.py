"""What happened lately in a program: said once, in its log and to whoever asks."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import structlog

from appliance.control.message import HostEvent
from appliance.control.topic import TopicTable

log = structlog.get_logger()

EVENTS_MAX = 1000


class EventKind(StrEnum):
    """What happens in a host's programs; the value is also the name of the log line."""

    VIP_MOVED = "vip_moved"
    VIP_RELEASED = "vip_released"
    CONFLICT_SEEN = "conflict_seen"
    CONFLICT_ENDED = "conflict_ended"
    HOST_CHANGED = "host_changed"
    LINK_CHANGED = "link_changed"
    SESSION_CHANGED = "session_changed"
    FEED_CHANGED = "feed_changed"
    DRAIN_ASKED = "drain_asked"
    CONFIGURATION_REFUSED = "configuration_refused"
    CONFIGURATION_APPLIED = "configuration_applied"


@dataclass(frozen=True, slots=True)
class _Happening:
    """An event before anybody asked for its text."""

    kind: EventKind
    moment: datetime
    subject: str
    reason: str
    details: Mapping[str, str]


class Events:
    """The last EVENTS_MAX events, numbered from 1; `on_record` hears the number of each new one."""

    def __init__(self, on_record: Callable[[str], None] = lambda _: None) -> None:
        self._on_record = on_record
        self._kept: deque[_Happening] = deque(maxlen=EVENTS_MAX)
        self._count = 0
        self.table = TopicTable(self._keys, self._read)

    def record(self, kind: EventKind, subject: str, reason: str = "", **details: str) -> None:
        """Log and keep an event: to whom or what it happened, why, and what else is known of it."""
        log.info(kind.value, subject=subject, reason=reason, **details)
        self._kept.append(_Happening(kind, datetime.now(UTC), subject, reason, details))
        self._count += 1
        self._on_record(str(self._count))

    def _keys(self) -> Iterable[str]:
        return map(str, range(self._count - len(self._kept) + 1, self._count + 1))

    def _read(self, key: str) -> HostEvent | None:
        place = int(key) - 1 - (self._count - len(self._kept))
        if place < 0:
            return None
        happened = self._kept[place]
        return HostEvent(
            number=int(key),
            time=happened.moment.isoformat(timespec="milliseconds"),
            event=happened.kind.value,
            subject=happened.subject,
            reason=happened.reason,
            details=happened.details,
        )
