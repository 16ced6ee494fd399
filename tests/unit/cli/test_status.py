"""`pierhead status`."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from appliance.cli.status import HostStatus, complaints, follow_status
from appliance.control.error import ControlError, ControlFault
from appliance.control.message import (
    AgentProgram,
    AgentStatus,
    BirdStatus,
    FeedStatus,
    ForwardedVirtualIP,
    ForwarderProgram,
    ForwarderStatus,
    SessionFault,
)
from appliance.control.served import Routes
from appliance.control.server import ControlServer
from appliance.control.topic import Topic, TopicTable, single
from appliance.overview.attention import attention
from appliance.overview.site import Site
from appliance.overview.source import put_status
from tests.unit.cli.conftest import Agent, Pierhead
from tests.unit.control.sample import BGP, DRAINED, LAN, PROGRAM, STATUS

CARRYING = ForwarderStatus(
    program=ForwarderProgram(host="node-a", version="0.1.0", revision="23b5", rings=2, failed_hosts=("node-c",)),
    feed=FeedStatus(source="live"),
    vips=(ForwardedVirtualIP(address=LAN.address),),
)
BEGINNING = ForwarderStatus(
    program=ForwarderProgram(
        host="node-a", version="0.1.0", revision="", waits_for=("the kernel has no rules of ours",)
    ),
    feed=FeedStatus(source="live"),
)
NO_PASSWORD = SessionFault(session="tor", reason="no-password")
WITH_FORWARDER = replace(PROGRAM, forwarder=True)
SCREEN = """\
Host
  NAME    STATE   AGENT  BIRD
  node-a  active  0.1.0  2.0.12
Feed
  SOURCE  REVISION  AGE  PROBLEMS
  live    abc       2 s  0
Forwarder: none
Neighbors
  HOST    STATE      DRAINED
  node-b  reachable  no
  node-c  failed     yes
VIPs
  ADDRESS          POOL  SERVICES      LAYER 2  BGP
  192.168.1.240    lan   default/echo  owner    -
  2001:db8:100::1  wan   default/web   -        announced to tor
BGP sessions
  NAME  PEER         STATE        SINCE  MESSAGE
  tor   192.168.1.1  Established  -      -
BFD sessions
  NAME  PEER          STATE  SINCE  MESSAGE
  eth0  192.168.1.12  Up     -      -
"""


def forwarder_at(path: Path, told: ForwarderStatus) -> ControlServer:
    """A forwarder's control socket without the forwarder; of VIPs it knows nothing before it has rules."""
    vips = {str(vip.address): vip for vip in told.vips}
    return ControlServer(
        path,
        Routes(
            topics={
                Topic.PROGRAM: single(lambda: told.program),
                Topic.FEED: single(lambda: told.feed),
                Topic.VIPS: TopicTable(lambda: tuple(vips) if told.program.revision else None, vips.get),
            }
        ),
    )


def carrying(**changed: Any) -> ForwarderStatus:
    """A forwarder whose program says something else."""
    return replace(CARRYING, program=replace(CARRYING.program, **changed))


def of_program(program: AgentProgram) -> AgentStatus:
    """A status whose program says something else."""
    return replace(STATUS, program=program)


async def test_a_pipe_gets_aligned_text(agent: Agent, pierhead: Pierhead) -> None:
    """Without a terminal there are no colours and no rules, and all columns stand in line."""
    result = await pierhead("status")
    assert (result.exit_code, result.output) == (0, SCREEN)


async def test_vips_stand_in_the_order_of_their_addresses(agent: Agent, pierhead: Pierhead) -> None:
    """Whichever came first."""
    agent.status = replace(STATUS, vips=tuple(reversed(STATUS.vips)))
    assert (await pierhead("status")).output == SCREEN


async def test_json_is_what_the_socket_says(agent: Agent, pierhead: Pierhead) -> None:
    """Programs get the message of the control socket."""
    content = json.loads((await pierhead("status", "--json")).output)
    assert (content["program"]["host"], content["vips"][0]["layer2"]["role"]) == ("node-a", "owner")


