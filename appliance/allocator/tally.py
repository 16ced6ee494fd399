"""How full each pool is, written into its status."""

from dataclasses import replace

from appliance.allocator.setting import MANAGER
from appliance.allocator.view import View
from appliance.api.address import Family
from appliance.api.kind import Object
from appliance.api.metallb import COUNT_MAX, IPAddressPool, IPAddressPoolStatus
from appliance.ipam.choice import Stock
from appliance.ipam.ledger import Ledger
from appliance.store.protocol import Refusal, Store, StoreError


async def write_tallies(store: Store, view: View, ledger: Ledger) -> None:
    """Write the status of every pool whose counts differ from it; a pool that just changed waits for the next time."""
    for manifest in wanted_tallies(view.objects(frozenset({"IPAddressPool"})), ledger):
        try:
            view.put(await store.apply_status(manifest, MANAGER))
        except StoreError as error:
            if error.refusal not in (Refusal.CONFLICT, Refusal.NOT_FOUND):
                raise


def wanted_tallies(pools: list[Object], ledger: Ledger) -> list[IPAddressPool]:
    """The pools whose status is not what the ledger says, with what it says."""
    wanted = []
    for pool in pools:
        stock = ledger.stocks.get(pool.metadata.name)
        if isinstance(pool, IPAddressPool) and stock is not None and pool.status != tally(stock):
            wanted.append(replace(pool, status=tally(stock)))
    return wanted


def tally(stock: Stock) -> IPAddressPoolStatus:
    """Distinct addresses given and left, by family."""
    return IPAddressPoolStatus(
        assigned_ipv4=stock.assigned[Family.IPV4],
        assigned_ipv6=stock.assigned[Family.IPV6],
        available_ipv4=_left(stock, Family.IPV4),
        available_ipv6=_left(stock, Family.IPV6),
    )


def _left(stock: Stock, family: Family) -> int:
    space = stock.spaces.get(family)
    return min(space.capacity - stock.assigned[family], COUNT_MAX) if space else 0
