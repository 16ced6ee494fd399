"""An agent to ask, and the command line that asks it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.api.address import IPAddress
from appliance.cli.main import main
from appliance.control.message import AgentStatus, VirtualIPVerdict
from appliance.control.server import ControlServer, Routes
from tests.unit.control.sample import EMPTY, STATUS

Pierhead = Callable[..., Coroutine[None, None, Result]]


class Agent:
    """An agent's control socket without the agent: a drain gives the status that was laid ready."""

    def __init__(self, path: Path) -> None:
        self.status: AgentStatus = STATUS
        self.after_drain: dict[bool, AgentStatus] = {True: EMPTY, False: STATUS}
        self.was_asked = asyncio.Event()
        self.server = ControlServer(
            path, Routes(status=lambda: self.status, explain=self.explain, drain=self.drain), heartbeat_seconds=0.05
        )

    def explain(self, address: IPAddress) -> VirtualIPVerdict | None:
        """The verdict of a VIP in the status."""
        return next((vip for vip in self.status.vips if vip.address == address), None)

    async def drain(self, wanted: bool) -> None:
        """Take the status laid ready for it."""
        self.status = self.after_drain[wanted]
        self.server.publish()
        self.was_asked.set()


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