async def test_what_is_watched_is_shown_after_every_change(tmp_path: Path) -> None:
    """The whole status, as it is asked for otherwise; with nobody left to ask it is an error."""
    agent, seen = Agent(tmp_path / "agent.sock"), asyncio.Queue[HostStatus]()

    async def until_lost() -> ControlFault:
        with pytest.raises(ControlError) as error:
            await follow_status(tmp_path / "agent.sock", seen.put_nowait)
        return error.value.fault

    async def shown(wanted: AgentStatus) -> None:
        while (await seen.get()).agent != wanted:
            continue

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        async with agent.server.serving():
            following = group.create_task(until_lost(), name="follow")
            await shown(STATUS)
            agent.become(DRAINED)
            await shown(DRAINED)
        assert await following is ControlFault.LOST


async def test_a_forwarder_is_shown_beside_its_agent(agent: Agent, pierhead: Pierhead, tmp_path: Path) -> None:
    """Where one is to run: that it does, that its rules are in the kernel, and for how much."""
    agent.status = of_program(WITH_FORWARDER)
    async with forwarder_at(tmp_path / "forwarder.sock", CARRYING).serving():
        screen, told = await pierhead("status", "--check"), await pierhead("status", "--json")
    assert (screen.exit_code, "!" in screen.output) == (0, False)
    assert (
        "Forwarder\n"
        "  STATE   FORWARDER  RULES          VIPS  RINGS  LEFT OUT\n"
        "  active  0.1.0      in the kernel  1     2      node-c\n"
    ) in screen.output
    forwarder = json.loads(told.output)["forwarder"]
    assert (forwarder["answers"], forwarder["program"]["revision"]) == (True, "23b5")
    assert [vip["address"] for vip in forwarder["vips"]] == ["192.168.1.240"]


async def test_a_forwarder_without_rules_says_what_it_waits_for(
    agent: Agent, pierhead: Pierhead, tmp_path: Path
) -> None:
    """It runs, and needs attention."""
    agent.status = of_program(WITH_FORWARDER)
    async with forwarder_at(tmp_path / "forwarder.sock", BEGINNING).serving():
        result = await pierhead("status", "--check")
    assert result.exit_code == 1
    assert "  not ready  0.1.0      none   0     0      -\n" in result.output
    assert "\n! host node-a: its forwarder is not ready: the kernel has no rules of ours\n" in result.output


async def test_a_forwarder_that_does_not_answer_is_one_line(agent: Agent, pierhead: Pierhead) -> None:
    """The rest is shown, --check counts it, and without --check a status was found; none that is to run is none."""
    agent.status = of_program(WITH_FORWARDER)
    screen, found, told = (
        await pierhead("status", "--check"),
        await pierhead("status"),
        await pierhead("status", "--json"),
    )
    complaint = f"! host node-a: its forwarder does not answer: {ControlFault.NOT_RUNNING.value}"
    assert (screen.exit_code, found.exit_code, screen.output) == (1, 0, found.output)
    assert [line for line in screen.output.splitlines() if "forwarder" in line] == [complaint]
    forwarder = json.loads(told.output)["forwarder"]
    assert (forwarder["answers"], "forwarder.sock: nothing answers" in forwarder["problem"]) == (False, True)
    agent.status = STATUS
    assert json.loads((await pierhead("status", "--check", "--json")).output)["forwarder"] is None


async def test_a_forwarder_that_begins_and_ends_is_watched(agent: Agent, tmp_path: Path) -> None:
    """Whether it answers is shown as it changes, with what it says."""
    agent.status, seen = of_program(WITH_FORWARDER), asyncio.Queue[HostStatus]()

    async def shown(wanted: ForwarderStatus | None) -> None:
        while True:
            match (await seen.get()).forwarder:
                case ControlError() if wanted is None:
                    return
                case told if told == wanted and wanted is not None:
                    return

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        following = group.create_task(follow_status(tmp_path / "agent.sock", seen.put_nowait), name="follow")
        await shown(None)
        async with forwarder_at(tmp_path / "forwarder.sock", CARRYING).serving():
            await shown(CARRYING)
        await shown(None)
        async with forwarder_at(tmp_path / "forwarder.sock", BEGINNING).serving():
            await shown(BEGINNING)
        following.cancel()


