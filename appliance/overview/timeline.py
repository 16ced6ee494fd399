"""What happened on several hosts in one line of time.

Each program's events keep the order in which it recorded them. Between hosts they are ordered by the reader's clock:
what a host's clock is ahead of it now is taken from its times, where that is more than the error of measuring it. An
event that is read twice is there once.
"""

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from appliance.api.text import printable
from appliance.control.client import HostHistory
from appliance.control.event import EventKind
from appliance.control.message import HistoryEntry, HostEvent
from appliance.overview.row import Severity

# Less than this is nothing to complain of between clocks that a time server keeps.
CLOCK_SECONDS_MAX = 0.1
AGENT = "agent"
_BIRD = "bird"  # else it is the digest of a forwarder's rules that was applied
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event of a host; `moment` is by the reader's clock, `time` as the host wrote it, `text` a sentence.

    `program` is whose it is of that host's.
    """

    moment: datetime
    time: str
    host: str
    kind: str
    subject: str
    text: str
    severity: Severity
    reason: str = ""
    details: Mapping[str, str] | None = None
    key: tuple[str, str, int] = ("", "", 0)
    program: str = AGENT


def merge(histories: Iterable[HostHistory]) -> list[EventRow]:
    """The events of all histories, oldest first; those of one program may come in several."""
    by_program: dict[tuple[str, str], list[HostHistory]] = {}
    for history in histories:
        by_program.setdefault((history.host, history.program), []).append(history)
    rows = (list(_rows(host, printable(program), told)) for (host, program), told in sorted(by_program.items()))
    return list(heapq.merge(*rows, key=attrgetter("moment")))


def clock_warnings(histories: Iterable[HostHistory]) -> Iterator[str]:
    """A sentence for each host whose clock is other than the reader's, and how that was taken into account."""
    seen: set[str] = set()
    for history in histories:
        ahead = _correction(history)
        if history.host in seen or abs(ahead) < CLOCK_SECONDS_MAX:
            continue
        seen.add(history.host)
        direction = "ahead of" if ahead > 0 else "behind"
        yield (
            f"{history.host}: its clock is {abs(ahead):.1f} s {direction} this machine's now; its events are placed "
            "by this machine's"
        )


def row_of(
    host: str,
    event: HostEvent,
    ahead_seconds: float = 0.0,
    before: HostEvent | None = None,
    started: HostEvent | None = None,
) -> EventRow:
    """An event as a row, fit to be shown whatever its host says; of `before` and `started` see `sentence`."""
    return EventRow(
        moment=_moment(event.time) - timedelta(seconds=ahead_seconds),
        time=printable(event.time),
        host=printable(host),
        kind=printable(event.event),
        subject=printable(event.subject),
        text=printable(sentence(event, before, started)),
        severity=_severity(event),
        reason=printable(event.reason),
        details={printable(name): printable(content) for name, content in event.details.items()},
        key=(host, event.run, event.number),
    )


def _rows(host: str, program: str, histories: list[HostHistory]) -> Iterator[EventRow]:
    """A program's events in its own order, each once."""
    entries: dict[tuple[str, int], HistoryEntry] = {}
    first_place: dict[str, float] = {}
    for history in histories:
        for entry in history.entries:
            key = (entry.event.run, entry.event.number)
            if key not in entries or entries[key].place is None:
                entries[key] = entry
            place = float("inf") if entry.place is None else entry.place
            first_place[entry.event.run] = min(place, first_place.get(entry.event.run, float("inf")))
    ahead = min((_correction(history) for history in histories), key=abs, default=0.0)
    before: HostEvent | None = None
    started: HostEvent | None = None
    for _, entry in sorted(entries.items(), key=lambda item: (first_place[item[0][0]], item[0])):
        yield replace(row_of(host, entry.event, ahead, before, started), program=program)
        before = entry.event
        started = before if before.event == EventKind.PROGRAM_STARTED else started


def _correction(history: HostHistory) -> float:
    """What is taken from a host's times."""
    ahead = history.clock_ahead_seconds
    return ahead if abs(ahead) > history.clock_error_seconds else 0.0


def _moment(written: str) -> datetime:
    """A time as it is written; the epoch where it is none, so that the event is shown all the same."""
    try:
        moment = datetime.fromisoformat(written)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except ValueError:
        return _EPOCH


