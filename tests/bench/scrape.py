"""What a scrape costs the loop that answers ARP, with thousands of VIPs that this host owns and announces over BGP.

Costs and turns are milliseconds of the loop's own thread; a turn is what one pass of the loop spends before others get
theirs. Clients are processes of their own. `hostile` is the longest turn while eight scrapers read nothing of what they
asked for, and another process connects as fast as it can and sends nothing.

usage: python -m tests.bench.scrape [--vips NUMBER] [--rounds NUMBER]
"""

import argparse
import asyncio
import json
import logging
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network

import structlog

from appliance.agent.metric import announced_reading, bird_readings, layer2_readings
from appliance.api.address import Family
from appliance.api.meta import Metadata
from appliance.api.pierhead import (
    BGPSession,
    BGPSessionSpec,
    Layer2,
    Route,
    VirtualIP,
    VirtualIPService,
    VirtualIPSpec,
)
from appliance.control.listener import parse_listen_address
from appliance.control.metric import Reading
from appliance.control.scrape import ScrapeServer
from appliance.control.served import ClientLimits
from appliance.daemon.garbage import keep_what_is_there
from appliance.daemon.metric import program_readings
from appliance.desired.decide import Here, decide
from appliance.host.bird import BirdState
from appliance.l2 import frame
from appliance.l2.event import FrameReceived, Interface, LinksChanged, PlanChanged, TimePassed
from appliance.l2.machine import Layer2Machine
from appliance.store.memory import MemoryStore
from tests.bench.control import longest_turn
from tests.bench.figure import Figures, machine, summary
from tests.unit.desired.feed import feed_of

FIRST = ip_address("10.0.0.0")
LINK = Interface(2, "eth0", bytes((2, 0, 0, 0, 0, 11)), up=True, addresses=(ip_interface("192.168.1.11/24"),))
CLIENT = Interface(2, "eth0", bytes((2, 0, 0, 0, 0, 100)), up=True, addresses=(ip_interface("192.168.1.100/24"),))
HERE = Here(name="node-a", router_id=IPv4Address("192.168.1.11"), links=(LINK,))
SETTLED_SECONDS = 60.0
HOSTILE_SECONDS = 3.0
SCRAPE = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as client:
    client.sendall(b"GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    size = lines = 0
    while part := client.recv(1 << 16):
        size, lines = size + len(part), lines + part.count(b"\\n") - part.count(b"# ")
    print(size, lines)
"""
HOSTILE = """
import socket, sys, time
port, kept = int(sys.argv[1]), []
for _ in range(8):
    kept.append(socket.create_connection(("127.0.0.1", port)))
    kept[-1].sendall(b"GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
print("begun", flush=True)
while True:
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", port))
    kept.append(client)
    if len(kept) > 500:
        kept.pop(8).close()
"""


def vip(number: int) -> VirtualIP:
    """A VIP on layer 2 and BGP."""
    address = FIRST + number
    return VirtualIP(
        metadata=Metadata(name=str(address)),
        spec=VirtualIPSpec(
            address=address,
            pool="production",
            services=(VirtualIPService(namespace="default", name=f"service-{number}"),),
            layer2=Layer2(candidates=("node-a",)),
            bgp=(Route(prefix=ip_network(address)),),
        ),
    )


class Host:
    """What an agent holds that owns and announces every VIP."""

    def __init__(self, vips: int) -> None:
        session = BGPSessionSpec(local_asn=1, peer_asn=2, neighbor=ip_address("192.168.1.1"), families=tuple(Family))
        self._feed = feed_of(
            (*map(vip, range(vips)), BGPSession(metadata=Metadata(name="tor"), spec=session)),
        )
        self._desired = decide(self._feed, HERE)
        self._core = Layer2Machine()
        self._core.handle(LinksChanged((LINK,)), 0.0)
        self._core.handle(PlanChanged(self._desired.layer2, None), 0.0)
        now = 0.0
        while (due := self._core.deadline()) is not None and due < SETTLED_SECONDS:
            now = max(now, due)
            self._core.handle(TimePassed(), now)
        keep_what_is_there()
        for address in self._feed.vips:
            self._core.handle(FrameReceived(2, frame.question(CLIENT, address)), now)

        self._owned = {address for address, status in self._core.vips().items() if status.owner == "node-a"}

    def metrics(self) -> Iterator[Reading]:
        """As an agent tells them."""
        yield from program_readings("1", is_ready=True, store=MemoryStore())
        yield from layer2_readings(self._core, self._owned, {}, {"eth0": False}, 0)
        yield from bird_readings(self._desired.bird, BirdState(), Counter(), is_refused=False, faults=())
        yield announced_reading("node-a", self._feed.vips, self._desired, self._core)


async def measure(vips: int, rounds: int) -> Figures:
    """All figures."""
    figures: Figures = defaultdict(list)
    host = Host(vips)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    limits = ClientLimits(connections_max=8, stall_seconds=1.0)
    server = ScrapeServer(parse_listen_address(f"127.0.0.1:{port}"), "metrics", host.metrics, limits=limits)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.run(), name="metrics")
        await asyncio.sleep(0.1)
        for _ in range(rounds):
            figures["nobody_longest_turn"].append(await longest_turn(lambda: asyncio.sleep(1.0)))
            began, cpu = time.monotonic(), time.thread_time()
            size, lines = await _scraped(port)
            figures["scrape_cost"].append(1000 * (time.thread_time() - cpu))
            figures["scrape_until_read"].append(1000 * (time.monotonic() - began))
            figures["scrape_bytes"].append(size)
            figures["scrape_lines"].append(lines)
            figures["scrape_longest_turn"].append(await longest_turn(lambda: _until_scraped(port)))
            figures["hostile_longest_turn"].append(await longest_turn(lambda: _hostile(port)))
            await asyncio.sleep(2 * limits.stall_seconds)
        serving.cancel()
    return figures


async def _scraped(port: int) -> tuple[int, int]:
    asking = await asyncio.create_subprocess_exec(sys.executable, "-c", SCRAPE, str(port), stdout=subprocess.PIPE)
    told, _ = await asking.communicate()
    size, lines = told.split()
    return int(size), int(lines)


async def _until_scraped(port: int) -> None:
    await _scraped(port)


async def _hostile(port: int) -> None:
    attacking = await asyncio.create_subprocess_exec(sys.executable, "-c", HOSTILE, str(port), stdout=subprocess.PIPE)
    if attacking.stdout is not None:
        await attacking.stdout.readline()
    await asyncio.sleep(HOSTILE_SECONDS)
    attacking.kill()
    await attacking.communicate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vips", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=4)
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    seen = asyncio.run(measure(asked.vips, asked.rounds))
    report = {figure: summary(taken) for figure, taken in seen.items()}
    print(json.dumps({"machine": machine(), "vips": asked.vips, "milliseconds": report}, indent=2))
