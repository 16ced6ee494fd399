"""Which addresses a Service gets (MetalLB's order of sources, pools and addresses), or why it gets none."""

from collections.abc import Iterator
from dataclasses import dataclass

from appliance.api.address import Family, IPAddress, family_of
from appliance.ipam.choice import Families, Section, Stock
from appliance.ipam.ledger import Ledger
from appliance.ipam.reason import Reason, Refusal, Skip, Tried
from appliance.ipam.request import DualStack, Request
from appliance.ipam.sharing import clash
from appliance.ipam.space import Space, address_at

BOTH = (Family.IPV4, Family.IPV6)


@dataclass(frozen=True, slots=True)
class Allocation:
    """Addresses a Service may have, and the pool they are all in."""

    addresses: tuple[IPAddress, ...]
    pool: str


def allocate(request: Request, ledger: Ledger) -> Allocation | Refusal:
    """Choose addresses for a Service that holds none; the ledger stays as it is."""
    if not ledger.stocks:
        return Refusal(Reason.NO_POOLS)
    if len(request.families) == 2 and request.dual_stack is DualStack.REFUSED:
        return Refusal(Reason.SINGLE_STACK)
    choice = _choose(request, ledger)
    if isinstance(choice, Allocation) and _is_over_quota(request, choice, ledger):
        return Refusal(Reason.OVER_QUOTA, request.namespace)
    return choice


def allocate_additional(request: Request, held: IPAddress, ledger: Ledger) -> IPAddress | Refusal:
    """The address of the other family for a Service that holds one, from the same pool."""
    stock = ledger.stock_at(held)
    missing = Family.IPV6 if held.version == 4 else Family.IPV4
    if stock is None:
        return Refusal(Reason.OUTSIDE_POOLS, str(held))
    number = _lowest(stock, missing, request, ledger)
    if number is None:
        reason = Reason.EXHAUSTED if missing in stock.spaces else Reason.NO_FAMILY
        return Refusal(reason, stock.pool.name)
    allocation = Allocation((address_at(number),), stock.pool.name)
    if _is_over_quota(request, allocation, ledger):
        return Refusal(Reason.OVER_QUOTA, request.namespace)
    return allocation.addresses[0]


def refusal_of(request: Request, addresses: tuple[IPAddress, ...], ledger: Ledger) -> Refusal | None:
    """Why a Service that holds nothing cannot hold exactly these addresses (were they free again); None if it can."""
    first = ledger.stock_at(addresses[0])
    is_one_pool = True
    for address in addresses:
        stock = ledger.stock_at(address)
        reason = Reason.OUTSIDE_POOLS if stock is None else _obstacle(address, stock, request, ledger)
        if reason is not None:
            return Refusal(reason, str(address))
        is_one_pool &= stock is first
    return None if is_one_pool else Refusal(Reason.SEVERAL_POOLS, ", ".join(map(str, addresses)))


def _choose(request: Request, ledger: Ledger) -> Allocation | Refusal:
    if request.addresses:
        return _requested(request, ledger)
    reserved = _reserved(request, ledger)
    if reserved is not None:
        return reserved
    if request.pool is not None:
        return _from_pool(request.pool, request, ledger)
    return _automatic(request, ledger)


def _requested(request: Request, ledger: Ledger) -> Allocation | Refusal:
    if {family_of(address) for address in request.addresses} != set(request.families):
        return Refusal(Reason.WRONG_FAMILY, ", ".join(map(str, request.addresses)))
    refusal = refusal_of(request, request.addresses, ledger)
    if refusal is not None:
        return refusal
    for address in request.addresses:
        withheld = ledger.withheld(address)
        if withheld is not None and withheld.service != request.service:
            return Refusal(withheld.reason, str(address))
    stock = ledger.stock_at(request.addresses[0])
    name = stock.pool.name if stock else ""
    if request.pool is not None and request.pool != name:
        return Refusal(Reason.OTHER_POOL, request.pool)
    return Allocation(request.addresses, name)


def _reserved(request: Request, ledger: Ledger) -> Allocation | None:
    """What is reserved for the Service, where it is exactly what it wants and may have."""
    addresses = tuple(
        address for address in ledger.reservations(request.service) if family_of(address) in request.families
    )
    causes = [ledger.withheld(address) for address in addresses]
    if not addresses or any(cause is not None and cause.service != request.service for cause in causes):
        return None
    stock = ledger.stock_at(addresses[0])
    is_enough = len(addresses) == len(request.families) or request.dual_stack is DualStack.PREFERRED
    if stock is None or not is_enough or request.pool not in (None, stock.pool.name):
        return None
    return None if refusal_of(request, addresses, ledger) else Allocation(addresses, stock.pool.name)


def _from_pool(name: str, request: Request, ledger: Ledger) -> Allocation | Refusal:
    stock = ledger.stocks.get(name)
    if stock is None:
        return Refusal(Reason.UNKNOWN_POOL, name)
    if not stock.pool.admits(request.namespace, request.labels):
        return Refusal(Reason.NOT_ADMITTED, name)
    for families in _family_sets(request, primary_first=False):
        if _has_all(stock, families, request, ledger):
            return _take(stock, families, request, ledger)
    return _exhausted((stock,), request, name)


