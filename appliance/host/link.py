"""This machine's network interfaces, by netlink (rtnetlink(7))."""

import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_interface
from socket import AF_INET, AF_INET6, AF_UNSPEC
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import (
    RTMGRP_IPV4_IFADDR,
    RTMGRP_IPV4_ROUTE,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
)

from appliance.api.address import InterfaceAddress, IPAddress, parse_hardware_address
from appliance.api.text import parse_interface_name
from appliance.host.filter import attach_filter

_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8
_IFF_NOARP = 0x80
_IFF_LOWER_UP = 0x10000
_IFA_F_TENTATIVE = 0x40
_ARPHRD_ETHER = 1
_GROUPS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE

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
            async with AsyncIPRoute() as netlink:
                return (await _dump(netlink)).table(await _gateways(netlink))
        except (NetlinkError, OSError) as error:
            raise LinkError(str(error)) from error

    async def watch(self) -> AsyncIterator[LinkTable]:
        """The interfaces now, and again after every change; raises LinkError."""
        try:
            async with AsyncIPRoute() as events, AsyncIPRoute() as netlink:
                attach_filter(events.socket, _FILTER)
                await events.bind(groups=_GROUPS)
                known = await _dump(netlink)
                latest = known.table(await _gateways(netlink))
                yield latest
                while True:
                    changed = [known.apply(message) async for message in events.get()]
                    if any(changed):
                        table = known.table(await _gateways(netlink))
                        if table != latest:
                            latest = table
                            yield latest
        except (NetlinkError, OSError) as error:
            raise LinkError(str(error)) from error


class _Kernel:
    """What the kernel has said of interfaces and addresses so far."""

    def __init__(self) -> None:
        self._links: dict[int, Link] = {}
        self._addresses: dict[int, frozenset[InterfaceAddress]] = {}

    def apply(self, message: Mapping[str, Any]) -> bool:
        """Take in a message of a dump or an event; False where it says nothing new of what we look at."""
        match message["event"]:
            case "RTM_NEWLINK" if message["family"] == AF_UNSPEC:
                return self._put_link(message)
            case "RTM_DELLINK" if message["family"] == AF_UNSPEC:  # a bridge's own family tells of its ports only
                self._addresses.pop(message["index"], None)
                return self._links.pop(message["index"], None) is not None
            case "RTM_NEWADDR" | "RTM_DELADDR":
                return self._put_address(message)
            case event:
                return event in ("RTM_NEWROUTE", "RTM_DELROUTE")  # gateways are read anew

    def table(self, gateways: Iterable[IPAddress]) -> LinkTable:
        """All of it, in order."""
        links = (replace(link, addresses=self._in_order(index)) for index, link in self._links.items())
        return LinkTable(
            tuple(sorted(links, key=lambda link: link.name)),
            tuple(sorted(set(gateways), key=lambda gateway: (gateway.version, int(gateway)))),
        )

    def _put_link(self, message: Mapping[str, Any]) -> bool:
        link, index = _link(message), message["index"]
        if self._links.get(index) == link:
            return False
        if link is None:
            del self._links[index]
        else:
            self._links[index] = link
        return True

    def _put_address(self, message: Mapping[str, Any]) -> bool:
        index = message["index"]
        before = self._addresses.get(index, frozenset())
        own = ip_interface(f"{message.get('local') or message.get('address')}/{message['prefixlen']}")
        tentative = (message.get("flags") or 0) & _IFA_F_TENTATIVE
        is_usable = message["event"] == "RTM_NEWADDR" and not tentative
        self._addresses[index] = before | {own} if is_usable else before - {own}
        return self._addresses[index] != before

    def _in_order(self, index: int) -> tuple[InterfaceAddress, ...]:
        return tuple(sorted(self._addresses.get(index, ()), key=lambda own: (own.version, own)))


async def _dump(netlink: AsyncIPRoute) -> _Kernel:
    known = _Kernel()
    async for message in await netlink.get_addr():
        known.apply(message)
    async for message in await netlink.get_links():
        known.apply(message)
    return known


async def _gateways(netlink: AsyncIPRoute) -> list[IPAddress]:
    return [
        ip_address(message.get("gateway"))
        for family in (AF_INET, AF_INET6)
        async for message in await netlink.get_default_routes(family=family)
        if message.get("gateway")
    ]


def _link(message: Mapping[str, Any]) -> Link | None:
    """An interface; None for loopback, and for one whose name we do not write: the kernel takes almost any bytes."""
    flags = message["flags"]
    try:
        name = parse_interface_name(message.get("ifname"))
    except ValueError:
        return None
    if flags & _IFF_LOOPBACK:
        return None
    return Link(
        name=name,
        index=message["index"],
        hardware_address=_hardware_address(message),
        up=bool(flags & _IFF_UP and flags & _IFF_LOWER_UP),
        resolves=not flags & _IFF_NOARP,
        enslaved=message.get("master") is not None,
    )


def _hardware_address(message: Mapping[str, Any]) -> bytes | None:
    """The address of an Ethernet station; other links have none, or one of another length."""
    try:
        return parse_hardware_address(message.get("address")) if message["ifi_type"] == _ARPHRD_ETHER else None
    except ValueError:
        return None
