"""The frames a host puts on an interface: answers, announcements, probes, questions."""

from ipaddress import IPv4Address, IPv6Address

from appliance.api.address import IPAddress
from appliance.l2.plan import Interface
from appliance.l2.sighting import Probe, Question
from appliance.wire import arp, ndp
from appliance.wire.arp import Arp, Operation
from appliance.wire.ethernet import BROADCAST, NOWHERE, EtherType, Frame, join
from appliance.wire.ndp import Advertisement, Solicitation, multicast_hardware_address, solicited_node


def answer(interface: Interface, asked: Question | Probe) -> bytes:
    """Tell the asker that the address is here; a probe of NDP is answered to all nodes (RFC 4861 section 7.2.4)."""
    own = interface.hardware_address
    if isinstance(asked.target, IPv4Address):
        source = asked.source if isinstance(asked, Question) else arp.UNSPECIFIED
        packet = Arp(Operation.REPLY, own, asked.target, asked.hardware_address, IPv4Address(int(source)))
        return _arp(asked.hardware_address, packet)
    if isinstance(asked, Probe):
        return _announce(interface, asked.target)
    destination = IPv6Address(int(asked.source))
    reply = Advertisement(asked.target, destination, asked.target, own, solicited=True, override=True)
    return _ndp(asked.hardware_address, own, reply)


def announcements(interface: Interface, address: IPAddress) -> tuple[bytes, ...]:
    """Tell everybody: the request form, and the reply form that neighbour tables take even when just refreshed."""
    own = interface.hardware_address
    if isinstance(address, IPv6Address):
        return (_announce(interface, address),)
    request = Arp(Operation.REQUEST, own, address, NOWHERE, address)
    reply = Arp(Operation.REPLY, own, address, own, address)
    return _arp(BROADCAST, request), _arp(BROADCAST, reply)


def probe(interface: Interface, address: IPAddress) -> bytes:
    """Ask whether anybody has an address, without claiming it (RFC 5227 section 2.1.1, RFC 4862 section 5.4.2)."""
    own = interface.hardware_address
    if isinstance(address, IPv4Address):
        return _arp(BROADCAST, Arp(Operation.REQUEST, own, arp.UNSPECIFIED, NOWHERE, address))
    group = solicited_node(address)
    question = Solicitation(ndp.UNSPECIFIED, group, address, nonce=own)
    return _ndp(multicast_hardware_address(group), own, question)


def question(interface: Interface, address: IPAddress) -> bytes:
    """Ask everybody for an address, marked as an agent's; a probe where the interface has no address to ask from."""
    own, source = interface.hardware_address, _source(interface, address)
    if isinstance(address, IPv4Address) and isinstance(source, IPv4Address):
        return _arp(BROADCAST, Arp(Operation.REQUEST, own, source, own, address))
    if isinstance(address, IPv6Address) and isinstance(source, IPv6Address):
        group = solicited_node(address)
        return _ndp(multicast_hardware_address(group), own, Solicitation(source, group, address, own, own))
    return probe(interface, address)


def shares_subnet(interface: Interface, address: IPAddress) -> bool:
    """Whether an address is on a subnet of the interface; link-local addresses tell nothing, so they never are."""
    return not address.is_link_local and any(
        own.version == address.version and not own.ip.is_link_local and own.ip != address and address in own.network
        for own in interface.addresses
    )


def _source(interface: Interface, target: IPAddress) -> IPAddress | None:
    own = [address for address in interface.addresses if address.version == target.version]
    own.sort(key=lambda address: (target not in address.network, address.ip.is_link_local))
    return own[0].ip if own else None


def _announce(interface: Interface, address: IPv6Address) -> bytes:
    own = interface.hardware_address
    advertisement = Advertisement(address, ndp.ALL_NODES, address, own, override=True)
    return _ndp(multicast_hardware_address(ndp.ALL_NODES), own, advertisement)


def _arp(destination: bytes, packet: Arp) -> bytes:
    return join(Frame(destination, packet.sender_hardware_address, EtherType.ARP, arp.encode(packet)))


def _ndp(destination: bytes, own: bytes, message: Solicitation | Advertisement) -> bytes:
    return join(Frame(destination, own, EtherType.IPV6, ndp.encode(message)))
