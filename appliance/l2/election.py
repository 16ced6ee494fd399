"""Whose turn it is: pure rules over the planned order of hosts."""

from collections.abc import Callable, Container, Iterable
from enum import Enum, auto
from hashlib import sha256

from appliance.api.address import IPAddress
from appliance.l2.event import VipPlan


class Eligibility(Enum):
    """Whether a host can be given a VIP: a draining one only where no other is left."""

    ABLE = auto()
    DRAINING = auto()
    GONE = auto()


EligibilityOf = Callable[[str], Eligibility]


def fallback_order(hosts: Iterable[str], address: IPAddress) -> tuple[str, ...]:
    """Hosts in MetalLB's order for an address: by SHA-256 of `host#address`."""
    return tuple(sorted(hosts, key=lambda host: sha256(f"{host}#{address}".encode()).digest()))


def place(vip: VipPlan, me: str, owner: str | None, eligibility: EligibilityOf) -> int | None:
    """How many hosts are to claim a VIP before `me`; None where it is not to claim at all.

    `owner` is a host that answers and wants to be rid of the VIP: where both drain nothing is gained. Without one the
    store's owner goes first.
    """
    if me not in vip.hosts or me == owner or (mine := eligibility(me)) is Eligibility.GONE:
        return None
    if owner in vip.hosts and owner is not None and eligibility(owner) is mine is Eligibility.DRAINING:
        return None
    before = 0
    if owner is None and mine is Eligibility.ABLE and vip.recorded_owner in vip.hosts:
        if vip.recorded_owner == me:
            return 0
        is_later = vip.hosts.index(vip.recorded_owner) > vip.hosts.index(me)
        before = is_later and eligibility(vip.recorded_owner) is Eligibility.ABLE
    is_behind = False
    for host in vip.hosts:
        if host == me:
            if mine is Eligibility.ABLE:
                return before
            is_behind = True
        elif host != owner:
            theirs = eligibility(host)
            before += theirs is Eligibility.ABLE or (theirs is mine and not is_behind)
    return before


def has_successor(
    vip: VipPlan, excluded: Container[str | None], eligibility: EligibilityOf, *, is_last_resort: bool
) -> bool:
    """Whether a host that is not excluded is there to take a VIP; a draining one takes it as a last resort only."""
    for host in vip.hosts:
        theirs = Eligibility.GONE if host in excluded else eligibility(host)
        if theirs is Eligibility.ABLE or (theirs is Eligibility.DRAINING and is_last_resort):
            return True
    return False
