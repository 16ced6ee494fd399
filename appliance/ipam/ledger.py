"""Who holds which address and which addresses are withheld: the one truth of allocation."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from appliance.api.address import Family, IPAddress, family_of
from appliance.config.model import Pool
from appliance.ipam.choice import Choice, Section, Stock, ordered
from appliance.ipam.reason import Reason
from appliance.ipam.request import PortKey, Request, SharingTerms
from appliance.ipam.sharing import SharedPositions
from appliance.ipam.space import IPV6_NUMBERS, Space, number_of
from appliance.ipam.withheld import Withheld, united


@dataclass(frozen=True, slots=True)
class Holding:
    """What one Service holds; `pool` is "" where its addresses are in no pool."""

    addresses: tuple[IPAddress, ...]
    pool: str
    sharing: SharingTerms | None
    ports: frozenset[PortKey]
    namespace: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for addresses beside their pools: reserved ones, quotas by namespace, those of hosts and routers.

    `has_unknown_pools`: a pool cannot be read, or is at fault and was not seen when it was right; who holds an address
    that no pool allows keeps it meanwhile.
    """

    reserved: Mapping[IPAddress, str] = field(default_factory=dict)
    quotas: Mapping[str, int] = field(default_factory=dict)
    taken: Mapping[IPAddress, Reason] = field(default_factory=dict)
    has_unknown_pools: bool = False


