"""The agent's shell around BIRD, with a real BIRD in a network namespace."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from time import monotonic

import pytest

from appliance.agent.bgp import BgpShell
from appliance.bird.model import BirdConfig
from appliance.bird.moment import is_same_moment
from appliance.bird.render import render
from appliance.bird.reply import Status
from appliance.control.event import EventKind, Events
from appliance.control.message import HostEvent
from tests.lab.birdsite import HOST_A, ONE, ROUTER, SESSION, SIX, Daemon, established_since, is_past, missing, up
from tests.lab.interposed import Interposed

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "the lab can run")

DEADLINE_SECONDS = 60.0
OTHER = replace(HOST_A, announcements=(replace(ONE, prefix=ip_network("10.0.100.9/32")),))


@dataclass
class Watched:
    """A shell that runs, and what it told."""

    shell: BgpShell
    changed: asyncio.Event
    events: Events

    async def until(self, condition: Callable[[BgpShell], bool], what: str) -> None:
        """Wait, looking only when the shell says that something changed, until a condition holds."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not condition(self.shell):
                    await self.changed.wait()
                    self.changed.clear()
        except TimeoutError:
            raise AssertionError(f"not within {DEADLINE_SECONDS:g} s: {what}") from None

    @property
    def states(self) -> dict[str, str]:
        """The state of each BGP session."""
        return {session.name: session.state for session in self.shell.bgp_sessions}


@asynccontextmanager
async def running(daemon: Daemon, birdcl: str = "birdcl") -> AsyncIterator[Watched]:
    """A shell at work on a BIRD."""
    changed, events = asyncio.Event(), Events()
    shell = BgpShell(daemon.client(birdcl=birdcl), events, changed.set)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(shell.run(), name="bird")
        try:
            yield Watched(shell, changed, events)
        finally:
            task.cancel()


async def eventually(condition: Callable[[], bool], what: str) -> None:
    """Poll until a condition holds while the shell goes on."""
    deadline = monotonic() + DEADLINE_SECONDS
    while not condition():
        if monotonic() > deadline:
            raise AssertionError(f"not within {DEADLINE_SECONDS:g} s: {what}")
        await asyncio.sleep(0.02)


def happened(events: Events) -> list[HostEvent]:
    """Every event so far."""
    found = (events.table.read(key) for key in events.table.keys() or ())
    return [event for event in found if isinstance(event, HostEvent)]


def has_session(daemon: Daemon) -> bool:
    """Whether BIRD runs the configuration of the tests, and not an empty one."""
    return "bgp_tor_router" in daemon.ask("show", "protocols")


def has_route(daemon: Daemon, prefix: str) -> bool:
    """Whether a route has arrived."""
    return prefix in daemon.ask("show", "route")


async def configured(watched: Watched, daemon: Daemon) -> None:
    """Have BIRD take the configuration of the tests, long enough ago for another one to be told apart from it."""
    watched.shell.take(HOST_A)
    await eventually(partial(has_session, daemon), "BIRD is configured")
    told = await read_status(daemon)
    await eventually(partial(is_past, told.reconfigured, 0.2), "some time has passed")


async def read_status(daemon: Daemon) -> Status:
    """What BIRD says of itself."""
    told = (await daemon.client().read()).status
    assert told is not None
    return told


async def test_sessions_are_told_as_they_change(birds: dict[str, Daemon]) -> None:
    """Up, then down with BIRD's reason."""
    birds["r"].start()
    async with running(birds["a"]) as watched:
        watched.shell.take(HOST_A)
        await watched.until(lambda _: watched.states == {"tor-router": "Established"}, "the session is up")
        # A router that closes while routes are on their way to it resets the connection, and its word may be lost.
        for prefix in (str(ONE.prefix), str(SIX.prefix)):
            await eventually(partial(has_route, birds["r"], prefix), f"{prefix} arrives")
        birds["r"].ask("disable", "host_a")
        await watched.until(lambda _: watched.states != {"tor-router": "Established"}, "the session is down")

        assert watched.shell.bgp_sessions[0].message == "Received: Administrative shutdown"


async def test_a_session_without_its_bfd_says_so(birds: dict[str, Daemon]) -> None:
    """A router that does not speak BFD leaves the session up, and nobody would notice a dead link for long."""
    birds["r"].config.write_text(ROUTER.replace("bfd on;", ""))
    birds["r"].start()
    async with running(birds["a"]) as watched:
        watched.shell.take(HOST_A)
        await watched.until(lambda _: watched.states == {"tor-router": "Established"}, "the session is up")

        assert watched.shell.bgp_sessions[0].message.startswith("BFD is not up")


async def test_bfd_that_comes_up_after_its_session_is_told(birds: dict[str, Daemon]) -> None:
    """BIRD says nothing of BFD by itself: it is read after what it does tell."""
    birds["r"].start()
    async with running(birds["a"]) as watched:
        watched.shell.take(HOST_A)
        await watched.until(lambda shell: [each.state for each in shell.bfd_sessions] == ["Up"], "BFD is up")
        await watched.until(lambda shell: [each.message for each in shell.bgp_sessions] == [""], "nothing is wrong")


async def test_a_refused_configuration_is_tried_again(birds: dict[str, Daemon], tmp_path: Path) -> None:
    """Whatever made BIRD refuse it, nobody has to change anything for it to be taken later."""
    interposed = Interposed(tmp_path / "interposed")
    interposed.fail("refuse", "configure")
    async with running(birds["a"], str(interposed.program)) as watched:
        watched.shell.take(HOST_A)
        await watched.until(lambda shell: shell.status.refused == "not today", "BIRD refuses")
        interposed.mend()
        await watched.until(lambda shell: not shell.status.refused, "BIRD takes it")

        assert [event.event for event in happened(watched.events)] == [
            EventKind.CONFIGURATION_REFUSED,
            EventKind.CONFIGURATION_APPLIED,
        ]
    assert has_session(birds["a"])


