"""How full a pool is, as its status says it."""

from appliance.api.address import Family
from appliance.api.metallb import IPAddressPoolStatus
from appliance.ipam.choice import Stock


def pool_status(stock: Stock) -> IPAddressPoolStatus:
    """Distinct addresses given and left, by family."""
    return IPAddressPoolStatus(
        assigned_ipv4=stock.assigned[Family.IPV4],
        assigned_ipv6=stock.assigned[Family.IPV6],
        available_ipv4=_left(stock, Family.IPV4),
        available_ipv6=_left(stock, Family.IPV6),
    )


def _left(stock: Stock, family: Family) -> int:
    space = stock.spaces.get(family)
    return space.capacity - stock.assigned[family] if space else 0
