"""This machine's network interfaces, by netlink (rtnetlink(7))."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from socket import AF_INET, AF_INET6
from typing import Any

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR, RTMGRP_LINK

from appliance.api.address import IPAddress

_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8
_IFF_NOARP = 0x80
_IFF_LOWER_UP = 0x10000
_IFA_F_TENTATIVE = 0x40
_GROUPS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR


class LinkError(Exception):
    """The kernel's link tables cannot be read."""


@dataclass(frozen=True, slots=True)
class Link:
    """One interface; `up` means enabled and with carrier. `enslaved` ones belong to a bridge, bond or VRF."""

    name: str
    index: int
    hardware_address: str
    up: bool
    resolves: bool
    enslaved: bool
    addresses: tuple[IPv4Interface | IPv6Interface, ...]


@dataclass(frozen=True, slots=True)
class LinkTable:
    """Every interface but loopback, by name, and the gateways of the default routes."""

    links: tuple[Link, ...] = ()
    gateways: tuple[IPAddress, ...] = ()


class Links:
    """The interfaces of the network namespace this is used in."""

    async def read(self) -> LinkTable:
        """The interfaces now; raises LinkError."""
        try:
            async with AsyncIPRoute() as netlink:
                return await _dump(netlink)
        except (NetlinkError, OSError) as error:
            raise LinkError(str(error)) from error

    async def watch(self) -> AsyncIterator[LinkTable]:
        """The interfaces now, and again after every change; raises LinkError."""
        try:
            async with AsyncIPRoute() as events, AsyncIPRoute() as netlink:
                await events.bind(groups=_GROUPS)
                latest = await _dump(netlink)
                yield latest
                while True:
                    _ = [message async for message in events.get()]
                    table = await _dump(netlink)
                    if table != latest:
                        latest = table
                        yield latest
        except (NetlinkError, OSError) as error:
            raise LinkError(str(error)) from error


async def _dump(netlink: AsyncIPRoute) -> LinkTable:
    addresses: dict[int, list[IPv4Interface | IPv6Interface]] = {}
    async for message in await netlink.get_addr():
        if not (message.get("flags") or 0) & _IFA_F_TENTATIVE:
            text = message.get("local") or message.get("address")
            addresses.setdefault(message["index"], []).append(ip_interface(f"{text}/{message['prefixlen']}"))
    links = []
    async for message in await netlink.get_links():
        if not message["flags"] & _IFF_LOOPBACK:
            own = tuple(sorted(addresses.get(message["index"], ()), key=lambda own: (own.version, own)))
            links.append(_link(message, own))
    gateways = [
        ip_address(message.get("gateway"))
        for family in (AF_INET, AF_INET6)
        async for message in await netlink.get_default_routes(family=family)
        if message.get("gateway")
    ]
    ordered = sorted(links, key=lambda link: link.name)
    return LinkTable(tuple(ordered), tuple(sorted(set(gateways), key=lambda gateway: (gateway.version, int(gateway)))))


def _link(message: Mapping[str, Any], addresses: tuple[IPv4Interface | IPv6Interface, ...]) -> Link:
    flags = message["flags"]
    return Link(
        name=str(message.get("ifname")),
        index=message["index"],
        hardware_address=str(message.get("address") or ""),
        up=bool(flags & _IFF_UP and flags & _IFF_LOWER_UP),
        resolves=not flags & _IFF_NOARP,
        enslaved=message.get("master") is not None,
        addresses=addresses,
    )
