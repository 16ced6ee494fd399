"""Which other hosts BIRD's BFD reaches: the routes of a private kernel table, by netlink."""

from collections.abc import AsyncIterator
from ipaddress import ip_address
from socket import AF_INET, AF_INET6

from appliance.api.address import IPAddress
from appliance.host import netlink
from appliance.host.filter import Instruction
from appliance.host.netlink import NetlinkMessage, attributes
from appliance.host.rtnetlink import DELROUTE, GETROUTE, GROUP_IPV4_ROUTE, GROUP_IPV6_ROUTE, ROUTE_HEADER, table_of

_RTA_DST = 1
_TABLE_COMPAT = 252


class WatchError(Exception):
    """The kernel's route tables cannot be read."""


class Watches:
    """The destinations present in one kernel table; BIRD deletes a route within its BFD detection time."""

    def __init__(self, table: int) -> None:
        self._table = table

    async def watch(self) -> AsyncIterator[frozenset[IPAddress]]:
        """The destinations now, and again after every change; raises WatchError."""
        try:
            with netlink.listening(netlink.ROUTE, GROUP_IPV4_ROUTE | GROUP_IPV6_ROUTE, _filter(self._table)) as events:
                reached = await self._dump()
                yield reached
                while True:
                    changed = reached
                    for message in await netlink.told(events):
                        changed = self._apply(message, changed)
                    if changed != reached:
                        reached = changed
                        yield reached
        except OSError as error:
            raise WatchError(error.strerror or str(error)) from error

    async def _dump(self) -> frozenset[IPAddress]:
        reached: frozenset[IPAddress] = frozenset()
        for family in (AF_INET, AF_INET6):
            question = ROUTE_HEADER.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
            async for message in netlink.asked(netlink.ROUTE, GETROUTE, netlink.DUMP, question):
                reached = self._apply(message, reached)
        return reached

    def _apply(self, message: NetlinkMessage, reached: frozenset[IPAddress]) -> frozenset[IPAddress]:
        found = attributes(message.content[ROUTE_HEADER.size :])
        if table_of(message, found) != self._table or _RTA_DST not in found:
            return reached
        destination = frozenset({ip_address(found[_RTA_DST])})
        return reached - destination if message.kind == DELROUTE else reached | destination


def _filter(table: int) -> tuple[Instruction, ...]:
    """Messages about this table, and those about others whose number does not fit into the header's byte either."""
    return (
        (0x30, 0, 0, 20),  # ldb: rtmsg table
        (0x15, 0, 1, table if table < 256 else _TABLE_COMPAT),
        (0x06, 0, 0, 0x40000),  # ret: accept
        (0x06, 0, 0, 0),  # ret: drop
    )
