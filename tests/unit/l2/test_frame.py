"""The frames a host sends and understands."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.address import IPAddress
from appliance.l2 import frame
from appliance.l2.event import Interface
from appliance.l2.frame import Claim, Ignored, Message, Probe, Question, Release, read
from appliance.wire import arp, ethernet, ndp
from appliance.wire.arp import Arp, Operation
from appliance.wire.drop import Drop
from appliance.wire.ethernet import BROADCAST, EtherType, Frame, join
from appliance.wire.ndp import NeighborAdvertisement, NeighborSolicitation

OWN, ASKER = bytes.fromhex("02000000000b"), bytes.fromhex("020000000064")
V4, V6 = IPv4Address("192.168.1.240"), IPv6Address("2001:db8:1::f0")
CLIENT4, CLIENT6 = IPv4Address("192.168.1.100"), IPv6Address("2001:db8:1::100")
ALL_NODES = bytes.fromhex("333300000001")
GROUP = bytes.fromhex("3333ff0000f0")
ADDRESSES = (ip_interface("192.168.1.11/24"), ip_interface("fe80::b/64"), ip_interface("2001:db8:1::11/64"))
ETH0 = Interface(2, "eth0", OWN, True, ADDRESSES)
ASKING = Interface(2, "eth0", ASKER, True, (ip_interface("192.168.1.100/24"), ip_interface("2001:db8:1::100/64")))
BARE = Interface(3, "eth1", OWN, True)


def take_apart(content: bytes) -> tuple[bytes, object]:
    """A frame's destination and what is in it."""
    taken = ethernet.split(content)
    assert isinstance(taken, Frame)
    assert taken.source == OWN
    is_arp = taken.ethertype is EtherType.ARP
    return taken.destination, arp.decode(taken.payload) if is_arp else ndp.decode(taken.payload)


def test_answers() -> None:
    """A question is answered to the asker alone; a DAD probe, which has no source, to all nodes."""
    answered: dict[Question | Probe, tuple[bytes, object]] = {
        Question(V4, CLIENT4, ASKER, False): (ASKER, Arp(Operation.REPLY, OWN, V4, ASKER, CLIENT4)),
        Probe(V4, ASKER): (ASKER, Arp(Operation.REPLY, OWN, V4, ASKER, arp.UNSPECIFIED)),
        Question(V6, CLIENT6, ASKER, False): (
            ASKER,
            NeighborAdvertisement(V6, CLIENT6, V6, OWN, solicited=True, override=True),
        ),
        Probe(V6, ASKER): (ALL_NODES, NeighborAdvertisement(V6, ndp.ALL_NODES, V6, OWN, override=True)),
    }
    assert {asked: take_apart(frame.answer(ETH0, asked)) for asked in answered} == answered


def test_announcements() -> None:
    """IPv4: the request form and the reply form with target = sender; IPv6: Override set, Solicited clear."""
    assert [take_apart(each) for each in frame.announcements(ETH0, V4)] == [
        (BROADCAST, Arp(Operation.REQUEST, OWN, V4, bytes(6), V4)),
        (BROADCAST, Arp(Operation.REPLY, OWN, V4, OWN, V4)),
    ]
    assert [take_apart(each) for each in frame.announcements(ETH0, V6)] == [
        (ALL_NODES, NeighborAdvertisement(V6, ndp.ALL_NODES, V6, OWN, override=True))
    ]


def test_probes() -> None:
    """A probe claims nothing: no sender address, no source address."""
    assert take_apart(frame.probe(ETH0, V4)) == (
        BROADCAST,
        Arp(Operation.REQUEST, OWN, arp.UNSPECIFIED, bytes(6), V4),
    )
    assert take_apart(frame.probe(ETH0, V6)) == (
        GROUP,
        NeighborSolicitation(ndp.UNSPECIFIED, ndp.solicited_node(V6), V6, nonce=OWN),
    )


