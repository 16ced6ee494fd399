"""Which pools a Service may draw from by itself, in which order, and the first of them that is not full."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

from appliance.api.address import Family, IPAddress, family_of
from appliance.config.model import Pool
from appliance.ipam.reason import Reason
from appliance.ipam.space import Space, number_of

Families = tuple[Family, ...]
_CACHED_MAX = 4096


class Stock:
    """A pool with its spaces and how many addresses are given and withheld; `rank` is its place among all pools."""

    __slots__ = ("assigned", "pool", "rank", "sections", "spaces", "withheld")

    def __init__(self, pool: Pool, rank: int, spaces: Mapping[Family, Space]) -> None:
        self.pool = pool
        self.rank = rank
        self.spaces = spaces
        self.assigned = dict.fromkeys(Family, 0)
        self.withheld: Counter[Reason] = Counter()
        self.sections: list[Section] = []

    def has_free(self, families: Families) -> bool:
        """Whether an address of each family is free."""
        spaces = self.spaces
        return all(family in spaces and spaces[family].lowest_free() is not None for family in families)

    def is_buggy(self, address: IPAddress) -> bool:
        """Whether the pool avoids an address of its own for its last octet."""
        return self.pool.avoid_buggy_ips and self.spaces[family_of(address)].is_buggy(number_of(address))

    def reopen(self) -> None:
        """Tell every section that has passed this pool by that it has room again."""
        for section in self.sections:
            section.reopen(self.rank)

    @property
    def capacity(self) -> int:
        """How many addresses the pool has over both families."""
        return sum(space.capacity for space in self.spaces.values())

    @property
    def assigned_count(self) -> int:
        """How many distinct addresses of the pool are held."""
        return sum(self.assigned.values())


class Section:
    """Pools in the order they are tried, with a cursor for each set of families past those known to be full."""

    __slots__ = ("_cursors", "ranks", "stocks")

    def __init__(self, stocks: tuple[Stock, ...]) -> None:
        self.stocks = stocks
        self.ranks = [stock.rank for stock in stocks]
        self._cursors: dict[Families, int] = {}
        for stock in stocks:
            stock.sections.append(self)

    def first_open(self, families: Families) -> Stock | None:
        """The first pool in which an address of each family is free."""
        index = self._cursors.get(families, 0)
        while index < len(self.stocks) and not self.stocks[index].has_free(families):
            index += 1
        self._cursors[families] = index
        return self.stocks[index] if index < len(self.stocks) else None

    def reopen(self, rank: int) -> None:
        """Go back to a pool that has room again."""
        index = bisect_left(self.ranks, rank)
        for families, cursor in self._cursors.items():
            if index < cursor:
                self._cursors[families] = index

    def __contains__(self, stock: Stock) -> bool:
        index = bisect_left(self.ranks, stock.rank)
        return index < len(self.ranks) and self.ranks[index] == stock.rank


def ordered(pools: Iterable[Pool]) -> list[Pool]:
    """Pools in the order they are tried: pinned ones by priority (0 last) and name, then the others by name."""
    return sorted(pools, key=lambda pool: (not pool.pinned, pool.priority == 0, pool.priority, pool.name))


class Choice:
    """Sections by namespace and labels, remembered as long as the pools stand."""

    def __init__(self, stocks: Iterable[Stock]) -> None:
        automatic = sorted((stock for stock in stocks if stock.pool.auto_assign), key=lambda stock: stock.rank)
        self._pinned = [stock for stock in automatic if stock.pool.pinned]
        self._others = Section(tuple(stock for stock in automatic if not stock.pool.pinned))
        self._keys = sorted(_selector_keys(stock.pool for stock in self._pinned))
        self._by_traits: dict[tuple[str, ...], tuple[Section, ...]] = {}
        self._sections: dict[tuple[int, ...], Section] = {}

    def sections(self, namespace: str, labels: Mapping[str, str]) -> tuple[Section, ...]:
        """The pinned pools that admit a Service, then those without a `serviceAllocation`."""
        if not self._pinned:
            return (self._others,)
        traits = (namespace, *(labels.get(key, "\0") for key in self._keys))
        sections = self._by_traits.get(traits)
        if sections is None:
            if len(self._by_traits) >= _CACHED_MAX:
                self._forget()
            sections = self._by_traits[traits] = (self._admitting(namespace, labels), self._others)
        return sections

    def _admitting(self, namespace: str, labels: Mapping[str, str]) -> Section:
        stocks = tuple(stock for stock in self._pinned if stock.pool.admits(namespace, labels))
        ranks = tuple(stock.rank for stock in stocks)
        if ranks not in self._sections:
            self._sections[ranks] = Section(stocks)
        return self._sections[ranks]

    def _forget(self) -> None:
        self._by_traits.clear()
        self._sections.clear()
        for stock in self._pinned:
            stock.sections.clear()


def _selector_keys(pools: Iterable[Pool]) -> set[str]:
    """The labels that any service selector looks at."""
    selectors = [selector for pool in pools for selector in pool.service_selectors]
    named = {key for selector in selectors for key in selector.match_labels}
    return named | {row.key for selector in selectors for row in selector.match_expressions}
