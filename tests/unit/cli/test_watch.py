"""`--watch` as somebody has it on a screen: the real program, shown what changes, ended by Ctrl-C."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.cli.site import Watched, vip_table
from appliance.control.event import EventKind
from appliance.l2.event import Role
from appliance.overview.site import Site, Touched
from appliance.overview.source import STORE, Source, put_status
from tests.unit.cli.conftest import Agent
from tests.unit.cli.test_explain_service import AD, POOL, REST, SERVICE
from tests.unit.cli.test_site import SITE
from tests.unit.control.sample import DRAINED, LAN, STATUS

DEADLINE_SECONDS = 120.0
SCRIPT = "from appliance.cli.main import main; main(prog_name='pierhead')"


class Watching:
    """A command that goes on."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._said = ""

    async def shows(self, text: str) -> None:
        """Wait until it says something that it had not said when this was asked last."""
        assert self._process.stdout is not None
        while text not in self._said:
            read = await self._process.stdout.read(4096)
            assert read, self._said
            self._said += read.decode()
        self._said = self._said.partition(text)[2]

    async def interrupted(self) -> int:
        """Its exit status after Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode


@asynccontextmanager
async def watching(*words: str, **environment: str) -> AsyncIterator[Watching]:
    """A running command; killed where a test ends before it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        *words,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            yield Watching(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_a_service_is_explained_again_when_something_changes(tmp_path: Path) -> None:
    """What an operator writes is seen at once: a pool, then that the Service is gone."""
    (tmp_path / "site.yaml").write_text(SERVICE)
    async with watching("explain", "service", "echo", "--watch", "--store", f"directory:{tmp_path}") as watch:
        await watch.shows("BROKEN pool           no pool is configured")
        (tmp_path / "pool.yaml").write_text(POOL % "10.0.0.0/32" + AD + REST)
        await watch.shows("BROKEN address        an address is free, but no allocator has given it yet")
        (tmp_path / "site.yaml").unlink()
        await watch.shows("there is no Service default/echo")
        assert await watch.interrupted() == 0


async def test_a_vip_is_explained_again_when_its_agent_says_otherwise(agent: Agent, tmp_path: Path) -> None:
    """Nothing is shown twice, and one that goes is said to be gone."""
    socket = str(tmp_path / "agent.sock")
    async with watching("explain", "vip", str(LAN.address), "--watch", PIERHEAD_SOCKET=socket) as watch:
        await watch.shows("this host answers ARP/NDP on eth0 (first living candidate)")
        assert LAN.layer2 is not None
        released = replace(LAN, layer2=replace(LAN.layer2, role=Role.CANDIDATE, owner="node-b", reason="another"))
        agent.become(replace(STATUS, vips=(released,)))
        await watch.shows("this host stands by; node-b answers (another)")
        agent.become(replace(STATUS, vips=()))
        await watch.shows(f"{LAN.address}: there is no such VIP")
        assert await watch.interrupted() == 0


async def test_rows_are_shown_again_when_the_store_changes(tmp_path: Path) -> None:
    """As `vips`, `hosts`, `peers` and `pools` do."""
    (tmp_path / "site.yaml").write_text(SITE)
    async with watching("hosts", "--watch", "--json", "--store", f"directory:{tmp_path}") as watch:
        await watch.shows('"name": "a"')
        (tmp_path / "b.yaml").write_text("apiVersion: pierhead.io/v1alpha1\nkind: Host\nmetadata: {name: b}\n")
        await watch.shows('"name": "b"')
        assert await watch.interrupted() == 0


async def test_what_is_watched_begins_whole_and_ends_with_its_reader(agent: Agent, tmp_path: Path) -> None:
    """The first answer has what every part knows; `| head` ends the next one without a word."""
    (tmp_path / "site.yaml").write_text(SITE)
    words = ("--store", f"directory:{tmp_path}", "--socket", str(tmp_path / "agent.sock"))
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SCRIPT, "vips", "--watch", *words), stdout=writing, stderr=asyncio.subprocess.PIPE
    )
    os.close(writing)
    with os.fdopen(reading) as output:
        first = await asyncio.to_thread(lambda: [output.readline() for _ in range(2)])
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        ending = group.create_task(process.communicate(), name="end")
        while not ending.done():
            agent.become(STATUS if agent.status is DRAINED else DRAINED)
            await asyncio.wait({ending}, timeout=0.2)
    assert [line.split()[0] for line in first] == ["VIPs", "ADDRESS"]
    assert (ending.result()[1], process.returncode) == (b"", 1)


def test_nothing_is_shown_before_all_is_known_and_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the parts that can be asked: one that cannot be is complained of, and waited for no longer."""
    watched = Watched(Source("directory:/site", (tmp_path / "agent.sock",)), vip_table, as_json=False)
    site = Site()
    put_status(site, STATUS)
    watched.hear(site, Touched())
    watched.say(str(tmp_path / "agent.sock"), "")
    assert capsys.readouterr().out == ""
    watched.say(STORE, "it is gone")
    watched.hear(site, Touched())
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["VIPs", "ADDRESS", "192.168.1.240", "2001:db8:100::1"]


async def test_events_are_followed(agent: Agent, tmp_path: Path) -> None:
    """By either word."""
    async with watching("events", "--watch", PIERHEAD_SOCKET=str(tmp_path / "agent.sock")) as watch:
        agent.server.events.record(EventKind.HOST_CHANGED, "node-b", "failed")
        await watch.shows("host_changed node-b: failed")
        agent.server.events.record(EventKind.HOST_CHANGED, "node-b", "reachable")
        await watch.shows("host_changed node-b: reachable")
        assert await watch.interrupted() == 0
