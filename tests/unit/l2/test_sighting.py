"""What frames say."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.l2.journal import Ignored
from appliance.l2.sighting import Claim, Probe, Question, Sighting, read
from appliance.wire import arp, ndp
from appliance.wire.arp import Arp, Operation
from appliance.wire.drop import Drop
from appliance.wire.ethernet import BROADCAST, EtherType, Frame, join
from appliance.wire.ndp import Advertisement, Solicitation

OWN, THEIRS, THIRD = (bytes((2, 0, 0, 0, 0, number)) for number in (1, 2, 3))
VIP, CLIENT = IPv4Address("192.168.1.240"), IPv4Address("192.168.1.100")
VIP6, CLIENT6 = IPv6Address("2001:db8:1::f0"), IPv6Address("2001:db8:1::100")


def arp_frame(packet: Arp, destination: bytes = BROADCAST) -> bytes:
    """A packet on the wire."""
    return join(Frame(destination, THEIRS, EtherType.ARP, arp.encode(packet)))


def ndp_frame(message: Solicitation | Advertisement, destination: bytes = OWN) -> bytes:
    """A message on the wire."""
    return join(Frame(destination, THEIRS, EtherType.IPV6, ndp.encode(message)))


ASKED = Arp(Operation.REQUEST, THEIRS, CLIENT, bytes(6), VIP)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (arp_frame(ASKED), Question(VIP, CLIENT, THEIRS, False)),
        (arp_frame(ASKED, OWN), Question(VIP, CLIENT, THEIRS, False)),
        (arp_frame(ASKED, THIRD), Ignored.DESTINATION),
        (arp_frame(Arp(Operation.REQUEST, THEIRS, CLIENT, THEIRS, VIP)), Question(VIP, CLIENT, THEIRS, True)),
        (arp_frame(Arp(Operation.REQUEST, THEIRS, arp.UNSPECIFIED, bytes(6), VIP)), Probe(VIP, THEIRS)),
        (arp_frame(Arp(Operation.REQUEST, THEIRS, VIP, bytes(6), VIP)), Claim(VIP, THEIRS)),
        (arp_frame(Arp(Operation.REPLY, THEIRS, VIP, BROADCAST, VIP)), Claim(VIP, THEIRS)),
        (arp_frame(Arp(Operation.REPLY, THEIRS, VIP, OWN, CLIENT), OWN), Claim(VIP, THEIRS)),
        (arp_frame(Arp(Operation.REPLY, BROADCAST, VIP, OWN, CLIENT), OWN), Ignored.SENDER),
        (ndp_frame(Solicitation(CLIENT6, VIP6, VIP6, THEIRS)), Question(VIP6, CLIENT6, THEIRS, False)),
        (ndp_frame(Solicitation(CLIENT6, VIP6, VIP6)), Question(VIP6, CLIENT6, THEIRS, False)),
        (ndp_frame(Solicitation(CLIENT6, VIP6, VIP6, THIRD, THIRD)), Question(VIP6, CLIENT6, THIRD, True)),
        (ndp_frame(Solicitation(ndp.UNSPECIFIED, ndp.solicited_node(VIP6), VIP6)), Probe(VIP6, THEIRS)),
        (ndp_frame(Advertisement(VIP6, CLIENT6, VIP6, THIRD, solicited=True)), Claim(VIP6, THIRD)),
        (ndp_frame(Advertisement(VIP6, CLIENT6, VIP6, solicited=True)), Claim(VIP6, THEIRS)),
        (b"", Drop.TRUNCATED),
    ],
)
def test_read(frame: bytes, expected: Sighting | Drop | Ignored) -> None:
    """ARP and NDP are told alike: a question, a probe, a claim, or a reason to ignore it."""
    assert read(frame, OWN) == expected


@given(st.sampled_from([b"\x08\x06", b"\x86\xdd"]), st.binary(max_size=100))
def test_read_never_raises(ethertype: bytes, payload: bytes) -> None:
    """Any bytes are read or ignored."""
    assert read(BROADCAST + THEIRS + ethertype + payload, OWN) is not None
