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
    before = (state.is_settled_by(False), state.update(False, 1.0))
    after = state.is_settled_by(True)
    state.settle()
    assert (before, after, state.update(True, 2.0)) == ((False, Drain.LAST_CHOICE), True, Drain.LAST_CHOICE)


def test_a_request_survives_a_restart(tmp_path: Path) -> None:
    """With the store gone, a restarted agent still knows that it drains."""
    DrainState(tmp_path / "drain").ask(True)
    assert DrainState(tmp_path / "drain").update(False, 1.0) is Drain.LAST_CHOICE


def test_a_settled_request_does_not_come_back(tmp_path: Path) -> None:
    """After a restart the feed alone decides."""
    state = DrainState(tmp_path / "drain")
    state.ask(True)
    state.settle()
    assert DrainState(tmp_path / "drain").update(False, 1.0) is Drain.NONE


def test_nothing_asked_is_nothing_to_settle(tmp_path: Path) -> None:
    """A drain that an operator wrote into the store is not this host's request."""
    assert not DrainState(tmp_path / "drain").is_settled_by(True)