def test_questions() -> None:
    """A question comes from our address on the target's subnet; without any address it is a probe."""
    source4, source6 = IPv4Address("192.168.1.11"), IPv6Address("2001:db8:1::11")
    assert take_apart(frame.question(ETH0, V4)) == (BROADCAST, Arp(Operation.REQUEST, OWN, source4, OWN, V4))
    assert take_apart(frame.question(ETH0, V6)) == (
        GROUP,
        NeighborSolicitation(source6, ndp.solicited_node(V6), V6, OWN, OWN),
    )
    assert frame.question(BARE, V4) == frame.probe(BARE, V4)
    assert frame.question(BARE, V6) == frame.probe(BARE, V6)


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
    assert frame.shares_subnet(ETH0, ip_address(address)) is expected


def test_a_question_to_one() -> None:
    """It goes to the hardware address alone, for IPv6 in the same group's name (RFC 6085)."""
    for address in (V4, V6):
        to_all, to_one = frame.question(ETH0, address), frame.question(ETH0, address, ASKER)
        assert (to_one[:6], to_one[6:]) == (ASKER, to_all[6:])
        assert frame.question(BARE, address, ASKER)[:6] == ASKER


def test_releases() -> None:
    """IPv4: a marked probe; IPv6: an advertisement without a hardware address. Neighbour caches take nothing."""
    assert take_apart(frame.release(ETH0, V4)) == (BROADCAST, Arp(Operation.REQUEST, OWN, arp.UNSPECIFIED, OWN, V4))
    assert take_apart(frame.release(ETH0, V6)) == (ALL_NODES, NeighborAdvertisement(V6, ndp.ALL_NODES, V6))


def test_a_release_to_one() -> None:
    """The same to one hardware address alone, which reads that it is meant; to all, nobody is."""
    for address in (V4, V6):
        to_all, to_one = frame.release(ETH0, address), frame.release(ETH0, address, ASKER)
        assert (to_one[:6], to_one[6:]) == (ASKER, to_all[6:])
        assert (read(to_all, ASKER), read(to_one, ASKER)) == (Release(address, OWN), Release(address, OWN, True))


def test_frames_are_read_as_what_they_are_sent_as() -> None:
    """Another host's core understands each of our frames."""
    other = bytes.fromhex("02000000000c")
    frames = [frame.question(ETH0, V4, other), frame.question(ETH0, V6), frame.probe(ETH0, V4), frame.probe(ETH0, V6)]
    assert [read(each, other) for each in frames] == [
        Question(V4, IPv4Address("192.168.1.11"), OWN, True),
        Question(V6, IPv6Address("2001:db8:1::11"), OWN, True),
        Probe(V4, OWN),
        Probe(V6, OWN),
    ]
    announced = [*frame.announcements(ETH0, V4), *frame.announcements(ETH0, V6)]
    assert [read(each, other) for each in announced] == [Claim(V4, OWN), Claim(V4, OWN), Claim(V6, OWN)]
    assert [read(frame.release(ETH0, vip), other) for vip in (V4, V6)] == [Release(V4, OWN), Release(V6, OWN)]


@pytest.mark.parametrize("vip", [V4, V6])
def test_an_answer_is_a_reply_to_the_asker_alone(vip: IPAddress) -> None:
    """It proves to the asker that the owner hears it; whoever else sees it passes it over."""
    asked = read(frame.question(ASKING, vip), OWN)
    assert isinstance(asked, Question)
    answer = frame.answer(ETH0, asked)
    assert read(answer, ASKER) == Claim(vip, OWN, is_reply=True)
    assert read(answer, bytes.fromhex("02000000000c")) is Ignored.DESTINATION


def arp_frame(packet: Arp, destination: bytes = BROADCAST) -> bytes:
    """A packet on the wire."""
    return join(Frame(destination, THEIRS, EtherType.ARP, arp.encode(packet)))


def ndp_frame(message: NeighborSolicitation | NeighborAdvertisement, destination: bytes = OWN) -> bytes:
    """A message on the wire."""
    return join(Frame(destination, THEIRS, EtherType.IPV6, ndp.encode(message)))


