"""`pierhead drain` and `undrain`, on a host's socket and through a store."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.main import main
from appliance.control.message import VirtualIPVerdict
from tests.unit.cli.conftest import Agent, Pierhead
from tests.unit.control.sample import DRAINED, DRAINING, LAN, ROUTED, STATUS

WHOLE = """\
Drain node-a:
  node-a answers for 1 VIP, of which go 1 to node-b
  it withdraws 1 route; what other hosts announce is not known here
VIPs that move
  ADDRESS        SERVICES      FROM    TO
  192.168.1.240  default/echo  node-a  node-b
node-a is draining: it answers for 1 VIPs and announces 1.
"""
SITE = """
apiVersion: pierhead.io/v1alpha1
kind: VirtualIP
metadata: {name: 192.0.2.10}
spec: {address: 192.0.2.10, pool: p, services: [{namespace: d, name: s}], layer2: {candidates: [a, b]}}
status: {owner: {host: a, since: '2026-01-01T00:00:00Z', epoch: 3}}
"""
HOST = """
apiVersion: pierhead.io/v1alpha1
kind: Host
metadata: {name: NAME}
"""
ALONE = """\
Drain a:
  a answers for 1 VIP
  it announces no route
  192.0.2.10 (d/s) stays: no other host is able to answer for it
VIPs that move
  ADDRESS     SERVICES  FROM  TO
  192.0.2.10  d/s       a     stays
"""


def store(folder: Path, *hosts: str) -> str:
    """A directory store with a VIP of host a; its hosts are written by programs, as agents register them."""
    (folder / "site.yaml").write_text("---".join([SITE, *(HOST.replace("NAME", host) for host in hosts)]))
    return f"directory:{folder}"


async def test_a_drain_is_said_then_asked_for(agent: Agent, pierhead: Pierhead) -> None:
    """What would change, then how far it is; without a terminal nobody is asked."""
    agent.after_drain[True] = DRAINING
    result = await pierhead("drain")
    assert (result.exit_code, result.output) == (0, WHOLE)


async def test_wait_ends_when_nothing_is_left(agent: Agent, pierhead: Pierhead) -> None:
    """With --wait the command returns only after the last VIP and the last route went."""
    agent.after_drain[True] = DRAINING
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        command = group.create_task(pierhead("drain", "node-a", "--wait", "--json"), name="command")
        await agent.was_asked.wait()
        assert not command.done()
        agent.become(DRAINED)
    result = command.result()
    told = {"host": "node-a", "drained": True, "owned": 0, "announced": 0}
    assert (result.exit_code, json.loads(result.output)) == (0, told)


@pytest.mark.parametrize("left", [(LAN,), (ROUTED,), None])
async def test_wait_is_for_everything(
    agent: Agent, pierhead: Pierhead, left: tuple[VirtualIPVerdict, ...] | None
) -> None:
    """A VIP or a route that is left is not done, nor an agent that has said that it is drained and not yet of which."""
    agent.after_drain[True] = replace(DRAINING, vips=left or ())
    agent.is_known_after_drain = left is not None
    result = await pierhead("drain", "--wait", "--timeout", "1")
    assert (result.exit_code, "not done after 1 s" in result.output) == (1, True)


async def test_wait_gives_up(agent: Agent, pierhead: Pierhead) -> None:
    """A drain that does not end in time is a no, with what is left."""
    agent.after_drain[True] = DRAINING
    result = await pierhead("drain", "--wait", "--timeout", "0.5")
    assert result.exit_code == 1
    assert "answers for 1 VIPs and announces 1" in result.output
    assert "not done after 0.5 s" in result.output


async def test_undrain_brings_the_host_back(agent: Agent, pierhead: Pierhead) -> None:
    """The host takes VIPs again, and no VIP moves for that."""
    agent.status = DRAINED
    result = await pierhead("undrain", "--wait")
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "node-a takes VIPs again."
    assert agent.status == STATUS


async def test_a_drained_host_is_not_asked_again(agent: Agent, pierhead: Pierhead) -> None:
    """It is so: exit 0, with the reason why nothing was done."""
    agent.status = DRAINED
    result = await pierhead("drain")
    assert (result.exit_code, agent.was_asked.is_set()) == (0, False)
    assert "host node-a: it is drained already" in result.output


async def test_a_dry_run_changes_nothing(agent: Agent, pierhead: Pierhead) -> None:
    """The preview alone, and as JSON."""
    result = await pierhead("drain", "--dry-run", "--json")
    told = json.loads(result.output)
    assert (result.exit_code, agent.was_asked.is_set()) == (0, False)
    assert told["moves"] == [
        {"address": "192.168.1.240", "services": ["default/echo"], "owner": "node-a", "successor": "node-b"}
    ]


async def test_another_host_cannot_be_asked_through_this_ones_socket(agent: Agent, pierhead: Pierhead) -> None:
    """Without a store nobody can be asked: exit 2, and what would help."""
    result = await pierhead("drain", "node-b", "--yes")
    assert (result.exit_code, "node-b is not the host of" in result.output) == (2, True)


async def test_nobody_there_is_unknown(pierhead: Pierhead) -> None:
    """Without an agent the command ends with 2."""
    assert (await pierhead("drain")).exit_code == 2


def test_a_name_with_a_typo_is_not_drained(tmp_path: Path) -> None:
    """The near one is named."""
    done = CliRunner().invoke(main, ["drain", "node-4", "--store", store(tmp_path, "node-a", "node-b")])
    assert (done.exit_code, done.stderr) == (2, "Error: there is no host node-4; did you mean node-b or node-a?\n")


def test_what_would_strand_a_vip_needs_a_yes(tmp_path: Path) -> None:
    """Without a terminal nobody can be asked, so nothing is done; the whole text says why."""
    done = CliRunner().invoke(main, ["drain", "a", "--store", store(tmp_path, "a")])
    assert (done.exit_code, done.stdout) == (1, ALONE)
    assert "nothing was changed" in done.stderr
    assert CliRunner().invoke(main, ["drain", "a", "--dry-run", "--store", store(tmp_path, "a")]).exit_code == 1


def test_an_operators_file_has_the_last_word(tmp_path: Path) -> None:
    """A Host that stands in a file is drained there: exit 1, and where to write it."""
    done = CliRunner().invoke(main, ["drain", "a", "--store", store(tmp_path, "a", "b")])
    assert (done.exit_code, "spec.drain is to be written in that file" in done.stderr) == (1, True)


MOVED = """\
Move 192.168.1.240 to the next host of its order:
  192.168.1.240 (default/echo) goes from node-a to node-b
