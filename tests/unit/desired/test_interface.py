"""Which interfaces carry VIPs, and how other hosts are reached."""

from ipaddress import ip_address, ip_interface

import pytest

from appliance.api.address import InterfaceAddress
from appliance.api.meta import Metadata
from appliance.api.pierhead import Host, HostInterface, HostStatus
from appliance.desired.interface import can_carry, reachable_address, router_id_of


@pytest.mark.parametrize(
    ("name", "resolves", "enslaved", "chosen", "carries"),
    [
        ("eth0", True, False, (), True),
        ("docker0", True, False, (), False),
        ("cali1234", True, False, (), False),
        ("br-0123456789ab", True, False, (), False),
        ("br-lan", True, False, (), True),
        ("tun0", False, False, (), False),
        ("eth1", True, True, (), False),
        ("eth0", True, False, ("eth1",), False),
        ("veth7", True, False, ("veth7",), True),
    ],
)
def test_an_interface_carries_vips_or_not(
    name: str, resolves: bool, enslaved: bool, chosen: tuple[str, ...], carries: bool
) -> None:
    """The operator's list decides where there is one; else containers' and mute interfaces are left out."""
    assert can_carry(name, resolves, enslaved, chosen) is carries


def host(*addresses: str) -> Host:
    """A host with one interface."""
    status = HostStatus(interfaces=(HostInterface(name="eth0", addresses=tuple(map(ip_interface, addresses))),))
    return Host(metadata=Metadata(name="node-b"), status=status)


OWN = {"eth0": (ip_interface("192.0.2.1/24"), ip_interface("2001:db8::1/64"))}


@pytest.mark.parametrize(
    ("addresses", "reached"),
    [
        (("2001:db8::2/64", "192.0.2.2/24"), ("eth0", ip_address("192.0.2.2"))),
        (("2001:db8::2/64",), ("eth0", ip_address("2001:db8::2"))),
        (("198.51.100.2/24",), None),
        (("fe80::2/64",), None),
    ],
)
def test_another_host_is_reached_on_a_shared_subnet(
    addresses: tuple[str, ...], reached: tuple[str, object] | None
) -> None:
    """IPv4 first; link-local addresses and other subnets do not count."""
    assert reachable_address(host(*addresses), OWN) == reached


ETH0, ETH1 = (ip_interface("192.0.2.1/24"),), (ip_interface("198.51.100.1/24"), ip_interface("2001:db8::1/64"))


@pytest.mark.parametrize(
    ("own", "gateways", "chosen"),
    [
        ({"eth0": ETH0, "eth1": ETH1}, (), "192.0.2.1"),
        ({"eth0": ETH0, "eth1": ETH1}, ("198.51.100.254",), "198.51.100.1"),
        ({"eth0": ETH0, "eth1": ETH1}, ("2001:db8::ff",), "192.0.2.1"),
        ({"eth0": (ip_interface("169.254.0.7/16"),), "eth1": ETH1}, (), "198.51.100.1"),
    ],
)
def test_the_router_id_is_an_address_of_the_site(
    own: dict[str, tuple[InterfaceAddress, ...]], gateways: tuple[str, ...], chosen: str
) -> None:
    """Beside the gateway where there is one; a link-local address is nobody's name."""
    assert router_id_of(own, tuple(map(ip_address, gateways)), "node-a") == ip_address(chosen)


def test_a_host_without_ipv4_is_known_by_its_name() -> None:
    """Its router ID is the same after every start."""
    ids = [router_id_of({"eth0": ETH1[1:]}, (), name) for name in ("node-a", "node-a", "node-b")]
    assert (ids[0] == ids[1], ids[0] == ids[2]) == (True, False)
