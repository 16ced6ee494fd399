"""What the control socket and the feed cost the loop that answers ARP, with thousands of VIPs.

All figures are processor milliseconds, of the loop's own thread where nothing else is said; a turn is what one pass of
the loop spends before others get theirs. Clients are processes of their own.

usage: python -m tests.bench.control [--vips NUMBER] [--rounds NUMBER]
"""

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path

import structlog

from appliance.api.kind import Kind
from appliance.api.meta import Metadata
from appliance.api.pierhead import Layer2, Owner, VirtualIP, VirtualIPService, VirtualIPSpec, VirtualIPStatus
from appliance.control.event import Events
from appliance.control.message import (
    AgentProgram,
    BGPStatus,
    FeedStatus,
    Layer2Status,
    NeighborStatus,
    VirtualIPVerdict,
)
from appliance.control.served import Routes
from appliance.control.server import ControlServer
from appliance.control.topic import Topic, TopicTable, single
from appliance.daemon.cache import FeedCache
from appliance.daemon.feed import FeedChange, SiteFeed
from appliance.desired.feed import Feed, updated
from appliance.l2.event import Reachability, Role
from appliance.store.protocol import Changes
from tests.bench.figure import Figures, machine, summary

HOSTS = 100
KINDS = frozenset({Kind.VIRTUAL_IP})
Measure = Callable[[Callable[[], Awaitable[None]]], Awaitable[float]]
DEADLINE_SECONDS = 60.0
CLIENT = """
import socket, sys
sys.stdin.readline()
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    client.sendall(f"GET {sys.argv[2]} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n".encode())
    while client.recv(1 << 16):
        pass
"""


async def longest_turn(work: Callable[[], Awaitable[None]]) -> float:
    """The longest turn of the loop, in milliseconds of its thread, until the work is done."""
    longest = 0.0

    async def look() -> None:
        nonlocal longest
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, before = max(longest, 1000 * (now - before)), now

    async with asyncio.TaskGroup() as group:
        looking = group.create_task(look(), name="turns")
        await work()
        await asyncio.sleep(0)
        looking.cancel()
    return longest


async def cost(work: Callable[[], Awaitable[None]]) -> float:
    """What the work costs the loop's thread, in milliseconds."""
    began = time.thread_time()
    await work()
    return 1000 * (time.thread_time() - began)


class Program:
    """A program with hosts and VIPs, whose values are made when they are read, as the agent's are."""

    def __init__(self, path: Path, vips: int) -> None:
        first = ip_address("10.0.0.0")
        self.addresses = {str(first + number): first + number for number in range(vips)}
        self.hosts = [f"node-{number}" for number in range(HOSTS)]
        self.reads = 0
        self.path = path
        self.server = ControlServer(
            path,
            Routes(
                topics={
                    Topic.PROGRAM: single(lambda: AgentProgram(host="node-0", version="1")),
                    Topic.FEED: single(lambda: FeedStatus(source="live")),
                    Topic.HOSTS: TopicTable(lambda: self.hosts, self._neighbor),
                    Topic.VIPS: TopicTable(lambda: tuple(self.addresses), self._verdict),
                }
            ),
        )

    def _neighbor(self, name: str) -> NeighborStatus:
        self.reads += 1
        return NeighborStatus(name=name, state=Reachability.FAILED)

    def _verdict(self, key: str) -> VirtualIPVerdict:
        self.reads += 1
        return VirtualIPVerdict(
            address=self.addresses[key],
            pool="production",
            services=("default/echo",),
            layer2=Layer2Status(role=Role.OWNER, reason="the owner was found dead", owner="node-0"),
            bgp=BGPStatus(announced=True, reason="announced", prefixes=(f"{key}/32",), peers=("tor-a", "tor-b")),
        )

    async def until_read(self, number: int) -> None:
        """Wait until so many values were made."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while self.reads < number:  # noqa: ASYNC110  an event at each read would be measured too
                await asyncio.sleep(0.01)


class Client:
    """Somebody who asks and reads, when told to."""

    def __init__(self, path: Path, route: str) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", CLIENT, str(path), route], stdin=subprocess.PIPE)

    def ask(self) -> None:
        """Ask now."""
        assert self._process.stdin
        self._process.stdin.close()

    def close(self) -> None:
        """Be gone."""
        self._process.kill()
        self._process.wait()


async def control(vips: int, rounds: int) -> Figures:
    """The control socket's figures."""
    figures: Figures = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.sock"
        program = Program(path, vips)
        async with program.server.serving():
            began = time.thread_time()
            program.server.publish(Topic.VIPS, program.addresses)
            figures["unwatched_change_of_all_vips_cost"].append(1000 * (time.thread_time() - began))
            for _ in range(rounds):
                for measure in (cost, longest_turn):
                    name = measure.__name__
                    hosts, changed_host = await _watched(program, Topic.HOSTS, HOSTS, "node-1", measure)
                    addresses, changed_vip = await _watched(program, Topic.VIPS, vips, "10.0.0.1", measure)
                    figures[f"hosts_listing_{name}"].append(hosts)
                    figures[f"hosts_change_{name}"].append(changed_host)
                    figures[f"vips_listing_{name}"].append(addresses)
                    figures[f"vips_change_{name}"].append(changed_vip)
                    figures[f"status_{name}"].append(await _status(program, HOSTS + vips, measure))
    return figures


