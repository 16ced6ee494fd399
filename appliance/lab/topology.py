"""The lab's site as values: machines, cables, addresses and routes, computed from the number of hosts alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from string import ascii_lowercase

IPInterface = IPv4Interface | IPv6Interface

HOSTS_MAX = len(ascii_lowercase)
BACKENDS_PER_HOST = 2
BACKEND_PORT = 5678
HOST_ASN = 64500
ROUTER_ASN = 64501

SWITCH = "lan"
ROUTER = "router"
CLIENT = "client"
REMOTE = "remote"
CONTROL = "control"
CONTROL_ADDRESS = "192.168.1.2"
LAN_INTERFACE = "eth0"

_BRIDGE = "br0"
_POD_BRIDGE = "cni0"
_UPLINK = "eth1"


@dataclass(frozen=True, slots=True)
class LabBackend:
    """One echo server: a machine of its own behind its host."""

    name: str
    host: str
    ipv4: IPv4Interface
    ipv6: IPv6Interface


@dataclass(frozen=True, slots=True)
class LabHost:
    """One bare-metal host: its addresses on the LAN, the networks of its backends, and those."""

    name: str
    number: int
    ipv4: IPv4Interface
    ipv6: IPv6Interface
    pods4: IPv4Interface
    pods6: IPv6Interface
    backends: tuple[LabBackend, ...]


@dataclass(frozen=True, slots=True)
class Plug:
    """One end of a cable; an end that is a bridge's port has no addresses."""

    machine: str
    interface: str
    hardware_address: str
    addresses: tuple[IPInterface, ...] = ()
    bridge: str = ""


