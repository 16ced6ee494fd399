"""A site for forwarding tests: a client behind a router, three hosts on a LAN, two backends on each, all namespaces."""

import asyncio
import contextlib
import ctypes
import itertools
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address, ip_interface
from pathlib import Path

from appliance.api.address import IPAddress, parse_hardware_address, vip_name
from appliance.api.core import Protocol, SessionAffinity, TrafficPolicy
from appliance.api.meta import Metadata
from appliance.api.pierhead import (
    Backend,
    BackendPort,
    Backends,
    BackendsSpec,
    Host,
    HostInterface,
    HostSpec,
    HostStatus,
    VirtualIP,
    VirtualIPSpec,
)
from appliance.forward.machine import Change, Device, DevicesChanged, FailedHostsChanged, Forwarding, ObjectsChanged
from appliance.host.conntrack import Conntrack, FlowEnd
from appliance.host.nft import Nft
from appliance.lab.namespace import enter

HOSTS = ("node-a", "node-b", "node-c")
PORT = 80
BACKEND_PORT = 8080
VIP4 = ip_address("10.0.100.1")
VIP6 = ip_address("2001:db8:100::1")
CLIENT4 = ip_address("203.0.113.2")
CLIENT6 = ip_address("2001:db8:2::2")
ANSWER_SECONDS = 15.0
_PREFIX = f"phfwd-{os.getpid() % 100000}-"
_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_SO_RCVBUFFORCE = 33
_flow_ports = itertools.count(10_000)


def name_of(short: str) -> str:
    """The namespace of a machine of the site."""
    return _PREFIX + short


@contextlib.contextmanager
def inside(short: str) -> Iterator[None]:
    """Make the sockets opened here belong to a machine's namespace."""
    theirs = Path("/run/netns") / name_of(short)
    with Path("/proc/self/ns/net").open("rb") as own, theirs.open("rb") as other:
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(own.fileno())


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@dataclass(frozen=True, slots=True)
class Site:
    """What the hosts are told: who is there, drained or dead, which backends stand, how the Service is announced."""

    members: frozenset[str] = frozenset(HOSTS)
    drained: frozenset[str] = frozenset()
    dead: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    terminating: frozenset[str] = frozenset()
    unready: frozenset[str] = frozenset()
    policy: TrafficPolicy = TrafficPolicy.CLUSTER
    affinity: SessionAffinity = SessionAffinity.NONE

    def hosts(self) -> list[Host]:
        """The Host objects."""
        return [_host(name, name in self.drained) for name in HOSTS]

    def vips(self) -> list[VirtualIP]:
        """The VirtualIP objects, one of each family."""
        return [
            VirtualIP(metadata=Metadata(name=vip_name(vip)), spec=VirtualIPSpec(address=vip, pool="lab"))
            for vip in (VIP4, VIP6)
        ]

    def backends(self) -> list[Backends]:
        """The Backends objects."""
        return [self._backends(vip) for vip in (VIP4, VIP6)]

    def _backends(self, vip: IPAddress) -> Backends:
        standing = tuple(
            Backend(
                address=address_of(name, vip.version),
                port=BACKEND_PORT,
                host=host,
                serving=name not in self.unready,
                terminating=name in self.terminating,
            )
            for host in HOSTS
            if host in self.members
            for name in backends_of(host)
            if name not in self.gone
        )
        ports = tuple(
            BackendPort(
                protocol=protocol,
                port=PORT,
                external_traffic_policy=self.policy,
                session_affinity=self.affinity,
                backends=standing,
            )
            for protocol in (Protocol.TCP, Protocol.UDP)
        )
        return Backends(metadata=Metadata(name=vip_name(vip)), spec=BackendsSpec(address=vip, ports=ports))


def backends_of(host: str) -> tuple[str, str]:
    """The names of a host's two backends."""
    return f"{host}-1", f"{host}-2"


def address_of(machine: str, version: int) -> IPAddress:
    """The address of a host on the LAN or of a backend."""
    index = HOSTS.index(machine[:6]) + 1
    if machine in HOSTS:
        return ip_address(f"192.168.1.{10 + index}" if version == 4 else f"2001:db8:1::{10 + index}")
    backend = int(machine[-1]) + 1
    return ip_address(f"10.244.{index}.{backend}" if version == 4 else f"2001:db8:244:{index}::{backend}")


