"""Which host serves a bucket of connections, and who is asked next for a connection it does not know.

A bucket's primary is the first host in weighted rendezvous order that takes new connections, so a host that leaves
moves only its own buckets and a host that joins takes only those it wins. The hosts after it are those that may hold
older connections of the bucket, in the order weighted by all backends they hold: a draining host and one whose backend
terminates or is not ready keep their rank. Whoever lacks the state of a connection hands its packets to the next; the
order is the same on every host, so they go round no circle.

What is found: any connection whose host is among the bucket's first four. With four hosts or fewer that is each one,
whatever changed since it was opened. With more, a host that joins, drains or loses a backend stays within the first
two until another change moves the same bucket; a host whose backend is gone from the feed may fall further.
"""

import hashlib
import struct
from array import array
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


@dataclass(frozen=True, slots=True)
class Ring:
    """The hosts of each bucket: its primary, then those that are asked for what the one before does not know.

    Thousands of rings may be in force: `order` holds, bucket after bucket, `length` places in `hosts`.
    """

    hosts: tuple[str, ...]
    length: int
    order: "array[int]" = field(repr=False)

    @property
    def buckets(self) -> tuple[tuple[str, ...], ...]:
        """The hosts of each bucket by name."""
        named = [self.hosts[place] for place in self.order]
        return tuple(tuple(named[at : at + self.length]) for at in range(0, len(named), self.length))

    def primaries(self) -> list[str]:
        """The primary of each bucket."""
        return [self.hosts[place] for place in self.order[:: self.length]]

    def followers(self, host: str) -> list[str | None]:
        """Who is asked after a host in each bucket; None where it is last or not asked itself."""
        if host not in self.hosts:
            return [None] * (len(self.order) // self.length)
        own, found = self.hosts.index(host), list[str | None]()
        for at in range(0, len(self.order), self.length):
            chain = self.order[at : at + self.length]
            after = chain.index(own) + 1 if own in chain else self.length
            found.append(self.hosts[chain[after]] if after < self.length else None)
        return found


@lru_cache(maxsize=64)
def ring_of(members: frozenset[Member]) -> Ring:
    """The ring of some hosts that hold backends; where none takes new connections, those that hold some serve on."""
    if not members:
        raise ValueError("a ring has at least one host")
    hosts = tuple(sorted(member.host for member in members))
    ready = {member.host: member.ready for member in members if member.ready}
    held = {member.host: member.held for member in members}
    orders = _orders(hosts, held)
    firsts = orders if ready in ({}, held) else _orders(hosts, ready)
    length = min(CHAIN_LENGTH, len(hosts))
    order = array("B" if len(hosts) < 256 else "H")
    for first, others in zip(firsts, orders, strict=True):
        order.extend((first[0], *[place for place in others if place != first[0]][: length - 1]))
    return Ring(hosts, length, order)


def _orders(hosts: tuple[str, ...], weights: Mapping[str, int]) -> list[list[int]]:
    """The places in `hosts` of each bucket, best first: an exponential variable divided by the weight, least first."""
    weighed = [(place, _keys(host), weights[host]) for place, host in enumerate(hosts) if host in weights]
    return [
        [place for _, place in sorted((keys[bucket] // weight, place) for place, keys, weight in weighed)]
        for bucket in range(BUCKETS)
    ]


@lru_cache(maxsize=1024)
def _keys(host: str) -> "array[int]":
    """An exponentially distributed integer for each bucket, the same on every machine."""
    digest = hashlib.shake_128(host.encode()).digest(BUCKETS * 8)
    return array("Q", (_minus_log2(number + 1) for number in struct.unpack(f">{BUCKETS}Q", digest)))


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
