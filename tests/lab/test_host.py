"""Links, liveness routes and packets against a real kernel, in a namespace of the test's own."""

import asyncio
import os
import socket
import subprocess
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import TypeVar, cast

import pytest
from pyroute2 import netns

from appliance.host.link import LinkMonitor
from appliance.host.packet import PacketProblem, Packets, open_filtered
from appliance.host.watch import Watches

T = TypeVar("T")
TABLE = 20565
PATIENCE_SECONDS = 60.0
GROUP = bytes.fromhex("3333ff000007")


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
        carries(far)
        yield far
    finally:
        netns.popns()
        for each in (name, far):
            netns.remove(each)


def carries(far: str) -> None:
    """Return once the cable carries frames both ways: the kernel drops what is sent before it has seen both ends up."""
    end = time.monotonic() + PATIENCE_SECONDS
    for words in ((), ("-n", far)):
        device = "far" if words else "near"
        told = ("ip", *words, "-o", "link", "show", device)
        while "state UP" not in subprocess.run(told, check=True, capture_output=True, text=True).stdout:
            assert time.monotonic() < end, f"{device} does not come up"


def question(frame: bytes) -> str:
    """The address that an ARP request asks for; "" for any other frame."""
    is_request = frame[12:14] == bytes.fromhex("0806") and frame[20:22] == bytes.fromhex("0001")
    return socket.inet_ntoa(frame[38:42]) if is_request else ""


def is_filtered(frame: bytes) -> bool:
    """Whether a frame is what the kernel filter lets through: ARP, or a Neighbor Solicitation or Advertisement.

    The far end's kernel sends some of those by itself, at any moment of its first seconds.
    """
    is_ndp = frame[12:14] == bytes.fromhex("86dd") and frame[20] == 58 and frame[54] in (135, 136)
    return frame[12:14] == bytes.fromhex("0806") or is_ndp


def is_member(group: bytes) -> bool:
    """Whether this machine is a member of the group that sends to a multicast hardware address."""
    return f"ff0200000000000000000001{group[2:].hex()}" in Path("/proc/self/net/igmp6").read_text()


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
        async for table in LinkMonitor().watch():
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