def _host(name: str, drain: bool) -> Host:
    interface = HostInterface(
        name="eth0",
        hardware_address=parse_hardware_address(_hardware_address(name)),
        addresses=(ip_interface(f"{address_of(name, 4)}/24"), ip_interface(f"{address_of(name, 6)}/64")),
    )
    return Host(metadata=Metadata(name=name), spec=HostSpec(drain=drain), status=HostStatus(interfaces=(interface,)))


def _hardware_address(host: str) -> str:
    return f"02:00:00:00:00:1{HOSTS.index(host) + 1}"


def run(*arguments: str, text: str = "") -> str:
    """Run a command and return what it printed; raises CalledProcessError."""
    return subprocess.run(arguments, input=text, check=True, capture_output=True, text=True).stdout


def build() -> None:
    """Make every namespace and link; `remove` takes them away, also half made ones."""
    machines = ["client", "router", "lan", *HOSTS, *(name for host in HOSTS for name in backends_of(host))]
    run("ip", "-batch", "-", text="".join(f"netns add {name_of(machine)}\n" for machine in machines))
    for machine in machines:
        _sysctl(
            machine, ("ipv4.conf.all.rp_filter=0", "ipv4.conf.default.rp_filter=0", "ipv6.conf.default.accept_dad=0")
        )
        _ip(machine, "link set lo up")
    _ip("lan", "link add br0 type bridge", "link set br0 up")
    _cable("router", "eth0", "lan", "router")
    _cable("client", "eth0", "router", "eth1")
    _ip("router", *_addresses("eth0", "192.168.1.1/24", "2001:db8:1::1/64"))
    _ip("router", *_addresses("eth1", "203.0.113.1/24", "2001:db8:2::1/64"))
    _ip("client", *_addresses("eth0", f"{CLIENT4}/24", f"{CLIENT6}/64"), *_default("203.0.113.1", "2001:db8:2::1"))
    _sysctl("router", ("ipv4.ip_forward=1", "ipv6.conf.all.forwarding=1", "ipv4.fib_multipath_hash_policy=1"))
    _sysctl("router", ("ipv6.fib_multipath_hash_policy=1",))
    for host in HOSTS:
        _build_host(host)


def _build_host(host: str) -> None:
    _cable(host, "eth0", "lan", host)
    _ip(host, f"link set eth0 address {_hardware_address(host)}")
    _ip(host, *_addresses("eth0", f"{address_of(host, 4)}/24", f"{address_of(host, 6)}/64"))
    _ip(host, *_default("192.168.1.1", "2001:db8:1::1"), "link add br0 type bridge", "link set br0 up")
    _sysctl(host, ("ipv4.ip_forward=1", "ipv6.conf.all.forwarding=1"))
    index = HOSTS.index(host) + 1
    _ip(host, *_addresses("br0", f"10.244.{index}.1/24", f"2001:db8:244:{index}::1/64"))
    for name in backends_of(host):
        _cable(name, "eth0", host, name)
        _ip(name, *_addresses("eth0", f"{address_of(name, 4)}/24", f"{address_of(name, 6)}/64"))
        _ip(name, *_default(f"10.244.{index}.1", f"2001:db8:244:{index}::1"))


def _cable(machine: str, device: str, switch: str, port: str) -> None:
    """Join two machines; where the second has a bridge, the cable ends in it."""
    run("ip", "link", "add", device, "netns", name_of(machine), "type", "veth", "peer", port, "netns", name_of(switch))
    _ip(machine, f"link set {device} up")
    _ip(switch, f"link set {port} up", *([f"link set {port} master br0"] if switch != "router" else []))


def _addresses(device: str, *addresses: str) -> list[str]:
    return [f"address add {address} dev {device}{' nodad' if ':' in address else ''}" for address in addresses]


def _default(*gateways: str) -> list[str]:
    return [f"route add default via {gateway}" for gateway in gateways]


def _ip(machine: str, *commands: str) -> None:
    run("ip", "-n", name_of(machine), "-batch", "-", text="\n".join(commands) + "\n")


