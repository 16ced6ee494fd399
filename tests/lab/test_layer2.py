"""What the layer-2 core relies on of other machines' kernels, against a real one in a namespace of the test's own."""

import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from ipaddress import ip_address, ip_interface
from typing import NamedTuple

import pytest
from pyroute2 import netns

from appliance.api.address import IPAddress
from appliance.l2 import frame
from appliance.l2.event import Interface
from appliance.l2.frame import Claim, read

OWN, FAR = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
ADDRESSES = (ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64"))
NEAR = Interface(2, "near", OWN, True, ADDRESSES)
FAR_ADDRESSES = (ip_address("192.0.2.2"), ip_address("2001:db8::2"))
VIPS = (ip_address("192.0.2.77"), ip_address("2001:db8::77"))
PATIENCE_SECONDS = 30.0


def ip(*words: str) -> str:
    """Run iproute2's `ip` where the test stands."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


class Cable(NamedTuple):
    """The near end of a cable as a packet socket; at the far end is another machine's kernel, in a namespace."""

    near: socket.socket
    far: str


@pytest.fixture
def cable() -> Iterator[Cable]:
    """A cable that is up."""
    name = f"phl2-{uuid.uuid4().hex[:8]}"
    far = f"{name}-far"
    for each in (name, far):
        netns.create(each)
    netns.pushns(name)
    try:
        ip("link", "add", "near", "address", OWN.hex(":"), "type", "veth", "peer", "name", "far", "netns", far)
        ip("-n", far, "link", "set", "far", "address", FAR.hex(":"))
        for where, device, number in ((name, "near", 1), (far, "far", 2)):
            ip("-n", where, "address", "add", f"192.0.2.{number}/24", "dev", device)
            ip("-n", where, "address", "add", f"2001:db8::{number}/64", "dev", device, "nodad")
            ip("-n", where, "link", "set", device, "up")
        _until_up()
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as opened:
            opened.bind(("near", 0))
            opened.settimeout(0.2)
            yield Cable(opened, far)
    finally:
        netns.popns()
        for each in (name, far):
            netns.remove(each)


def _until_up() -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while "state UP" not in ip("-o", "link", "show", "near"):
        assert time.monotonic() < end, "the cable does not come up"


def reply(cable: Cable, asked: bytes, address: IPAddress) -> Claim:
    """The reply to a question, which is asked again while it is not answered: a cable just plugged in loses some."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        cable.near.send(asked)
        try:
            while True:
                message = read(cable.near.recv(2048), OWN)
                if isinstance(message, Claim) and message.address == address and message.is_reply:
                    return message
        except TimeoutError:
            continue
    raise AssertionError(f"nobody answered for {address}")


@pytest.mark.parametrize("address", FAR_ADDRESSES, ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("to", [None, FAR], ids=["everybody", "one"])
def test_a_kernel_answers_a_question_to_it_alone(cable: Cable, address: IPAddress, to: bytes | None) -> None:
    """Also where an IPv6 question to a group comes to its own hardware address (RFC 6085)."""
    assert reply(cable, frame.question(NEAR, address, to), address) == Claim(address, FAR, is_reply=True)


@pytest.mark.parametrize("vip", VIPS, ids=["ipv4", "ipv6"])
def test_a_release_changes_no_neighbour_table(cable: Cable, vip: IPAddress) -> None:
    """An announcement does, so it would have been noticed."""
    held = ("lladdr", "02:00:00:00:00:77", "dev", "far")
    ip("-n", cable.far, "neighbour", "replace", str(vip), *held, "nud", "reachable")
    before = entry_of(cable, vip)
    cable.near.send(frame.release(NEAR, vip))
    own = FAR_ADDRESSES[VIPS.index(vip)]
    reply(cable, frame.question(NEAR, own), own)  # what was sent before this was read before this
    assert (entry_of(cable, vip), "02:00:00:00:00:77" in before) == (before, True)
    for content in frame.announcements(NEAR, vip):
        cable.near.send(content)
    reply(cable, frame.question(NEAR, own), own)
    assert OWN.hex(":") in entry_of(cable, vip)


def entry_of(cable: Cable, vip: IPAddress) -> str:
    """What the other machine's kernel knows of an address."""
    return ip("-n", cable.far, "neighbour", "show", str(vip))
