"""An agent to ask, and the command line that asks it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.api.address import IPAddress
from appliance.cli.main import main
from appliance.control.error import ControlError, ControlFault
from appliance.control.message import AgentStatus
from appliance.control.served import Routes
from appliance.control.server import ControlServer
from appliance.control.topic import ONLY, Topic
from appliance.l2.event import MoveRefusal
from tests.unit.control.sample import DRAINED, LAN, STATUS, Served

Pierhead = Callable[..., Coroutine[None, None, Result]]


class Agent(Served):
    """An agent's control socket without the agent: a drain gives the status that was laid ready."""

    def __init__(self, path: Path) -> None:
        super().__init__(STATUS)
        self.after_drain: dict[bool, AgentStatus] = {True: DRAINED, False: STATUS}
        self.is_known_after_drain = True
        self.was_asked = asyncio.Event()
        self.server = ControlServer(path, Routes(topics=self.topics, drain=self.drain, move=self.move))

    async def drain(self, wanted: bool) -> None:
        """Take the status laid ready for it."""
        self.is_known = self.is_known_after_drain
        self.become(self.after_drain[wanted])
        self.was_asked.set()

    async def move(self, address: IPAddress, to: str) -> str:
        """Let go what is owned, and refuse the rest as an agent does."""
        if address != LAN.address:
            raise ControlError(ControlFault.REFUSED, str(address), MoveRefusal.NOT_OWNER.value)
        if to == "node-c":
            raise ControlError(ControlFault.REFUSED, str(address), "node-c did not take it, so it stays here")
        self.was_asked.set()
        return to or "node-b"

    def become(self, status: AgentStatus) -> None:
        """Take a status, and tell whoever watches."""
        gone = {str(vip.address) for vip in self.status.vips}
        self.status = status
        self.server.publish(Topic.PROGRAM, [ONLY])
        self.server.publish(Topic.VIPS, gone | {str(vip.address) for vip in status.vips})


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    """An agent that answers at `agent.sock`."""
    running = Agent(tmp_path / "agent.sock")
    async with running.server.serving():
        yield running


@pytest.fixture
def pierhead(tmp_path: Path) -> Pierhead:
    """Runs `pierhead` with arguments, beside the loop that serves the agent's socket."""
    environment = {"PIERHEAD_SOCKET": str(tmp_path / "agent.sock")}

    async def run(*arguments: str) -> Result:
        return await asyncio.to_thread(
            CliRunner().invoke, main, arguments, env=environment, prog_name="pierhead", catch_exceptions=False
        )

    return run
