"""What can be seen of the site from outside: neighbours, the router's routes, the hosts that packets enter by."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv6Address, ip_address

from pyroute2 import AsyncIPRoute, NetlinkError

from appliance.api.address import IPAddress
from appliance.lab import namespace
from appliance.lab.http import open_socket
from appliance.lab.place import Place
from appliance.lab.topology import CLIENT, LAN_INTERFACE, ROUTER, Topology

POLL_SECONDS = 0.01

_ETH_P_ALL = 3
_ABSENT = -1
_SILENT = frozenset((0x20,))  # NUD_FAILED
_RESOLVED = frozenset((0x02, 0x04, 0x08, 0x10))  # REACHABLE, STALE, DELAY, PROBE
_DISCARD_PORT = 9
_ANSWER_SECONDS = 5.0
_SYN, _SYN_ACK = 0x02, 0x12


class Observer:
    """The eyes of the story; opened once, before anything else runs."""

    def __init__(self, place: Place, topology: Topology, client: AsyncIPRoute, router: AsyncIPRoute) -> None:
        self._place = place
        self._client = client
        self._router = router
        self._by_hardware_address = {
            plug.hardware_address: plug.machine
            for cable in topology.cables
            for plug in cable
            if plug.interface == LAN_INTERFACE
        }
        self._by_address = {address.ip: host.name for host in topology.hosts for address in (host.ipv4, host.ipv6)}

    async def resolve(self, address: IPAddress) -> str | None:
        """The host the client's kernel resolves an address to, asked anew; None when nobody answers."""
        family = _family(address)
        with suppress(NetlinkError):
            await self._client.neigh("del", family=family, dst=str(address), ifindex=await self._client_index())
        with open_socket(self._place.namespace(CLIENT), address, socket.SOCK_DGRAM) as asking, suppress(OSError):
            asking.sendto(b"", (str(address), _DISCARD_PORT))
        deadline = asyncio.get_running_loop().time() + _ANSWER_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            state, host = await self.neighbour(address)
            if state in _SILENT or state in _RESOLVED:
                return host
            await asyncio.sleep(POLL_SECONDS)
        return None

    async def neighbour(self, address: IPAddress) -> tuple[int, str | None]:
        """The client's neighbour table entry of an address as it stands: its NUD state, and the host it leads to."""
        async for entry in await self._client.get_neighbours(family=_family(address), dst=str(address)):
            hardware_address = entry.get("lladdr")
            host = self._by_hardware_address.get(hardware_address, hardware_address)
            return int(entry.get("state")), host if entry.get("state") in _RESOLVED else None
        return _ABSENT, None

    async def _client_index(self) -> int:
        return int((await self._client.link_lookup(ifname=LAN_INTERFACE))[0])

    async def next_hops(self, address: IPAddress) -> frozenset[str]:
        """The hosts the router sends packets for one address to, by its route for that address alone."""
        found: set[str] = set()
        async for route in await self._router.get_routes(family=_family(address), dst_len=address.max_prefixlen):
            if route.get("dst") == str(address):
                hops = route.get("multipath") or (route,)
                found |= {self._host_of(str(gateway)) for hop in hops if (gateway := hop.get("gateway"))}
        return frozenset(found)

    def _host_of(self, gateway: str) -> str:
        return self._by_address.get(ip_address(gateway), gateway)

    @asynccontextmanager
    async def ingress(self, address: IPAddress) -> AsyncIterator[Counter[str]]:
        """Count, while the block runs, by which host new connections from the router to an address enter."""
        entered: Counter[str] = Counter()
        with namespace.inside(self._place.namespace(ROUTER)):
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        loop = asyncio.get_running_loop()
        with tap:
            tap.bind((LAN_INTERFACE, _ETH_P_ALL))
            tap.setblocking(False)
            loop.add_reader(tap, self._count, tap, address, entered)
            try:
                yield entered
            finally:
                loop.remove_reader(tap)

    def _count(self, tap: socket.socket, address: IPAddress, entered: Counter[str]) -> None:
        """Read until the socket would block, which is how its emptiness is known."""
        with suppress(BlockingIOError):
            while True:
                frame = tap.recv(2048)
                if opens_connection(frame, address):
                    hardware_address = frame[:6].hex(":")
                    entered[self._by_hardware_address.get(hardware_address, hardware_address)] += 1


def _family(address: IPAddress) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def opens_connection(frame: bytes, address: IPAddress) -> bool:
    """Whether an Ethernet frame carries the first packet of a TCP connection to an address."""
    if isinstance(address, IPv6Address):
        destination, protocol, segment = frame[38:54], frame[20:21], frame[54:]
    else:
        header_bytes = (frame[14] & 0x0F) * 4 if len(frame) > 34 else 20
        destination, protocol, segment = frame[30:34], frame[23:24], frame[14 + header_bytes :]
    ether_type = frame[12:14].hex()
    if ether_type != ("0800" if address.version == 4 else "86dd") or len(segment) < 20:
        return False
    is_ours = destination == address.packed and protocol == b"\x06"
    return is_ours and segment[13] & _SYN_ACK == _SYN


@asynccontextmanager
async def observing(place: Place, topology: Topology) -> AsyncIterator[Observer]:
    """Open the eyes in the client's and the router's namespaces."""
    in_client, in_router = (namespace.netlink(place.namespace(machine)) for machine in (CLIENT, ROUTER))
    async with in_client as client, in_router as router:
        yield Observer(place, topology, client, router)
