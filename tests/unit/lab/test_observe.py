"""Which frames count as the opening of a connection."""

from ipaddress import ip_address

import pytest

from appliance.api.address import IPAddress
from appliance.lab.observe import opens_connection

IPV4, IPV6 = ip_address("10.0.100.0"), ip_address("2001:db8:100::")
SYN, SYN_ACK, ACK = 0x02, 0x12, 0x10


def frame(destination: IPAddress, flags: int, protocol: int = 6) -> bytes:
    """An Ethernet frame with the fields that are looked at."""
    segment = bytes(12) + bytes((0x50, flags)) + bytes(6)
    source = ip_address("203.0.113.2") if destination.version == 4 else ip_address("2001:db8:2::2")
    if destination.version == 4:
        header = b"\x45" + bytes(8) + bytes((protocol,)) + bytes(2) + source.packed + destination.packed
        return bytes(12) + b"\x08\x00" + header + segment
    header = b"\x60" + bytes(5) + bytes((protocol, 64)) + source.packed + destination.packed
    return bytes(12) + b"\x86\xdd" + header + segment


@pytest.mark.parametrize("address", [IPV4, IPV6])
def test_only_the_first_packet_opens_a_connection(address: IPAddress) -> None:
    """SYN alone, to this address, by TCP."""
    assert opens_connection(frame(address, SYN), address)
    assert not opens_connection(frame(address, SYN_ACK), address)
    assert not opens_connection(frame(address, ACK), address)
    assert not opens_connection(frame(address, SYN, protocol=17), address)


def test_another_address_or_family_does_not_count() -> None:
    """The tap sees all that leaves the router."""
    assert not opens_connection(frame(ip_address("10.0.100.1"), SYN), IPV4)
    assert not opens_connection(frame(IPV6, SYN), IPV4)
    assert not opens_connection(frame(IPV4, SYN), IPV6)


@pytest.mark.parametrize("length", [0, 14, 33, 40, 53])
def test_a_cut_frame_is_no_connection(length: int) -> None:
    """Bytes from the network break nothing."""
    assert not opens_connection(frame(IPV4, SYN)[:length], IPV4)
    assert not opens_connection(frame(IPV6, SYN)[:length], IPV6)
