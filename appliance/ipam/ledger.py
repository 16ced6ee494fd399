"""Who holds which address: the one truth of allocation."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from appliance.api.address import Family, IPAddress, family_of
from appliance.config.model import Pool
from appliance.ipam.choice import Choice, Section, Stock, ordered
from appliance.ipam.request import PortKey, Request, SharingTerms
from appliance.ipam.sharing import SharedPositions
from appliance.ipam.space import Space, number_of


@dataclass(frozen=True, slots=True)
class Holding:
    """What one Service holds; `pool` is "" where its addresses are in no pool."""

    addresses: tuple[IPAddress, ...]
    pool: str
    sharing: SharingTerms | None
    ports: frozenset[PortKey]
    namespace: str


class Ledger:
    """Holdings by Service; everything else here is derived from them and changes with them.

    Change it through `set_pools`, `hold`, `release`, `close` and `open` only. `hold` does not judge: ask
    `allocation.refusal_of` or `allocate` first. Every answer costs the same however large or full the pools are.
    """

    def __init__(self, pools: Iterable[Pool] = ()) -> None:
        self._holdings: dict[str, Holding] = {}
        self._users: dict[int, tuple[str, ...]] = {}
        self._closed: dict[int, str] = {}
        self._resting: set[int] = set()
        self._reserved: dict[int, str] = {}
        self._reserved_by: dict[str, tuple[IPAddress, ...]] = {}
        self._quotas: Mapping[str, int] = {}
        self._by_namespace: dict[str, Counter[int]] = {}
        self._set_stocks(ordered(pools))

    def set_pools(
        self,
        pools: Iterable[Pool],
        reserved: Mapping[IPAddress, str] | None = None,
        quotas: Mapping[str, int] | None = None,
    ) -> None:
        """Put other pools, reservations and quotas in force; holdings stay, also those that no pool has any more."""
        self._reserved = {number_of(address): service for address, service in (reserved or {}).items()}
        self._reserved_by = {}
        for address, service in (reserved or {}).items():
            self._reserved_by[service] = (*self._reserved_by.get(service, ()), address)
        self._quotas = quotas or {}
        self._by_namespace = {namespace: Counter() for namespace in self._quotas}
        self._set_stocks(ordered(pools))

    def hold(self, request: Request, addresses: tuple[IPAddress, ...]) -> None:
        """Give a Service some addresses; it must hold none."""
        stock = self.stock_at(addresses[0])
        pool = stock.pool.name if stock else ""
        holding = Holding(addresses, pool, request.sharing, request.ports, request.namespace)
        self._holdings[request.service] = holding
        if request.namespace in self._quotas:
            self._by_namespace[request.namespace].update(map(number_of, addresses))
        for address in addresses:
            number = number_of(address)
            users = self._users.get(number, ())
            self._users[number] = (*users, request.service)
            self._index(number, family_of(address), holding, is_first=not users)

    def release(self, service: str) -> Holding | None:
        """Take everything a Service holds away from it."""
        holding = self._holdings.pop(service, None)
        if holding is None:
            return None
        if holding.namespace in self._quotas:
            self._by_namespace[holding.namespace] -= Counter(map(number_of, holding.addresses))
        for address in holding.addresses:
            number = number_of(address)
            users = tuple(user for user in self._users[number] if user != service)
            if users:
                self._users[number] = users
            else:
                del self._users[number]
            self._unindex(number, family_of(address), holding, is_last=not users)
        return holding

    def close(self, address: IPAddress, but_for: str = "", is_resting: bool = False) -> None:
        """Give an address to nobody who does not hold it already, but for one Service that asks for it by name."""
        number = number_of(address)
        self._closed[number] = but_for
        self._rest(number, is_resting)

    def open(self, address: IPAddress) -> bool:
        """Let an address be given again; says whether it was closed."""
        number = number_of(address)
        if number not in self._closed:
            return False
        del self._closed[number]
        self._rest(number, False)
        self._offer(number, family_of(address))
        return True

    def holding(self, service: str) -> Holding | None:
        """What a Service holds."""
        return self._holdings.get(service)

    def holdings(self) -> Iterator[tuple[str, Holding]]:
        """Every Service that holds something."""
        return iter(self._holdings.items())

    def users(self, address: IPAddress) -> tuple[str, ...]:
        """The Services that hold an address, in the order they came."""
        return self._users.get(number_of(address), ())

    def is_closed(self, address: IPAddress, service: str) -> bool:
        """Whether an address is not given to a Service for now."""
        return self._closed.get(number_of(address), service) != service

    def is_resting(self, address: IPAddress) -> bool:
        """Whether an address is closed because it is in quarantine."""
        return number_of(address) in self._resting

    def reserved_for(self, address: IPAddress) -> str:
        """The Service an address is reserved for, or ""."""
        return self._reserved.get(number_of(address), "")

    def reservations(self, service: str) -> tuple[IPAddress, ...]:
        """The addresses reserved for a Service."""
        return self._reserved_by.get(service, ())

    def quota_left(self, namespace: str) -> int | None:
        """How many more addresses Services of a namespace may hold; None = any number."""
        if namespace not in self._quotas:
            return None
        return self._quotas[namespace] - len(self._by_namespace[namespace])

    def is_in_namespace(self, address: IPAddress, namespace: str) -> bool:
        """Whether a Service of a namespace with a quota holds an address."""
        return number_of(address) in self._by_namespace[namespace]

    @property
    def stocks(self) -> Mapping[str, Stock]:
        """The pools with their spaces and counts, by name, in the order they are tried."""
        return self._stocks

    def sections(self, namespace: str, labels: Mapping[str, str]) -> tuple[Section, ...]:
        """The pools a Service may draw from by itself, best first."""
        return self._choice.sections(namespace, labels)

    def stock_at(self, address: IPAddress) -> Stock | None:
        """The pool an address is in."""
        return self._stock_of(number_of(address))

    def shared(self, terms: SharingTerms, family: Family) -> Mapping[int, SharedPositions]:
        """Positions held under some terms, by the rank of their pool."""
        return self._shared.get((terms, family), {})

    def is_kept_back(self, number: int) -> bool:
        """Whether a number is closed or reserved."""
        return number in self._closed or number in self._reserved

    def _stock_of(self, number: int) -> Stock | None:
        index = bisect_right(self._firsts, number) - 1
        if index < 0 or self._lasts[index] < number:
            return None
        return self._owners[index]

    def _set_stocks(self, pools: list[Pool]) -> None:
        self._stocks = {pool.name: Stock(pool, rank, self._spaces(pool)) for rank, pool in enumerate(pools)}
        runs = sorted(
            ((*run, stock) for stock in self._stocks.values() for space in stock.spaces.values() for run in space.runs),
            key=lambda run: run[:2],
        )
        self._firsts, self._lasts = [run[0] for run in runs], [run[1] for run in runs]
        self._owners = [run[2] for run in runs]
        self._choice = Choice(self._stocks.values())
        self._shared: dict[tuple[SharingTerms, Family], dict[int, SharedPositions]] = {}
        self._index_all()

    def _spaces(self, pool: Pool) -> dict[Family, Space]:
        spaces = {}
        for family in sorted(pool.families):
            runs = tuple(run for run in pool.ranges if run.family is family)
            spaces[family] = Space(runs, pool.avoid_buggy_ips, self._users, self._closed, self._reserved)
        return spaces

    def _index_all(self) -> None:
        """Derive counts, sharing and each holding's pool anew."""
        for number in self._reserved:
            if (stock := self._stock_of(number)) is not None:
                stock.reserved += 1
        for number in self._resting:
            if (stock := self._stock_of(number)) is not None:
                stock.resting += 1
        seen: set[int] = set()
        for service, held in self._holdings.items():
            stock = self.stock_at(held.addresses[0])
            holding = Holding(
                held.addresses, stock.pool.name if stock else "", held.sharing, held.ports, held.namespace
            )
            self._holdings[service] = holding
            if holding.namespace in self._quotas:
                self._by_namespace[holding.namespace].update(map(number_of, holding.addresses))
            for address in holding.addresses:
                number = number_of(address)
                self._index(number, family_of(address), holding, is_first=number not in seen)
                seen.add(number)

    def _index(self, number: int, family: Family, holding: Holding, is_first: bool) -> None:
        stock = self._stock_of(number)
        if stock is None:
            return
        stock.assigned[family] += is_first
        if is_first and number in self._reserved:
            stock.reserved -= 1
        if holding.sharing is not None:
            by_rank = self._shared.setdefault((holding.sharing, family), {})
            positions = by_rank.setdefault(stock.rank, SharedPositions())
            positions.join(stock.spaces[family].position_of(number), holding.ports)

    def _unindex(self, number: int, family: Family, holding: Holding, is_last: bool) -> None:
        stock = self._stock_of(number)
        if stock is None:
            return
        stock.assigned[family] -= is_last
        if is_last and number in self._reserved:
            stock.reserved += 1
        if holding.sharing is not None:
            by_rank = self._shared[holding.sharing, family]
            positions = by_rank[stock.rank]
            positions.leave(stock.spaces[family].position_of(number), holding.ports, is_last)
            if not positions:
                del by_rank[stock.rank]
                if not by_rank:
                    del self._shared[holding.sharing, family]
        if is_last and stock.spaces[family].offer(number):
            stock.reopen()

    def _rest(self, number: int, is_resting: bool) -> None:
        if is_resting == (number in self._resting):
            return
        (self._resting.add if is_resting else self._resting.remove)(number)
        stock = self._stock_of(number)
        if stock is not None:
            stock.resting += 1 if is_resting else -1

    def _offer(self, number: int, family: Family) -> None:
        stock = self._stock_of(number)
        if stock is None:
            return
        for user in self._users.get(number, ()):
            terms = self._holdings[user].sharing
            if terms is not None:
                self._shared[terms, family][stock.rank].reconsider()
        if number not in self._users and stock.spaces[family].offer(number):
            stock.reopen()
