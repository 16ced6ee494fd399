"""What became of a pool's addresses: runs of them that are free, given, kept back or never given."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from appliance.api.address import AddressRange, IPAddress
from appliance.api.metallb import IPAddressPool
from appliance.api.pierhead import VirtualIP

RUNS_MAX = 10_000
_BUGGY = (0, 255)


class AddressState(Enum):
    """What became of an address."""

    FREE = "free"
    GIVEN = "given"
    RESTING = "kept back for a while after it was freed"
    AVOIDED = "never given: avoidBuggyIPs"


@dataclass(frozen=True, slots=True)
class AddressRun:
    """Addresses in a row that are the same; a given or resting one is alone, with its Services."""

    first: IPAddress
    last: IPAddress
    state: AddressState
    services: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many addresses it has."""
        return int(self.last) - int(self.first) + 1


def runs(pool: IPAddressPool, vips: Mapping[IPAddress, VirtualIP]) -> tuple[AddressRun, ...]:
    """All addresses of a pool in the order in which it lists them, RUNS_MAX runs at most."""
    found: list[AddressRun] = []
    by_version: dict[int, list[IPAddress]] = {4: [], 6: []}
    for address in sorted(vips, key=int):
        by_version[address.version].append(address)
    for listed in pool.spec.addresses:
        held = [address for address in by_version[listed.first.version] if address in listed]
        for run in _runs(listed, held, vips, is_avoiding=pool.spec.avoid_buggy_ips):
            found.append(run)
            if len(found) == RUNS_MAX:
                return tuple(found)
    return tuple(found)


def _runs(
    listed: AddressRange, held: list[IPAddress], vips: Mapping[IPAddress, VirtualIP], *, is_avoiding: bool
) -> Iterator[AddressRun]:
    make = type(listed.first)
    begin = int(listed.first)
    for address in held:
        yield from _unheld(make, begin, int(address) - 1, is_avoiding=is_avoiding)
        services = tuple(str(each.reference) for each in vips[address].spec.services)
        yield AddressRun(address, address, AddressState.GIVEN if services else AddressState.RESTING, services)
        begin = int(address) + 1
    yield from _unheld(make, begin, int(listed.last), is_avoiding=is_avoiding)


def _unheld(make: type[IPAddress], first: int, last: int, *, is_avoiding: bool) -> Iterator[AddressRun]:
    """Addresses that nobody holds, those apart that end in .0 or .255 where the pool avoids them."""
    while first <= last:
        if is_avoiding and make(first).version == 4:
            if first % 256 in _BUGGY:
                yield AddressRun(make(first), make(first), AddressState.AVOIDED)
                first += 1
                continue
            end = min(last, first - first % 256 + 254)
        else:
            end = last
        yield AddressRun(make(first), make(end), AddressState.FREE)
        first = end + 1