THEIRS, THIRD = (bytes((2, 0, 0, 0, 0, number)) for number in (2, 3))
ASKED = Arp(Operation.REQUEST, THEIRS, CLIENT4, bytes(6), V4)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (arp_frame(ASKED), Question(V4, CLIENT4, THEIRS, False)),
        (arp_frame(ASKED, OWN), Question(V4, CLIENT4, THEIRS, False)),
        (arp_frame(ASKED, THIRD), Ignored.DESTINATION),
        (arp_frame(Arp(Operation.REQUEST, THEIRS, CLIENT4, THEIRS, V4)), Question(V4, CLIENT4, THEIRS, True)),
        (arp_frame(Arp(Operation.REQUEST, THEIRS, arp.UNSPECIFIED, bytes(6), V4)), Probe(V4, THEIRS)),
        (arp_frame(Arp(Operation.REQUEST, THEIRS, V4, bytes(6), V4)), Claim(V4, THEIRS)),
        (arp_frame(Arp(Operation.REPLY, THEIRS, V4, BROADCAST, V4)), Claim(V4, THEIRS)),
        (arp_frame(Arp(Operation.REPLY, THEIRS, V4, OWN, CLIENT4), OWN), Claim(V4, THEIRS, is_reply=True)),
        (arp_frame(Arp(Operation.REPLY, THEIRS, V4, OWN, CLIENT4)), Claim(V4, THEIRS)),
        (arp_frame(Arp(Operation.REPLY, THEIRS, V4, THIRD, CLIENT4), OWN), Claim(V4, THEIRS)),
        (arp_frame(Arp(Operation.REPLY, THEIRS, V4, OWN, V4), OWN), Claim(V4, THEIRS)),
        (arp_frame(Arp(Operation.REQUEST, THEIRS, arp.UNSPECIFIED, THEIRS, V4)), Release(V4, THEIRS)),
        (arp_frame(Arp(Operation.REPLY, BROADCAST, V4, OWN, CLIENT4), OWN), Ignored.SENDER),
        (ndp_frame(NeighborSolicitation(CLIENT6, V6, V6, THEIRS)), Question(V6, CLIENT6, THEIRS, False)),
        (ndp_frame(NeighborSolicitation(CLIENT6, V6, V6)), Question(V6, CLIENT6, THEIRS, False)),
        (ndp_frame(NeighborSolicitation(CLIENT6, V6, V6, THIRD, THIRD)), Question(V6, CLIENT6, THIRD, True)),
        (ndp_frame(NeighborSolicitation(ndp.UNSPECIFIED, ndp.solicited_node(V6), V6)), Probe(V6, THEIRS)),
        (ndp_frame(NeighborAdvertisement(V6, CLIENT6, V6, THIRD, solicited=True)), Claim(V6, THIRD, is_reply=True)),
        (ndp_frame(NeighborAdvertisement(V6, CLIENT6, V6, solicited=True)), Claim(V6, THEIRS, is_reply=True)),
        (ndp_frame(NeighborAdvertisement(V6, ndp.ALL_NODES, V6, THIRD, override=True), ALL_NODES), Claim(V6, THIRD)),
        (ndp_frame(NeighborAdvertisement(V6, ndp.ALL_NODES, V6), ALL_NODES), Release(V6, THEIRS)),
        (b"", Drop.TRUNCATED),
    ],
)
def test_read(content: bytes, expected: Message | Drop | Ignored) -> None:
    """ARP and NDP are told alike: a question, a probe, a claim, or a reason to ignore it."""
    assert read(content, OWN) == expected


@given(st.sampled_from([b"\x08\x06", b"\x86\xdd"]), st.binary(max_size=100))
def test_read_never_raises(ethertype: bytes, payload: bytes) -> None:
    """Any bytes are read or ignored."""
    assert read(BROADCAST + THEIRS + ethertype + payload, OWN) is not None
