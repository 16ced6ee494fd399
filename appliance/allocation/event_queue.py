"""Events on their way to the Kubernetes API: few, bounded and never in the way.

What the same Service is told again within ten minutes is counted in the Event that is there, as client-go does it. A
Service that is told more than it should be is told no more for a while, the API server is asked no more than
`REQUESTS_A_SECOND` times a second, and what does not fit is dropped and counted.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from appliance.api.core import Event, EventSource, InvolvedObject
from appliance.api.meta import Metadata
from appliance.api.refusal import StoreRefusal
from appliance.ipam.event import ServiceEvent

COMPONENT = "pierhead-allocator"
WAITING_MAX = 1000
KNOWN_MAX = 4096
SERIES_SECONDS = 600.0
REQUESTS_A_SECOND, REQUESTS_BURST = 20.0, 40.0
# client-go's numbers for one object: 25 at once, then one every five minutes.
SERVICE_BURST, SERVICE_SECONDS = 25.0, 300.0
RETRY_SECONDS = 5.0

_TRIED_AGAIN = frozenset({StoreRefusal.UNAVAILABLE, StoreRefusal.THROTTLED})


@dataclass(frozen=True, slots=True)
class EventRequest:
    """An Event to be created, or to replace the one of its name where it `is_repeated`."""

    event: Event
    is_repeated: bool


@dataclass(slots=True)
class _Series:
    """One thing that one Service is told, how often, and how far that is written."""

    event: Event
    seen_at: float
    is_stored: bool = False
    is_waiting: bool = False


@dataclass(slots=True)
class _Tokens:
    """How much of a burst is left, and since when."""

    left: float
    at: float

    def take(self, now: float, burst: float, seconds_each: float) -> bool:
        """Use one up, where there is one."""
        self.left = min(burst, self.left + max(0.0, now - self.at) / seconds_each)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class EventQueue:
    """What is to be told of Services, one request at a time; `now` is seconds since 1970.

    Each request that `take` gives is answered by `conclude` before the next is taken.
    """

    def __init__(self) -> None:
        self._series: OrderedDict[tuple[str, str, str], _Series] = OrderedDict()
        self._waiting: deque[_Series] = deque()
        self._under_way: _Series | None = None
        self._services: OrderedDict[str, _Tokens] = OrderedDict()
        self._requests = _Tokens(REQUESTS_BURST, float("-inf"))
        self._not_before = float("-inf")
        self._number = 0
        self.dropped = 0

    def add(self, service: str, uid: str, told: ServiceEvent, now: float) -> None:
        """Have a Service (`namespace/name`) told of something, unless too much waits already."""
        key = (uid, told.reason.text, told.message)
        series = self._series.get(key)
        is_full = len(self._waiting) >= WAITING_MAX and not (series is not None and series.is_waiting)
        if not uid or is_full or not self._may_tell(uid, now):
            self.dropped += 1
            return
        if series is None or (now - series.seen_at > SERIES_SECONDS and not series.is_waiting):
            series = self._series[key] = _Series(self._new(service, uid, told, now), now)
        else:
            series.event = replace(series.event, count=series.event.count + 1, last_timestamp=_text(now))
            series.seen_at = now
        self._series.move_to_end(key)
        if len(self._series) > KNOWN_MAX:
            self._series.popitem(last=False)
        self._wait(series)

    def take(self, now: float) -> EventRequest | None:
        """The next request; None for none yet."""
        if not self._waiting or now < self._not_before:
            return None
        if not self._requests.take(now, REQUESTS_BURST, 1 / REQUESTS_A_SECOND):
            self._not_before = now + 1 / REQUESTS_A_SECOND
            return None
        series = self._under_way = self._waiting.popleft()
        series.is_waiting = False
        return EventRequest(series.event, series.is_stored)

    def conclude(self, refusal: StoreRefusal | None, now: float) -> None:
        """What came of the request; an Event that is gone is written anew, and one that is not taken is dropped."""
        series, self._under_way = self._under_way, None
        if series is None:
            return
        if refusal is None or (refusal is StoreRefusal.EXISTS and not series.is_stored):
            # It exists where an answer was lost.
            series.is_stored = True
        elif refusal in _TRIED_AGAIN:
            self._not_before = now + RETRY_SECONDS
            self._wait(series)
        elif refusal is StoreRefusal.NOT_FOUND and series.is_stored:
            event = series.event
            metadata = replace(event.metadata, name=self._name(event.involved_object.name, now))
            series.event, series.is_stored = replace(event, metadata=metadata), False
            self._wait(series)
        else:
            self.dropped += 1

    def deadline(self) -> float | None:
        """From when on there is a request to take; None for not before another event."""
        return self._not_before if self._waiting else None

    def _wait(self, series: _Series) -> None:
        if not series.is_waiting:
            series.is_waiting = True
            self._waiting.append(series)

    def _may_tell(self, uid: str, now: float) -> bool:
        tokens = self._services.get(uid)
        if tokens is None:
            tokens = self._services[uid] = _Tokens(SERVICE_BURST, now)
            if len(self._services) > KNOWN_MAX:
                self._services.popitem(last=False)
        return tokens.take(now, SERVICE_BURST, SERVICE_SECONDS)

    def _new(self, service: str, uid: str, told: ServiceEvent, now: float) -> Event:
        namespace, name = service.split("/", 1)
        return Event(
            metadata=Metadata(name=self._name(name, now), namespace=namespace),
            involved_object=InvolvedObject(api_version="v1", kind="Service", namespace=namespace, name=name, uid=uid),
            reason=told.reason.text,
            message=told.message,
            type=told.reason.event_type.value,
            source=EventSource(component=COMPONENT),
            reporting_component=COMPONENT,
            first_timestamp=_text(now),
            last_timestamp=_text(now),
            count=1,
        )

    def _name(self, service: str, now: float) -> str:
        """A name that no other Event has, as client-go makes it: the moment in hexadecimal, here with a number."""
        self._number += 1
        return f"{service}.{int(now * 1e9):x}{self._number & 0xFFFF:04x}"


def _text(now: float) -> str:
    """A moment as `metav1.Time` has it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