class Listener:
    """Packets of this test, with the frames that came in, by interface index."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.lost = asyncio.Event()
        self.packets = Packets(lambda index, frame: self.frames.put_nowait((index, frame)), self.lost.set)

    async def hears(self, far: str, address: str = "192.0.2.77") -> int:
        """The interface by which a question of the far end comes in; the datagram sent before it does not."""
        carries(far)
        send_datagram(far)
        async with asyncio.timeout(PATIENCE_SECONDS):
            asking = await asyncio.create_subprocess_exec(*arping(far, address))
            while True:
                index, frame = await self.frames.get()
                assert is_filtered(frame), frame.hex()
                if question(frame) == address:
                    await asking.wait()
                    return index


def send_datagram(far: str) -> None:
    """Send one to everybody from the far end."""
    netns.pushns(far)
    try:
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    finally:
        netns.popns()
    with sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.sendto(b"x", ("192.0.2.255", 9))


def arping(far: str, address: str, device: str = "far") -> tuple[str, ...]:
    """A command that asks for an address from the far end, once."""
    return ("ip", "netns", "exec", far, "arping", "-q", "-c", "1", "-w", "1", "-I", device, address)


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """Packets that are closed in the end."""
    made = Listener()
    yield made
    made.packets.close()


def index_of(interface: str) -> int:
    """The index of an interface where the test stands."""
    return socket.if_nametoindex(interface)


async def test_arp_comes_in_and_other_traffic_does_not(namespace: str, listener: Listener) -> None:
    """The kernel filter lets through what layer 2 needs and nothing else."""
    near = index_of("near")
    problems = listener.packets.apply({near: frozenset({GROUP})})
    joined = is_member(GROUP)
    assert (problems, joined, await listener.hears(namespace)) == ((), True, near)


async def test_an_interface_made_anew_under_its_name_is_heard(namespace: str, listener: Listener) -> None:
    """A driver that is reloaded, or a bond that is made again, gives the name to another interface."""
    listener.packets.apply({index_of("near"): frozenset()})
    ip("link", "delete", "near")
    ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", namespace)
    ip("-n", namespace, "address", "add", "192.0.2.2/24", "dev", "far")
    for words in ((), ("-n", namespace)):
        ip(*words, "link", "set", "far" if words else "near", "up")
    near = index_of("near")
    listener.packets.apply({near: frozenset()})
    assert await listener.hears(namespace) == near


async def test_an_interface_that_left_and_came_back_is_heard(namespace: str, listener: Listener) -> None:
    """The kernel took its socket away, which is told also where the index is the same afterwards."""
    listener.packets.apply({index_of("near"): frozenset()})
    ip("link", "set", "near", "netns", namespace)
    ip("-n", namespace, "link", "set", "near", "netns", f"/proc/{os.getpid()}/ns/net")
    ip("link", "set", "near", "up")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await listener.lost.wait()
    near = index_of("near")
    listener.packets.apply({near: frozenset()})
    assert await listener.hears(namespace) == near


async def test_an_interface_that_cannot_be_had_keeps_no_other_from_being_heard(
    namespace: str, listener: Listener
) -> None:
    """Those before and after it work, and it is named."""
    near = index_of("near")
    problems = listener.packets.apply({1_000_000: frozenset(), near: frozenset()})
    assert problems == (PacketProblem(1_000_000, "no packet socket: No such device"),)
    assert await listener.hears(namespace) == near


async def test_groups_that_are_refused_leave_arp_alone(namespace: str, listener: Listener) -> None:
    """On a link without IPv6 there is nothing to join; once there is, the next call joins."""
    near, setting = index_of("near"), Path("/proc/sys/net/ipv6/conf/near/disable_ipv6")
    ip("link", "set", "near", "mtu", "1000")  # below IPv6's least: the kernel takes IPv6 off the link
    refused = listener.packets.apply({near: frozenset({GROUP})})
    heard = await listener.hears(namespace)
    ip("link", "set", "near", "mtu", "1500")
    assert setting.exists()
    mended = listener.packets.apply({near: frozenset({GROUP})})
    assert (refused, heard) == ((PacketProblem(near, "IPv6 groups not joined: Invalid argument"),), near)
    assert (mended, is_member(GROUP)) == ((), True)


async def test_a_thousand_groups_are_joined_and_left(namespace: str, listener: Listener) -> None:
    """One socket's option memory does not hold them all."""
    near = index_of("near")
    groups = [bytes.fromhex(f"3333ff{number:06x}") for number in range(1000)]
    problems = listener.packets.apply({near: frozenset(groups)})
    joined = [is_member(group) for group in (groups[0], groups[-1])]
    listener.packets.apply({near: frozenset(groups[:1])})
    left = [is_member(group) for group in (groups[0], groups[-1])]
    assert (problems, joined, left) == ((), [True, True], [True, False])


async def test_what_is_not_ethernet_has_no_hardware_address(namespace: str) -> None:
    """A tunnel's and a port-less bridge's address can be nobody's; a name in any other than ASCII is left out."""
    ip("link", "add", "bridge", "type", "bridge")
    ip("tuntap", "add", "mode", "tun", "name", "tunnel")
    subprocess.run([b"ip", b"link", b"add", b"\xffname", b"type", b"bridge"], check=True)
    table = await LinkMonitor().read()
    found = {link.name: link.hardware_address for link in table.links if link.name in ("bridge", "tunnel", "near")}
    assert (found["tunnel"], found["near"] is None, len(found["bridge"] or b"")) == (None, False, 6)
    assert all(link.name.isascii() for link in table.links)


async def test_what_other_interfaces_say_leaves_the_table_as_it_is(namespace: str) -> None:
    """A port that joins a bridge and leaves it is heard, its bridge's words about it are not taken for its end."""

    async def enslaved() -> AsyncGenerator[bool, None]:
        async for table in LinkMonitor().watch():
            (near,) = (link for link in table.links if link.name == "near")
            yield near.enslaved

    shown = enslaved()
    assert await until(shown, False) is False
    ip("link", "add", "bridge", "type", "bridge")
    ip("link", "set", "near", "master", "bridge")
    assert await until(shown, True) is True
    ip("link", "set", "near", "nomaster")
    assert await until(shown, False) is False
    await shown.aclose()


