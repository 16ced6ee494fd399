"""The site in the kernel: namespaces, bridges, cables, addresses and routes, all by netlink."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from pyroute2 import AsyncIPRoute, NetlinkError

from appliance.lab import namespace
from appliance.lab.place import Place
from appliance.lab.topology import CLIENT, LAN_INTERFACE, SWITCH, Bridge, IPInterface, Plug, StaticRoute, Topology

# A new interface takes its settings from `default`; redirects are decided by `all` or the interface's own.
_EVERYWHERE = {
    "ipv6/conf/all/accept_dad": 0,
    "ipv6/conf/default/accept_dad": 0,
    "ipv6/conf/default/accept_ra": 0,
    "ipv6/conf/all/accept_ra": 0,
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv4/conf/all/send_redirects": 0,
    "ipv4/conf/default/send_redirects": 0,
}
# An address nobody answers for is known as such after 3 x 200 ms: the story watches one fall silent.
_ASKING = {f"{family}/neigh/{LAN_INTERFACE}/retrans_time_ms": 200 for family in ("ipv4", "ipv6")}
_FORWARDING = {
    "ipv4/ip_forward": 1,
    "ipv6/conf/all/forwarding": 1,
    "ipv6/conf/default/forwarding": 1,
    "ipv4/fib_multipath_hash_policy": 1,
    "ipv6/fib_multipath_hash_policy": 1,
}


class NetworkError(Exception):
    """The kernel refused a part of the site."""


class _Kernel:
    """Netlink sockets, one a machine, opened when first used."""

    def __init__(self, place: Place, stack: AsyncExitStack) -> None:
        self._place = place
        self._stack = stack
        self._routes: dict[str, AsyncIPRoute] = {}

    async def of(self, machine: str) -> AsyncIPRoute:
        """The netlink socket of a machine."""
        if machine not in self._routes:
            opened = namespace.netlink(self._place.namespace(machine))
            self._routes[machine] = await self._stack.enter_async_context(opened)
        return self._routes[machine]


@asynccontextmanager
async def _kernel(place: Place) -> AsyncIterator[_Kernel]:
    async with AsyncExitStack() as stack:
        try:
            yield _Kernel(place, stack)
        except NetlinkError as error:
            raise NetworkError(f"the kernel refused a part of the site: {error}") from error


async def build(place: Place, topology: Topology) -> None:
    """Make everything; the names must be free."""
    for machine in topology.machines:
        namespace.create(place.namespace(machine))
        _set_sysctls(place, machine, _EVERYWHERE | (_FORWARDING if machine in topology.forwarding else {}))
    async with _kernel(place) as kernel:
        for machine in topology.machines:
            await (await kernel.of(machine)).link("set", index=1, state="up")
        for bridge in topology.bridges:
            await _add_bridge(kernel, bridge)
        for left, right in topology.cables:
            await _add_cable(place, kernel, left, right)
        for route in topology.routes:
            await _add_route(kernel, route)
    _set_sysctls(place, CLIENT, _ASKING)


def _set_sysctls(place: Place, machine: str, sysctls: dict[str, int]) -> None:
    with namespace.inside(place.namespace(machine)):
        for name, setting in sysctls.items():
            Path("/proc/sys/net", name).write_text(str(setting))


async def _add_bridge(kernel: _Kernel, bridge: Bridge) -> None:
    route = await kernel.of(bridge.machine)
    # Nobody queries group membership here, so the switch must not prune the multicast of neighbour discovery.
    settings = {"br_mcast_snooping": 0, "br_forward_delay": 0, "br_stp_state": 0}
    await route.link("add", ifname=bridge.name, kind="bridge", address=bridge.hardware_address, **settings)
    await _address(route, await _index(route, bridge.name), bridge.addresses)


async def _add_cable(place: Place, kernel: _Kernel, left: Plug, right: Plug) -> None:
    far = {
        "ifname": right.interface,
        "address": right.hardware_address,
        "net_ns_fd": str(namespace.path_of(place.namespace(right.machine))),
    }
    await (await kernel.of(left.machine)).link(
        "add", ifname=left.interface, kind="veth", address=left.hardware_address, peer=far
    )
    for plug in (left, right):
        route = await kernel.of(plug.machine)
        index = await _index(route, plug.interface)
        if plug.bridge:
            await route.link("set", index=index, master=await _index(route, plug.bridge))
        await _address(route, index, plug.addresses)


async def _address(route: AsyncIPRoute, index: int, addresses: tuple[IPInterface, ...]) -> None:
    await route.link("set", index=index, state="up")
    for address in addresses:
        await route.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)


async def _add_route(kernel: _Kernel, route: StaticRoute) -> None:
    await (await kernel.of(route.machine)).route("add", dst=route.prefix, gateway=route.gateway)


async def _index(route: AsyncIPRoute, interface: str) -> int:
    found = await route.link_lookup(ifname=interface)
    if not found:
        raise NetworkError(f"there is no interface {interface}")
    return int(found[0])


async def plug(place: Place, machine: str, connected: bool) -> None:
    """Pull a machine's cable out of the switch, or put it back."""
    async with _kernel(place) as kernel:
        route = await kernel.of(SWITCH)
        await route.link("set", index=await _index(route, machine), state="up" if connected else "down")


async def is_plugged(place: Place, machine: str) -> bool:
    """Whether a machine's cable is in the switch."""
    async with _kernel(place) as kernel:
        route = await kernel.of(SWITCH)
        (link,) = [link async for link in await route.get_links(await _index(route, machine))]
        return bool(link.get("state") == "up")
