"""What this host does with the packets of every VIP: pure values that nft renders."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from appliance.api.address import IPAddress, family_of
from appliance.api.core import Protocol, SessionAffinity, TrafficPolicy
from appliance.api.pierhead import Backend, BackendPort, Backends, Host, VirtualIP
from appliance.forward.hop import Fellow, LeftOut, fellows_of, why_left_out
from appliance.forward.ring import Member, Ring, ring_of

Choice = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class PortKey:
    """One port of a VIP."""

    address: IPAddress
    protocol: Protocol
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    """A backend on this host."""

    address: IPAddress
    port: int


@dataclass(frozen=True, slots=True)
class PortPlan:
    """What happens to the packets of one port; a Choice names a host for each bucket, None leaves the packet here.

    `first` is asked when a packet enters from the network. `stateless` is asked for a packet in mid-connection that
    this host knows nothing of, `unserved` for the first packet of a connection where this host has no target.
    A packet that nothing takes is dropped where `kept`, because another host may serve it, and refused otherwise.
    """

    key: PortKey
    by_address: bool
    first: Choice | None = None
    stateless: Choice | None = None
    unserved: Choice | None = None
    targets: tuple[Target, ...] = ()
    kept: bool = True


@dataclass(frozen=True, slots=True)
class ForwardPlan:
    """Everything this host does; `rings` holds the ring of every port that has one."""

    me: str
    devices: tuple[str, ...]
    fellows: tuple[Fellow, ...]
    addresses: tuple[IPAddress, ...]
    ports: tuple[PortPlan, ...]
    rings: Mapping[PortKey, Ring]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class _Site:
    me: str
    hosts: Mapping[str, Host]
    fellows: Mapping[str, Fellow]
    dead: frozenset[str]


def plan(
    me: str,
    *,
    vips: Iterable[VirtualIP],
    backends: Iterable[Backends],
    hosts: Iterable[Host],
    dead: frozenset[str],
    interfaces: Iterable[str],
) -> ForwardPlan:
    """Decide for every port of every VIP; `interfaces` are those present here that packets enter by."""
    by_name = {host.metadata.name: host for host in hosts}
    devices = _devices(by_name.get(me), frozenset(interfaces))
    fellows = fellows_of(me, by_name, devices)
    site = _Site(me, by_name, {fellow.name: fellow for fellow in fellows}, dead)
    addresses = sorted((vip.spec.address for vip in vips), key=_address_order)
    ports = _ports(addresses, backends)
    rings = {key: ring for key, port in ports if (ring := _ring(key, port, site))}
    plans = tuple(_port_plan(key, port, rings.get(key), me) for key, port in ports)
    return ForwardPlan(me, devices, fellows, tuple(addresses), plans, rings, _left_out(ports, site))


def _devices(own: Host | None, present: frozenset[str]) -> tuple[str, ...]:
    interfaces = own.status.interfaces if own else ()
    return tuple(sorted(interface.name for interface in interfaces if interface.name in present))


def _address_order(address: IPAddress) -> tuple[int, int]:
    return address.version, int(address)


def _ports(addresses: list[IPAddress], backends: Iterable[Backends]) -> list[tuple[PortKey, BackendPort]]:
    by_address = {entry.spec.address: entry.spec.ports for entry in backends}
    return [
        (PortKey(address, port.protocol, port.port), port)
        for address in addresses
        for port in sorted(by_address.get(address, ()), key=lambda port: (port.protocol, port.port))
    ]


def _ring(key: PortKey, port: BackendPort, site: _Site) -> Ring | None:
    """The ring of a port; None where the host it came to delivers it, or no reachable host serves it."""
    if port.external_traffic_policy is TrafficPolicy.LOCAL:
        return None
    members = _members(key, port, site)
    return ring_of(members) if members else None


def _members(key: PortKey, port: BackendPort, site: _Site) -> frozenset[Member]:
    ready: dict[str, int] = {}
    held: dict[str, int] = {}
    for backend in _of_family(key, port):
        held[backend.host] = held.get(backend.host, 0) + 1
        ready[backend.host] = ready.get(backend.host, 0) + (not backend.terminating)
    return frozenset(
        Member(host, 0 if _is_draining(host, site) else ready[host], held[host])
        for host in held
        if host == site.me or why_left_out(host, family_of(key.address), site.fellows, site.dead) is None
    )


def _is_draining(name: str, site: _Site) -> bool:
    return name in site.hosts and site.hosts[name].spec.drain


def _of_family(key: PortKey, port: BackendPort) -> tuple[Backend, ...]:
    return tuple(backend for backend in port.backends if backend.address.version == key.address.version)


def _port_plan(key: PortKey, port: BackendPort, ring: Ring | None, me: str) -> PortPlan:
    # Fragments after the first carry no port, and UDP has no other way to carry more than a packet holds.
    by_address = port.session_affinity is SessionAffinity.CLIENT_IP or port.protocol is Protocol.UDP
    backends = _of_family(key, port)
    own = tuple(backend for backend in backends if backend.host == me)
    targets = _targets(own, ring, me)
    if ring is None:
        return PortPlan(key, by_address, targets=targets, kept=bool(backends) or _is_local(port))
    return PortPlan(
        key,
        by_address,
        first=_first_choice(ring, me),
        stateless=_second_chance(ring, me) if own else _first_choice(ring, me),
        unserved=None if targets else _first_choice(ring, me),
        targets=targets,
    )


def _is_local(port: BackendPort) -> bool:
    return port.external_traffic_policy is TrafficPolicy.LOCAL


def _targets(own: tuple[Backend, ...], ring: Ring | None, me: str) -> tuple[Target, ...]:
    """Own backends for new connections: terminating ones only where this host serves and has no other."""
    ready = tuple(backend for backend in own if not backend.terminating)
    serves = ring is None or any(bucket[0] == me for bucket in ring.buckets)
    chosen = ready or (own if serves else ())
    return tuple(
        Target(backend.address, backend.port)
        for backend in sorted(chosen, key=lambda backend: (int(backend.address), backend.port))
    )


@lru_cache(maxsize=4096)
def _first_choice(ring: Ring, me: str) -> Choice | None:
    """Each bucket's primary, or None where that is always this host."""
    choice = tuple(bucket[0] for bucket in ring.buckets)
    return choice if any(host != me for host in choice) else None


@lru_cache(maxsize=4096)
def _second_chance(ring: Ring, me: str) -> Choice | None:
    """Who comes after this host in each bucket, or None where nobody ever does."""
    choice = tuple(_after(bucket, me) for bucket in ring.buckets)
    return choice if any(choice) else None


def _after(bucket: tuple[str, ...], me: str) -> str | None:
    following = bucket[bucket.index(me) + 1 :] if me in bucket else ()
    return following[0] if following else None


def _left_out(ports: list[tuple[PortKey, BackendPort]], site: _Site) -> tuple[LeftOut, ...]:
    behind = {
        (backend.host, family_of(key.address))
        for key, port in ports
        for backend in _of_family(key, port)
        if backend.host != site.me
    }
    reasons = ((host, family, why_left_out(host, family, site.fellows, site.dead)) for host, family in sorted(behind))
    return tuple(LeftOut(host, family, reason) for host, family, reason in reasons if reason)
