"""The addresses of one family of one pool in the order they are given, and the next free one without a search."""

from bisect import bisect_right
from collections.abc import Container
from heapq import heappop, heappush
from ipaddress import IPv4Address, IPv6Address
from itertools import accumulate

from appliance.api.address import AddressRange, Family, IPAddress

INT64_MAX = 2**63 - 1
_HUGE = 2**62
IPV6_NUMBERS = 1 << 128


def number_of(address: IPAddress) -> int:
    """An integer that no address of the other family has, and that compares and hashes fast."""
    return int(address) if address.version == 4 else int(address) | IPV6_NUMBERS


class Space:
    """Positions 0..length-1 over the runs of a pool; all below the high-water mark are taken or in the free list.

    `taken` and `withheld` are the ledger's own. Whoever takes a number out of one of them tells `offer`.
    """

    __slots__ = (
        "_avoid_buggy",
        "_free",
        "_high",
        "_in_free",
        "_order",
        "_starts",
        "capacity",
        "exhausted",
        "length",
        "runs",
        "taken",
        "withheld",
    )

    def __init__(
        self,
        runs: tuple[AddressRange, ...],
        avoid_buggy: bool,
        taken: Container[int],
        withheld: Container[int],
    ) -> None:
        self.runs = tuple((number_of(run.first), number_of(run.last)) for run in runs)
        self.taken, self.withheld = taken, withheld
        self._avoid_buggy = avoid_buggy and bool(runs) and runs[0].family is Family.IPV4
        self._starts = [0, *accumulate(last - first + 1 for first, last in self.runs)]
        self._order = sorted(range(len(self.runs)), key=lambda index: self.runs[index])
        self.length = self._starts[-1]
        self.capacity = self._capacity()
        self.exhausted = self.length == 0
        self._high = 0
        self._free: list[int] = []
        self._in_free: set[int] = set()

    def number_at(self, position: int) -> int:
        """The number of the address at a position."""
        if len(self.runs) == 1:
            return self.runs[0][0] + position
        index = bisect_right(self._starts, position) - 1
        return self.runs[index][0] + position - self._starts[index]

    def position_of(self, number: int) -> int:
        """Where a number of this space stands."""
        if len(self.runs) == 1:
            return number - self.runs[0][0]
        at = bisect_right(self._order, number, key=lambda index: self.runs[index][0]) - 1
        index = self._order[at]
        return self._starts[index] + number - self.runs[index][0]

    def is_buggy(self, number: int) -> bool:
        """Whether the pool avoids an address for its last octet."""
        return self._avoid_buggy and number & 0xFF in (0, 255)

    def lowest_free(self) -> int | None:
        """The first position neither taken nor withheld; None in a full space."""
        if self.exhausted:
            return None
        position = self._lowest_of_free_list()
        if position is None:
            position = self._lowest_untouched()
        self.exhausted = position is None
        return position

    def offer(self, number: int) -> bool:
        """Note that a number may be free again; says whether the space was full before."""
        if self.is_buggy(number):
            return False
        position = self.position_of(number)
        if position < self._high and position not in self._in_free:
            self._in_free.add(position)
            heappush(self._free, position)
        was_exhausted, self.exhausted = self.exhausted, False
        return was_exhausted

    def _lowest_of_free_list(self) -> int | None:
        while self._free:
            position = self._free[0]
            number = self.number_at(position)
            if self._is_free(number):
                return position
            heappop(self._free)
            self._in_free.discard(position)
        return None

    def _lowest_untouched(self) -> int | None:
        while self._high < self.length:
            number = self.number_at(self._high)
            if self._is_free(number) and not self.is_buggy(number):
                return self._high
            self._high += 1
        return None

    def _is_free(self, number: int) -> bool:
        return number not in self.taken and number not in self.withheld

    def _capacity(self) -> int:
        """How many addresses can be given, with the largest int64 for what does not fit."""
        sizes = [last - first + 1 for first, last in self.runs]
        if any(size >= _HUGE for size in sizes):
            return INT64_MAX
        avoided = sum(_buggy_count(first, last) for first, last in self.runs) if self._avoid_buggy else 0
        return min(sum(sizes) - avoided, INT64_MAX)


def address_at(number: int) -> IPAddress:
    """The address a number stands for."""
    return IPv6Address(number ^ IPV6_NUMBERS) if number & IPV6_NUMBERS else IPv4Address(number)


def _buggy_count(first: int, last: int) -> int:
    """How many addresses between two end in .0 or .255."""
    zeros = last // 256 - (first + 255) // 256 + 1
    ones = (last + 1) // 256 - first // 256
    return zeros + ones
