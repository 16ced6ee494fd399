"""`pierhead history`."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.cli.history import parse_moment
from appliance.cli.main import main
from appliance.control.event import EventKind
from appliance.control.served import Routes
from appliance.control.server import ControlServer
from appliance.daemon.history import History
from tests.unit.control.sample import STATUS, Served
from tests.unit.control.sshd import ssh_server

DEADLINE_SECONDS = 60.0
NOW = datetime.fromisoformat("2026-11-21T08:30:00+00:00").astimezone()


@asynccontextmanager
async def hosts(folder: Path, *names: str) -> AsyncIterator[dict[str, ControlServer]]:
    """Hosts that keep their history, each at a socket of its name."""
    servers: dict[str, ControlServer] = {}
    async with asyncio.timeout(DEADLINE_SECONDS), AsyncExitStack() as stack:
        for name in names:
            history = History(folder / f"{name}.db", name)
            stack.callback(history.close)
            routes = Routes(topics=Served(STATUS).topics, history=history)
            servers[name] = ControlServer(folder / f"{name}.sock", routes)
            await stack.enter_async_context(servers[name].serving())
        yield servers


async def asked(folder: Path, *arguments: str) -> Result:
    """What the command prints that asks all sockets of a folder."""
    sockets = [word for path in sorted(folder.glob("*.sock")) for word in ("--socket", str(path))]
    return await asyncio.to_thread(CliRunner().invoke, main, ["history", *arguments, *sockets], catch_exceptions=False)


def told(result: Result) -> list[str]:
    """Its lines without their times."""
    return [line.split(" ", 2)[2] for line in result.stdout.splitlines()]


async def test_why_a_vip_moved_is_told_from_both_sides(tmp_path: Path) -> None:
    """In the order of time, and nothing that does not concern it."""
    async with hosts(tmp_path, "node-a", "node-b") as servers:
        servers["node-a"].events.record(EventKind.VIP_MOVED, "192.0.2.1", "no link", **{"from": "node-a", "to": ""})
        servers["node-a"].events.record(EventKind.FEED_CHANGED, "live")
        servers["node-b"].events.record(
            EventKind.VIP_MOVED, "192.0.2.1", "the owner was found dead", **{"from": "node-a", "to": "node-b"}
        )
        result = await asked(tmp_path, "vip", "192.0.2.1")
    assert (result.exit_code, told(result)) == (
        0,
        [
            "node-a: VIP 192.0.2.1 went from node-a to nobody: no link",
            "node-b: VIP 192.0.2.1 went from node-a to node-b: the owner was found dead",
        ],
    )


async def test_a_host_is_told_of_by_itself_and_by_others(tmp_path: Path) -> None:
    """Everything it recorded, and what the others say of it."""
    async with hosts(tmp_path, "node-a", "node-b") as servers:
        servers["node-a"].events.record(EventKind.FEED_CHANGED, "cache")
        servers["node-b"].events.record(EventKind.FEED_CHANGED, "live")
        servers["node-b"].events.record(EventKind.HOST_CHANGED, "node-a", "failed")
        result = await asked(tmp_path, "host", "node-a")
    assert told(result) == ["node-a: the feed is cache", "node-b: host node-a is held to be failed"]


async def test_all_hosts_are_those_that_an_agent_knows(tmp_path: Path) -> None:
    """Asked over SSH by their names; one that does not answer is complained of, and the rest is shown."""
    async with hosts(tmp_path, "node-a") as servers, ssh_server(tmp_path / "ssh") as ssh:
        servers["node-a"].events.record(EventKind.FEED_CHANGED, "live")
        result = await asked(tmp_path, "--all", "--ssh-config", str(ssh.config))
    complaints = [line.split(":")[1].strip() for line in result.stderr.splitlines()]
    assert (told(result), complaints) == (["node-a: the feed is live"], ["node-b", "node-c"])


async def test_programs_get_rows(tmp_path: Path) -> None:
    """With what the sentence was made of."""
    async with hosts(tmp_path, "node-a") as servers:
        servers["node-a"].events.record(EventKind.VIP_MOVED, "192.0.2.1", "so", heard="it")
        (row,) = json.loads((await asked(tmp_path, "--json")).stdout)
    assert (row["host"], row["kind"], row["reason"], row["details"]) == ("node-a", "vip_moved", "so", {"heard": "it"})


async def test_the_last_are_shown(tmp_path: Path) -> None:
    """As many as are asked for, of all hosts together."""
    async with hosts(tmp_path, "node-a", "node-b") as servers:
        for number in range(5):
            servers["node-a"].events.record(EventKind.FEED_CHANGED, str(number))
        result = await asked(tmp_path, "--limit", "2")
    assert told(result) == ["node-a: the feed is 3", "node-a: the feed is 4"]


async def test_nothing_known_is_an_answer(tmp_path: Path) -> None:
    """The answer is no; a host that cannot be asked is said."""
    async with hosts(tmp_path, "node-a"):
        result = await asked(tmp_path, "vip", "192.0.2.9", "--socket", str(tmp_path / "absent"))
    assert (result.exit_code, result.stdout, "absent" in result.stderr) == (1, "", True)


@pytest.mark.parametrize(
    "words",
    [("vip",), ("vip", "x"), ("moon", "x"), ("--since", "whenever"), ("--limit", "0"), ("--host", "-v")],
)
def test_nonsense_is_wrong_usage(words: tuple[str, ...]) -> None:
    """Before anybody is asked."""
    assert CliRunner().invoke(main, ["history", *words]).exit_code == 2


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("10min", NOW - timedelta(minutes=10)),
        ("2h", NOW - timedelta(hours=2)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-11-21T03:12:00Z", NOW - timedelta(hours=5, minutes=18)),
    ],
)
def test_a_moment_is_read(text: str, moment: datetime) -> None:
    """How long ago, or when."""
    assert parse_moment(text, NOW) == moment


def test_a_time_of_the_day_is_the_last_one() -> None:
    """By the reader's own clock: this morning, or last night."""
    for text in ("03:12", "23:59", "0:00", "12:00:01"):
        moment = parse_moment(text, NOW)
        assert timedelta() <= NOW - moment < timedelta(days=1)
        assert moment.strftime("%H:%M").lstrip("0").removeprefix(":") in ("3:12", "23:59", "00", "12:00")
