"""What a frame says, told alike for ARP and NDP: somebody asks, somebody probes, somebody claims."""

from dataclasses import dataclass

from appliance.api.address import IPAddress
from appliance.l2.journal import Ignored
from appliance.wire import arp, ndp
from appliance.wire.arp import Arp, Operation
from appliance.wire.drop import Drop
from appliance.wire.ethernet import EtherType, Frame, split
from appliance.wire.ndp import Advertisement, Solicitation

_GROUP_BIT = 1


@dataclass(frozen=True, slots=True)
class Question:
    """Who has `target`? `by_agent` = marked as an agent's question, which no kernel sends."""

    target: IPAddress
    source: IPAddress
    hardware_address: bytes
    by_agent: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """Does anybody have `target`? I am about to claim it."""

    target: IPAddress
    hardware_address: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """I have `address`: an announcement or an answer."""

    address: IPAddress
    hardware_address: bytes


Sighting = Question | Probe | Claim


def read(content: bytes, own: bytes) -> Sighting | Drop | Ignored:
    """Understand a frame that came to the interface with hardware address `own`."""
    frame = split(content)
    if isinstance(frame, Drop):
        return frame
    if frame.destination != own and not frame.destination[0] & _GROUP_BIT:
        return Ignored.DESTINATION
    seen = _read_arp(frame) if frame.ethertype is EtherType.ARP else _read_ndp(frame)
    if isinstance(seen, Question | Probe | Claim) and seen.hardware_address[0] & _GROUP_BIT:
        return Ignored.SENDER
    return seen


def _read_arp(frame: Frame) -> Sighting | Drop:
    packet = arp.decode(frame.payload)
    match packet:
        case Drop():
            return packet
        case Arp(operation=Operation.REPLY) | Arp(is_announcement=True):
            return Claim(packet.sender_address, packet.sender_hardware_address)
        case Arp(is_probe=True):
            return Probe(packet.target_address, packet.sender_hardware_address)
        case Arp():
            marked = packet.target_hardware_address == packet.sender_hardware_address
            return Question(packet.target_address, packet.sender_address, packet.sender_hardware_address, marked)


def _read_ndp(frame: Frame) -> Sighting | Drop:
    message = ndp.decode(frame.payload)
    match message:
        case Drop():
            return message
        case Advertisement():
            return Claim(message.target, message.target_hardware_address or frame.source)
        case Solicitation(is_probe=True):
            return Probe(message.target, frame.source)
        case Solicitation():
            hardware_address = message.source_hardware_address or frame.source
            return Question(message.target, message.source, hardware_address, message.nonce == hardware_address)