async def test_the_gateway_is_told_when_it_changes(namespace: str) -> None:
    """A default route that comes or goes while no interface does."""

    async def gateways() -> AsyncGenerator[tuple[str, ...], None]:
        async for table in LinkMonitor().watch():
            yield tuple(map(str, table.gateways))

    shown = gateways()
    assert await until(shown, ()) == ()
    ip("route", "add", "default", "via", "192.0.2.9")
    assert await until(shown, ("192.0.2.9",)) == ("192.0.2.9",)
    ip("route", "replace", "default", "via", "192.0.2.10")
    assert await until(shown, ("192.0.2.10",)) == ("192.0.2.10",)
    ip("route", "del", "default")
    assert await until(shown, ()) == ()
    await shown.aclose()


class Store:
    """A descriptor store, as systemd's: what is kept is another open file of the same socket."""

    def __init__(self) -> None:
        self.files: dict[str, list[int]] = {}

    def keep(self, name: str, descriptor: int) -> None:
        """Keep a copy."""
        self.files.setdefault(name, []).append(os.dup(descriptor))

    def forget(self, name: str) -> None:
        """Close what is kept."""
        for each in self.files.pop(name, []):
            os.close(each)

    def take_kept(self) -> dict[str, tuple[int, ...]]:
        """Copies, as the next run is started with."""
        return {name: tuple(map(os.dup, files)) for name, files in self.files.items()}


async def test_what_came_in_between_two_runs_is_heard(namespace: str) -> None:
    """The second run reads the socket that the first one left, and no question of the time between is lost."""
    store, near = Store(), index_of("near")
    with open_filtered(near) as left:
        store.keep(f"packet-{near}", left.fileno())
    subprocess.run(arping(namespace, "192.0.2.77"), check=False)
    kept = dict(store.files)
    frames: asyncio.Queue[bytes] = asyncio.Queue()
    packets = Packets(lambda _, frame: frames.put_nowait(frame), store=store)
    assert packets.apply({near: frozenset()}) == ()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while question(await frames.get()) != "192.0.2.77":
            continue
    assert (store.files, packets.received > 0) == (kept, True)
    packets.close()
    assert store.files == {}


async def test_a_socket_that_serves_no_link_is_not_taken_up(namespace: str) -> None:
    """Its interface went, or has another number by now."""
    store, near = Store(), index_of("near")
    for name in (f"packet-{near}", "packet-77"):
        with open_filtered(index_of("lo")) as left:
            store.keep(name, left.fileno())
    frames: asyncio.Queue[int] = asyncio.Queue()
    packets = Packets(lambda index, _: frames.put_nowait(index), store=store)
    assert packets.apply({near: frozenset()}) == ()
    assert {name: len(files) for name, files in store.files.items()} == {f"packet-{near}": 1}
    asking = await asyncio.create_subprocess_exec(*arping(namespace, "192.0.2.77"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await frames.get() == near
        await asking.wait()
    packets.close()


async def test_memberships_stay_from_one_run_to_the_next(namespace: str) -> None:
    """No snooping switch hears of a member that leaves; what is not wanted any more ends once the new run knows."""
    store, near, other = Store(), index_of("near"), bytes.fromhex("3333ff000008")
    before = Packets(lambda *_: None, store=store)
    assert before.apply({near: frozenset({GROUP, other})}) == ()
    kept, store.files = store.files, {}
    before.close()
    store.files = kept
    assert (is_member(GROUP), is_member(other)) == (True, True)
    packets = Packets(lambda *_: None, store=store)
    assert packets.apply({near: frozenset()}) == ()
    assert (is_member(GROUP), is_member(other)) == (True, True)
    assert packets.apply({near: frozenset({GROUP})}) == ()
    packets.drop_kept_groups()
    assert (is_member(GROUP), is_member(other)) == (True, False)
    packets.close()
    assert (is_member(GROUP), store.files) == (False, {})


async def test_a_frame_that_nobody_reads_is_seen(namespace: str) -> None:
    """What the watchdog goes by: something waits, and nothing is read."""
    near = index_of("near")
    read = asyncio.Event()
    packets = Packets(lambda *_: read.set())
    silence = "echo 1 > /proc/sys/net/ipv6/conf/far/disable_ipv6"  # its kernel would speak at moments of its own
    subprocess.run(["ip", "netns", "exec", namespace, "sh", "-c", silence], check=True)
    assert packets.apply({near: frozenset()}) == ()
    assert not packets.has_waiting()
    subprocess.run(arping(namespace, "192.0.2.77"), check=False)
    assert packets.has_waiting()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await read.wait()
    assert packets.received >= 1
    assert not packets.has_waiting()
    packets.close()
