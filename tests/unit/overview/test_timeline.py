"""What happened on several hosts in one line of time."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.control.client import HostHistory
from appliance.control.event import EventKind
from appliance.control.message import HistoryEntry, HostEvent
from appliance.overview.timeline import clock_warnings, merge, sentence

START = datetime(2026, 11, 21, 3, 12, tzinfo=UTC)


def event(
    seconds: float, number: int = 1, run: str = "r", kind: str = EventKind.VIP_MOVED, details: Mapping[str, str] = {}
) -> HostEvent:
    """An event so many seconds after the start."""
    time = (START + timedelta(seconds=seconds)).isoformat()
    return HostEvent(number=number, time=time, event=kind, subject="192.0.2.1", run=run, details=details)


def history(host: str, *events: HostEvent, ahead: float = 0.0, error: float = 0.01) -> HostHistory:
    """What a host recorded, in this order."""
    entries = tuple(HistoryEntry(event=each, place=place) for place, each in enumerate(events, start=1))
    return HostHistory(host, entries, clock_ahead_seconds=ahead, clock_error_seconds=error)


SECONDS = st.lists(st.floats(0, 100).map(lambda number: round(number, 2)), max_size=8)


@given(st.dictionaries(st.sampled_from("abcd"), SECONDS, max_size=4), st.randoms())
def test_clocks_that_go_forward_give_one_order(recorded: dict[str, list[float]], random: st.DataObject) -> None:
    """Everything once, by time, whatever the order the hosts answered in and however often one of them was asked."""
    histories = [
        history(host, *(event(at, number) for number, at in enumerate(sorted(times), start=1)))
        for host, times in recorded.items()
    ]
    merged = merge(histories)
    assert [row.moment for row in merged] == sorted(row.moment for row in merged)
    assert len(merged) == sum(map(len, recorded.values()))
    shuffled = [*histories, *histories]
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    assert merge(shuffled) == merged


@given(st.lists(st.tuples(st.sampled_from("ab"), SECONDS), max_size=6))
def test_a_host_keeps_its_own_order(recorded: list[tuple[str, list[float]]]) -> None:
    """Also where its clock was set back, and over its restarts."""
    events: dict[str, list[HostEvent]] = {"a": [], "b": []}
    for run, (host, times) in enumerate(recorded):
        events[host] += [event(at, number, run=f"{99 - run}") for number, at in enumerate(times, start=1)]
    merged = merge(history(host, *of_host) for host, of_host in events.items())
    for host, of_host in events.items():
        expected = [(host, each.run, each.number) for each in of_host]
        assert [row.key for row in merged if row.host == host] == expected


@given(st.floats(-1e6, 1e6), st.floats(0.001, 10))
def test_a_clock_that_is_off_is_set_right(ahead: float, error: float) -> None:
    """What happened in turns on two hosts is shown in turns, whatever one of them takes the time to be."""
    right = history("a", event(1, 1), event(3, 2), event(5, 3))
    wrong = history("b", *(event(at + ahead, number) for number, at in ((1, 2), (2, 4))), ahead=ahead, error=error)
    rows = merge([wrong, right])
    if abs(ahead) > error:
        assert [row.host for row in rows] == ["a", "b", "a", "b", "a"]
    else:
        assert [row.moment for row in rows if row.host == "b"] == [
            START + timedelta(seconds=at + ahead) for at in (2, 4)
        ]


def test_a_clock_that_is_off_is_said() -> None:
    """Once a host, and not where it is less than the answer took."""
    said = clock_warnings([history("a", ahead=-3.21), history("a", ahead=-3.2), history("b", ahead=0.5, error=0.6)])
    assert list(said) == ["a: its clock is 3.2 s behind this machine's now; its events are placed by this machine's"]


def test_what_is_not_on_disk_yet_comes_last_and_once() -> None:
    """An event that one answer had in memory and the next on disk."""
    told = event(1, 1, "new")
    first = HostHistory("a", (HistoryEntry(event=told),))
    second = history("a", event(0, 7, "old"), told)
    assert [row.key for row in merge([first, second])] == [("a", "old", 7), ("a", "new", 1)]


@pytest.mark.parametrize("time", ["", "soon", "2026-11-21T03:12:00", "9999-99-99"])
def test_an_event_without_a_time_is_shown(time: str) -> None:
    """First of its host's, or where its text has it."""
    assert len(merge([history("a", replace(event(1), time=time))])) == 1


@given(st.text(), st.text(), st.text())
def test_whatever_a_host_says_is_one_printable_line(host: str, subject: str, reason: str) -> None:
    """A host that somebody took over does nothing to the terminals of those who ask it."""
    told = replace(event(0, details={"from": reason, "heard": subject}), subject=subject, reason=reason, event="x")
    for each in (told, replace(told, event="vip_moved")):
        (row,) = merge([history(host, each)])
        assert (row.host + row.text + row.subject + row.reason + "".join((row.details or {}).values())).isprintable()


APPLIED = EventKind.CONFIGURATION_APPLIED
BIRD_TOOK_IT = "bird took its configuration (undone)"


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (
            event(0, details={"from": "b", "to": "a", "heard": "b: it is silent (for 0.110 s)"}),
            "VIP 192.0.2.1 went from b to a; heard: b: it is silent (for 0.110 s)",
        ),
        (event(0, details={"from": "a", "to": ""}), "VIP 192.0.2.1 went from a to nobody"),
        (event(0, kind=EventKind.MOVE_ASKED, details={"to": "b"}), "VIP 192.0.2.1 was asked to go to b"),
        (
            replace(event(0, kind="conflict_seen", details={"interface": "eth0"}), reason="02:00:00:00:00:09"),
            ("VIP 192.0.2.1 is answered by 02:00:00:00:00:09 too on eth0"),
        ),
        (replace(event(0, kind=APPLIED, details={"outcome": "undone"}), subject="bird"), BIRD_TOOK_IT),
        (
            replace(event(0, kind=APPLIED, details={"vips": "7"}), subject="d1635"),
            "the rules d1635 are in force for 7 VIPs",
        ),
        (
            replace(event(0, kind=EventKind.CONFIGURATION_REFUSED), subject="d1635", reason="no such table"),
            "the kernel did not take the rules d1635: no such table",
        ),
        (event(0, kind="moon_rose"), "moon_rose 192.0.2.1"),
    ],
)
def test_what_happened_is_a_sentence(told: HostEvent, text: str) -> None:
    """Also of a kind that a newer program has."""
    assert sentence(told) == text


@pytest.mark.parametrize(
    ("ending", "boot", "text"),
    [
        (EventKind.PROGRAM_STOPPED, "1", "the agent started"),
        (EventKind.PROGRAM_STOPPED, "2", "the agent started, after the machine was started"),
        (EventKind.VIP_MOVED, "1", "the agent started; the run before ended without a word: it was killed"),
        (
            EventKind.VIP_MOVED,
            "2",
            "the agent started; the run before ended without a word: the machine was started anew",
        ),
    ],
)
def test_a_start_says_how_the_run_before_ended(ending: EventKind, boot: str, text: str) -> None:
    """By what it recorded last, and by the machine's boot."""
    started = replace(event(0, 1, "one", EventKind.PROGRAM_STARTED, {"boot": "1"}), subject="agent")
    again = replace(event(9, 1, "two", EventKind.PROGRAM_STARTED, {"boot": boot}), subject="agent")
    rows = merge([history("a", started, event(5, 2, "one", ending), again)])
    assert [row.text for row in rows][-1] == text
