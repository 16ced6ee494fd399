"""What a program waits for."""

from appliance.daemon.readiness import Need, Readiness


def test_a_program_is_ready_when_every_need_was_met() -> None:
    """Each is told as long as it is not met, and each change once."""
    told: list[tuple[str, ...]] = []
    readiness = Readiness(frozenset({Need.FEED, Need.LINKS}), lambda: told.append(readiness.waits_for))
    assert readiness.waits_for == (Need.FEED.value, Need.LINKS.value)
    for need in (Need.LINKS, Need.LINKS, Need.RULES, Need.FEED):
        readiness.meet(need)
    assert told == [(Need.FEED.value,), ()]
