"""The whole story in a lab, and again with programs killed before and during its steps.

PIERHEAD_LONG=1 goes through every program and every step; without it, two rotations of each kind.
"""

import asyncio
import os

import pytest

from appliance.lab import lifecycle
from appliance.lab.place import LabError
from appliance.lab.site import FolderCluster
from appliance.lab.stage import Stage
from appliance.lab.story import STEPS, Before, tell, undisturbed
from tests.lab.conftest import MakePlace

VICTIMS = (
    ("control", "allocator"),
    ("node-a", "agent"),
    ("node-b", "bird"),
    ("node-c", "forwarder"),
    ("router", "bird"),
    ("node-b", "agent"),
    ("node-c", "bird"),
    ("node-a", "forwarder"),
    ("node-c", "agent"),
    ("node-a", "bird"),
    ("node-b", "forwarder"),
    ("node-a-1", "echo"),
)
ROTATIONS = range(len(VICTIMS)) if os.environ.get("PIERHEAD_LONG") else (0, 5)
LATE_SECONDS = 0.4


def names_of(steps: range) -> set[str]:
    """The names of some steps, by their numbers from 1."""
    return {STEPS[number - 1].name for number in steps}


async def told(make_place: MakePlace, before: Before) -> dict[str, str]:
    """The steps that did not hold, and what was seen instead."""
    place = make_place("y")
    topology = await lifecycle.up(place, 3, lambda _text: None)
    records = [record async for record in tell(place, topology, FolderCluster(place, topology), before)]
    assert len(records) == len(STEPS)
    return {record.name: record.seen for record in records if not record.held}


def kill(stage: Stage, rotation: int, number: int) -> None:
    """Kill the program whose turn it is in a step of a rotation; one that another kill has just ended is spared."""
    machine, program = VICTIMS[(number + rotation) % len(VICTIMS)]
    try:
        lifecycle.kill_program(stage.place, machine, program)
    except LabError as error:
        raise AssertionError(f"in step {number}: {error}") from error


def killing_before(rotation: int) -> Before:
    """A program is killed before every step."""

    async def before(number: int, stage: Stage) -> None:
        kill(stage, rotation, number)

    return before


def killing_during(rotation: int, steps: range) -> Before:
    """A program is killed while some steps go on."""

    async def before(number: int, stage: Stage) -> None:
        if number in steps:
            asyncio.get_running_loop().call_later(LATE_SECONDS, kill, stage, rotation, number)

    return before


async def test_every_step_holds(make_place: MakePlace) -> None:
    """The story as the demo tells it."""
    assert await told(make_place, undisturbed) == {}


@pytest.mark.parametrize("rotation", ROTATIONS)
async def test_a_program_killed_before_each_step_changes_none(make_place: MakePlace, rotation: int) -> None:
    """Each program has its turn before each step, over all rotations."""
    assert await told(make_place, killing_before(rotation)) == {}


@pytest.mark.parametrize("rotation", ROTATIONS)
async def test_a_program_killed_during_a_step_changes_no_later_one(make_place: MakePlace, rotation: int) -> None:
    """The steps with a kill in them may notice it; the ones after them do not."""
    disturbed = range(1, len(STEPS), 2)
    failed = await told(make_place, killing_during(rotation, disturbed))
    assert {name: seen for name, seen in failed.items() if name not in names_of(disturbed)} == {}
