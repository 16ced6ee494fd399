"""This host's drain."""

from pathlib import Path

from appliance.agent.drain import DrainState
from appliance.bird.model import Drain
from appliance.desired.drain import LAST_CHOICE_SECONDS


def test_a_drain_goes_through_its_stages(tmp_path: Path) -> None:
    """First the routers' last choice, then withdrawn, and back at once."""
    state = DrainState(tmp_path / "drain")
    stages = (
        state.update(False, 10.0),
        state.update(True, 20.0),
        state.update(True, 20.0 + LAST_CHOICE_SECONDS),
        state.update(False, 40.0),
    )
    assert stages == (Drain.NONE, Drain.LAST_CHOICE, Drain.WITHDRAWN, Drain.NONE)


def test_the_deadline_is_the_end_of_the_last_choice(tmp_path: Path) -> None:
    """The loop wakes when the stage changes by itself, and only then."""
    state = DrainState(tmp_path / "drain")
    state.update(True, 20.0)
    assert (state.deadline(21.0), state.deadline(26.0)) == (20.0 + LAST_CHOICE_SECONDS, None)


def test_a_request_holds_until_the_site_has_it(tmp_path: Path) -> None:
    """What was asked here wins over a feed that does not know it yet."""
    state = DrainState(tmp_path / "drain")
    state.ask(True)
    asked = state.update(False, 1.0)
    state.settle(True)
    assert (asked, state.pending, state.update(True, 2.0)) == (Drain.LAST_CHOICE, None, Drain.LAST_CHOICE)


def test_a_request_survives_a_restart(tmp_path: Path) -> None:
    """With the store gone, a restarted agent still knows that it drains."""
    DrainState(tmp_path / "drain").ask(True)
    assert DrainState(tmp_path / "drain").update(False, 1.0) is Drain.LAST_CHOICE


def test_a_newer_request_is_not_settled_by_an_older_one(tmp_path: Path) -> None:
    """A drain that was written does not end the request to serve again."""
    state = DrainState(tmp_path / "drain")
    state.ask(True)
    state.ask(False)
    state.settle(True)
    assert state.pending is False