def _automatic(request: Request, ledger: Ledger) -> Allocation | Refusal:
    sections = ledger.sections(request.namespace, request.labels)
    for section in sections:
        for families in _family_sets(request, primary_first=True):
            stock = _first(section, families, request, ledger)
            if stock is not None:
                return _take(stock, families, request, ledger)
    if not any(section.stocks for section in sections):
        return Refusal(Reason.NO_ADMITTING_POOL, "", tuple(_tried(stock, request) for stock in ledger.stocks.values()))
    return _exhausted(tuple(stock for section in sections for stock in section.stocks), request, "")


def _family_sets(request: Request, primary_first: bool) -> Iterator[Families]:
    """The sets of families that would do, best first."""
    if len(request.families) == 1:
        yield request.families
        return
    yield BOTH
    if request.dual_stack is DualStack.PREFERRED:
        for family in request.families if primary_first else BOTH:
            yield (family,)


def _first(section: Section, families: Families, request: Request, ledger: Ledger) -> Stock | None:
    """The first pool of a section with a usable address of each family."""
    if request.least_used:
        return _least_used(section, families, request, ledger)
    first = section.first_open(families)
    if request.sharing is None:
        return first
    ranks = sorted({rank for family in families for rank in ledger.shared(request.sharing, family)})
    by_rank = dict(zip(section.ranks, section.stocks, strict=True)) if ranks else {}
    for rank in ranks:
        if first is not None and rank >= first.rank:
            break
        if rank in by_rank and _has_all(by_rank[rank], families, request, ledger):
            return by_rank[rank]
    return first


def _least_used(section: Section, families: Families, request: Request, ledger: Ledger) -> Stock | None:
    """Among the usable pools of best rank, the one of which the smallest part is given."""
    usable = [stock for stock in section.stocks if _has_all(stock, families, request, ledger)]
    return min(
        usable,
        default=None,
        key=lambda s: (s.pool.priority == 0, s.pool.priority, s.assigned_count / s.capacity, s.rank),
    )


def _take(stock: Stock, families: Families, request: Request, ledger: Ledger) -> Allocation:
    numbers = [_lowest(stock, family, request, ledger) for family in families]
    return Allocation(tuple(address_at(number) for number in numbers if number is not None), stock.pool.name)


def _has_all(stock: Stock, families: Families, request: Request, ledger: Ledger) -> bool:
    return all(_lowest(stock, family, request, ledger) is not None for family in families)


def _lowest(stock: Stock, family: Family, request: Request, ledger: Ledger) -> int | None:
    """The first address of a pool that is free or can be shared."""
    space = stock.spaces.get(family)
    if space is None:
        return None
    position = space.lowest_free()
    if request.sharing is not None:
        held = ledger.shared(request.sharing, family).get(stock.rank)
        shared = held.lowest(request.ports, lambda at: _is_withheld(space, at, ledger)) if held else None
        if shared is not None and (position is None or shared < position):
            position = shared
    return None if position is None else space.number_at(position)


def _is_withheld(space: Space, position: int, ledger: Ledger) -> bool:
    """Whether a held address may get no further holder: withheld, or one its pool avoids by now."""
    number = space.number_at(position)
    return number in ledger.withheld_numbers or space.is_buggy(number)


def _obstacle(address: IPAddress, stock: Stock, request: Request, ledger: Ledger) -> Reason | None:
    if stock.is_buggy(address):
        return Reason.BUGGY_ADDRESS
    if not stock.pool.admits(request.namespace, request.labels):
        return Reason.NOT_ADMITTED
    for user in ledger.users(address):
        holding = ledger.holding(user)
        if holding is not None and user != request.service:
            reason = clash(request.sharing, holding.sharing, request.ports, holding.ports)
            if reason is not None:
                return reason
    return None


def _is_over_quota(request: Request, allocation: Allocation, ledger: Ledger) -> bool:
    left = ledger.quota_left(request.namespace)
    if left is None:
        return False
    return left < sum(not ledger.is_in_namespace(address, request.namespace) for address in allocation.addresses)


def _exhausted(stocks: tuple[Stock, ...], request: Request, subject: str) -> Refusal:
    wanted = set(request.families)
    has_family = any(
        wanted <= stock.spaces.keys() or (request.dual_stack is DualStack.PREFERRED and wanted & stock.spaces.keys())
        for stock in stocks
    )
    reason = Reason.EXHAUSTED if has_family else Reason.NO_FAMILY
    return Refusal(reason, subject, tuple(_tried(stock, request) for stock in stocks))


def _tried(stock: Stock, request: Request) -> Tried:
    withheld = tuple((reason, count) for reason, count in stock.withheld.items() if count > 0)
    return Tried(stock.pool.name, _skip(stock, request), stock.assigned_count, stock.capacity, withheld)


def _skip(stock: Stock, request: Request) -> Skip:
    if not stock.pool.admits(request.namespace, request.labels):
        return Skip.NOT_ADMITTED
    if not stock.pool.auto_assign and request.pool != stock.pool.name:
        return Skip.NO_AUTO_ASSIGN
    missing = [family for family in request.families if family not in stock.spaces]
    is_short = bool(missing) and (
        request.dual_stack is not DualStack.PREFERRED or len(missing) == len(request.families)
    )
    return Skip.NO_FAMILY if is_short else Skip.FULL
