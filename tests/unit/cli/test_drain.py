"""`pierhead drain`."""

import asyncio
import json

from tests.unit.cli.conftest import Agent, Pierhead
from tests.unit.control.sample import DRAINED, DRAINING, STATUS


async def test_a_drain_is_asked_for(agent: Agent, pierhead: Pierhead) -> None:
    """The agent drains and the command says how far it is."""
    agent.after_drain[True] = DRAINING
    result = await pierhead("drain")
    assert result.exit_code == 0
    assert result.output == "The host is draining: it answers for 1 VIPs and announces 1.\n"


async def test_wait_ends_when_nothing_is_left(agent: Agent, pierhead: Pierhead) -> None:
    """With --wait the command returns only after the last VIP and the last route went."""
    agent.after_drain[True] = DRAINING
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        command = group.create_task(pierhead("drain", "--wait", "--json"), name="command")
        await agent.was_asked.wait()
        assert not command.done()
        agent.become(DRAINED)
    result = command.result()
    assert (result.exit_code, json.loads(result.output)) == (0, {"drained": True, "owned": 0, "announced": 0})


async def test_wait_gives_up(agent: Agent, pierhead: Pierhead) -> None:
    """A drain that does not end in time is a no, with what is left."""
    agent.after_drain[True] = DRAINING
    result = await pierhead("drain", "--wait", "--timeout", "0.1")
    assert result.exit_code == 1
    assert "answers for 1 VIPs and announces 1" in result.output
    assert "not done after 0.1 s" in result.output


async def test_undo_brings_the_host_back(agent: Agent, pierhead: Pierhead) -> None:
    """With --undo the host takes VIPs again."""
    agent.status = DRAINED
    result = await pierhead("drain", "--undo", "--wait")
    assert (result.exit_code, result.output) == (0, "The host takes VIPs again.\n")
    assert agent.status == STATUS


async def test_nobody_there_is_unknown(pierhead: Pierhead) -> None:
    """Without an agent the command ends with 2."""
    assert (await pierhead("drain")).exit_code == 2
