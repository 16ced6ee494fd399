"""What a run of requests says of an outage."""

from appliance.lab.http import Answer
from appliance.lab.probe import Attempt, Outage, outage


def answered(began: float) -> Attempt:
    """A request that took 1 ms."""
    return Attempt(began, began + 0.001, Answer("node-a-1", "192.168.1.100"))


def failed(began: float) -> Attempt:
    """A request that ran into its timeout."""
    return Attempt(began, began + 0.25, None, "timeout")


def rounded(found: Outage) -> tuple[int, int, int]:
    """An outage in whole milliseconds."""
    return found.requests, found.failed, round(found.seconds * 1000)


def test_no_request_is_no_outage() -> None:
    """Nothing is made of nothing."""
    assert outage([]) == Outage(0, 0, 0.0)


def test_an_undisturbed_run_has_no_outage() -> None:
    """The pace of the requests is none."""
    assert rounded(outage([answered(0.0), answered(0.01), answered(0.02)])) == (3, 0, 0)


def test_an_outage_ends_with_the_first_answer_after_the_last_failure() -> None:
    """Attempts end out of order: a timeout is recorded after later answers."""
    attempts = [answered(0.0), answered(0.3), answered(0.31), failed(0.01), failed(0.2)]
    assert rounded(outage(attempts)) == (5, 2, 290)


def test_answers_in_between_do_not_end_it() -> None:
    """One of several hosts is lost: some answers come all the time."""
    attempts = [answered(0.0), failed(0.01), answered(0.02), failed(0.03), answered(0.04)]
    assert rounded(outage(attempts)) == (5, 2, 30)
