"""Random and mutated frames: whatever the network sends, a host's layer 2 goes on.

PIERHEAD_FRAMES sets how many frames are sent.
"""

import os
from ipaddress import IPv4Address, IPv6Address, ip_interface
from random import Random

from appliance.l2 import frame
from appliance.l2.event import (
    FrameReceived,
    HostPlan,
    Interface,
    LinksChanged,
    Plan,
    PlanChanged,
    Role,
    RouteFound,
    RouteLost,
    SendFrame,
    TimePassed,
    VipPlan,
)
from appliance.l2.frame import Claim, Ignored, Probe, Question, read
from appliance.l2.machine import Layer2Machine
from appliance.wire.drop import Drop

FRAMES = int(os.environ.get("PIERHEAD_FRAMES", "30000"))
V4, V6, OTHER = IPv4Address("192.168.1.240"), IPv6Address("2001:db8:1::f0"), IPv4Address("192.168.1.241")
LINK = 2


def station(number: int) -> Interface:
    """The interface of somebody on the LAN."""
    addresses = (ip_interface(f"192.168.1.{number}/24"), ip_interface(f"2001:db8:1::{number}/64"))
    return Interface(LINK, "eth0", bytes((2, 0, 0, 0, 0, number)), True, addresses)


A, B, CLIENT, FOREIGN = station(11), station(12), station(100), station(200)
PLAN = Plan(
    "a",
    {
        V4: VipPlan(V4, ("a", "b")),
        V6: VipPlan(V6, ("a", "b")),
        OTHER: VipPlan(OTHER, ("b", "a")),
    },
    {"b": HostPlan("b", tuple(address.ip for address in B.addresses), (B.hardware_address,))},
)


def right_frames() -> list[bytes]:
    """Everything that can be said, by everybody, of every address."""
    frames = []
    for sender in (A, B, CLIENT, FOREIGN):
        for address in (V4, V6, OTHER, *(own.ip for own in (*A.addresses, *B.addresses))):
            asked = Question(address, A.addresses[address.version == 6].ip, A.hardware_address, True)
            frames += [*frame.announcements(sender, address), frame.release(sender, address)]
            frames += [frame.question(sender, address), frame.question(sender, address, A.hardware_address)]
            frames += [frame.probe(sender, address), frame.answer(sender, asked)]
            frames += [frame.answer(sender, Probe(address, A.hardware_address))]
    return frames


def checksum(addresses: bytes, body: bytes) -> int:
    """The right one of an ICMPv6 message (RFC 8200 section 8.1)."""
    words = addresses + len(body).to_bytes(4) + (58).to_bytes(4) + body + bytes(len(body) % 2)
    total = sum(int.from_bytes(words[at : at + 2]) for at in range(0, len(words), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


class Noise:
    """An endless row of frames: right ones, right ones with some bytes changed, cut or grown, and random ones."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._right = right_frames()

    def next(self) -> bytes:
        """One more frame."""
        random = self._random
        kind = random.random()
        if kind < 0.15:
            destination = random.choice((A.hardware_address, b"\xff" * 6, b"\x33\x33\x00\x00\x00\x01"))
            ethertype = random.choice((b"\x08\x06", b"\x86\xdd", b"\x86\xdd", random.randbytes(2)))
            return destination + random.randbytes(6) + ethertype + random.randbytes(random.randrange(100))
        content = bytearray(random.choice(self._right))
        if kind < 0.3:
            return bytes(content)
        for _ in range(random.choice((1, 1, 2, 3, 8))):
            content[random.randrange(len(content))] = random.randrange(256)
        if kind > 0.85:
            content = content[: random.randrange(len(content) + 1)] + random.randbytes(random.choice((0, 0, 8, 30)))
        if kind > 0.5 and content[12:14] == b"\x86\xdd" and len(content) >= 14 + 40 + 8:
            content[56:58] = bytes(2)
            content[56:58] = checksum(bytes(content[22:54]), bytes(content[54:])).to_bytes(2)
        return bytes(content)


def test_noise_raises_nothing_and_stops_nothing() -> None:
    """Afterwards the host still answers for what it owns, and every reason to drop a frame was met."""
    noise, core, now = Noise(FRAMES), Layer2Machine(), 0.0
    core.handle(LinksChanged((A,)), now)
    core.handle(PlanChanged(PLAN), now)
    for number in range(FRAMES):
        commands = core.handle(FrameReceived(LINK if number % 1000 else 99, noise.next()), now)
        assert len(commands) < 50
        if number % 20 == 0:
            now += 0.01
            deadline = core.deadline()
            if deadline is not None and deadline <= now:
                core.handle(TimePassed(), now)
        if number % 5000 == 0:
            core.handle((RouteFound if number % 10000 else RouteLost)("b"), now)
    assert set(core.drops()) == {*Drop, *Ignored}
    core.handle(PlanChanged(Plan("a", {V4: VipPlan(V4, ("a",))})), now)
    alive = frame.answer(CLIENT, Question(CLIENT.addresses[0].ip, A.addresses[0].ip, A.hardware_address, True))
    for _ in range(2000):
        now += 0.1
        core.handle(FrameReceived(LINK, alive), now)
        core.handle(TimePassed(), now)
    status = core.vip(V4)
    assert status is not None
    assert status.role is Role.OWNER
    answered = core.handle(FrameReceived(LINK, frame.question(CLIENT, V4)), now)
    told = [read(each.frame, CLIENT.hardware_address) for each in answered if isinstance(each, SendFrame)]
    assert Claim(V4, A.hardware_address, is_reply=True) in told
