"""Whose turn it is: pure rules over the planned order of hosts."""

from collections.abc import Callable, Iterable
from hashlib import sha256

from appliance.api.address import IPAddress
from appliance.l2.plan import VipPlan
from appliance.l2.verdict import Standing

StandingOf = Callable[[str], Standing]


def fallback_order(hosts: Iterable[str], address: IPAddress) -> tuple[str, ...]:
    """Hosts in MetalLB's order for an address: by SHA-256 of `host#address`."""
    return tuple(sorted(hosts, key=lambda host: sha256(f"{host}#{address}".encode()).digest()))


def succession(vip: VipPlan, owner: str | None, standing: StandingOf) -> tuple[str, ...]:
    """The hosts that may claim a VIP now, the one whose turn it is first; none while its owner is to keep it."""
    standings = {host: standing(host) for host in vip.hosts if host != owner}
    able = tuple(host for host, state in standings.items() if state is Standing.ABLE)
    draining = tuple(host for host, state in standings.items() if state is Standing.DRAINING)
    if owner is None:
        recorded = tuple(host for host in able if host == vip.recorded_owner)
        return recorded + tuple(host for host in able if host not in recorded) + draining
    if owner not in vip.hosts:
        return able or draining
    return able if standing(owner) is Standing.DRAINING else ()


def outranks(vip: VipPlan, host: str, rival: str, standing: StandingOf) -> bool:
    """Whether, of two hosts that both answer for a VIP, the first is to go on."""
    return _rank(vip, host, standing) < _rank(vip, rival, standing)


def _rank(vip: VipPlan, host: str, standing: StandingOf) -> tuple[bool, bool, int, str]:
    listed = host in vip.hosts
    place = vip.hosts.index(host) if listed else len(vip.hosts)
    return not listed, standing(host) is Standing.DRAINING, place, host
