"""Frames and hardware addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.wire.drop import Drop
from appliance.wire.ethernet import BROADCAST, EtherType, Frame, join, parse_hardware_address
from appliance.wire.ethernet import split as split_frame

SOURCE = bytes.fromhex("020000000001")


@given(st.sampled_from(EtherType), st.binary(max_size=64))
def test_split_undoes_join(ethertype: EtherType, payload: bytes) -> None:
    """What was joined comes apart as it was."""
    frame = Frame(BROADCAST, SOURCE, ethertype, payload)
    assert split_frame(join(frame)) == frame


@given(st.binary(max_size=64))
def test_split_never_raises(content: bytes) -> None:
    """Any bytes give a frame or a reason."""
    assert isinstance(split_frame(content), Frame | Drop)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", Drop.TRUNCATED),
        (BROADCAST + SOURCE + b"\x08", Drop.TRUNCATED),
        (BROADCAST + SOURCE + b"\x08\x00", Drop.ETHERTYPE),
        (BROADCAST + SOURCE + b"\x81\x00\x00\x05\x08\x06" + bytes(28), Drop.ETHERTYPE),
        (BROADCAST + SOURCE + b"\x00\x2e", Drop.ETHERTYPE),
    ],
)
def test_split_says_why_not(content: bytes, expected: Drop) -> None:
    """Short frames, other protocols, VLAN tags and 802.3 lengths are passed over with a reason."""
    assert split_frame(content) is expected


def test_hardware_address_text() -> None:
    """The text form is read back."""
    assert parse_hardware_address("02:00:00:00:00:01") == SOURCE
    assert parse_hardware_address("0A:00:00:00:00:FF") == bytes.fromhex("0a00000000ff")


@pytest.mark.parametrize("text", ["", "02:00:00:00:00", "02:00:00:00:00:0g", "2:0:0:0:0:1", "020000000001"])
def test_hardware_address_refused(text: str) -> None:
    """What is no hardware address is refused."""
    with pytest.raises(ValueError, match="hardware address"):
        parse_hardware_address(text)