async def test_one_agent_is_watched(agent: Agent, pierhead: Pierhead) -> None:
    """Several have no place on one screen, and a check has an end."""
    for words in (("--socket", "/a", "--socket", "/b"), ("--check",)):
        assert (await pierhead("status", "--watch", *words)).exit_code == 2


async def test_nobody_there_is_unknown(pierhead: Pierhead) -> None:
    """Without an agent the command ends with 2 and names the socket."""
    result = await pierhead("status")
    assert result.exit_code == 2
    assert "agent.sock: nothing answers on the control socket" in result.output


async def test_check_ends_with_one_where_something_is_wrong(agent: Agent, pierhead: Pierhead) -> None:
    """A verify step can rely on the exit status; without --check a status was found and that is 0."""
    assert (await pierhead("status", "--check")).exit_code == 0
    agent.status = of_program(replace(PROGRAM, bird=BirdStatus()))
    assert (await pierhead("status")).exit_code == 0
    result = await pierhead("status", "--check")
    assert (result.exit_code, "! host node-a: BIRD does not answer" in result.output) == (1, True)


@pytest.mark.parametrize(
    ("status", "complaint"),
    [
        (replace(STATUS, feed=FeedStatus(source="cache")), "host node-a: its feed is not live (it is from: cache)"),
        (replace(STATUS, feed=FeedStatus(source="live", problems=("odd",))), "host node-a: feed: odd"),
        (of_program(replace(PROGRAM, isolated_links=("eth1",))), "host node-a: nobody answers on eth1"),
        (of_program(replace(PROGRAM, waits_for=("no feed yet",))), "host node-a: not ready: no feed yet"),
        (
            of_program(replace(PROGRAM, bird=BirdStatus(reachable=True, refused="line 3"))),
            "host node-a: BIRD refused its configuration: line 3",
        ),
        (
            of_program(replace(PROGRAM, bird=BirdStatus(reachable=True, faults=(NO_PASSWORD,)))),
            "session node-a tor: no password",
        ),
        (replace(STATUS, vips=(replace(LAN, conflict="02::1"),)), "VIP 192.168.1.240: 02::1 answers for it too"),
        (
            replace(STATUS, sessions=(replace(BGP, state="Active"),)),
            "session node-a tor: 192.168.1.1 is Active",
        ),
    ],
)
def test_each_trouble_is_a_sentence(status: AgentStatus, complaint: str) -> None:
    """Whatever needs attention is said in words."""
    assert complaints(HostStatus(status)) == (complaint,)


@pytest.mark.parametrize(
    ("forwarder", "complaint"),
    [
        (replace(CARRYING, feed=FeedStatus(source="cache")), "its forwarder's feed is not live (it is from: cache)"),
        (replace(CARRYING, feed=FeedStatus(source="live", problems=("odd",))), "its forwarder's feed: odd"),
        (carrying(refused="line 3"), "its kernel does not have its forwarder's rules: line 3"),
        (carrying(settings_problems=("odd",)), "its forwarder's settings are not in force: odd"),
        (carrying(awaiting_restart=("store",)), "a restart of its forwarder will change store"),
        (ControlError(ControlFault.LOST, "/f"), f"its forwarder does not answer: {ControlFault.NOT_RUNNING.value}"),
        (ControlError(ControlFault.DENIED, "/f"), f"its forwarder does not answer: {ControlFault.DENIED.value}"),
    ],
)
def test_each_trouble_of_a_forwarder_is_a_sentence(forwarder: ForwarderStatus | ControlError, complaint: str) -> None:
    """Likewise; over SSH a forwarder that is not there is a connection that ends."""
    assert complaints(HostStatus(STATUS, forwarder)) == (f"host node-a: {complaint}",)


def test_what_is_told_on_the_host_is_what_the_dashboard_shows() -> None:
    """One judgement: with the store's word beside it the same sentences stand in the attention of the whole site."""
    ill = of_program(replace(PROGRAM, isolated_links=("eth1",), bird=BirdStatus()))
    site = Site()
    put_status(site, ill)
    shown = {f"{each.kind} {each.name}: {each.sentence}" for each in attention(site)}
    assert set(complaints(HostStatus(ill))) <= shown


def test_all_is_well() -> None:
    """A host in order gives no complaint."""
    assert complaints(HostStatus(STATUS, CARRYING)) == ()
