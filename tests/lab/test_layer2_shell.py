"""The shell around the layer-2 core on a real interface: what the neighbours hear, what the agent keeps and says."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
from typing import cast

import pytest

from appliance.agent.layer2 import Layer2Shell, carrying_links
from appliance.control.event import Events
from appliance.control.message import HostEvent
from appliance.host.link import LinkMonitor
from appliance.l2.event import Plan, VipPlan
from appliance.l2.machine import Layer2Machine
from appliance.l2.settings import Layer2Settings
from tests.lab.test_host import PATIENCE_SECONDS, ip, namespace

__all__ = ["namespace"]

VIP = ip_address("192.0.2.240")
PLAN = Plan(me="node-a", vips={VIP: VipPlan(VIP, ("node-a",))})


class Site:
    """A shell at work, and what it said."""

    def __init__(self) -> None:
        self.events = Events()
        self._told = asyncio.Event()
        self.counted: list[int] = []
        self.shell = Layer2Shell(
            Layer2Machine(Layer2Settings(quiet_link_seconds=0.2)),
            self.events,
            lambda *_: self._told.set(),
            on_traffic=self._count,
            traffic_seconds=0.1,
        )

    def _count(self) -> None:
        self.counted.append(self.shell.frames)
        self._told.set()

    async def start(self, plan: Plan = PLAN) -> None:
        """Speak on all links of the namespace, by a plan."""
        table = await LinkMonitor().read()
        async with asyncio.timeout(PATIENCE_SECONDS):
            # The kernel tells of a carrier a moment after both ends are up.
            while not any(link.name == "near" and link.up for link in table.links):
                await asyncio.sleep(0.02)
                table = await LinkMonitor().read()
        self.shell.take_links(table.links, carrying_links(table.links, ("near",), table.gateways))
        self.shell.take_plan(plan, None)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds after one of the shell's changes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                self._told.clear()
                await self._told.wait()

    def said(self) -> list[tuple[str, str, str]]:
        """The events so far: what, to whom, why."""
        keys = self.events.table.keys() or ()
        told = [cast(HostEvent, self.events.table.read(key)) for key in keys]
        return [(event.event, event.subject, event.reason) for event in told]


@pytest.fixture
async def site(namespace: str) -> AsyncIterator[Site]:  # the fixture of the other module
    """A shell that is closed in the end."""
    made = Site()
    yield made
    made.shell.close()


def far(namespace: str, *words: str) -> str:
    """Run a command on the far end."""
    done = subprocess.run(["ip", "netns", "exec", namespace, *words], check=False, capture_output=True, text=True)
    return done.stdout


async def test_a_claim_is_kept_said_and_heard(site: Site, namespace: str) -> None:
    """The neighbour's table leads here without a question."""
    far(namespace, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/far/arp_accept")
    await site.start()
    await site.until(lambda: site.shell.owned == {VIP})
    answer = await asyncio.to_thread(far, namespace, "arping", "-f", "-w", "60", "-I", "far", str(VIP))
    assert "Unicast reply from 192.0.2.240" in answer
    assert site.said()[0] == ("vip_moved", "192.0.2.240", "probed the address, nobody answered")
    assert "192.0.2.240" in far(namespace, "ip", "neigh", "show", "dev", "far")


async def test_frames_are_counted_while_they_come(site: Site, namespace: str) -> None:
    """Some time after the first of them, once for all that came until then."""
    await site.start()
    for _ in range(2):
        before = site.counted[-1] if site.counted else 0
        await asyncio.to_thread(far, namespace, "arping", "-c", "1", "-w", "2", "-I", "far", "192.0.2.9")
        await site.until(lambda: bool(site.counted) and site.counted[-1] > before)  # noqa: B023  over before the next


async def test_a_foreign_answer_is_kept_since_when_and_said_once(site: Site, namespace: str) -> None:
    """Its hardware address, the interface, and a moment that operators can read."""
    await site.start()
    await site.until(lambda: site.shell.owned == {VIP})
    ip("-n", namespace, "address", "add", f"{VIP}/32", "dev", "far")
    await asyncio.to_thread(far, namespace, "arping", "-U", "-c", "2", "-w", "3", "-I", "far", str(VIP))
    await site.until(lambda: bool(site.shell.conflicts))
    seen = site.shell.conflicts[VIP]
    assert (seen.address, seen.interface, seen.since[:2]) == (VIP, "near", "20")
    assert [event for event, _, _ in site.said()].count("conflict_seen") == 1


async def test_a_vip_that_is_planned_no_more_is_released(site: Site) -> None:
    """It is owned no longer, and that is said."""
    await site.start()
    await site.until(lambda: site.shell.owned == {VIP})
    site.shell.take_plan(Plan(me="node-a"), frozenset({VIP}))
    assert (site.shell.owned, site.said()[-1][:2]) == (set(), ("vip_released", "192.0.2.240"))


async def test_who_leaves_alone_is_not_held_up(site: Site) -> None:
    """Nobody takes over, and waiting would help nobody."""
    await site.start()
    await site.until(lambda: site.shell.owned == {VIP})
    clock = asyncio.get_running_loop().time
    began = clock()
    await site.shell.leave(PATIENCE_SECONDS)
    assert clock() - began < PATIENCE_SECONDS / 2
