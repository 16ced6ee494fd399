"""What a host says on the wire and what it understands, alike for ARP and NDP.

A question asks who has an address; one of an agent is marked (ARP: the target hardware address is the sender's, NDP:
so is the nonce), which no kernel does. A probe asks without having an address itself (RFC 5227, RFC 4862). A claim is
an announcement or an answer; an answer to this host alone is a reply, which proves that its sender hears this host. A
release says that an owner wants to be rid of an address: in ARP a marked probe, in NDP an advertisement to all nodes
without a hardware address; neighbour caches take nothing from either.
"""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address

from appliance.api.address import IPAddress
from appliance.l2.event import Interface
from appliance.wire import arp, ndp
from appliance.wire.arp import Arp, Operation
from appliance.wire.drop import Drop
from appliance.wire.ethernet import BROADCAST, NOWHERE, EtherType, Frame, join, split
from appliance.wire.ndp import NeighborAdvertisement, NeighborSolicitation, multicast_hardware_address, solicited_node

_GROUP_BIT = 1


class Ignored(Enum):
    """Why a frame that was understood led to nothing."""

    INTERFACE = "from an interface that is not spoken on"
    DESTINATION = "for another hardware address"
    ECHO = "our own frame came back"
    SENDER = "the sender's hardware address is a group"
    NOT_ANSWERED = "asks for an address this host does not answer for"


@dataclass(frozen=True, slots=True)
class Question:
    """Who has `target`?"""

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
    """I have `address`; `is_reply` where it answers a question of this host, to this host alone."""

    address: IPAddress
    hardware_address: bytes
    is_reply: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """I have `address`; whoever is next may claim it; `is_directed`: this host, to which alone it came."""

    address: IPAddress
    hardware_address: bytes
    is_directed: bool = False


Message = Question | Probe | Claim | Release


def read(content: bytes, own: bytes) -> Message | Drop | Ignored:
    """Understand a frame that came to the interface with hardware address `own`."""
    frame = split(content)
    if isinstance(frame, Drop):
        return frame
    if frame.destination != own and not frame.destination[0] & _GROUP_BIT:
        return Ignored.DESTINATION
    message = _read_arp(frame, own) if frame.ethertype is EtherType.ARP else _read_ndp(frame, own)
    if not isinstance(message, Drop) and message.hardware_address[0] & _GROUP_BIT:
        return Ignored.SENDER
    return message


def _read_arp(frame: Frame, own: bytes) -> Message | Drop:
    packet = arp.decode(frame.payload)
    if isinstance(packet, Drop):
        return packet
    sender = packet.sender_hardware_address
    if packet.is_announcement:
        return Claim(packet.sender_address, sender)
    if packet.operation is Operation.REPLY:
        return Claim(packet.sender_address, sender, frame.destination == own == packet.target_hardware_address)
    is_marked = packet.target_hardware_address == sender
    if packet.is_probe:
        if is_marked:
            return Release(packet.target_address, sender, is_directed=not frame.destination[0] & _GROUP_BIT)
        return Probe(packet.target_address, sender)
    return Question(packet.target_address, packet.sender_address, sender, is_marked)


def _read_ndp(frame: Frame, own: bytes) -> Message | Drop:
    message = ndp.decode(frame.payload)
    match message:
        case Drop():
            return message
        case NeighborAdvertisement(target_hardware_address=None, solicited=False, override=False):
            return Release(message.target, frame.source, is_directed=not frame.destination[0] & _GROUP_BIT)
        case NeighborAdvertisement():
            is_reply = message.solicited and frame.destination == own
            return Claim(message.target, message.target_hardware_address or frame.source, is_reply)
        case NeighborSolicitation(is_probe=True):
            return Probe(message.target, frame.source)
        case NeighborSolicitation():
            hardware_address = message.source_hardware_address or frame.source
            return Question(message.target, message.source, hardware_address, message.nonce == hardware_address)


