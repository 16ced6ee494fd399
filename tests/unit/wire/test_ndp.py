"""Neighbor Discovery packets."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire.drop import Drop
from appliance.wire.ndp import (
    ALL_NODES,
    UNSPECIFIED,
    NeighborAdvertisement,
    NeighborSolicitation,
    decode,
    encode,
    multicast_hardware_address,
    solicited_node,
)

MAC = bytes.fromhex("02000000000a")
HOST, VIP = IPv6Address("2001:db8:1::11"), IPv6Address("2001:db8:1::f0")
ASK = NeighborSolicitation(HOST, solicited_node(VIP), VIP, MAC)
TELL = NeighborAdvertisement(VIP, ALL_NODES, VIP, MAC, override=True)

unicast = st.integers(1, 0xFEFF << 112).map(IPv6Address)
option = st.none() | st.binary(min_size=6, max_size=6)
solicitations = st.builds(NeighborSolicitation, unicast, unicast, unicast, option, option)
advertisements = st.builds(
    NeighborAdvertisement, unicast, unicast, unicast, option, st.booleans(), st.booleans(), st.booleans()
)


@given(solicitations | advertisements, st.binary(max_size=16))
def test_decode_undoes_encode(message: NeighborSolicitation | NeighborAdvertisement, padding: bytes) -> None:
    """A message is read back, padded or not."""
    assert decode(encode(message) + padding) == message


@given(st.binary(max_size=120))
def test_decode_never_raises(packet: bytes) -> None:
    """Any bytes give a message or a reason."""
    assert isinstance(decode(packet), NeighborSolicitation | NeighborAdvertisement | Drop)


@given(solicitations | advertisements, st.integers(0, 63), st.integers(1, 255))
def test_a_damaged_packet_never_raises(
    message: NeighborSolicitation | NeighborAdvertisement, place: int, change: int
) -> None:
    """A packet with one byte changed gives a message or a reason."""
    packet = bytearray(encode(message))
    packet[place] ^= change
    assert isinstance(decode(bytes(packet)), NeighborSolicitation | NeighborAdvertisement | Drop)


def test_known_bytes() -> None:
    """An unsolicited advertisement with Override set is what other implementations send."""
    source = IPv6Address("fe80::1")
    packet = encode(NeighborAdvertisement(source, ALL_NODES, source, bytes.fromhex("020000000001"), override=True))
    header = "6000000000203aff" + "fe80" + "00" * 13 + "01" + "ff02" + "00" * 13 + "01"
    body = "20000000" + "fe80" + "00" * 13 + "01" + "0201020000000001"
    assert packet.hex() == header + "8800" + packet[42:44].hex() + body
    words = [int.from_bytes(packet[8:][i : i + 2]) for i in range(0, 64, 2)]
    assert (sum(words) + 0x20 + 58) % 0xFFFF == 0


def test_solicited_node_group() -> None:
    """The group and its Ethernet address carry the last 24 bits of the address."""
    address = IPv6Address("2001:db8::1234:5678")
    assert solicited_node(address) == IPv6Address("ff02::1:ff34:5678")
    assert multicast_hardware_address(solicited_node(address)) == bytes.fromhex("3333ff345678")


def test_duplicate_address_detection_is_a_probe() -> None:
    """A question from the unspecified address is a probe."""
    probe = NeighborSolicitation(UNSPECIFIED, solicited_node(VIP), VIP, nonce=MAC)
    assert decode(encode(probe)) == probe
    assert probe.is_probe
    assert not ASK.is_probe


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (replace(ASK, source=UNSPECIFIED), Drop.MALFORMED),
        (replace(ASK, source=UNSPECIFIED, source_hardware_address=None, destination=VIP), Drop.MALFORMED),
        (replace(ASK, target=ALL_NODES), Drop.MALFORMED),
        (replace(TELL, solicited=True), Drop.MALFORMED),
        (replace(TELL, target=ALL_NODES), Drop.MALFORMED),
    ],
)
def test_decode_holds_to_the_rules(message: NeighborSolicitation | NeighborAdvertisement, expected: Drop) -> None:
    """A message that breaks RFC 4861 section 7.1 is passed over."""
    assert decode(encode(message)) is expected


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        (7, 254, Drop.HOP_LIMIT),
        (6, 6, Drop.NOT_NEIGHBOR_DISCOVERY),
        (0, 0x40, Drop.NOT_NEIGHBOR_DISCOVERY),
        (40, 128, Drop.NOT_NEIGHBOR_DISCOVERY),
        (60, 1, Drop.CHECKSUM),
        (5, 60, Drop.TRUNCATED),
        (5, 16, Drop.TRUNCATED),
    ],
)
def test_decode_says_why_not(place: int, value: int, expected: Drop) -> None:
    """A forwarded, damaged or cut packet is passed over with a reason."""
    packet = bytearray(encode(ASK))
    packet[place] = value
    assert decode(bytes(packet)) is expected


def test_an_option_of_length_zero_is_malformed() -> None:
    """A zero option length, which would loop for ever, is refused (RFC 4861 section 4.6)."""
    packet = bytearray(encode(ASK))
    packet[65] = 0
    packet[43] += 1
    assert decode(bytes(packet)) is Drop.MALFORMED