VIPs that move
  ADDRESS        SERVICES      FROM    TO
  192.168.1.240  default/echo  node-a  node-b
192.168.1.240 was moved.
"""


async def test_a_vip_is_moved(agent: Agent, pierhead: Pierhead) -> None:
    """What would change, then that it was done."""
    result = await pierhead("move", "192.168.1.240")
    assert (result.exit_code, result.output, agent.was_asked.is_set()) == (0, MOVED, True)


async def test_a_move_can_be_tried(agent: Agent, pierhead: Pierhead) -> None:
    """Nothing is asked of the owner."""
    result = await pierhead("move", "192.168.1.240", "--to", "node-b", "--dry-run", "--json")
    told = json.loads(result.output)
    assert (result.exit_code, told["isDone"], agent.was_asked.is_set()) == (0, False, False)
    assert told["preview"]["moves"][0]["successor"] == "node-b"


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("192.168.1.24",), 2, "there is no VIP 192.168.1.24; did you mean 192.168.1.240?"),
        (("echo",), 2, "Invalid value for 'VIP'"),
        (("2001:db8:100::1",), 1, "2001:db8:100::1: no host owns it: it is not announced on layer 2"),
        (("192.168.1.240", "--to", "node-d"), 2, "there is no host node-d; did you mean"),
        (("192.168.1.240", "--to", "node-c"), 1, "it is neither a candidate nor admitted"),
        (("192.168.1.240", "--to", "node-a"), 0, "it answers for the VIP already"),
    ],
)
async def test_what_cannot_be_moved(
    agent: Agent, pierhead: Pierhead, words: tuple[str, ...], exit_code: int, said: str
) -> None:
    """Names that are none end with 2, what is refused with 1, what is so already with 0; the owner is not asked."""
    result = await pierhead("move", *words)
    assert (result.exit_code, said in result.output, agent.was_asked.is_set()) == (exit_code, True, False)
