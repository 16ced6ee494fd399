"""ARP packets."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire.arp import UNSPECIFIED, Arp, Operation, decode, encode
from appliance.wire.drop import Drop

MAC_A, MAC_B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
A, B = IPv4Address("192.168.1.11"), IPv4Address("192.168.1.240")

addresses = st.integers(0, 2**32 - 1).map(IPv4Address)
hardware_addresses = st.binary(min_size=6, max_size=6)
packets = st.builds(Arp, st.sampled_from(Operation), hardware_addresses, addresses, hardware_addresses, addresses)


@given(packets, st.binary(max_size=18))
def test_decode_undoes_encode(arp: Arp, padding: bytes) -> None:
    """A packet is read back, padded or not."""
    assert decode(encode(arp) + padding) == arp


@given(st.binary(max_size=64))
def test_decode_never_raises(payload: bytes) -> None:
    """Any bytes give a packet or a reason."""
    assert isinstance(decode(payload), Arp | Drop)


def test_known_bytes() -> None:
    """The layout is RFC 826's."""
    arp = Arp(Operation.REQUEST, MAC_A, A, bytes(6), B)
    assert encode(arp).hex() == "000108000604000102000000000ac0a8010b000000000000c0a801f0"


@pytest.mark.parametrize(
    ("arp", "probe", "announcement"),
    [
        (Arp(Operation.REQUEST, MAC_A, A, bytes(6), B), False, False),
        (Arp(Operation.REQUEST, MAC_A, UNSPECIFIED, bytes(6), B), True, False),
        (Arp(Operation.REQUEST, MAC_A, B, bytes(6), B), False, True),
        (Arp(Operation.REPLY, MAC_A, B, MAC_A, B), False, True),
        (Arp(Operation.REPLY, MAC_A, B, MAC_B, A), False, False),
        (Arp(Operation.REQUEST, MAC_A, UNSPECIFIED, bytes(6), UNSPECIFIED), True, False),
    ],
)
def test_questions(arp: Arp, probe: bool, announcement: bool) -> None:
    """Probes and announcements are told from ordinary packets."""
    assert (arp.is_probe, arp.is_announcement) == (probe, announcement)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (bytes(27), Drop.TRUNCATED),
        (bytes.fromhex("0006080006040001") + bytes(20), Drop.NOT_ETHERNET_IPV4),
        (bytes.fromhex("000186dd06100001") + bytes(44), Drop.NOT_ETHERNET_IPV4),
        (bytes.fromhex("0001080006040003") + bytes(20), Drop.OPERATION),
    ],
)
def test_decode_says_why_not(payload: bytes, expected: Drop) -> None:
    """What is no ARP request or reply for IPv4 is passed over with a reason."""
    assert decode(payload) is expected
