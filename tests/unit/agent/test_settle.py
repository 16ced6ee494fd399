"""Which links fellow hosts are told of."""

from appliance.agent.settle import SETTLE_SECONDS, Settling
from appliance.host.link import Link


def link(up: bool) -> Link:
    """An interface with or without carrier."""
    return Link("eth0", 2, bytes.fromhex("020000000001"), up, True, False, ())


def told(settling: Settling, up: bool, now: float) -> bool:
    """Whether fellow hosts are told that the link is up."""
    (only,) = settling.told((link(up),), now)
    return only.up


def test_a_link_that_was_up_at_the_start_has_settled() -> None:
    """An agent that restarts takes its host out of nothing."""
    settling = Settling()
    assert (settling.update((link(True),), 10.0), told(settling, True, 10.0)) == (False, True)


def test_a_link_that_comes_up_is_told_late() -> None:
    """Its host is sent traffic once the kernel can resolve its neighbours again."""
    settling = Settling()
    settling.update((link(False),), 10.0)
    came_up = settling.update((link(True),), 20.0)
    assert (came_up, told(settling, True, 20.0), told(settling, True, 20.0 + SETTLE_SECONDS)) == (True, False, True)


def test_a_link_that_goes_down_is_told_at_once_and_begins_anew() -> None:
    """A flapping link never settles."""
    settling = Settling()
    settling.update((link(True),), 10.0)
    settling.update((link(False),), 20.0)
    down = told(settling, False, 20.0)
    settling.update((link(True),), 20.1)
    assert (down, told(settling, True, 20.2)) == (False, False)