def _sysctl(machine: str, settings: Iterable[str]) -> None:
    run("ip", "netns", "exec", name_of(machine), "sysctl", "-q", *(f"net.{setting}" for setting in settings))


def remove() -> None:
    """Take every namespace of this site away."""
    for line in run("ip", "netns", "list").splitlines():
        if line.startswith(_PREFIX):
            run("ip", "netns", "delete", line.split()[0])


def route(hosts: Iterable[str]) -> None:
    """Let the router spread both VIPs over some hosts."""
    chosen = list(hosts)
    for vip in (VIP4, VIP6):
        hops = " ".join(f"nexthop via {address_of(host, vip.version)} dev eth0" for host in chosen)
        _ip("router", f"route replace {vip} {hops}")


def route_to_nobody() -> None:
    """Let the router send both VIPs' packets to a hardware address that the switch has never seen, and so floods."""
    for vip, gateway in ((VIP4, "192.168.1.99"), (VIP6, "2001:db8:1::99")):
        _ip("router", f"neigh replace {gateway} lladdr 02:00:00:00:99:99 dev eth0 nud permanent")
        _ip("router", f"route replace {vip} via {gateway} dev eth0")


def narrow(size: int) -> None:
    """Let the way from the router to the client carry packets of this size only."""
    _ip("router", f"link set eth1 mtu {size}")


def cut(host: str) -> None:
    """Pull a host's cable."""
    _ip("lan", f"link set {host} down")


def mend(host: str) -> None:
    """Put a host's cable back."""
    _ip("lan", f"link set {host} up")


class Forwarders:
    """The three hosts' rules, decided and applied as the forwarder does it."""

    def __init__(self) -> None:
        self._nft = {host: Nft(partial(enter, name_of(host))) for host in HOSTS}
        self._cores: dict[str, Forwarding] = {}
        self._began = time.monotonic()

    async def apply(self, site: Site, hosts: Iterable[str] = HOSTS) -> None:
        """Let some hosts learn of a site, one after the other."""
        for host in hosts:
            change = await self._change(host, site)
            if change is None:
                continue
            if change.text:
                await self._nft[host].apply(change.text, change.revision)
            with inside(host):
                await Conntrack().keep(
                    {
                        FlowEnd(key.address, key.port): frozenset(FlowEnd(one.address, one.port) for one in targets)
                        for key, targets in change.flows.items()
                    }
                )

    async def _change(self, host: str, site: Site) -> Change | None:
        now = time.monotonic() - self._began
        is_new = host not in self._cores
        core = self._cores.setdefault(host, Forwarding(host))
        core.handle(ObjectsChanged((*site.hosts(), *site.vips(), *site.backends())))
        core.handle(FailedHostsChanged(site.dead - {host}))
        core.handle(DevicesChanged((Device("eth0", 1),)))
        return core.take_over(await self._nft[host].read(), now) if is_new else core.change(now)