def answer(interface: Interface, asked: Question | Probe) -> bytes:
    """Tell the asker that the address is here; a probe of NDP is answered to all nodes (RFC 4861 section 7.2.4)."""
    own = interface.hardware_address
    if isinstance(asked.target, IPv4Address):
        source = asked.source if isinstance(asked, Question) else arp.UNSPECIFIED
        packet = Arp(Operation.REPLY, own, asked.target, asked.hardware_address, IPv4Address(int(source)))
        return _arp(asked.hardware_address, packet)
    if isinstance(asked, Probe):
        return _announcement6(interface, asked.target)
    destination = IPv6Address(int(asked.source))
    reply = NeighborAdvertisement(asked.target, destination, asked.target, own, solicited=True, override=True)
    return _ndp(asked.hardware_address, own, reply)


def announcements(interface: Interface, address: IPAddress) -> tuple[bytes, ...]:
    """Tell everybody: the request form, and the reply form that neighbour tables take even when just refreshed."""
    own = interface.hardware_address
    if isinstance(address, IPv6Address):
        return (_announcement6(interface, address),)
    request = Arp(Operation.REQUEST, own, address, NOWHERE, address)
    reply = Arp(Operation.REPLY, own, address, own, address)
    return _arp(BROADCAST, request), _arp(BROADCAST, reply)


def release(interface: Interface, address: IPAddress, to: bytes | None = None) -> bytes:
    """Tell the other hosts' agents that the next one may claim an address, or one of them alone that it may.

    It means nothing to anybody else. To one host goes what else all would get (RFC 6085).
    """
    own = interface.hardware_address
    if isinstance(address, IPv4Address):
        return _arp(to or BROADCAST, Arp(Operation.REQUEST, own, arp.UNSPECIFIED, own, address))
    everybody = multicast_hardware_address(ndp.ALL_NODES)
    return _ndp(to or everybody, own, NeighborAdvertisement(address, ndp.ALL_NODES, address))


def probe(interface: Interface, address: IPAddress) -> bytes:
    """Ask whether anybody has an address, without claiming it (RFC 5227 section 2.1.1, RFC 4862 section 5.4.2)."""
    return _probe(interface, address, None)


def question(interface: Interface, address: IPAddress, to: bytes | None = None) -> bytes:
    """Ask for an address, marked as an agent's: everybody, or the one with a hardware address (RFC 6085).

    It is a probe where the interface has no address to ask from.
    """
    own, source = interface.hardware_address, _source(interface, address)
    if isinstance(address, IPv4Address) and isinstance(source, IPv4Address):
        return _arp(to or BROADCAST, Arp(Operation.REQUEST, own, source, own, address))
    if isinstance(address, IPv6Address) and isinstance(source, IPv6Address):
        group = solicited_node(address)
        return _ndp(
            to or multicast_hardware_address(group), own, NeighborSolicitation(source, group, address, own, own)
        )
    return _probe(interface, address, to)


def shares_subnet(interface: Interface, address: IPAddress) -> bool:
    """Whether an address is on a subnet of the interface; link-local addresses tell nothing, so they never are."""
    return not address.is_link_local and any(
        own.version == address.version and not own.ip.is_link_local and own.ip != address and address in own.network
        for own in interface.addresses
    )


def _probe(interface: Interface, address: IPAddress, to: bytes | None) -> bytes:
    own = interface.hardware_address
    if isinstance(address, IPv4Address):
        return _arp(to or BROADCAST, Arp(Operation.REQUEST, own, arp.UNSPECIFIED, NOWHERE, address))
    group = solicited_node(address)
    return _ndp(
        to or multicast_hardware_address(group), own, NeighborSolicitation(ndp.UNSPECIFIED, group, address, nonce=own)
    )


def _source(interface: Interface, target: IPAddress) -> IPAddress | None:
    own = [address for address in interface.addresses if address.version == target.version]
    own.sort(key=lambda address: (target not in address.network, address.ip.is_link_local))
    return own[0].ip if own else None


def _announcement6(interface: Interface, address: IPv6Address) -> bytes:
    own = interface.hardware_address
    advertisement = NeighborAdvertisement(address, ndp.ALL_NODES, address, own, override=True)
    return _ndp(multicast_hardware_address(ndp.ALL_NODES), own, advertisement)


def _arp(destination: bytes, packet: Arp) -> bytes:
    return join(Frame(destination, packet.sender_hardware_address, EtherType.ARP, arp.encode(packet)))


def _ndp(destination: bytes, own: bytes, message: NeighborSolicitation | NeighborAdvertisement) -> bytes:
    return join(Frame(destination, own, EtherType.IPV6, ndp.encode(message)))
