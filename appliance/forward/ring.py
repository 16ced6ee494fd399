"""Which host serves a bucket of connections, and who is asked next for a connection it does not know.

A bucket's primary is the first host in weighted rendezvous order that takes new connections, so a host that leaves
moves only its own buckets and a host that joins takes only those it wins. The hosts after it are those that may hold
older connections of the bucket, in the order weighted by all backends they hold: a draining host and one whose backend
terminates keep their rank. Whoever lacks the state of a connection hands its packets to the next; the order is the
same on every host, so they go round no circle.

What is found: any connection whose host is among the bucket's first four. With four hosts or fewer that is each one,
whatever changed since it was opened. With more, a host that joins, drains or loses a backend stays within the first
two until another change moves the same bucket; a host whose backend is gone from the feed may fall further.
"""

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import lru_cache

BUCKETS = 1021
CHAIN_LENGTH = 4
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
    """The hosts of each bucket: its primary, then those that are asked for what the one before does not know."""

    buckets: tuple[tuple[str, ...], ...]


@lru_cache(maxsize=4096)
def ring_of(members: frozenset[Member]) -> Ring:
    """The ring of some hosts that hold backends; where none takes new connections, those that hold some serve on."""
    if not members:
        raise ValueError("a ring has at least one host")
    ready = {member.host: member.ready for member in members if member.ready}
    held = {member.host: member.held for member in members}
    firsts = (order[0] for order in _orders(ready or held))
    return Ring(tuple(_chain(first, order) for first, order in zip(firsts, _orders(held), strict=True)))


def _chain(first: str, order: tuple[str, ...]) -> tuple[str, ...]:
    others = tuple(host for host in order if host != first)
    return (first, *others[: CHAIN_LENGTH - 1])


def _orders(weights: dict[str, int]) -> Iterable[tuple[str, ...]]:
    """The hosts of each bucket, best first: an exponential variable divided by the weight, smallest first."""
    hosts = sorted(weights)
    columns = (tuple(key // weights[host] for key in _keys(host)) for host in hosts)
    for scores in zip(*columns, strict=True):
        yield tuple(host for _, host in sorted(zip(scores, hosts, strict=True)))


@lru_cache(maxsize=1024)
def _keys(host: str) -> tuple[int, ...]:
    """An exponentially distributed integer for each bucket; decimal's logarithm is exact where a C library's varies."""
    digest = hashlib.shake_128(host.encode()).digest(BUCKETS * 8)
    uniforms = (number >> (64 - _UNIFORM_BITS) for number in struct.unpack(f">{BUCKETS}Q", digest))
    return tuple(int(-_DECIMAL.ln(Decimal(u + 1) / 2**_UNIFORM_BITS) * _KEY_SCALE) for u in uniforms)
