"""What a run of requests says of an outage, and when all is well."""

import asyncio
from ipaddress import ip_address

import pytest

from appliance.lab.http import Answer, HttpTarget
from appliance.lab.probe import Attempt, Outage, Prober, outage


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


@pytest.mark.parametrize(
    ("ages", "failures", "is_well"),
    [
        ([0.01 * number for number in range(40)], [], True),
        ([0.01 * number for number in range(40)], [0.2], False),
        ([0.01 * number for number in range(40)], [0.7], True),
        ([0.3 * number for number in range(12)], [], True),
        ([0.3 * number for number in range(12)], [0.7], False),
        ([0.01 * number for number in range(5)], [], False),
    ],
    ids=["quick", "one failed", "one failed before", "slow machine", "slow and failed", "few"],
)
async def test_all_is_well_where_the_last_requests_were_answered(
    ages: list[float], failures: list[float], is_well: bool
) -> None:
    """Those of 0.4 s, or the last ten where a loaded machine asks no quicker."""
    prober, now = Prober(HttpTarget("x", ip_address("192.0.2.1"))), asyncio.get_running_loop().time()
    attempts = [(age, answered(now - age)) for age in ages] + [(age, failed(now - age - 0.25)) for age in failures]
    prober.attempts += [attempt for _, attempt in sorted(attempts, key=lambda pair: -pair[0])]
    assert prober.is_well() is is_well