class Ledger:
    """Holdings by Service and withheld addresses; everything else here is derived from them and changes with them.

    Change it through `set_pools`, `hold`, `release` and `withhold` only. `hold` does not judge: ask
    `allocation.refusal_of` or `allocate` first. Every answer costs the same however large or full the pools are.
    """

    def __init__(self, pools: Iterable[Pool] = (), terms: Terms | None = None) -> None:
        self._holdings: dict[str, Holding] = {}
        self._users: dict[int, tuple[str, ...]] = {}
        self._withheld: dict[int, Withheld] = {}
        self._passing: dict[int, Withheld] = {}
        self._standing: dict[int, Withheld] = {}
        self._reserved_by: dict[str, tuple[IPAddress, ...]] = {}
        self._quotas: Mapping[str, int] = {}
        self._by_namespace: dict[str, Counter[int]] = {}
        self._stocks: dict[str, Stock] = {}
        self.has_unknown_pools = False
        self._set_stocks([])
        self.set_pools(pools, terms)

    def set_pools(self, pools: Iterable[Pool], terms: Terms | None = None) -> None:
        """Put other pools and terms in force; holdings stay, also those that no pool has any more."""
        terms = terms or Terms()
        ranked = ordered(pools)
        before, self._standing = self._standing, _standing(terms)
        self._reserved_by = {}
        for address, service in terms.reserved.items():
            self._reserved_by[service] = (*self._reserved_by.get(service, ()), address)
        if terms.quotas != self._quotas:
            self._quotas = terms.quotas
            self._by_namespace = {namespace: Counter() for namespace in self._quotas}
            for holding in self._holdings.values():
                if holding.namespace in self._quotas:
                    self._by_namespace[holding.namespace].update(map(number_of, holding.addresses))
        self.has_unknown_pools = terms.has_unknown_pools
        are_others = ranked != [stock.pool for stock in self._stocks.values()]
        if are_others:
            self._set_stocks(ranked)
        for number in before.keys() | self._standing.keys():
            if before.get(number) != self._standing.get(number):
                self._combine(number)
        if are_others:
            self._index_all()

    def hold(self, request: Request, addresses: tuple[IPAddress, ...]) -> Holding:
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
        return holding

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

    def withhold(self, address: IPAddress, cause: Withheld | None) -> bool:
        """Give an address to nobody who does not hold it already, or (None) no longer so; says whether it is open now.

        What is reserved, or a host's or router's own, stays withheld for that reason.
        """
        number = number_of(address)
        if cause == self._passing.get(number):
            return False
        if cause is None:
            del self._passing[number]
        else:
            self._passing[number] = cause
        return self._combine(number)

    def _combine(self, number: int) -> bool:
        """Bring one number up to date with both its causes; says whether it is open now and was not before."""
        before, now = self._withheld.get(number), united(self._standing.get(number), self._passing.get(number))
        if before == now:
            return False
        stock = self._stock_of(number) if number not in self._users else None
        if stock is not None and before is not None:
            stock.withheld[before.reason] -= 1
        if stock is not None and now is not None:
            stock.withheld[now.reason] += 1
        if now is not None:
            self._withheld[number] = now
            return False
        del self._withheld[number]
        self._offer(number)
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

    def withheld(self, address: IPAddress) -> Withheld | None:
        """Why an address is given to nobody who does not hold it."""
        return self._withheld.get(number_of(address))

    @property
    def withheld_numbers(self) -> Container[int]:
        """The numbers of all withheld addresses."""
        return self._withheld

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

    def _spaces(self, pool: Pool) -> dict[Family, Space]:
        spaces = {}
        for family in sorted(pool.families):
            runs = tuple(run for run in pool.ranges if run.family is family)
            spaces[family] = Space(runs, pool.avoid_buggy_ips, self._users, self._withheld)
        return spaces

    def _index_all(self) -> None:
        """Derive counts, sharing and each holding's pool anew."""
        self._count_all()
        for service, held in self._holdings.items():
            own = self.stock_at(held.addresses[0])
            pool = own.pool.name if own else ""
            if held.pool != pool:
                self._holdings[service] = replace(held, pool=pool)
            if held.sharing is not None:
                for address in held.addresses:
                    self._share(number_of(address), family_of(address), held.sharing, held.ports)

    def _count_all(self) -> None:
        for stock in self._stocks.values():
            stock.withheld.clear()
        for number, cause in self._withheld.items():
            if (found := self._stock_of(number)) is not None:
                found.withheld[cause.reason] += 1
        for number in self._users:
            if (found := self._stock_of(number)) is not None:
                found.assigned[_family_at(number)] += 1
                if number in self._withheld:
                    found.withheld[self._withheld[number].reason] -= 1

    def _index(self, number: int, family: Family, holding: Holding, is_first: bool) -> None:
        stock = self._stock_of(number)
        if stock is None:
            return
        if is_first:
            stock.assigned[family] += 1
            if number in self._withheld:
                stock.withheld[self._withheld[number].reason] -= 1
        if holding.sharing is not None:
            self._share(number, family, holding.sharing, holding.ports)

    def _share(self, number: int, family: Family, terms: SharingTerms, ports: frozenset[PortKey]) -> None:
        """Note one more holder of an address that others may share."""
        stock = self._stock_of(number)
        if stock is not None:
            by_rank = self._shared.setdefault((terms, family), {})
            by_rank.setdefault(stock.rank, SharedPositions()).join(stock.spaces[family].position_of(number), ports)

    def _unindex(self, number: int, family: Family, holding: Holding, is_last: bool) -> None:
        stock = self._stock_of(number)
        if stock is None:
            return
        if is_last:
            stock.assigned[family] -= 1
            if number in self._withheld:
                stock.withheld[self._withheld[number].reason] += 1
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

    def _offer(self, number: int) -> None:
        stock = self._stock_of(number)
        if stock is None:
            return
        family = _family_at(number)
        for user in self._users.get(number, ()):
            terms = self._holdings[user].sharing
            if terms is not None:
                self._shared[terms, family][stock.rank].reconsider()
        if number not in self._users and stock.spaces[family].offer(number):
            stock.reopen()


def _family_at(number: int) -> Family:
    """The family of the address a number stands for."""
    return Family.IPV6 if number >= IPV6_NUMBERS else Family.IPV4


def _standing(terms: Terms) -> dict[int, Withheld]:
    """What is withheld as long as the terms are in force."""
    standing = {number_of(address): Withheld(reason) for address, reason in terms.taken.items()}
    for address, service in terms.reserved.items():
        number = number_of(address)
        reserved = Withheld(Reason.RESERVED, service)
        standing[number] = united(reserved, standing.get(number)) or reserved
    return standing