@dataclass(frozen=True, slots=True)
class Bridge:
    """A switch, or a host's bridge for its backends."""

    machine: str
    name: str
    hardware_address: str
    addresses: tuple[IPInterface, ...] = ()


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """One route of a machine; the prefix is CIDR text."""

    machine: str
    prefix: str
    gateway: str


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything the kernel is to be told; `forwarding` machines pass packets on."""

    hosts: tuple[LabHost, ...]
    machines: tuple[str, ...]
    bridges: tuple[Bridge, ...]
    cables: tuple[tuple[Plug, Plug], ...]
    routes: tuple[StaticRoute, ...]
    forwarding: frozenset[str]

    @property
    def backends(self) -> tuple[LabBackend, ...]:
        """The backends of all hosts."""
        return tuple(backend for host in self.hosts for backend in host.backends)

    def address_of(self, machine: str, version: int) -> str:
        """The address of a machine that is no host, such as the client."""
        plugs = (plug for cable in self.cables for plug in cable if plug.machine == machine)
        return next(str(entry.ip) for plug in plugs for entry in plug.addresses if entry.version == version)


def plan(hosts: int) -> Topology:
    """The site with a number of hosts; raises ValueError for a number the address plan has no room for."""
    if not 1 <= hosts <= HOSTS_MAX:
        raise ValueError(f"a lab has 1 to {HOSTS_MAX} hosts, not {hosts}")
    members = tuple(_host(number) for number in range(1, hosts + 1))
    backends = tuple(backend for host in members for backend in host.backends)
    names = (*(host.name for host in members), *(backend.name for backend in backends))
    return Topology(
        hosts=members,
        machines=(SWITCH, ROUTER, CLIENT, REMOTE, CONTROL, *names),
        bridges=(Bridge(SWITCH, _BRIDGE, _hardware_address(0, 0)), *map(_pod_bridge, members)),
        cables=(*_site_cables(), *(cable for host in members for cable in _host_cables(host))),
        routes=(*_site_routes(), *(route for host in members for route in _host_routes(host))),
        forwarding=frozenset((ROUTER, *(host.name for host in members))),
    )


def _hardware_address(group: int, member: int) -> str:
    """A locally administered address: the group tells what kind of machine it belongs to."""
    return f"02:50:48:00:{group:02x}:{member:02x}"


def _pair(ipv4: str, ipv6: str) -> tuple[IPInterface, IPInterface]:
    return ip_interface(ipv4), ip_interface(ipv6)


def _host(number: int) -> LabHost:
    name = f"node-{ascii_lowercase[number - 1]}"
    pods = tuple(
        LabBackend(
            name=f"{name}-{member}",
            host=name,
            ipv4=IPv4Interface(f"10.244.{number}.{member + 1}/24"),
            ipv6=IPv6Interface(f"2001:db8:244:{number:x}::{member + 1:x}/64"),
        )
        for member in range(1, BACKENDS_PER_HOST + 1)
    )
    return LabHost(
        name=name,
        number=number,
        ipv4=IPv4Interface(f"192.168.1.{10 + number}/24"),
        ipv6=IPv6Interface(f"2001:db8:1::{10 + number}/64"),
        pods4=IPv4Interface(f"10.244.{number}.1/24"),
        pods6=IPv6Interface(f"2001:db8:244:{number:x}::1/64"),
        backends=pods,
    )


def _site_cables() -> Iterator[tuple[Plug, Plug]]:
    yield _on_lan(ROUTER, _hardware_address(0, 1), _pair("192.168.1.1/24", "2001:db8:1::1/64"))
    yield _on_lan(CLIENT, _hardware_address(0, 100), _pair("192.168.1.100/24", "2001:db8:1::100/64"))
    yield _on_lan(CONTROL, _hardware_address(0, 2), _pair(f"{CONTROL_ADDRESS}/24", "2001:db8:1::2/64"))
    yield (
        Plug(ROUTER, _UPLINK, _hardware_address(2, 1), _pair("203.0.113.1/24", "2001:db8:2::1/64")),
        Plug(REMOTE, LAN_INTERFACE, _hardware_address(2, 2), _pair("203.0.113.2/24", "2001:db8:2::2/64")),
    )


def _on_lan(machine: str, hardware_address: str, addresses: tuple[IPInterface, ...]) -> tuple[Plug, Plug]:
    port = Plug(SWITCH, machine, _hardware_address(255, int(hardware_address[-2:], 16)), bridge=_BRIDGE)
    return port, Plug(machine, LAN_INTERFACE, hardware_address, addresses)


def _pod_bridge(host: LabHost) -> Bridge:
    return Bridge(host.name, _POD_BRIDGE, _hardware_address(3, host.number), (host.pods4, host.pods6))


def _host_cables(host: LabHost) -> Iterator[tuple[Plug, Plug]]:
    yield _on_lan(host.name, _hardware_address(1, 10 + host.number), (host.ipv4, host.ipv6))
    for member, backend in enumerate(host.backends, start=1):
        port = Plug(host.name, f"pod{member}", _hardware_address(16 + member, host.number), bridge=_POD_BRIDGE)
        yield (
            port,
            Plug(
                backend.name, LAN_INTERFACE, _hardware_address(32 + member, host.number), (backend.ipv4, backend.ipv6)
            ),
        )


def _site_routes() -> Iterator[StaticRoute]:
    for machine, ipv4, ipv6 in ((CLIENT, "192.168.1.1", "2001:db8:1::1"), (REMOTE, "203.0.113.1", "2001:db8:2::1")):
        yield StaticRoute(machine, "0.0.0.0/0", ipv4)
        yield StaticRoute(machine, "::/0", ipv6)


def _host_routes(host: LabHost) -> Iterator[StaticRoute]:
    yield StaticRoute(host.name, "0.0.0.0/0", "192.168.1.1")
    yield StaticRoute(host.name, "::/0", "2001:db8:1::1")
    yield StaticRoute(ROUTER, str(host.pods4.network), str(host.ipv4.ip))
    yield StaticRoute(ROUTER, str(host.pods6.network), str(host.ipv6.ip))
    for backend in host.backends:
        yield StaticRoute(backend.name, "0.0.0.0/0", str(host.pods4.ip))
        yield StaticRoute(backend.name, "::/0", str(host.pods6.ip))