@dataclass
class Connection:
    """A client's open connection, and what the backend said of itself and of the client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    backend: str = ""
    client: str = ""

    async def ask(self) -> None:
        """One round trip; raises OSError or TimeoutError where the connection is lost."""
        async with asyncio.timeout(ANSWER_SECONDS):
            self.writer.write(b"ask\n")
            answer = (await self.reader.readline()).decode().split()
        if not answer:
            raise ConnectionResetError("closed by the other side")
        self.backend, self.client = answer

    async def fetch(self, size: int) -> int:
        """Let the backend send so many bytes and return how many came."""
        self.writer.write(f"{size}\n".encode())
        async with asyncio.timeout(ANSWER_SECONDS):
            return len((await self.reader.readuntil(b"\n")).rstrip(b"\n"))

    async def is_alive(self) -> bool:
        """Whether a round trip succeeds."""
        try:
            await self.ask()
        except (OSError, TimeoutError):
            return False
        return True

    async def close(self) -> None:
        """End it at once."""
        await _abort(self.writer)


async def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[None]:
    """TCP servers in every backend's namespace that answer with the backend's name and the client they see."""
    writers: list[asyncio.StreamWriter] = []
    async with contextlib.AsyncExitStack() as stack:
        for name in (name for host in HOSTS for name in backends_of(host)):
            with inside(name):
                listener = socket.create_server(("::", BACKEND_PORT), family=socket.AF_INET6, dualstack_ipv6=True)
            server = await asyncio.start_server(partial(_echo, name, writers), sock=listener)
            stack.callback(server.close)
        try:
            yield
        finally:
            for writer in writers:
                await _abort(writer)


async def _echo(
    name: str, writers: list[asyncio.StreamWriter], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writers.append(writer)
    client = ip_address(writer.get_extra_info("peername")[0])
    seen = getattr(client, "ipv4_mapped", None) or client
    with contextlib.suppress(OSError):
        while asked := await reader.readline():
            writer.write(f"{name} {seen}\n".encode() if asked == b"ask\n" else bytes(int(asked)) + b"\n")


@dataclass(frozen=True, slots=True)
class Flow:
    """A client's datagrams from one port."""

    client: socket.socket

    async def ask(self, size: int = 3) -> str | None:
        """The backend that answers a datagram of a size and had all of it, or None where none does."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.client, bytes(size))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                backend, seen = (await loop.sock_recv(self.client, 1024)).decode().split()
        except TimeoutError:
            return None
        return backend if int(seen) == size else None


@contextlib.contextmanager
def flows(vip: IPAddress, count: int) -> Iterator[list[Flow]]:
    """Some clients' sockets for datagrams, on ports of their own: hosts still know the flows of ports used before."""
    family = socket.AF_INET if vip.version == 4 else socket.AF_INET6
    with contextlib.ExitStack() as stack, inside("client"):
        opened = [stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(count)]
        for client in opened:
            client.setblocking(False)
            client.bind(("", next(_flow_ports)))
            client.connect((str(vip), PORT))
        yield [Flow(client) for client in opened]


async def ask_all(asked: Iterable[Flow], size: int = 3) -> list[str | None]:
    """The backend that answers each of some flows."""
    return list(await asyncio.gather(*(flow.ask(size) for flow in asked)))


@contextlib.asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """Servers in every backend's namespace that answer a datagram with the backend's name and the datagram's size."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        for name in (name for host in HOSTS for name in backends_of(host)):
            for family in (socket.AF_INET, socket.AF_INET6):
                with inside(name):
                    server = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                server.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 2**22)
                server.bind(("" if family is socket.AF_INET else str(address_of(name, 6)), BACKEND_PORT))
                server.setblocking(False)
                loop.add_reader(server, _answer, name, server)
                stack.callback(loop.remove_reader, server)
        yield


def _answer(name: str, server: socket.socket) -> None:
    content, client = server.recvfrom(65535)
    server.sendto(f"{name} {len(content)}".encode(), client)


async def connect(vip: IPAddress, source: str = "client") -> Connection:
    """Open a connection from a machine and ask once."""
    family = socket.AF_INET if vip.version == 4 else socket.AF_INET6
    with inside(source):
        opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setblocking(False)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await asyncio.get_running_loop().sock_connect(opened, (str(vip), PORT))
    except (OSError, TimeoutError):
        opened.close()
        raise
    reader, writer = await asyncio.open_connection(sock=opened, limit=2**20)
    connection = Connection(reader, writer)
    await connection.ask()
    return connection


@contextlib.asynccontextmanager
async def connections(vip: IPAddress, count: int) -> AsyncIterator[list[Connection]]:
    """Some open connections."""
    opened = [await connect(vip) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            await connection.close()


async def lost(opened: Iterable[Connection]) -> list[Connection]:
    """Those of some connections that do not answer any more."""
    every = list(opened)
    alive = await asyncio.gather(*(connection.is_alive() for connection in every))
    return [connection for connection, answers in zip(every, alive, strict=True) if not answers]


async def lost_during(opened: Iterable[Connection], change: Awaitable[None]) -> list[Connection]:
    """Those of some connections, asked without a pause until a change is done and once more, that stop answering."""
    changing = asyncio.ensure_future(change)  # noqa: TID251  # watched by its done(), awaited below
    every = list(opened)
    gone: list[Connection] = []
    while not changing.done():
        gone += await lost(connection for connection in every if connection not in gone)
    await changing
    return gone + await lost(connection for connection in every if connection not in gone)
