"""A BGP session's timers in whole seconds."""

from dataclasses import replace

import pytest

from appliance.bird.timer import SessionTimers, timers
from tests.golden.bird.case import TOR


@pytest.mark.parametrize(
    ("hold", "keepalive", "connect", "expected"),
    [
        (None, None, None, SessionTimers(None, None, 5)),
        (0.0, None, 0.2, SessionTimers(0, None, 1)),
        (1.0, 0.1, 10.4, SessionTimers(3, 1, 10)),
        (90.0, 29.6, 1e9, SessionTimers(90, 30, 65535)),
        (9.0, 30.0, None, SessionTimers(9, 9, 5)),
        (None, 300.0, None, SessionTimers(None, 240, 5)),
        (0.0, 30.0, None, SessionTimers(0, None, 5)),
    ],
)
def test_seconds_become_what_bird_counts_in(
    hold: float | None, keepalive: float | None, connect: float | None, expected: SessionTimers
) -> None:
    """Times are rounded into BIRD's ranges; a hold time of zero stays none."""
    session = replace(TOR, hold_seconds=hold, keepalive_seconds=keepalive, connect_seconds=connect)

    assert expected == timers(session)
