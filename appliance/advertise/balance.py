"""Which addresses are to change hands so that hosts carry them evenly, with few moves and none to a lesser host."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from appliance.advertise.endpoint import Slices
from appliance.advertise.vip import HeldAddress, Planner
from appliance.api.address import IPAddress

_PASSES_MAX = 20


def equal_owners(planner: Planner, held: HeldAddress, slices: Mapping[str, Slices]) -> tuple[str, ...]:
    """The hosts that a plan would let keep an address if they had it: those of the best rank."""
    planned = planner.plan(replace(held, owner=""), slices, {}).spec.layer2
    return tuple(
        host
        for host in (planned.candidates if planned else ())
        if (kept := planner.plan(replace(held, owner=host), slices, {}).spec.layer2) and kept.candidates[0] == host
    )


def balanced(
    owners: Mapping[IPAddress, str], choices: Mapping[IPAddress, tuple[str, ...]], carried: Iterable[str] = ()
) -> Mapping[IPAddress, str]:
    """The new owners of the addresses that are to move, given the hosts that each may go to.

    An address whose owner is not among its choices goes to one that is; after that one moves only from a host that
    carries two more than the other. `carried` names the owner of each address that is not to be moved.
    """
    load = Counter((*owners.values(), *carried))
    now = dict(owners)
    ordered = sorted(owners, key=lambda address: (address.version, int(address)))
    for _ in range(_PASSES_MAX):
        has_moved = False
        for address in ordered:
            owner, able = now[address], choices.get(address, ())
            if not able:
                continue
            target = min(able, key=lambda host: (load[host], host))
            if target != owner and (owner not in able or load[owner] - load[target] >= 2):
                load[owner] -= 1
                load[target] += 1
                now[address] = target
                has_moved = True
        if not has_moved:
            break
    return {address: owner for address, owner in now.items() if owner != owners[address]}