async def _watched(program: Program, topic: Topic, values: int, key: str, measure: Measure) -> tuple[float, float]:
    """A watcher's listing, then one change."""
    watcher, listed = Client(program.path, f"/v1/watch?topics={topic}"), program.reads + values

    async def list_all() -> None:
        watcher.ask()
        await program.until_read(listed)

    async def change() -> None:
        program.server.publish(topic, [key])
        await program.until_read(listed + 1)

    try:
        return await measure(list_all), await measure(change)
    finally:
        watcher.close()


async def _status(program: Program, values: int, measure: Measure) -> float:
    asking, read = Client(program.path, "/v1/status"), program.reads + values

    async def answer() -> None:
        asking.ask()
        await program.until_read(read)

    try:
        return await measure(answer)
    finally:
        asking.close()


def vip(number: int, owner: str, version: int) -> VirtualIP:
    """A VIP as an allocator writes it and its owner marks it."""
    address = ip_address("10.0.0.0") + number
    return VirtualIP(
        metadata=Metadata(name=str(address), resource_version=str(version)),
        spec=VirtualIPSpec(
            address=address,
            pool="production",
            services=(VirtualIPService(namespace="default", name=f"service-{number}"),),
            layer2=Layer2(candidates=("node-a", "node-b", "node-c")),
        ),
        status=VirtualIPStatus(owner=Owner(host=owner)),
    )


class Holder:
    """A program that holds a feed, and its cache."""

    def __init__(self, folder: str) -> None:
        self.feed = Feed()
        self.saved = asyncio.Event()
        cache = FeedCache(Path(folder) / "feed.db")
        self.site = SiteFeed(KINDS, cache, Events(), on_change=self._take, on_saved=self.saved.set)

    async def hear(self, changes: Changes) -> None:
        """Take a batch of a store's as its watch would."""
        if change := await self.site.take(changes):
            self._take(change)

    def _take(self, change: FeedChange) -> None:
        self.feed = updated(self.feed, change.changed, change.removed)


async def feed(vips: int, rounds: int) -> Figures:
    """What the feed costs: its listing, one change of one VIP, and a start without a store."""
    figures: Figures = defaultdict(list)
    for measure in (cost, longest_turn) * rounds:
        with tempfile.TemporaryDirectory() as folder:
            listing = Changes(changed=tuple(vip(index, "node-a", 1) for index in range(vips)), listed=KINDS)
            await _one_feed(figures, Holder(folder), listing, measure)
            began = time.thread_time()
            Holder(folder).site.load()
            figures["load_cost"].append(1000 * (time.thread_time() - began))
    return figures


async def _one_feed(figures: Figures, holder: Holder, listing: Changes, measure: Measure) -> None:
    async with asyncio.TaskGroup() as group:
        saving = group.create_task(holder.site.save_for_ever(), name="cache")
        figures[f"listing_{measure.__name__}"].append(await measure(lambda: holder.hear(listing)))
        await holder.saved.wait()
        for number in range(10):
            change = Changes(changed=(vip(number, "node-b", 2),))
            holder.saved.clear()
            began = time.process_time()
            figures["change_cost"].append(await cost(lambda: holder.hear(change)))  # noqa: B023  awaited here
            await holder.saved.wait()
            figures["change_with_cache_cost"].append(1000 * (time.process_time() - began))
        saving.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vips", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=4)
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    seen = {name: asyncio.run(part(asked.vips, asked.rounds)) for name, part in (("control", control), ("feed", feed))}
    report = {name: {figure: summary(taken) for figure, taken in part.items()} for name, part in seen.items()}
    print(json.dumps({"machine": machine(), "vips": asked.vips, "hosts": HOSTS, "milliseconds": report}, indent=2))
