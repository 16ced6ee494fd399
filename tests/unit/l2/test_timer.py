"""Timers and pacing."""

from ipaddress import ip_address

from appliance.l2.settings import Layer2Settings
from appliance.l2.timer import Pacer, Timers

LATE, B, A, MOVED, DROPPED = (ip_address(f"192.0.2.{number}") for number in range(5))


def test_timers_give_what_is_due_in_order() -> None:
    """Keys come at their moments, the latest moment set for a key counts, dropped keys never come."""
    timers = Timers()
    for key, moment in [(LATE, 9.0), (B, 2.0), (A, 1.0), (MOVED, 1.0), (DROPPED, 1.0)]:
        timers.put(key, moment)
    timers.put(MOVED, 3.0)
    timers.drop(DROPPED)
    assert timers.next() == 1.0
    assert list(timers.take(3.0)) == [(A, 1.0), (B, 2.0), (MOVED, 3.0)]
    assert timers.next() == 9.0
    assert list(timers.take(3.0)) == []


def test_a_key_is_brought_forward_only() -> None:
    """An earlier moment counts, a later one does not."""
    timers = Timers()
    for moment in (5.0, 2.0, 3.0):
        timers.bring_forward(A, moment)
    assert list(timers.take(9.0)) == [(A, 2.0)]


def test_timers_heed_changes_while_they_are_taken_from() -> None:
    """A key put again while others are taken waits for the next time, so that taking always ends."""
    timers = Timers()
    for key in (A, B, DROPPED):
        timers.put(key, 1.0)
    seen = []
    for taken, _ in timers.take(5.0):
        seen.append(taken)
        timers.put(taken, 2.0)
        timers.drop(DROPPED)
    assert seen == [A, B]
    assert timers.next() == 2.0


def test_pacer_spreads_a_burst() -> None:
    """No window holds more than a burst, and nothing waits when there is room."""
    pacer = Pacer(Layer2Settings(burst=2, burst_window_seconds=1.0))
    assert [pacer.slot(0.0) for _ in range(5)] == [0.0, 0.0, 1.0, 1.0, 2.0]
    assert pacer.slot(1.5) == 2.0
    assert pacer.slot(9.0) == 9.0
