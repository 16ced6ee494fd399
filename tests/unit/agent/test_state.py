"""What an agent remembers over a restart."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import pytest

from appliance.agent.state import AgentState, DrainState, StateFile, forwarded_at_start
from appliance.bird.model import Drain
from appliance.desired.drain import LAST_CHOICE_SECONDS

VIP = ip_address("192.0.2.240")
ROUTER_ID = IPv4Address("192.0.2.11")


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    """The state of a host that never ran."""
    return StateFile(tmp_path / "agent.json", "node-a")


async def restarted(file: StateFile, tmp_path: Path, host: str = "node-a") -> StateFile:
    """The state after it was saved and read again."""
    await file.save()
    return StateFile(tmp_path / "agent.json", host)


async def test_the_state_is_read_again(file: StateFile, tmp_path: Path) -> None:
    """What was saved is what a restart begins with."""
    file.now = replace(file.now, router_id=ROUTER_ID, drain_asked=True, forwarded_in_boot="b")
    assert (await restarted(file, tmp_path)).now == file.now


async def test_a_copied_disk_gives_another_host_nothing(file: StateFile, tmp_path: Path) -> None:
    """Machines made from one image do not share a router ID."""
    file.now = replace(file.now, router_id=ROUTER_ID)
    assert (await restarted(file, tmp_path, host="node-b")).now == AgentState(host="node-b")


def test_a_torn_file_is_passed_over(tmp_path: Path) -> None:
    """The agent starts as on its first day."""
    (tmp_path / "agent.json").write_text('{"host": "node-')
    assert StateFile(tmp_path / "agent.json", "node-a").now == AgentState(host="node-a")


async def test_a_state_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    """Whoever asked hears it, and the next time writes it."""
    (tmp_path / "in-the-way").write_text("")
    file = StateFile(tmp_path / "in-the-way" / "agent.json", "node-a")
    file.now = replace(file.now, drain_asked=True)
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        await file.save()
    (tmp_path / "in-the-way").unlink()
    await file.save()
    assert StateFile(tmp_path / "in-the-way" / "agent.json", "node-a").now == file.now


def test_a_drain_goes_through_its_stages(file: StateFile) -> None:
    """First the routers' last choice, then withdrawn, and back at once."""
    drain = DrainState(file)
    stages = (
        drain.update(False, 10.0),
        drain.update(True, 20.0),
        drain.update(True, 20.0 + LAST_CHOICE_SECONDS),
        drain.update(False, 40.0),
        drain.update(True, 50.0),
    )
    assert stages == (Drain.NONE, Drain.LAST_CHOICE, Drain.WITHDRAWN, Drain.NONE, Drain.LAST_CHOICE)


def test_the_deadline_is_the_end_of_the_last_choice(file: StateFile) -> None:
    """The loop wakes when the stage changes by itself, and only then."""
    drain = DrainState(file)
    drain.update(True, 20.0)
    assert (drain.deadline(21.0), drain.deadline(26.0)) == (20.0 + LAST_CHOICE_SECONDS, None)


def test_a_request_holds_until_the_site_has_it(file: StateFile) -> None:
    """What was asked here wins over a feed that does not know it yet."""
    file.now = replace(file.now, drain_asked=True)
    drain = DrainState(file)
    drain.settle(False)
    asked = drain.update(False, 1.0)
    drain.settle(True)
    assert (asked, file.now.drain_asked, drain.update(True, 2.0)) == (Drain.LAST_CHOICE, None, Drain.LAST_CHOICE)


async def test_a_request_survives_a_restart(file: StateFile, tmp_path: Path) -> None:
    """With the store gone, a restarted agent still knows that it drains."""
    file.now = replace(file.now, drain_asked=True)
    assert DrainState(await restarted(file, tmp_path)).update(False, 1.0) is Drain.LAST_CHOICE


async def test_a_drain_that_was_complete_stays_so_over_a_restart(file: StateFile, tmp_path: Path) -> None:
    """Nothing is announced again, not even as the last choice."""
    drain = DrainState(file)
    drain.update(True, 1.0)
    drain.update(True, 1.0 + LAST_CHOICE_SECONDS)
    assert DrainState(await restarted(file, tmp_path)).update(True, 2.0) is Drain.WITHDRAWN


async def test_a_drain_that_ended_begins_anew(file: StateFile, tmp_path: Path) -> None:
    """The one before counts no more."""
    drain = DrainState(file)
    drain.update(True, 1.0)
    drain.update(True, 1.0 + LAST_CHOICE_SECONDS)
    drain.update(False, 20.0)
    assert DrainState(await restarted(file, tmp_path)).update(True, 2.0) is Drain.LAST_CHOICE


@pytest.mark.parametrize(
    ("expected", "boot", "deliverable"),
    [(False, "other", None), (True, "same", frozenset({VIP})), (True, "other", frozenset())],
)
def test_rules_are_there_until_the_machine_boots_anew(
    expected: bool, boot: str, deliverable: frozenset[object] | None
) -> None:
    """A restarted agent withdraws nothing; a machine that booted announces nothing before its forwarder has rules."""
    state = AgentState(host="node-a", forwarded_in_boot="same")
    assert forwarded_at_start(expected, state, boot, [VIP]) == deliverable
