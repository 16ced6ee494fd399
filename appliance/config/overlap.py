"""Which address ranges overlap, in one sweep over all of them."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from appliance.api.address import AddressRange, IPNetwork
from appliance.api.meta import Ref
from appliance.api.problem import Problem
from appliance.config.model import Pool


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of a pool's `addresses`."""

    ref: Ref
    index: int
    run: AddressRange

    @property
    def place(self) -> tuple[Ref, int]:
        return self.ref, self.index


def overlap_problems(pools: Iterable[Pool]) -> Iterator[Problem]:
    """A problem for each entry that overlaps an earlier one of its own or of another pool, naming both."""
    for first, second in sorted(_overlapping(_entries(pools)), key=lambda pair: pair[1].place):
        where = "this pool" if first.ref == second.ref else str(first.ref)
        yield Problem(
            second.ref, f"spec.addresses[{second.index}]", f"{second.run.text} overlaps {first.run.text} of {where}"
        )


def _entries(pools: Iterable[Pool]) -> list[_Entry]:
    return [_Entry(pool.ref, index, run) for pool in pools for index, run in enumerate(pool.ranges)]


def _start(entry: _Entry) -> tuple[int, int, Ref, int]:
    return entry.run.first.version, int(entry.run.first), entry.ref, entry.index


def _overlapping(entries: list[_Entry]) -> Iterator[tuple[_Entry, _Entry]]:
    """Pairs in the order of their places: each entry with the one that reaches furthest of those that start before."""
    reach: _Entry | None = None
    for entry in sorted(entries, key=_start):
        if reach is None or reach.run.first.version != entry.run.first.version:
            reach = entry
            continue
        if int(entry.run.first) <= int(reach.run.last):
            yield (reach, entry) if reach.place < entry.place else (entry, reach)
        if int(entry.run.last) > int(reach.run.last):
            reach = entry


class Overlaps:
    """Finds the network that overlaps a range, among many, without looking at each."""

    def __init__(self, networks: Iterable[IPNetwork]) -> None:
        self._starts: dict[int, list[int]] = {4: [], 6: []}
        self._reaches: dict[int, list[IPNetwork]] = {4: [], 6: []}
        for network in sorted(networks, key=lambda found: (found.version, int(found.network_address), found.prefixlen)):
            self._starts[network.version].append(int(network.network_address))
            reaches = self._reaches[network.version]
            further = not reaches or _last(network) > _last(reaches[-1])
            reaches.append(network if further else reaches[-1])

    def widest(self, run: AddressRange) -> IPNetwork | None:
        """The network that reaches furthest of those that overlap a range."""
        version = run.first.version
        place = bisect_right(self._starts[version], int(run.last))
        reach = self._reaches[version][place - 1] if place else None
        return reach if reach is not None and _last(reach) >= int(run.first) else None


def _last(network: IPNetwork) -> int:
    return int(network.broadcast_address)
