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
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from functools import cache, lru_cache

BUCKETS = 1021
CHAIN_LENGTH = 4


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """A host behind a port: its backends that take new connections (none = draining) and all that may hold some."""

    host: str
    ready: int
    held: int


@dataclass(frozen=True, slots=True, eq=False)
class Ring:
    """The hosts of each bucket: its primary, then those that are asked for what the one before does not know.

    Compared by identity, which `ring_of` keeps: to hash a thousand buckets for each port would take most of the time.
    """

    buckets: tuple[tuple[str, ...], ...] = field(repr=False)


@lru_cache(maxsize=4096)
def ring_of(members: frozenset[Member]) -> Ring:
    """The ring of some hosts that hold backends; where none takes new connections, those that hold some serve on."""
    if not members:
        raise ValueError("a ring has at least one host")
    ready = {member.host: member.ready for member in members if member.ready}
    held = {member.host: member.held for member in members}
    orders = _orders(held)
    firsts = (order[0] for order in (orders if ready in ({}, held) else _orders(ready)))
    return Ring(tuple(_chain(first, order) for first, order in zip(firsts, orders, strict=True)))


def _chain(first: str, order: tuple[str, ...]) -> tuple[str, ...]:
    others = tuple(host for host in order if host != first)
    return (first, *others[: CHAIN_LENGTH - 1])


def _orders(weights: Mapping[str, int]) -> list[tuple[str, ...]]:
    """The hosts of each bucket, best first: an exponential variable divided by the weight, smallest first."""
    hosts = sorted(weights)
    columns = (tuple(key // weights[host] for key in _keys(host)) for host in hosts)
    return [tuple(host for _, host in sorted(zip(scores, hosts, strict=True))) for scores in zip(*columns, strict=True)]


@lru_cache(maxsize=1024)
def _keys(host: str) -> tuple[int, ...]:
    """An exponentially distributed integer for each bucket, the same on every machine."""
    digest = hashlib.shake_128(host.encode()).digest(BUCKETS * 8)
    return tuple(_minus_log2(number + 1) for number in struct.unpack(f">{BUCKETS}Q", digest))


def _minus_log2(number: int) -> int:
    """-log2(number / 2**64) in units of 2**-48: a C library's logarithm differs between machines, integers do not."""
    exponent = number.bit_length() - 1
    mantissa = (number << 63 >> exponent) - (1 << 63)
    step, within = mantissa >> 55, mantissa & ((1 << 55) - 1)
    below, above = _logarithms()[step : step + 2]
    return (64 - exponent << 48) - below - ((above - below) * within >> 55)


@cache
def _logarithms() -> tuple[int, ...]:
    """log2 of 1, 1 + 1/256 and so on to 2, in units of 2**-48; decimal's is exact where it is rounded."""
    context = Context(prec=30)
    scale = Decimal(1 << 48) / context.ln(Decimal(2))
    return tuple(int(context.ln(1 + Decimal(step) / 256) * scale) for step in range(257))
