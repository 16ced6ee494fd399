"""The whole story in a lab, and again with a program killed before each step."""

from appliance.lab import lifecycle
from appliance.lab.place import LabError
from appliance.lab.stage import Stage
from appliance.lab.story import STEPS, Before, tell, undisturbed
from tests.lab.conftest import MakePlace

VICTIMS = {
    1: ("control", "allocator"),
    2: ("node-a", "agent"),
    3: ("node-b", "bird"),
    4: ("node-c", "forwarder"),
    5: ("node-a", "bird"),
    6: ("router", "bird"),
    7: ("node-b", "forwarder"),
    8: ("node-c", "agent"),
    9: ("control", "allocator"),
}


async def told(make_place: MakePlace, before: Before) -> dict[str, str]:
    """The steps that did not hold, and what was seen instead."""
    place = make_place("y")
    topology = await lifecycle.up(place, 3, lambda _text: None)
    records = [record async for record in tell(place, topology, before)]
    assert len(records) == len(STEPS)
    return {record.name: record.seen for record in records if not record.held}


async def test_every_step_holds(make_place: MakePlace) -> None:
    """The story as the demo tells it."""
    assert await told(make_place, undisturbed) == {}


async def test_a_killed_program_changes_no_step(make_place: MakePlace) -> None:
    """Each kind of program is killed with SIGKILL before some step."""

    async def kill(number: int, stage: Stage) -> None:
        machine, program = VICTIMS[number]
        try:
            lifecycle.kill_program(stage.place, machine, program)
        except LabError as error:
            raise AssertionError(f"before step {number}: {error}") from error

    assert await told(make_place, kill) == {}
