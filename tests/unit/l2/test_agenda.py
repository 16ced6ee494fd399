"""Timers and pacing."""

from appliance.l2.agenda import Agenda, Pacer
from appliance.l2.timing import Timing


def test_agenda_gives_what_is_due_in_order() -> None:
    """Keys come at their moments, the latest moment set for a key counts, dropped keys never come."""
    agenda: Agenda[str] = Agenda()
    for key, moment in [("late", 9.0), ("b", 2.0), ("a", 1.0), ("moved", 1.0), ("dropped", 1.0)]:
        agenda.put(key, moment)
    agenda.put("moved", 3.0)
    agenda.drop("dropped")
    assert agenda.next() == 1.0
    assert list(agenda.take(3.0)) == [("a", 1.0), ("b", 2.0), ("moved", 3.0)]
    assert agenda.next() == 9.0
    assert list(agenda.take(3.0)) == []


def test_agenda_heeds_changes_while_it_is_taken_from() -> None:
    """A key put again while others are taken waits for the next time, so that taking always ends."""
    agenda: Agenda[str] = Agenda()
    for key in ("a", "b", "c"):
        agenda.put(key, 1.0)
    seen = []
    for key, _ in agenda.take(5.0):
        seen.append(key)
        agenda.put(key, 2.0)
        agenda.drop("c")
    assert seen == ["a", "b"]
    assert agenda.next() == 2.0


def test_pacer_spreads_a_burst() -> None:
    """No window holds more than a burst, and nothing waits when there is room."""
    pacer = Pacer(Timing(burst=2, burst_window_seconds=1.0))
    assert [pacer.slot(0.0) for _ in range(5)] == [0.0, 0.0, 1.0, 1.0, 2.0]
    assert pacer.slot(1.5) == 2.0
    assert pacer.slot(9.0) == 9.0
