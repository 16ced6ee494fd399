"""The lab itself: made and removed without a trace, its programs kept alive, its cables pulled."""

import asyncio
import signal
import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.lab import lifecycle, namespace, network, supervise
from appliance.lab.http import HttpTarget, NoAnswerError, get
from appliance.lab.lifecycle import wait_for
from appliance.lab.place import LabError, Place, write_state
from appliance.lab.program import is_running, read_running
from appliance.lab.router import configurations
from appliance.lab.topology import BACKEND_PORT, plan
from tests.lab.conftest import MakePlace

DEADLINE_SECONDS = 60.0


def quiet(_text: str) -> None:
    """Say nothing."""


async def answers(place: Place, client: str, address: str) -> bool:
    """Whether a backend answers a client on its own address."""
    try:
        await get(HttpTarget(place.namespace(client), ip_address(address), BACKEND_PORT), 0.3)
    except NoAnswerError:
        return False
    return True


async def eventually(place: Place, client: str, address: str, answered: bool) -> None:
    """Wait until a backend answers, or no longer does."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await answers(place, client, address) is not answered:  # each question has its own timeout
            continue


async def restarted(place: Place, key: str, pid: int) -> None:
    """Wait until a program runs as another process."""

    def holds() -> bool:
        return is_running(place.directory, key) and read_running(place.directory)[key].pid != pid

    await wait_for(holds, DEADLINE_SECONDS, f"{key} to be back")


async def test_a_lab_leaves_nothing_behind(make_place: MakePlace) -> None:
    """Namespaces, processes and files are gone, also when the supervisor had been killed and a program stopped."""
    place = make_place("n")
    topology = await lifecycle.up(place, 2, quiet)
    names = [place.namespace(machine) for machine in topology.machines]
    assert len(namespace.existing(names)) == len(names)
    pids = [running.pid for running in read_running(place.directory).values()]
    namespace.kill(pids[0], signal.SIGSTOP)
    supervisor = supervise.find(place.directory)
    assert supervisor is not None
    namespace.kill(supervisor)
    assert await lifecycle.down(place)
    assert namespace.existing(names) == ()
    assert not place.directory.exists()
    await wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), DEADLINE_SECONDS, "init to reap")
    assert not await lifecycle.down(place)


async def test_a_crash_while_a_lab_is_made_leaves_nothing_behind(make_place: MakePlace) -> None:
    """What is there is removed by what was written down, though it was never finished."""
    place = make_place("c")
    topology = plan(1)
    names = [place.namespace(machine) for machine in topology.machines]
    write_state(place, 1, names)
    for name in names[:3]:
        namespace.create(name)
    with pytest.raises(LabError, match="down"):
        await lifecycle.up(place, 1, quiet)
    assert await lifecycle.down(place)
    assert namespace.existing(names) == ()


async def test_a_foreign_namespace_is_left_alone(make_place: MakePlace) -> None:
    """A lab whose name is taken does not start, and touches nothing."""
    place = make_place("f")
    foreign = place.namespace("client")
    namespace.create(foreign)
    try:
        with pytest.raises(LabError, match=foreign):
            await lifecycle.up(place, 1, quiet)
        assert not place.directory.exists()
        assert namespace.existing([foreign]) == (foreign,)
    finally:
        namespace.remove(foreign)


async def test_both_families_reach_the_backends(make_place: MakePlace) -> None:
    """From the LAN and from behind the router, in two labs side by side, and not from a host that is cut off."""
    place, other = make_place("a"), make_place("b")
    await lifecycle.up(place, 1, quiet)
    await lifecycle.up(other, 1, quiet)
    for lab in (place, other):
        for client in ("client", "remote"):
            await eventually(lab, client, "10.244.1.2", answered=True)
            await eventually(lab, client, "2001:db8:244:1::3", answered=True)
    await lifecycle.plug(place, "node-a", False)
    assert not await network.is_plugged(place, "node-a")
    await eventually(place, "remote", "10.244.1.2", answered=False)
    await eventually(other, "remote", "10.244.1.2", answered=True)
    await lifecycle.plug(place, "node-a", True)
    await eventually(place, "remote", "10.244.1.2", answered=True)


async def test_a_killed_program_is_back(make_place: MakePlace) -> None:
    """Again and again; a new supervisor adopts what the dead one left running."""
    place = make_place("k")
    await lifecycle.up(place, 1, quiet)
    for _ in range(3):
        killed = lifecycle.kill_program(place, "router", "bird")
        await restarted(place, "router/bird", killed.pid)
    supervisor = supervise.find(place.directory)
    assert supervisor is not None
    namespace.kill(supervisor)
    await wait_for(lambda: supervise.find(place.directory) is None, DEADLINE_SECONDS, "the supervisor to end")
    before = read_running(place.directory)["router/bird"]
    assert before.is_alive()
    supervise.ensure(place.directory)
    await wait_for(lambda: supervise.find(place.directory) is not None, DEADLINE_SECONDS, "a supervisor")
    assert read_running(place.directory)["router/bird"] == before
    killed = lifecycle.kill_program(place, "router", "bird")
    await restarted(place, "router/bird", killed.pid)


async def test_a_program_can_stand_still(make_place: MakePlace) -> None:
    """The supervisor does not start what is not wanted; what is restarted is back at once."""
    place = make_place("s")
    await lifecycle.up(place, 1, quiet)
    before = read_running(place.directory)["node-a/forwarder"]
    again = await lifecycle.restart_program(place, "node-a", "forwarder")
    assert (before.is_alive(), again.is_alive()) == (False, True)
    await lifecycle.set_wanted(place, "node-a-1", "echo", False)
    assert not is_running(place.directory, "node-a-1/echo")
    with pytest.raises(LabError, match="does not run"):
        lifecycle.kill_program(place, "node-a-1", "echo")
    with pytest.raises(LabError, match="it runs echo"):
        await lifecycle.set_wanted(place, "node-a-1", "agent", False)
    await lifecycle.set_wanted(place, "node-a-1", "echo", True)
    assert is_running(place.directory, "node-a-1/echo")


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda place: lifecycle.kill_program(place, "node-a", "nginx"), "it runs agent, bird, forwarder"),
        (lambda place: lifecycle.kill_program(place, "nowhere", "agent"), "nowhere runs no agent"),
    ],
)
async def test_a_program_that_is_not_there_is_named(
    make_place: MakePlace, ask: Callable[[Place], object], sentence: str
) -> None:
    """With those that are."""
    place = make_place("u")
    await lifecycle.up(place, 1, quiet)
    with pytest.raises(LabError, match=sentence):
        ask(place)


@pytest.mark.parametrize("hosts", [1, 3, 26])
def test_bird_accepts_every_configuration(tmp_path: Path, hosts: int) -> None:
    """The router's and the hosts' first one."""
    for machine, text in configurations(plan(hosts)).items():
        path = tmp_path / f"{machine}.conf"
        path.write_text(text)
        subprocess.run(("bird", "-p", "-c", str(path)), check=True, capture_output=True)
