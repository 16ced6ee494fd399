"""A site from its agents alone: their own sockets here, and those of other hosts over a real SSH server."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.main import main
from appliance.control.message import AgentStatus
from appliance.control.served import Routes
from appliance.control.server import ControlServer
from appliance.control.tunnel import RemoteSocket
from appliance.overview.row import VipHealth
from appliance.overview.site import Site, Touched
from appliance.overview.source import Source, SourceError, follow_site, read_site
from tests.unit.control.sample import LAN, STATUS, Served
from tests.unit.control.sshd import ssh_server
from tests.unit.control.test_tunnel import cut

DEADLINE_SECONDS = 60.0
STATUS_B = replace(STATUS, program=replace(STATUS.program, host="node-b"), hosts=(), vips=())


def serving(path: Path, status: AgentStatus) -> ControlServer:
    """An agent's socket."""
    return ControlServer(path, Routes(topics=Served(status).topics))


class Heard:
    """What a follower was told, to be waited for."""

    def __init__(self) -> None:
        self.site = Site()
        self.faults: dict[str, str] = {}
        self._news = asyncio.Event()

    def hear(self, site: Site, _touched: Touched) -> None:
        """Take a site."""
        self.site = site
        self._news.set()

    def say(self, part: str, why: str) -> None:
        """Take how a part is."""
        self.faults[part] = why
        self._news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something is so."""
        while not holds():
            self._news.clear()
            await self._news.wait()

    def live(self) -> set[str]:
        """The hosts whose agents are heard."""
        return {name for name, view in self.site.agents.items() if view.is_live}


async def test_a_site_is_read_from_its_agents_alone(tmp_path: Path) -> None:
    """No store: each host says what it does, and whoever cannot be asked is said."""
    source = Source(agents=(tmp_path / "a.sock", tmp_path / "b.sock", tmp_path / "c.sock"))
    said: list[str] = []
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        serving(tmp_path / "a.sock", STATUS).serving(),
        serving(tmp_path / "b.sock", STATUS_B).serving(),
    ):
        site = await read_site(source, said.append)
    assert {"node-a", "node-b"} <= set(site.agents)
    row = site.vip(LAN.address)
    assert row is not None
    assert (row.owner, row.health) == ("node-a", VipHealth.ANSWERED)
    assert [str(tmp_path / "c.sock") in line for line in said] == [True]
    with pytest.raises(SourceError):
        await read_site(Source(agents=(tmp_path / "c.sock",)), said.append)


async def test_hosts_over_ssh_are_rows_of_one_site(tmp_path: Path) -> None:
    """By the command's own options, two hosts by name, one that is none: the rest is shown."""
    path = tmp_path / "agent.sock"
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        ssh_server(tmp_path / "ssh") as ssh,
        serving(path, STATUS).serving(),
    ):
        words = ("vips", "--json", "--ssh-config", str(ssh.config), "--host", f"node-a:{path}", "--host", "nobody")
        done = await asyncio.to_thread(CliRunner().invoke, main, words, env={"PIERHEAD_SOCKET": ""})
    assert {row["address"] for row in json.loads(done.stdout)} == {str(vip.address) for vip in STATUS.vips}
    assert ("nobody: ssh:" in done.stderr, done.exit_code) == (True, 0)


def test_a_host_that_is_none_is_wrong_usage() -> None:
    """Before ssh is asked anything."""
    done = CliRunner().invoke(main, ["vips", "--host", "-oProxyCommand=reboot"])
    assert (done.exit_code, "is not a host as ssh takes it" in done.stderr) == (2, True)


async def test_a_host_that_was_lost_is_reached_again(tmp_path: Path) -> None:
    """What it said last stays and is known to be old; the SSH connection is made anew by itself."""
    path = tmp_path / "agent.sock"
    heard = Heard()
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        ssh_server(tmp_path / "ssh") as ssh,
        serving(path, STATUS).serving(),
        asyncio.TaskGroup() as group,
    ):
        remote = RemoteSocket("node-a", str(path), ssh.config)
        following = group.create_task(follow_site(Source(agents=(remote,)), heard.hear, heard.say), name="follow")
        await heard.until(lambda: heard.faults.get(str(remote)) == "" and heard.site.vip(LAN.address) is not None)
        cut(ssh)
        await heard.until(lambda: not heard.live())
        assert heard.faults[str(remote)] != ""
        row = heard.site.vip(LAN.address)
        assert row is not None
        assert (row.owner, row.health) == ("node-a", VipHealth.UNKNOWN)
        await heard.until(lambda: heard.faults[str(remote)] == "" and heard.live() == {"node-a"})
        following.cancel()


async def test_a_host_that_is_heard_on_one_of_two_sockets_is_heard(tmp_path: Path) -> None:
    """The same agent here and by another way: it is lost with the last of them."""
    paths = (tmp_path / "agent.sock", tmp_path / "other.sock")
    heard = Heard()

    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        async with serving(paths[0], STATUS).serving():
            async with serving(paths[1], STATUS).serving():
                following = group.create_task(follow_site(Source(agents=paths), heard.hear, heard.say), name="follow")
                await heard.until(lambda: [heard.faults.get(str(path)) for path in paths] == ["", ""])
            await heard.until(lambda: heard.faults[str(paths[1])] != "")
            assert heard.live() == {"node-a"}
        await heard.until(lambda: not heard.live())
        following.cancel()
