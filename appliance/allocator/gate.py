"""Which addresses may be given: not those listed for somebody who does not hold them, and not those in quarantine."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from heapq import heappop, heappush

from appliance.allocator.setting import Clock
from appliance.allocator.view import View, address_order
from appliance.api.address import IPAddress
from appliance.api.pierhead import VirtualIP
from appliance.ipam.ledger import Ledger
from appliance.ipam.quarantine import Rest, freed, rest_of


class Gate:
    """Closes and opens addresses in the ledger by what the store says of them, and knows when to look again."""

    def __init__(self, view: View, ledger: Ledger, clock: Clock) -> None:
        self._view = view
        self._ledger = ledger
        self._clock = clock
        self._durations: Mapping[str, float] = {}
        self._unusable: set[IPAddress] = set()
        self._until: dict[IPAddress, datetime] = {}
        self._queue: list[tuple[datetime, tuple[int, int], IPAddress]] = []
        self.is_freed = False

    def set_durations(self, durations: Mapping[str, float]) -> None:
        """Put other quarantines in force, in seconds by pool, and judge every address that nobody is listed for."""
        self._durations = durations
        self.judge_all([address for address, vip in self._view.vips.items() if not vip.spec.services])

    def bar(self, address: IPAddress) -> None:
        """Keep an address closed whose name cannot be written, until the next look."""
        self._unusable.add(address)

    def unbar(self, address: IPAddress) -> None:
        """Its name was seen to be usable again."""
        self._unusable.discard(address)

    def unbar_all(self) -> frozenset[IPAddress]:
        """Try again what could not be written; says which addresses those are."""
        barred, self._unusable = frozenset(self._unusable), set()
        return barred

    def wants_quarantine(self, address: IPAddress) -> bool:
        """Whether an address is not to be given again at once."""
        return self._seconds(address) > 0

    def freed(self, vip: VirtualIP, service: str) -> VirtualIP:
        """The VirtualIP of an address whose last holder gives it back now."""
        return freed(vip, service, self._clock())

    def rest(self, vip: VirtualIP) -> Rest | None:
        """The quarantine a VirtualIP is kept for."""
        return rest_of(vip, self._seconds(vip.spec.address), self._clock())

    def judge_all(self, addresses: Iterable[IPAddress]) -> None:
        """Close and open addresses."""
        for address in addresses:
            self.judge(address)

    def judge(self, address: IPAddress) -> None:
        """Close an address whose VirtualIP lists somebody who does not hold it, or that rests; else open it."""
        vip, holders = self._view.vips.get(address), self._ledger.users(address)
        listed = vip.spec.services if vip else ()
        left = [service for entry in listed if (service := str(entry.reference)) not in holders]
        rest = self.rest(vip) if vip is not None else None
        if left or address in self._unusable:
            self._ledger.close(address, left[0] if len(left) == 1 else "")
        elif rest is not None:
            self._ledger.close(address, rest.last_holder, is_resting=True)
            self._expect(address, rest.until)
        elif self._ledger.open(address):
            self.is_freed = True

    def due(self) -> tuple[IPAddress, ...]:
        """The addresses to be judged again now, each named once."""
        found, now = [], self._clock()
        while self._queue and self._queue[0][0] <= now:
            until, _, address = heappop(self._queue)
            if self._until.get(address) == until:
                del self._until[address]
                found.append(address)
        return tuple(found)

    def deadline(self) -> datetime | None:
        """When an address is to be judged again though nothing changes."""
        return self._queue[0][0] if self._queue else None

    def _expect(self, address: IPAddress, until: datetime) -> None:
        if self._until.get(address) != until:
            self._until[address] = until
            heappush(self._queue, (until, address_order(address), address))

    def _seconds(self, address: IPAddress) -> float:
        stock = self._ledger.stock_at(address) if self._durations else None
        return self._durations.get(stock.pool.name, 0.0) if stock else 0.0
