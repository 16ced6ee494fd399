"""A layer-2 core with a clock, beside one other host, and a client."""

from ipaddress import IPv4Address, IPv6Address, ip_interface

from appliance.api.address import IPAddress
from appliance.l2 import frame
from appliance.l2.event import (
    Command,
    Event,
    FrameReceived,
    HostPlan,
    Interface,
    LinksChanged,
    Plan,
    PlanChanged,
    Role,
    SendFrame,
    TimePassed,
    VipPlan,
    VipStatus,
)
from appliance.l2.frame import Claim, Message, Probe, Question, Release, read
from appliance.l2.machine import Layer2Machine

VIP, VIP6 = IPv4Address("192.168.1.240"), IPv6Address("2001:db8:1::f0")
INSIDE = IPv4Address("10.1.0.240")
NOBODY = bytes.fromhex("020000000000")


ETH0, ETH1 = 2, 3


def interface(index: int, number: int, *, up: bool = True) -> Interface:
    """The interface of a host by its number, on the LAN (eth0) or inside (eth1)."""
    texts = {ETH0: (f"192.168.1.{number}/24", f"2001:db8:1::{number}/64"), ETH1: (f"10.1.0.{number}/24",)}[index]
    addresses = tuple(ip_interface(text) for text in texts)
    return Interface(index, f"eth{index - 2}", bytes((2, 0, 0, 0, index, number)), up, addresses)


def host_plan(name: str, number: int, *, draining: bool = False) -> HostPlan:
    """A host with both interfaces."""
    both = [interface(each, number) for each in (ETH0, ETH1)]
    addresses = tuple(address.ip for each in both for address in each.addresses)
    return HostPlan(name, addresses, tuple(each.hardware_address for each in both), draining)


def plan(*vips: VipPlan, draining: bool = False, b_draining: bool = False) -> Plan:
    """Host a's plan, with another host b."""
    return Plan("a", {vip.address: vip for vip in vips}, {"b": host_plan("b", 12, draining=b_draining)}, draining)


A, A1, B, B1 = interface(ETH0, 11), interface(ETH1, 11), interface(ETH0, 12), interface(ETH1, 12)
CLIENT, CLIENT1 = interface(ETH0, 100), interface(ETH1, 100)
Said = list[Message | Command]


class Bench:
    """A core with a clock; frames it sends are told as another station reads them."""

    def __init__(self, *events: Event) -> None:
        self.core, self.now = Layer2Machine(), 0.0
        for event in events:
            self.give(event)

    def give(self, event: Event) -> Said:
        """Hand over an event."""
        return [_understood(each) for each in self.core.handle(event, self.now)]

    def hear(self, *frames: bytes, on: int = ETH0) -> Said:
        """Let frames come in."""
        return [said for content in frames for said in self.give(FrameReceived(on, content))]

    def run(self, seconds: float) -> Said:
        """Let time pass."""
        end, said = self.now + seconds, Said()
        while (moment := self.core.deadline()) is not None and moment <= end:
            self.now = max(self.now, moment)
            said += self.give(TimePassed())
        self.now = end
        return said

    def status(self, vip: IPAddress = VIP) -> VipStatus | None:
        """What the core holds of a VIP."""
        return self.core.vip(vip)

    def role(self, vip: IPAddress = VIP) -> Role | None:
        """Its role alone."""
        status = self.core.vip(vip)
        return status.role if status else None


def _understood(command: Command) -> Message | Command:
    if not isinstance(command, SendFrame):
        return command
    message = read(command.frame, command.frame[:6])
    return message if isinstance(message, Question | Probe | Claim | Release) else command


def messages(said: Said) -> Said:
    """What was sent, without what was told to the shell."""
    return [each for each in said if isinstance(each, Question | Probe | Claim | Release)]


def claims(said: Said) -> list[tuple[IPAddress, bytes]]:
    """Who has what, as was announced or answered."""
    return [(each.address, each.hardware_address) for each in said if isinstance(each, Claim)]


def answers(station: Interface, *vips: IPAddress, to: Interface = A) -> list[bytes]:
    """A host's answers to host a: its kernel's for its own address, its agent's for VIPs."""
    source = to.addresses[0].ip
    asked = [Question(address, source, to.hardware_address, True) for address in (station.addresses[0].ip, *vips)]
    return [frame.answer(station, each) for each in asked]


def connected(*vips: VipPlan) -> Bench:
    """A bench on whose LAN somebody answered: b and a client."""
    bench = Bench(LinksChanged((A,)), PlanChanged(plan(*vips)))
    bench.hear(*answers(B))
    return bench


def owner(*vips: VipPlan) -> Bench:
    """A bench that owns its VIPs."""
    bench = connected(*vips)
    alive(bench, 0.9)
    return bench


def alive(bench: Bench, seconds: float, *vips: IPAddress) -> Said:
    """Let time pass while b answers whatever it is asked for, also for some VIPs."""
    said = Said()
    for _ in range(round(seconds / 0.02)):
        said += bench.run(0.02) + bench.hear(*answers(B, *vips))
    return said


MINE = VipPlan(VIP, ("a", "b"))
MINE6 = VipPlan(VIP6, ("a", "b"))
