"""`pierhead events`."""

import asyncio
import json
from pathlib import Path

import pytest

from appliance.cli.events import follow_events, line
from appliance.control.error import ControlError, ControlFault
from appliance.control.event import EventKind
from appliance.control.message import HostEvent
from tests.unit.cli.conftest import Agent, Pierhead


async def test_what_happened_is_told_in_order(agent: Agent, pierhead: Pierhead) -> None:
    """One line an event, with its time, what it concerns, and why."""
    agent.server.events.record(EventKind.HOST_CHANGED, "node-b", "failed")
    agent.server.events.record(EventKind.VIP_MOVED, "192.0.2.1", "the owner failed", owner="node-a", role="owner")
    result = await pierhead("events")
    first, second = (text.partition(" ")[2] for text in result.output.splitlines())
    assert (result.exit_code, first, second) == (
        0,
        "host_changed node-b: failed",
        "vip_moved 192.0.2.1: the owner failed (owner=node-a role=owner)",
    )


async def test_programs_get_a_json_line_each(agent: Agent, pierhead: Pierhead) -> None:
    """As the socket says it."""
    agent.server.events.record(EventKind.DRAIN_ASKED, "node-a", "drain")
    (text,) = (await pierhead("events", "--json")).output.splitlines()
    content = json.loads(text)
    assert (content["number"], content["event"], content["reason"]) == (1, "drain_asked", "drain")


async def test_follow_goes_on_until_the_agent_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What happened before comes first, then what happens; with nobody left to ask it is an error."""
    path = tmp_path / "agent.sock"
    agent = Agent(path)
    agent.server.events.record(EventKind.HOST_CHANGED, "node-b", "failed")

    async def until_lost() -> ControlFault:
        with pytest.raises(ControlError) as error:
            await follow_events((path,), as_json=False)
        return error.value.fault

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        async with agent.server.serving():
            following = group.create_task(until_lost(), name="follow")
            await printed(capsys, "node-b: failed")
            agent.server.events.record(EventKind.HOST_CHANGED, "node-b", "reachable")
            await printed(capsys, "node-b: reachable")
        assert await following is ControlFault.LOST


async def printed(capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Wait until something was printed as an event's line."""
    seen = ""
    while f" host_changed {text}\n" not in seen:
        await asyncio.sleep(0.01)
        seen += capsys.readouterr().out


def test_an_event_without_a_reason_is_short() -> None:
    """Nothing stands for what is not there."""
    event = HostEvent(number=1, time="2026-11-21T12:00:00.000+00:00", event="vip_released", subject="192.0.2.1")
    assert line(event) == "2026-11-21T12:00:00.000+00:00 vip_released 192.0.2.1"
