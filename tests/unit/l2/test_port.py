"""The frames a host sends, byte for byte in meaning."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

import pytest

from appliance.l2 import port
from appliance.l2.plan import Interface
from appliance.l2.sighting import Claim, Probe, Question, read
from appliance.wire import arp, ethernet, ndp
from appliance.wire.arp import Arp, Operation
from appliance.wire.ethernet import BROADCAST, EtherType, Frame
from appliance.wire.ndp import Advertisement, Solicitation

OWN, ASKER = bytes.fromhex("02000000000b"), bytes.fromhex("020000000064")
V4, V6 = IPv4Address("192.168.1.240"), IPv6Address("2001:db8:1::f0")
CLIENT4, CLIENT6 = IPv4Address("192.168.1.100"), IPv6Address("2001:db8:1::100")
ALL_NODES = bytes.fromhex("333300000001")
GROUP = bytes.fromhex("3333ff0000f0")
ADDRESSES = (ip_interface("192.168.1.11/24"), ip_interface("fe80::b/64"), ip_interface("2001:db8:1::11/64"))
ETH0 = Interface("eth0", OWN, True, ADDRESSES)
BARE = Interface("eth1", OWN, True)


def take_apart(content: bytes) -> tuple[bytes, object]:
    """A frame's destination and what is in it."""
    frame = ethernet.split(content)
    assert isinstance(frame, Frame)
    assert frame.source == OWN
    is_arp = frame.ethertype is EtherType.ARP
    return frame.destination, arp.decode(frame.payload) if is_arp else ndp.decode(frame.payload)


def test_answers() -> None:
    """A question is answered to the asker alone; a DAD probe, which has no source, to all nodes."""
    answered: dict[Question | Probe, tuple[bytes, object]] = {
        Question(V4, CLIENT4, ASKER, False): (ASKER, Arp(Operation.REPLY, OWN, V4, ASKER, CLIENT4)),
        Probe(V4, ASKER): (ASKER, Arp(Operation.REPLY, OWN, V4, ASKER, arp.UNSPECIFIED)),
        Question(V6, CLIENT6, ASKER, False): (
            ASKER,
            Advertisement(V6, CLIENT6, V6, OWN, solicited=True, override=True),
        ),
        Probe(V6, ASKER): (ALL_NODES, Advertisement(V6, ndp.ALL_NODES, V6, OWN, override=True)),
    }
    assert {asked: take_apart(port.answer(ETH0, asked)) for asked in answered} == answered


def test_announcements() -> None:
    """IPv4: the request form and the reply form with target = sender; IPv6: Override set, Solicited clear."""
    assert [take_apart(frame) for frame in port.announcements(ETH0, V4)] == [
        (BROADCAST, Arp(Operation.REQUEST, OWN, V4, bytes(6), V4)),
        (BROADCAST, Arp(Operation.REPLY, OWN, V4, OWN, V4)),
    ]
    assert [take_apart(frame) for frame in port.announcements(ETH0, V6)] == [
        (ALL_NODES, Advertisement(V6, ndp.ALL_NODES, V6, OWN, override=True))
    ]


def test_probes() -> None:
    """A probe claims nothing: no sender address, no source address."""
    assert take_apart(port.probe(ETH0, V4)) == (
        BROADCAST,
        Arp(Operation.REQUEST, OWN, arp.UNSPECIFIED, bytes(6), V4),
    )
    assert take_apart(port.probe(ETH0, V6)) == (
        GROUP,
        Solicitation(ndp.UNSPECIFIED, ndp.solicited_node(V6), V6, nonce=OWN),
    )


def test_questions() -> None:
    """A question comes from our address on the target's subnet; without any address it is a probe."""
    source4, source6 = IPv4Address("192.168.1.11"), IPv6Address("2001:db8:1::11")
    assert take_apart(port.question(ETH0, V4)) == (BROADCAST, Arp(Operation.REQUEST, OWN, source4, OWN, V4))
    assert take_apart(port.question(ETH0, V6)) == (
        GROUP,
        Solicitation(source6, ndp.solicited_node(V6), V6, OWN, OWN),
    )
    assert port.question(BARE, V4) == port.probe(BARE, V4)
    assert port.question(BARE, V6) == port.probe(BARE, V6)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.168.1.12", True),
        ("192.168.1.11", False),
        ("192.168.2.12", False),
        ("2001:db8:1::12", True),
        ("fe80::c", False),
    ],
)
def test_shared_subnet(address: str, expected: bool) -> None:
    """A fellow's address is on our subnet unless it is our own, or link-local, which every link has."""
    assert port.shares_subnet(ETH0, ip_address(address)) is expected


def test_frames_are_read_as_what_they_are_sent_as() -> None:
    """Another host's core understands each of our frames."""
    other = bytes.fromhex("02000000000c")
    frames = [port.question(ETH0, V4), port.question(ETH0, V6), port.probe(ETH0, V4), port.probe(ETH0, V6)]
    assert [read(frame, other) for frame in frames] == [
        Question(V4, IPv4Address("192.168.1.11"), OWN, True),
        Question(V6, IPv6Address("2001:db8:1::11"), OWN, True),
        Probe(V4, OWN),
        Probe(V6, OWN),
    ]
    announced = [*port.announcements(ETH0, V4), *port.announcements(ETH0, V6)]
    assert [read(frame, other) for frame in announced] == [Claim(V4, OWN), Claim(V4, OWN), Claim(V6, OWN)]
