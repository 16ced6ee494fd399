"""This machine's network interfaces, by netlink (rtnetlink(7))."""

import struct
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface
from socket import AF_INET, AF_INET6, AF_UNSPEC

from appliance.api.address import InterfaceAddress, IPAddress, parse_hardware_address
from appliance.api.text import parse_interface_name
from appliance.host import netlink
from appliance.host.netlink import NetlinkMessage, attributes
from appliance.host.rtnetlink import (
    ADDRESS_HEADER,
    DELADDR,
    DELLINK,
    DELROUTE,
    GETADDR,
    GETLINK,
    GETROUTE,
    GROUP_IPV4_ADDRESS,
    GROUP_IPV4_ROUTE,
    GROUP_IPV6_ADDRESS,
    GROUP_IPV6_ROUTE,
    GROUP_LINK,
    LINK_HEADER,
    NEWADDR,
    NEWLINK,
    NEWROUTE,
    ROUTE_HEADER,
    table_of,
)

_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8
_IFF_NOARP = 0x80
_IFF_LOWER_UP = 0x10000
_IFA_F_TENTATIVE = 0x40
_ARPHRD_ETHER = 1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MASTER = 1, 3, 10
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_RTA_GATEWAY = 5
_MAIN_TABLE = 254
_GROUPS = GROUP_LINK | GROUP_IPV4_ADDRESS | GROUP_IPV6_ADDRESS | GROUP_IPV4_ROUTE | GROUP_IPV6_ROUTE

# Of routes only the default ones of the main table are wanted: a host may hold a whole Internet of others.
_MESSAGE_TYPE_LOW_BYTE = 4 if sys.byteorder == "little" else 5
_FILTER = (
    (0x30, 0, 0, _MESSAGE_TYPE_LOW_BYTE),  # ldb: nlmsghdr type
    (0x15, 1, 0, 24),  # RTM_NEWROUTE
    (0x15, 0, 4, 25),  # neither it nor RTM_DELROUTE: accept
    (0x30, 0, 0, 17),  # ldb: rtmsg dst_len
    (0x15, 0, 3, 0),  # not a default route: drop
    (0x30, 0, 0, 20),  # ldb: rtmsg table
    (0x15, 0, 1, 254),  # not the main table: drop
    (0x06, 0, 0, 0x40000),  # ret: accept
    (0x06, 0, 0, 0),  # ret: drop
)


class LinkError(Exception):
    """The kernel's link tables cannot be read."""


