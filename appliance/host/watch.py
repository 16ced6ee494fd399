"""Which other hosts BIRD's BFD reaches: the routes of a private kernel table, by netlink."""

from collections.abc import AsyncIterator
from ipaddress import ip_address

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE

from appliance.api.address import IPAddress
from appliance.host.filter import Instruction, attach_filter

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
            async with AsyncIPRoute() as events:
                attach_filter(events.socket, _filter(self._table))
                await events.bind(groups=RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE)
                reached = await self._dump()
                yield reached
                while True:
                    changed = reached
                    async for message in events.get():
                        changed = self._apply(message, changed)
                    if changed != reached:
                        reached = changed
                        yield reached
        except (NetlinkError, OSError) as error:
            raise WatchError(str(error)) from error

    async def _dump(self) -> frozenset[IPAddress]:
        reached: frozenset[IPAddress] = frozenset()
        async with AsyncIPRoute() as netlink:
            for family in (2, 10):
                async for message in await netlink.get_routes(family=family, table=self._table):
                    reached = self._apply(message, reached)
        return reached

    def _apply(self, message: dict[str, object], reached: frozenset[IPAddress]) -> frozenset[IPAddress]:
        if message.get("table") != self._table or not message.get("dst"):
            return reached
        destination = frozenset({ip_address(str(message.get("dst")))})
        return reached - destination if message["event"] == "RTM_DELROUTE" else reached | destination


def _filter(table: int) -> tuple[Instruction, ...]:
    """Messages about this table, and those about others whose number does not fit into the header's byte either."""
    return (
        (0x30, 0, 0, 20),  # ldb: rtmsg table
        (0x15, 0, 1, table if table < 256 else _TABLE_COMPAT),
        (0x06, 0, 0, 0x40000),  # ret: accept
        (0x06, 0, 0, 0),  # ret: drop
    )