@pytest.mark.parametrize("file", ["new", "whole"])
async def test_a_file_that_cannot_be_written_is_said(birds: dict[str, Daemon], file: str) -> None:
    """The machine's reason stands where BIRD's would, and the file is written once it can be."""
    hidden = birds["a"].config.with_name(f".a.conf.{file}")
    hidden.mkdir()
    async with running(birds["a"]) as watched:
        watched.shell.take(HOST_A)
        await watched.until(lambda shell: "Is a directory" in shell.status.refused, "it cannot be written")
        hidden.rmdir()
        await watched.until(lambda shell: not shell.status.refused, "it is written")

        assert has_session(birds["a"])
        await eventually(lambda: birds["a"].config.read_text() == render(HOST_A), "it is the file")


async def test_configure_by_hand_is_put_right(birds: dict[str, Daemon], tmp_path: Path) -> None:
    """Somebody gives BIRD another file; what was wanted comes back."""
    other = tmp_path / "other.conf"
    other.write_text(render(BirdConfig(router_id=HOST_A.router_id)))
    async with running(birds["a"]) as watched:
        await configured(watched, birds["a"])
        birds["a"].ask("configure", f'"{other}"')
        assert not has_session(birds["a"])

        await eventually(partial(has_session, birds["a"]), "BIRD is as it was configured")


@pytest.mark.parametrize("is_other_file", [False, True], ids=["emptied", "other"])
async def test_a_bird_that_starts_with_something_else_is_put_right(
    birds: dict[str, Daemon], tmp_path: Path, is_other_file: bool
) -> None:
    """Its file was emptied while it was down, or it was started with another one."""
    ours = birds["a"].config
    async with running(birds["a"]) as watched:
        await configured(watched, birds["a"])
        birds["a"].stop()
        if is_other_file:
            birds["a"].config = tmp_path / "other.conf"
        birds["a"].config.write_text(render(BirdConfig(router_id=HOST_A.router_id)))
        birds["a"].start()

        await eventually(partial(has_session, birds["a"]), "BIRD is as it was configured")
        await eventually(lambda: ours.read_text() == render(HOST_A), "the file is as it was written")


async def test_what_is_wanted_while_bird_is_down_is_there_when_it_returns(birds: dict[str, Daemon]) -> None:
    """The file is written without BIRD, and its return is noticed."""
    birds["r"].start()
    async with running(birds["a"]) as watched:
        await configured(watched, birds["a"])
        birds["a"].stop()
        await watched.until(lambda shell: not shell.status.reachable, "BIRD is gone")
        watched.shell.take(OTHER)
        await eventually(lambda: birds["a"].config.read_text() == render(OTHER), "the file is written")
        birds["a"].start()

        await watched.until(lambda shell: shell.status.reachable, "BIRD is back")
        await eventually(partial(has_route, birds["r"], "10.0.100.9/32"), "the route arrives")


async def test_leaving_withdraws_everything(birds: dict[str, Daemon]) -> None:
    """BIRD has taken it when that returns, the session stays, and what is decided later announces nothing."""
    since = await up(birds)
    async with running(birds["a"]) as watched:
        watched.shell.take(HOST_A)
        assert await watched.shell.withdraw(5)
        await eventually(lambda: not has_route(birds["r"], "10.0.100.1/32"), "the route goes")

        watched.shell.take(OTHER)
        await watched.until(lambda _: watched.states == {"tor-router": "Established"}, "the session is known")
        assert birds["a"].config.read_text() == render(replace(HOST_A, announcements=()))
        assert is_same_moment(await established_since(birds["a"]), since)


async def test_leaving_does_not_wait_for_ever(birds: dict[str, Daemon], tmp_path: Path) -> None:
    """A BIRD that does not take it is left as it is."""
    interposed = Interposed(tmp_path / "interposed")
    async with running(birds["a"], str(interposed.program)) as watched:
        await configured(watched, birds["a"])
        interposed.fail("refuse", "configure")

        assert not await watched.shell.withdraw(0.3)


async def test_peers_of_one_name_leave_the_others_alone(birds: dict[str, Daemon]) -> None:
    """Neither can be configured, which is said of them; the third is."""
    twins = (replace(SESSION, name="twin"), replace(SESSION, name="twin", neighbor=ip_address("192.168.1.2")))
    async with running(birds["a"]) as watched:
        watched.shell.take(HOST_A)
        watched.shell.take(replace(HOST_A, sessions=(*twins, SESSION)))
        await watched.until(lambda shell: shell.status.faults != (), "it is said")

        assert {(fault.session, fault.reason) for fault in watched.shell.status.faults} == {("twin", "name-twice")}
        assert has_session(birds["a"])


async def test_a_peers_own_words_are_nothing_but_words(birds: dict[str, Daemon]) -> None:
    """What a router says as it closes the session can hold the end of a line, and the beginning of another reply."""
    await up(birds)
    async with running(birds["a"]) as watched:
        watched.shell.take(HOST_A)
        await watched.until(lambda _: watched.states == {"tor-router": "Established"}, "the session is up")
        birds["r"].ask("disable", "host_a", '"\u20281002-evil BGP --- up now Established\x85bird> "')
        await watched.until(lambda _: watched.states.get("tor-router") != "Established", "the session is down")

        assert watched.states.keys() == {"tor-router"}
        assert all(session.message.isprintable() for session in watched.shell.bgp_sessions)
