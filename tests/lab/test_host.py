"""Links, liveness routes and packets against a real kernel, in a namespace of the test's own."""

import asyncio
import subprocess
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import TypeVar, cast

import pytest
from pyroute2 import netns

from appliance.host.link import Links
from appliance.host.packet import Packets
from appliance.host.watch import Watches

T = TypeVar("T")
TABLE = 20565
PATIENCE_SECONDS = 5.0


def ip(*words: str) -> None:
    """Run iproute2's `ip` where the test stands."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    """This test's own network namespace, with a cable `near` - `far` whose far end is in a namespace below it."""
    name = f"phhost-{uuid.uuid4().hex[:8]}"
    far = f"{name}-far"
    for each in (name, far):
        netns.create(each)
    netns.pushns(name)
    try:
        ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far)
        ip("address", "add", "192.0.2.1/24", "dev", "near")
        ip("link", "set", "near", "up")
        ip("-n", far, "address", "add", "192.0.2.2/24", "dev", "far")
        ip("-n", far, "link", "set", "far", "up")
        yield far
    finally:
        netns.popns()
        for each in (name, far):
            netns.remove(each)


async def until(shown: AsyncIterator[T], *wanted: T) -> T:
    """The first item of a watch that is one of those wanted; fails after some seconds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for item in shown:
            if item in wanted:
                return item
    raise AssertionError("the watch ended")


async def test_a_pulled_cable_is_heard(namespace: str) -> None:
    """An interface whose carrier goes is down, and it comes back with its address."""

    async def states() -> AsyncGenerator[tuple[bool, bool], None]:
        async for table in Links().watch():
            (near,) = (link for link in table.links if link.name == "near")
            yield near.up, ip_interface("192.0.2.1/24") in near.addresses

    shown = states()
    assert await until(shown, (True, True)) == (True, True)
    ip("-n", namespace, "link", "set", "far", "down")
    assert await until(shown, (False, True)) == (False, True)
    ip("-n", namespace, "link", "set", "far", "up")
    assert await until(shown, (True, True)) == (True, True)
    await cast(AsyncGenerator[object, None], shown).aclose()


async def test_a_deleted_route_of_the_private_table_is_heard(namespace: str) -> None:
    """Routes of other tables are passed over; both families are heard."""
    shown = Watches(TABLE).watch()
    assert await until(shown, frozenset()) == frozenset()
    ip("route", "add", "198.51.100.7/32", "dev", "near")
    ip("route", "add", "192.0.2.2/32", "dev", "near", "table", str(TABLE))
    assert await until(shown, frozenset({ip_address("192.0.2.2")}))
    ip("-6", "route", "add", "2001:db8::2/128", "dev", "near", "table", str(TABLE))
    assert await until(shown, frozenset({ip_address("192.0.2.2"), ip_address("2001:db8::2")}))
    ip("route", "del", "192.0.2.2/32", "dev", "near", "table", str(TABLE))
    assert await until(shown, frozenset({ip_address("2001:db8::2")}))
    await cast(AsyncGenerator[object, None], shown).aclose()


async def test_arp_comes_in_and_other_traffic_does_not(namespace: str) -> None:
    """The kernel filter lets through what layer 2 needs and nothing else."""
    frames: asyncio.Queue[bytes] = asyncio.Queue()
    packets = Packets(lambda _, frame: frames.put_nowait(frame))
    packets.apply({"near": frozenset({bytes.fromhex("3333ff000007")})})
    groups = Path("/proc/self/net/igmp6").read_text()
    asking = await asyncio.create_subprocess_exec(
        "ip", "netns", "exec", namespace, "arping", "-q", "-c", "1", "-w", "2", "-I", "far", "192.0.2.1"
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        types = {(await frames.get())[12:14].hex()}
        await asking.wait()
    packets.close()
    assert (types, "ff0200000000000000000001ff000007" in groups) == ({"0806"}, True)
