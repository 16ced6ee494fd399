"""Addresses, ranges and names."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.address import (
    AddressRange,
    Family,
    IPAddress,
    address_of,
    family_of,
    parse_address,
    parse_hardware_address,
    parse_interface_address,
    parse_network,
    parse_range,
    vip_name,
)


@pytest.mark.parametrize(
    ("text", "first", "last", "size"),
    [
        ("192.168.1.240-192.168.1.250", "192.168.1.240", "192.168.1.250", 11),
        ("192.168.1.240 - 192.168.1.250", "192.168.1.240", "192.168.1.250", 11),
        ("10.0.100.0/24", "10.0.100.0", "10.0.100.255", 256),
        ("10.0.100.7/24", "10.0.100.0", "10.0.100.255", 256),
        ("10.0.0.1/32", "10.0.0.1", "10.0.0.1", 1),
        ("2001:db8:100::/120", "2001:db8:100::", "2001:db8:100::ff", 256),
        ("2001:db8::1-2001:db8::3", "2001:db8::1", "2001:db8::3", 3),
    ],
)
def test_a_range_is_read(text: str, first: str, last: str, size: int) -> None:
    """Both notations give both ends, and the text is kept."""
    parsed = parse_range(text)
    assert parsed == AddressRange(ip_address(first), ip_address(last), text)
    assert (parsed.size, parsed.family) == (size, family_of(ip_address(first)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("10.0.0.1", "write a single address as /32 or /128"),
        ("10.0.0.0/33", "is not a CIDR"),
        ("10.0.0.9-10.0.0.1", "ends before it begins"),
        ("10.0.0.1-2001:db8::1", "different address families"),
        ("10.0.0.1-", "is not an IP address"),
        ("10.0.0.1-10.0.0.2-10.0.0.3", "is not an IP address"),
        ("", "neither a CIDR nor a range"),
    ],
)
def test_a_wrong_range_is_told(text: str, sentence: str) -> None:
    """Each mistake has its sentence."""
    with pytest.raises(ValueError, match=sentence):
        parse_range(text)


def test_both_ends_belong_to_a_range() -> None:
    """First and last are in, their neighbours and the other family are not."""
    parsed = parse_range("10.0.0.1-10.0.0.3")
    inside = [number for number in range(6) if IPv4Address("10.0.0.0") + number in parsed]
    assert inside == [1, 2, 3]
    assert IPv6Address(int(IPv4Address("10.0.0.2"))) not in parsed


@pytest.mark.parametrize(
    ("address", "name"),
    [("192.168.1.240", "192.168.1.240"), ("2001:db8::1", "2001-0db8-0000-0000-0000-0000-0000-0001")],
)
def test_a_name_of_an_address(address: str, name: str) -> None:
    """IPv4 as it is, IPv6 as eight groups."""
    assert vip_name(ip_address(address)) == name


@settings(deadline=None)
@given(st.ip_addresses().filter(lambda address: address == parse_address(address)))
def test_a_name_leads_back(address: IPAddress) -> None:
    """Every address has one name, and the name leads back to it."""
    assert address_of(vip_name(address)) == address


@pytest.mark.parametrize("name", ["2001-db8-0-0-0-0-0-1", "2001-0db8--1", "echo", "2001:db8::1", "10.0.0.0/8"])
def test_another_spelling_is_no_name(name: str) -> None:
    """An address has one name only, so that one address is one object."""
    with pytest.raises(ValueError):
        address_of(name)


def test_addresses_and_networks_are_read_strictly() -> None:
    """Spaces around an address are passed over; host bits in a prefix are not."""
    assert parse_address(" 10.0.0.1 ") == ip_address("10.0.0.1")
    assert parse_network("10.0.0.0/24") == ip_network("10.0.0.0/24")
    with pytest.raises(ValueError, match=r"'10\.0\.0\.1/24' is not a network prefix"):
        parse_network("10.0.0.1/24")
    with pytest.raises(ValueError, match="'echo' is not an IP address"):
        parse_address("echo")


def test_values_pass_through() -> None:
    """What is read already is taken as it is."""
    written = parse_range("10.0.0.0/24")
    assert parse_range(written) is written
    assert family_of(parse_address(ip_address("::1"))) is Family.IPV6
    assert parse_network(ip_network("::/0")) == ip_network("::/0")


@pytest.mark.parametrize("text", ["fe80::1%eth0", "2001:db8::5%x", "2001:db8::2%x as 1;\nprotocol kernel evil {}"])
def test_a_scope_id_is_refused_wherever_an_address_is_read(text: str) -> None:
    """What stands after % may be any text, and means nothing on another machine."""
    with pytest.raises(ValueError, match="has a scope id"):
        parse_address(text)
    with pytest.raises(ValueError, match="has a scope id"):
        parse_address(IPv6Address("fe80::1%eth0"))
    for read in (parse_network, parse_range, parse_interface_address):
        with pytest.raises(ValueError):
            read(f"{text}/64")
    with pytest.raises(ValueError):
        parse_range(f"{text}-{text}")
    with pytest.raises(ValueError):
        address_of("2001-0db8-0000-0000-0000-0000-0000-0005%x")


@pytest.mark.parametrize("text", ["10.0.0.0/0.0.0.255", "10.0.0.0/255.255.255.0", "10.0.0.0/", "10.0.0.0/+8"])
def test_a_mask_is_no_prefix_length(text: str) -> None:
    """Go, and so MetalLB, reads no masks."""
    for read in (parse_network, parse_range, parse_interface_address):
        with pytest.raises(ValueError):
            read(text)


def test_an_ipv4_mapped_address_is_ipv4() -> None:
    """As Go's net.ParseIP takes it."""
    assert parse_address("::ffff:10.1.0.3") == IPv4Address("10.1.0.3")
    assert parse_range("::ffff:10.1.0.3-10.1.0.4").family is Family.IPV4


def test_an_interface_address_has_its_subnet() -> None:
    """An address with a prefix length; one without is alone."""
    assert parse_interface_address("192.0.2.1/24") == ip_interface("192.0.2.1/24")
    assert parse_interface_address("2001:db8::1") == ip_interface("2001:db8::1/128")


def test_a_hardware_address_is_six_octets() -> None:
    """In either case, of an interface and not of a group."""
    assert parse_hardware_address("AA:bb:cc:DD:ee:ff") == bytes.fromhex("aabbccddeeff")
    assert parse_hardware_address(b"\x02\0\0\0\0\1") == b"\x02\0\0\0\0\1"
    for wrong in ("aa-bb-cc-dd-ee-ff", "aabbccddeeff", "ff:ff:ff:ff:ff:ff", "", 7, b"\x02\0\0\0\0"):
        with pytest.raises(ValueError):
            parse_hardware_address(wrong)
