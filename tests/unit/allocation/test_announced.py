"""When a host takes an address over, the owners of its Services are told."""

from dataclasses import replace
from ipaddress import ip_interface

from appliance.allocation.allocator import moves
from appliance.api.address import parse_address
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import L2Advertisement, L2AdvertisementSpec
from appliance.api.pierhead import (
    Host,
    HostInterface,
    HostStatus,
    Owner,
    VirtualIP,
    VirtualIPService,
    VirtualIPSpec,
    VirtualIPStatus,
)
from tests.unit.allocation.site import endpoints, pool, site
from tests.unit.ipam.sample import service

SERVICES = (VirtualIPService(namespace="a", name="x"), VirtualIPService(namespace="b", name="y"))
VIP = VirtualIP(
    metadata=Metadata(name="10.0.0.1"),
    spec=VirtualIPSpec(address=parse_address("10.0.0.1"), pool="a", services=SERVICES),
)


def host(interface: str) -> Host:
    """A host with one interface."""
    found = HostInterface(
        name=interface, hardware_address=bytes((2, 0, 0, 0, 0, 1)), addresses=(ip_interface("10.0.0.9/24"),)
    )
    return Host(metadata=Metadata(name="h"), status=HostStatus(interfaces=(found,)))


def owned(vip: VirtualIP, host: str) -> VirtualIP:
    """The VirtualIP with an owner."""
    return replace(vip, status=VirtualIPStatus(owner=Owner(host=host)))


def test_node_assigned_on_a_move_in_the_words_tools_know() -> None:
    """Every Service of the address is told, at the first owner and at each other one."""
    text = 'announcing from node "h" with protocol "layer2"'
    told = [(emit.service, emit.event.reason.text, emit.event.message) for emit in moves(VIP, owned(VIP, "h"))]
    assert told == [("a/x", "nodeAssigned", text), ("b/y", "nodeAssigned", text)]
    assert len(list(moves(owned(VIP, "g"), owned(VIP, "h")))) == 2


def test_nothing_is_told_without_a_move() -> None:
    """Not for the same owner, not for none, and not for what is seen for the first time."""
    at_home = owned(VIP, "h")
    assert [*moves(at_home, at_home), *moves(at_home, VIP), *moves(None, at_home), *moves(at_home, None)] == []


async def test_allocator_tells_a_move_once() -> None:
    """The event follows the status hosts write; a restart repeats nothing."""
    here = site(pool("a", "10.0.0.0/30"), service("x"))
    await here.settle()
    stored = (await here.objects())[Ref("VirtualIP", "", "10.0.0.0")]
    assert isinstance(stored, VirtualIP)
    await here.store.apply_status(owned(stored, "h"), "operator")
    for _ in range(2):
        await here.settle()
    here.restart()
    await here.settle()
    assert here.events == [("default/x", "IPAllocated"), ("default/x", "nodeAssigned")]


async def test_announce_failed_once_where_every_host_lacks_the_interface() -> None:
    """Told when it begins, not as long as it lasts, and told anew when it begins anew."""
    ad = L2Advertisement(metadata=Metadata(name="ad"), spec=L2AdvertisementSpec(interfaces=("eth7",)))
    here = site(pool("a", "10.0.0.0/30"), ad, service("x"), host("eth0"), endpoints("x"))
    for _ in range(2):
        await here.settle()
    await here.store.apply_status(host("eth7"), "operator")
    await here.settle()
    await here.store.apply_status(host("eth0"), "operator")
    await here.settle()
    expected = [("default/x", "IPAllocated"), ("default/x", "announceFailed"), ("default/x", "announceFailed")]
    assert sorted(here.events) == sorted(expected)
