"""Which fellow hosts BIRD's BFD reaches: the routes of a private kernel table, by netlink."""

from collections.abc import AsyncIterator
from ipaddress import ip_address

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE

from appliance.api.address import IPAddress


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
