"""Which host serves a bucket of connections, and which one served it before.

A bucket's primary is the first host in weighted rendezvous order that takes new connections, so a host that leaves
moves only its own buckets and a host that joins takes only those it wins. The secondary is who may still hold
connections of the bucket: the primary that went before, as far as this host saw one (`succeed`), else the next host in
the order weighted by held backends, where a draining host keeps its rank. Primaries follow from the members alone and
are equal on every host; secondaries need not be, because only a bucket's primary asks for one.

One change of a bucket's primary at a time loses nothing. A connection older than the last two primaries of its bucket,
or than the last two changes seen by a forwarder that lost its memory, is not found.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache

BUCKETS = 1021
_UNIFORM_BITS = 53
_KEY_SCALE = 10**15
_DECIMAL = Context(prec=20)


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """A host behind a port: its backends that take new connections (none = draining) and all that may hold some."""

    host: str
    ready: int
    held: int


@dataclass(frozen=True, slots=True)
class Ring:
    """The two hosts of each bucket; a bucket of a ring with one host has no secondary."""

    primary: tuple[str, ...]
    secondary: tuple[str | None, ...]


@lru_cache(maxsize=4096)
def ring_of(members: frozenset[Member]) -> Ring:
    """The ring of some hosts that hold backends; where none takes new connections, those that hold some serve on."""
    if not members:
        raise ValueError("a ring has at least one host")
    ready = {member.host: member.ready for member in members if member.ready}
    held = {member.host: member.held for member in members}
    firsts = [order[0] for order in _orders(ready or held)]
    seconds = (_first_other(order, first) for order, first in zip(_orders(held), firsts, strict=True))
    return Ring(tuple(firsts), tuple(seconds))


@lru_cache(maxsize=4096)
def succeed(previous: Ring, members: frozenset[Member]) -> Ring:
    """The ring of these members, whose secondaries remember who was primary in the rings before."""
    fresh = ring_of(members)
    present = frozenset(member.host for member in members)
    remembered = zip(previous.primary, previous.secondary, fresh.secondary, strict=True)
    secondary = (
        next((host for host in before if host in present and host != primary), None)
        for primary, before in zip(fresh.primary, remembered, strict=True)
    )
    return Ring(fresh.primary, tuple(secondary))


def _orders(weights: dict[str, int]) -> Iterable[tuple[str, ...]]:
    """The hosts of each bucket, best first: an exponential variable divided by the weight, smallest first."""
    hosts = sorted(weights)
    columns = (tuple(key // weights[host] for key in _keys(host)) for host in hosts)
    for scores in zip(*columns, strict=True):
        yield tuple(host for _, host in sorted(zip(scores, hosts, strict=True)))


def _first_other(order: tuple[str, ...], first: str) -> str | None:
    return next((host for host in order if host != first), None)


@lru_cache(maxsize=1024)
def _keys(host: str) -> tuple[int, ...]:
    """An exponentially distributed integer for each bucket; decimal's logarithm is exact where a C library's varies."""
    digest = hashlib.shake_128(host.encode()).digest(BUCKETS * 8)
    uniforms = (number >> (64 - _UNIFORM_BITS) for number in struct.unpack(f">{BUCKETS}Q", digest))
    return tuple(int(-_DECIMAL.ln(Decimal(u + 1) / 2**_UNIFORM_BITS) * _KEY_SCALE) for u in uniforms)
