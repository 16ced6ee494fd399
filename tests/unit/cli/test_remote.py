"""The commands that ask a host's agent, over a real SSH server."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner, Result

from appliance.cli.main import main
from appliance.control.event import EventKind
from appliance.control.served import Routes
from appliance.control.server import ControlServer
from appliance.daemon.history import History
from tests.unit.control.sample import LAN, STATUS, Served
from tests.unit.control.sshd import SshServer, ssh_server

DEADLINE_SECONDS = 120.0


@asynccontextmanager
async def host(path: Path, name: str) -> AsyncIterator[None]:
    """A host's agent, to which one thing happened."""
    history = History(path.with_suffix(".db"), name)
    status = replace(STATUS, program=replace(STATUS.program, host=name))
    server = ControlServer(path, Routes(topics=Served(status).topics, history=history))
    server.events.record(EventKind.DRAIN_ASKED, name, "drain")
    try:
        async with server.serving():
            yield
    finally:
        history.close()


async def ask(ssh: SshServer, folder: Path, *words: str) -> Result:
    """What a command prints that asks two hosts, which ssh knows by their names."""
    remote = [word for name in ("node-a", "node-b") for word in ("--host", f"{name}:{folder}/{name}.sock")]
    arguments = (*words, "--ssh-config", str(ssh.config), *remote)
    return await asyncio.to_thread(CliRunner().invoke, main, arguments, catch_exceptions=False)


async def test_two_hosts_are_asked_by_name(tmp_path: Path) -> None:
    """Each command that asks an agent asks both, and says which said what."""
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        ssh_server(tmp_path / "ssh") as ssh,
        host(tmp_path / "node-a.sock", "node-a"),
        host(tmp_path / "node-b.sock", "node-b"),
    ):
        statuses = json.loads((await ask(ssh, tmp_path, "status", "--json")).stdout)
        assert [status["program"]["host"] for status in statuses] == ["node-a", "node-b"]
        happened = (await ask(ssh, tmp_path, "events")).stdout.splitlines()
        assert [line.split()[0].partition(":")[0] for line in happened] == ["node-a", "node-b"]
        rows = json.loads((await ask(ssh, tmp_path, "history", "--json")).stdout)
        assert sorted((row["host"], row["subject"]) for row in rows) == [("node-a", "node-a"), ("node-b", "node-b")]
        explained = (await ask(ssh, tmp_path, "explain", "vip", str(LAN.address))).stdout
        assert [f"{name}:{tmp_path}/{name}.sock:" in explained for name in ("node-a", "node-b")] == [True, True]
        hosts = json.loads((await ask(ssh, tmp_path, "hosts", "--json")).stdout)
        assert {"node-a", "node-b"} <= {row["name"] for row in hosts}
        peers = json.loads((await ask(ssh, tmp_path, "peers", "--json")).stdout)
        assert [row["host"] for row in peers] == ["node-a", "node-b"]


@asynccontextmanager
async def program(path: Path, name: str) -> AsyncIterator[None]:
    """A program of node-a, which was asked to drain."""
    history = History(path.with_suffix(".db"), "node-a", program=name)
    server = ControlServer(path, Routes(topics=Served(STATUS).topics, history=history))
    server.events.record(EventKind.CONFIGURATION_APPLIED, name)
    try:
        async with server.serving():
            yield
    finally:
        history.close()


async def test_a_hosts_forwarder_is_asked_with_its_agent(tmp_path: Path) -> None:
    """By one login, and nothing is said of a host that has none; on this machine as well."""
    agent, forwarder = tmp_path / "agent.sock", tmp_path / "forwarder.sock"
    async with asyncio.timeout(DEADLINE_SECONDS), ssh_server(tmp_path / "ssh") as ssh, program(agent, "agent"):
        remote = ("history", "--json", "--ssh-config", str(ssh.config), "--host", f"node-a:{agent}")
        alone = await asyncio.to_thread(CliRunner().invoke, main, remote, catch_exceptions=False)
        assert ([row["subject"] for row in json.loads(alone.stdout)], alone.stderr) == (["agent"], "")
        async with program(forwarder, "forwarder"):
            for words in (remote, ("history", "--json", "--socket", str(agent))):
                both = await asyncio.to_thread(CliRunner().invoke, main, words, catch_exceptions=False)
                assert {row["program"] for row in json.loads(both.stdout)} == {"agent", "forwarder"}
                assert both.stderr == ""
            lines = await asyncio.to_thread(CliRunner().invoke, main, (*words[:1], *words[2:]), catch_exceptions=False)
            told = [line.split(" ", 2)[2] for line in lines.stdout.splitlines()]
            assert sorted(told) == [
                "node-a (forwarder): the rules forwarder are in force",
                "node-a: the rules agent are in force",
            ]
