"""A site's VIPs planned anew: which of them are to change hands, by the rules the allocator plans by."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from appliance.advertise.balance import balanced, equal_owners
from appliance.advertise.endpoint import slices_by_service
from appliance.advertise.host import site_hosts
from appliance.advertise.plan import CandidateOrder
from appliance.advertise.vip import HeldAddress, Planner
from appliance.api.address import IPAddress
from appliance.api.core import EndpointSlice, Node, Service
from appliance.api.kind import REPORTS, Kind, Object
from appliance.api.meta import Ref
from appliance.api.pierhead import Host
from appliance.config.compile import compile_config
from appliance.overview.action import HandOver, Replan
from appliance.overview.reach import reach_of
from appliance.overview.row import VipHealth
from appliance.overview.site import Site

T = TypeVar("T", EndpointSlice, Host, Node, Service)

# All that a plan is made from.
PLAN_KINDS = frozenset(Kind) - {Kind.SECRET, Kind.LEASE, Kind.EVENT, Kind.BACKENDS} - REPORTS
_MOVABLE = frozenset({VipHealth.ANSWERED})


def replanned(site: Site, objects: Iterable[Object], order: CandidateOrder = CandidateOrder.SPREAD) -> Replan:
    """What is to be handed over so that each VIP is where a plan would have it, and hosts carry evenly.

    `order` is the allocator's. A VIP without an owner, or for which somebody else answers, is left alone.
    """
    known = tuple(objects)
    planner, reach = Planner(order), reach_of(site)
    config = compile_config(known).draft
    planner.set_site(config, site_hosts(_of(known, Host), _of(known, Node)))
    slices = slices_by_service(_of(known, EndpointSlice))
    services = {Ref("Service", each.metadata.namespace, each.metadata.name): each for each in _of(known, Service)}
    owners: dict[IPAddress, str] = {}
    choices: dict[IPAddress, tuple[str, ...]] = {}
    fixed: list[str] = []
    for address, vip in site.vips.items():
        row = site.vip(address)
        if row is None or not row.owner or vip.spec.layer2 is None:
            continue
        holders = (services.get(Ref("Service", each.namespace, each.name)) for each in vip.spec.services)
        held = HeldAddress(address, vip.spec.pool, tuple(filter(None, holders)))
        if row.health not in _MOVABLE or not held.services:
            fixed.append(row.owner)
            continue
        owners[address] = row.owner
        equal = equal_owners(planner, held, slices)
        choices[address] = tuple(host for host in equal if reach.inability(address, host) is None)
    moves = balanced(owners, choices, fixed)
    return Replan(tuple(_hand_over(site, owners, address, to) for address, to in moves.items()))


def _hand_over(site: Site, owners: Mapping[IPAddress, str], address: IPAddress, to: str) -> HandOver:
    row = site.vip(address)
    return HandOver(address, row.services if row else (), owners[address], to)


def _of(objects: Iterable[Object], cls: type[T]) -> tuple[T, ...]:
    return tuple(manifest for manifest in objects if isinstance(manifest, cls))