@dataclass(frozen=True, slots=True)
class Link:
    """One interface; `up` means enabled and with carrier. `enslaved` ones belong to a bridge, bond or VRF.

    `hardware_address` is None where it is not one that an Ethernet frame can be sent from.
    """

    name: str
    index: int
    hardware_address: bytes | None
    up: bool
    resolves: bool
    enslaved: bool
    addresses: tuple[InterfaceAddress, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkTable:
    """Every interface but loopback, by name, and the gateways of the default routes."""

    links: tuple[Link, ...] = ()
    gateways: tuple[IPAddress, ...] = ()


class LinkMonitor:
    """The interfaces of the network namespace this is used in."""

    async def read(self) -> LinkTable:
        """The interfaces now; raises LinkError."""
        try:
            return (await _dump()).table(await _gateways())
        except OSError as error:
            raise LinkError(error.strerror or str(error)) from error

    async def watch(self) -> AsyncIterator[LinkTable]:
        """The interfaces now, and again after every change; raises LinkError."""
        try:
            with netlink.listening(netlink.ROUTE, _GROUPS, _FILTER) as events:
                known = await _dump()
                latest = known.table(await _gateways())
                yield latest
                while True:
                    changed = [known.apply(message) for message in await netlink.told(events)]
                    if any(changed):
                        table = known.table(await _gateways())
                        if table != latest:
                            latest = table
                            yield latest
        except OSError as error:
            raise LinkError(error.strerror or str(error)) from error


class _Kernel:
    """What the kernel has said of interfaces and addresses so far."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        self._addresses: dict[int, frozenset[InterfaceAddress]] = {}

    def apply(self, message: NetlinkMessage) -> bool:
        """Take in a message of a dump or an event; False where it says nothing new of what we look at."""
        match message.kind:
            case kind if kind in (NEWLINK, DELLINK):
                family, _, index, _, _ = LINK_HEADER.unpack_from(message.content)
                if family != AF_UNSPEC:  # a bridge's own family tells of its ports only
                    return False
                if kind == NEWLINK:
                    return self._put_link(index, _link(message))
                self._addresses.pop(index, None)
                return self._links.pop(index, None) is not None
            case kind if kind in (NEWADDR, DELADDR):
                return self._put_address(message)
            case kind:
                return kind in (NEWROUTE, DELROUTE)  # gateways are read anew

    def table(self, gateways: Iterable[IPAddress]) -> LinkTable:
        """All of it, in order."""
        links = (replace(link, addresses=self._in_order(index)) for index, link in self._links.items())
        return LinkTable(
            tuple(sorted(links, key=lambda link: link.name)),
            tuple(sorted(set(gateways), key=lambda gateway: (gateway.version, int(gateway)))),
        )

    def _put_link(self, index: int, link: Link | None) -> bool:
        if self._links.get(index) == link:
            return False
        if link is None:
            del self._links[index]
        else:
            self._links[index] = link
        return True

    def _put_address(self, message: NetlinkMessage) -> bool:
        _, length, flags, _, index = ADDRESS_HEADER.unpack_from(message.content)
        found = attributes(message.content[ADDRESS_HEADER.size :])
        if _IFA_FLAGS in found:
            (flags,) = struct.unpack("=I", found[_IFA_FLAGS])
        before = self._addresses.get(index, frozenset())
        own = ip_interface((ip_address(found.get(_IFA_LOCAL) or found[_IFA_ADDRESS]), length))
        is_usable = message.kind == NEWADDR and not flags & _IFA_F_TENTATIVE
        self._addresses[index] = before | {own} if is_usable else before - {own}
        return self._addresses[index] != before

    def _in_order(self, index: int) -> tuple[InterfaceAddress, ...]:
        return tuple(sorted(self._addresses.get(index, ()), key=lambda own: (own.version, own)))


async def _dump() -> _Kernel:
    known = _Kernel()
    for kind, question in (
        (GETADDR, ADDRESS_HEADER.pack(AF_UNSPEC, 0, 0, 0, 0)),
        (GETLINK, LINK_HEADER.pack(AF_UNSPEC, 0, 0, 0, 0)),
    ):
        async for message in netlink.asked(netlink.ROUTE, kind, netlink.DUMP, question):
            known.apply(message)
    return known


async def _gateways() -> list[IPAddress]:
    """The gateways of the main table's default routes."""
    gateways: list[IPAddress] = []
    for family in (AF_INET, AF_INET6):
        question = ROUTE_HEADER.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        async for message in netlink.asked(netlink.ROUTE, GETROUTE, netlink.DUMP, question):
            _, length, *_ = ROUTE_HEADER.unpack_from(message.content)
            if length == 0:
                found = attributes(message.content[ROUTE_HEADER.size :])
                if _RTA_GATEWAY in found and table_of(message, found) == _MAIN_TABLE:
                    gateways.append(ip_address(found[_RTA_GATEWAY]))
    return gateways


def _link(message: NetlinkMessage) -> Link | None:
    """An interface; None for loopback, and for one whose name we do not write: the kernel takes almost any bytes."""
    _, hardware_type, index, flags, _ = LINK_HEADER.unpack_from(message.content)
    found = attributes(message.content[LINK_HEADER.size :])
    try:
        name = parse_interface_name(found[_IFLA_IFNAME].rstrip(b"\0").decode())
    except ValueError:
        return None
    if flags & _IFF_LOOPBACK:
        return None
    return Link(
        name=name,
        index=index,
        hardware_address=_hardware_address(found.get(_IFLA_ADDRESS, b"")) if hardware_type == _ARPHRD_ETHER else None,
        up=bool(flags & _IFF_UP and flags & _IFF_LOWER_UP),
        resolves=not flags & _IFF_NOARP,
        enslaved=_IFLA_MASTER in found,
    )


def _hardware_address(told: bytes) -> bytes | None:
    """The address of an Ethernet station; other links have none, or one of another length."""
    try:
        return parse_hardware_address(told)
    except ValueError:
        return None