def sentence(event: HostEvent, before: HostEvent | None = None, started: HostEvent | None = None) -> str:  # noqa: C901, PLR0912 - one case a kind
    """What happened, as a person says it; `before` is the host's last event, `started` its program's last start."""
    details = event.details
    reason = f": {event.reason}" if event.reason else ""
    match event.event:
        case EventKind.VIP_MOVED:
            origin, target = details.get("from") or "nobody", details.get("to") or "nobody"
            heard = f"; heard: {details['heard']}" if details.get("heard") else ""
            return f"VIP {event.subject} went from {origin} to {target}{reason}{heard}"
        case EventKind.VIP_RELEASED:
            return f"VIP {event.subject} was let go{reason}"
        case EventKind.CONFLICT_SEEN:
            where = f" on {details['interface']}" if details.get("interface") else ""
            return f"VIP {event.subject} is answered by {event.reason} too{where}"
        case EventKind.CONFLICT_ENDED:
            return f"VIP {event.subject} is in conflict no longer{reason}"
        case EventKind.HOST_CHANGED:
            return f"host {event.subject} is held to be {event.reason}"
        case EventKind.HOST_ROUTE_CHANGED:
            return f"host {event.subject}{reason}"
        case EventKind.LINK_CHANGED:
            return f"link {event.subject}{reason}"
        case EventKind.SESSION_CHANGED:
            return f"session {event.subject} is {details.get('state', '')}{reason}"
        case EventKind.FEED_CHANGED:
            return f"the feed is {event.subject}{reason}"
        case EventKind.DRAIN_ASKED:
            return f"{event.subject} was asked to {event.reason}"
        case EventKind.MOVE_ASKED:
            return f"VIP {event.subject} was asked to go to {details.get('to', '')}"
        case EventKind.DRAIN_CHANGED:
            return f"{event.subject} is drained" if event.reason != "none" else f"{event.subject} takes VIPs"
        case EventKind.CONFIGURATION_REFUSED if event.subject != _BIRD:
            return f"the kernel did not take the rules {event.subject}{reason}"
        case EventKind.CONFIGURATION_APPLIED if event.subject != _BIRD:
            carried = f" for {details['vips']} VIPs" if details.get("vips") else ""
            return f"the rules {event.subject} are in force{carried}"
        case EventKind.CONFIGURATION_REFUSED:
            return f"{event.subject} did not take its configuration{reason}"
        case EventKind.CONFIGURATION_APPLIED:
            return f"{event.subject} took its configuration ({details.get('outcome', '')})"
        case EventKind.PROGRAM_STARTED:
            version = f", version {details['version']}" if details.get("version") else ""
            return f"the {event.subject} started{version}{_how_it_ended(event, before, started)}"
        case EventKind.PROGRAM_STOPPED:
            return f"the {event.subject} ended{reason}"
        case other:
            return f"{other} {event.subject}{reason}"


def _how_it_ended(event: HostEvent, before: HostEvent | None, started: HostEvent | None) -> str:
    """What the events of the run before tell of its end."""
    boots = {each.details.get("boot", "") for each in (event, started) if each is not None}
    is_new_boot = started is not None and len(boots) > 1
    if before is None or before.event == EventKind.PROGRAM_STOPPED:
        return ", after the machine was started" if is_new_boot else ""
    what = "the machine was started anew" if is_new_boot else "it was killed"
    return f"; the run before ended without a word: {what}" if started else ""


def _severity(event: HostEvent) -> Severity:
    match event.event:
        case EventKind.CONFLICT_SEEN | EventKind.CONFIGURATION_REFUSED:
            return Severity.BAD
        case EventKind.HOST_CHANGED:
            return Severity.BAD if event.reason == "failed" else Severity.WAITING
        case EventKind.SESSION_CHANGED:
            is_up = event.details.get("state", "").lower() in ("established", "up")
            return Severity.GOOD if is_up else Severity.WAITING
        case EventKind.LINK_CHANGED | EventKind.HOST_ROUTE_CHANGED | EventKind.DRAIN_CHANGED:
            return Severity.WAITING
        case EventKind.FEED_CHANGED:
            return Severity.GOOD if event.subject == "live" else Severity.WAITING
        case EventKind.VIP_MOVED | EventKind.PROGRAM_STARTED | EventKind.PROGRAM_STOPPED:
            return Severity.GOOD
        case _:
            return Severity.QUIET
