"""What this host does with the packets of every port of a VIP, and which hosts stand behind it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from math import gcd

from appliance.api.address import Family, IPAddress, family_of
from appliance.api.core import Protocol, SessionAffinity, TrafficPolicy
from appliance.api.pierhead import Backend, BackendPort
from appliance.forward.ring import Member


@dataclass(frozen=True, slots=True)
class VipPort:
    """One port of a VIP."""

    address: IPAddress
    protocol: Protocol
    port: int


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """A backend on this host."""

    address: IPAddress
    port: int


class HashInput(StrEnum):
    """What of a packet chooses its bucket: the client's address and port, or its address alone."""

    FLOW = "flow"
    CLIENT = "client"


@dataclass(frozen=True, slots=True, order=True)
class HostShare:
    """A host's backends behind a port: ready ones, those that can serve though they terminate too, and all listed."""

    host: str
    ready: int
    serving: int
    listed: int


@dataclass(frozen=True)
class HostSet:
    """The hosts behind a port, in name order and lowest terms; ports with equal ones share a ring."""

    family: Family
    shares: tuple[HostShare, ...]

    @cached_property
    def name(self) -> str:
        """A short name that is the same for the same hosts, on every host and at all times."""
        written = [f"{self.family} {BUCKET_RULE}", *map(str, self.shares)]
        return hashlib.blake2b("\n".join(written).encode(), digest_size=6).hexdigest()

    @cached_property
    def hosts(self) -> frozenset[str]:
        """The hosts' names."""
        return frozenset(share.host for share in self.shares)

    def share(self, host: str) -> HostShare:
        """What one of them has."""
        return next(share for share in self.shares if share.host == host)


BUCKET_RULE = 1  # raised where the same hosts would get another ring


@dataclass(frozen=True, slots=True)
class PortPlan:
    """What happens to the packets of one port.

    Without `host_set` they are never sent to another host. `holds`: backends of it are listed here. `targets` get new
    connections; `backends` are all, on whatever host, that may have flows of a UDP port. A packet that nothing takes is
    dropped where `kept`, because another host may serve it, and refused otherwise.
    """

    key: VipPort
    hashed: HashInput
    host_set: HostSet | None = None
    holds: bool = False
    targets: tuple[LocalBackend, ...] = ()
    backends: tuple[LocalBackend, ...] = ()
    kept: bool = True


def host_set_of(key: VipPort, port: BackendPort) -> HostSet | None:
    """The hosts behind a port; None where the host a packet came to delivers it, or nobody can."""
    backends = [] if _is_local(port) else _of_family(key, port)
    counts: dict[str, list[int]] = {}
    for backend in backends:
        count = counts.setdefault(backend.host, [0, 0, 0])
        count[0] += _is_ready(backend)
        count[1] += backend.serving
        count[2] += 1
    if not counts:
        return None
    common = gcd(*(number for count in counts.values() for number in count))
    shares = (
        HostShare(host, ready // common, serving // common, listed // common)
        for host, (ready, serving, listed) in sorted(counts.items())
    )
    return HostSet(family_of(key.address), tuple(shares))


def members_of(host_set: HostSet, *, reachable: Iterable[str], drained: Iterable[str]) -> frozenset[Member]:
    """The ring's members: new connections go to ready backends of hosts that are not drained, else to what serves."""
    shares = [share for share in host_set.shares if share.host in reachable]
    ready = {share.host: share.ready for share in shares if share.ready and share.host not in drained}
    taking = ready or {share.host: share.serving for share in shares}
    return frozenset(Member(share.host, taking.get(share.host, 0), share.listed) for share in shares)


def plan_port(key: VipPort, port: BackendPort, host_set: HostSet | None, me: str, *, is_taking: bool) -> PortPlan:
    """Decide for one port; `is_taking`: new connections to its hosts are sent to this one too."""
    own = [backend for backend in _of_family(key, port) if backend.host == me]
    ready = [backend for backend in own if _is_ready(backend)]
    return PortPlan(
        key,
        HashInput.CLIENT if port.session_affinity is SessionAffinity.CLIENT_IP else HashInput.FLOW,
        host_set,
        holds=bool(own),
        targets=_targets(ready or [backend for backend in own if backend.serving and is_taking]),
        backends=_targets(_of_family(key, port)) if port.protocol is Protocol.UDP else (),
        kept=_is_local(port) or any(backend.serving for backend in _of_family(key, port)),
    )


def _is_local(port: BackendPort) -> bool:
    return port.external_traffic_policy is TrafficPolicy.LOCAL


def _is_ready(backend: Backend) -> bool:
    return backend.serving and not backend.terminating


def _of_family(key: VipPort, port: BackendPort) -> list[Backend]:
    version = key.address.version
    return [backend for backend in port.backends if backend.address.version == version]


def _targets(backends: Iterable[Backend]) -> tuple[LocalBackend, ...]:
    ordered = sorted({(int(backend.address), backend.port): backend for backend in backends}.items())
    return tuple(LocalBackend(backend.address, backend.port) for _, backend in ordered)
