"""Ethernet II frames and hardware addresses; a hardware address is `bytes` of length 6."""

from dataclasses import dataclass
from enum import IntEnum

from appliance.wire.drop import Drop

BROADCAST = b"\xff" * 6
NOWHERE = bytes(6)
_HEADER_LENGTH = 14


class EtherType(IntEnum):
    """The payloads read here; a VLAN tag (0x8100, 0x88a8) is none of them."""

    ARP = 0x0806
    IPV6 = 0x86DD


_ETHERTYPES = {ethertype.to_bytes(2): ethertype for ethertype in EtherType}


@dataclass(frozen=True, slots=True)
class Frame:
    """An untagged Ethernet II frame; the payload may carry padding."""

    destination: bytes
    source: bytes
    ethertype: EtherType
    payload: bytes


def split(content: bytes) -> Frame | Drop:
    """Take a frame apart."""
    if len(content) < _HEADER_LENGTH:
        return Drop.TRUNCATED
    ethertype = _ETHERTYPES.get(content[12:14])
    if ethertype is None:
        return Drop.ETHERTYPE
    return Frame(content[0:6], content[6:12], ethertype, content[_HEADER_LENGTH:])


def join(frame: Frame) -> bytes:
    """The frame as bytes, without padding (the device pads)."""
    return frame.destination + frame.source + frame.ethertype.to_bytes(2) + frame.payload


def parse_hardware_address(text: str) -> bytes:
    """Read `02:00:00:00:00:01`; raises ValueError."""
    parts = text.strip().split(":")
    if len(parts) != 6 or not all(len(part) == 2 for part in parts):
        raise ValueError(f"{text!r} is not a hardware address such as 02:00:00:00:00:01")
    try:
        return bytes(int(part, 16) for part in parts)
    except ValueError:
        raise ValueError(f"{text!r} is not a hardware address such as 02:00:00:00:00:01") from None
