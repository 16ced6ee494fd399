"""What an operator can do to a site, and what each would change: judged from what is known, before anything is done.

A drain moves what a host owns to the first able host of each VIP's order, as the owner itself will do it; routes are
withdrawn where other hosts go on announcing them, or where nobody does. What nobody was asked about is not guessed.
"""

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum

from appliance.api.address import IPAddress
from appliance.overview.reach import Inability, Reach, reach_of
from appliance.overview.row import Mode, VipHealth, VipRow
from appliance.overview.site import Site


@dataclass(frozen=True, slots=True)
class DrainHost:
    """Move everything away from a host, and keep new VIPs away."""

    host: str


@dataclass(frozen=True, slots=True)
class UndrainHost:
    """Let a host take VIPs and announce routes again."""

    host: str


@dataclass(frozen=True, slots=True)
class MoveVip:
    """Hand one VIP over to a host; "" = the first able one of its order."""

    address: IPAddress
    to: str = ""


@dataclass(frozen=True, slots=True)
class AcknowledgeConflict:
    """Say that somebody has taken note of the machines that answer for a VIP too."""

    address: IPAddress
    by: str


@dataclass(frozen=True, slots=True)
class HandOver:
    """A VIP and the host that would take it from its owner; "" = none is able, so the owner goes on answering."""

    address: IPAddress
    services: tuple[str, ...]
    owner: str
    successor: str


@dataclass(frozen=True, slots=True)
class Replan:
    """Hand VIPs over to the hosts that a new plan gives them (`overview.balance`), one after the other."""

    moves: tuple[HandOver, ...]


Action = DrainHost | UndrainHost | MoveVip | AcknowledgeConflict | Replan


class Obstacle(Enum):
    """Why an action cannot be done, or would change nothing."""

    UNKNOWN_VIP = "there is no such VIP"
    DRAINED_ALREADY = "it is drained already"
    NOT_DRAINED = "it is not drained"
    NO_LAYER2 = "no host owns it: it is not announced on layer 2"
    NO_OWNER = "nobody is known to answer for it"
    SEVERAL_OWNERS = "more than one host answers for it; they find out which of them yields"
    OWNS_IT = "it answers for the VIP already"
    AS_PLANNED = "every VIP that can be moved is where a plan would have it"
    NO_CONFLICT = "nobody else answers for it"
    ACKNOWLEDGED = "that was taken note of already"
    NO_OTHER_HOST = "no other host is able to answer for it"


@dataclass(frozen=True, slots=True)
class RouteChange:
    """A prefix that a host would announce no longer, or again, and the other hosts that announce it."""

    prefix: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would change; with an `obstacle`, nothing.

    `unreachable` are VIPs that nobody would be left to announce. `is_partial`: not every host was heard, so of routes
    only this host's own are known, and of nothing that it would be unreachable. `conflicts` are the hardware addresses
    that would be taken note of.
    """

    action: Action
    obstacle: Obstacle | Inability | None = None
    moves: tuple[HandOver, ...] = ()
    routes: tuple[RouteChange, ...] = ()
    unreachable: tuple[IPAddress, ...] = ()
    is_partial: bool = False
    conflicts: tuple[str, ...] = ()

    @property
    def staying(self) -> tuple[HandOver, ...]:
        """The VIPs that no other host is able to take."""
        return tuple(move for move in self.moves if not move.successor)

    def successors(self) -> Counter[str]:
        """How many VIPs each host would take."""
        return Counter(move.successor for move in self.moves if move.successor)


def preview(site: Site, action: Action) -> Preview:
    """What an action would change of a site as it is known now."""
    steps = preview_in_steps(site, action)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            made: Preview = end.value
            return made


def preview_in_steps(site: Site, action: Action) -> Generator[None, None, Preview]:
    """The same, a step for each VIP that is looked at, for who has other things to do in between."""
    match action:
        case DrainHost(host):
            return (yield from _drain(site, action, host))
        case UndrainHost(host):
            return (yield from _undrain(site, action, host))
        case MoveVip(address, to):
            return _move(site, action, address, to)
        case AcknowledgeConflict(address):
            return _acknowledge(site, action, address)
        case Replan():
            return _replan(site, action)


@dataclass(frozen=True, slots=True)
class Destination:
    """A host that a VIP might be handed to, and why it cannot be."""

    host: str
    obstacle: Obstacle | Inability | None


def destinations(site: Site, address: IPAddress) -> tuple[Destination, ...]:
    """Every host, those of the VIP's order first."""
    vip = site.vip(address)
    owner = vip.owner if vip else ""
    reach = reach_of(site, but=owner)
    ordered = dict.fromkeys((*reach.order(address), *site.host_names()))
    return tuple(
        Destination(host, Obstacle.OWNS_IT if host == owner else reach.inability(address, host)) for host in ordered
    )


def _drain(site: Site, action: DrainHost, host: str) -> Generator[None, None, Preview]:
    row = site.host(host)
    if row is None:
        return Preview(action, Inability.UNKNOWN_HOST)
    if row.drained:
        return Preview(action, Obstacle.DRAINED_ALREADY)
    reach = reach_of(site, but=host)
    moves: list[HandOver] = []
    routes: dict[str, RouteChange] = {}
    unreachable: list[IPAddress] = []
    for address in site.addresses():
        yield
        vip = site.vip(address)
        if vip is None:
            continue
        if vip.owner == host and _has_layer2(vip):
            moves.append(HandOver(address, vip.services, host, reach.successor(address)))
        changes = _route_changes(reach, address, reach.announced(address, host))
        routes |= {change.prefix: change for change in changes}
        if changes and vip.mode is Mode.BGP and not reach.is_partial and not any(change.others for change in changes):
            unreachable.append(address)
    return Preview(action, None, tuple(moves), tuple(routes.values()), tuple(unreachable), reach.is_partial)


def _undrain(site: Site, action: UndrainHost, host: str) -> Generator[None, None, Preview]:
    row = site.host(host)
    if row is None:
        return Preview(action, Inability.UNKNOWN_HOST)
    if not row.drained:
        return Preview(action, Obstacle.NOT_DRAINED)
    reach = reach_of(site, but=host)
    moves: list[HandOver] = []
    routes: dict[str, RouteChange] = {}
    for address in site.addresses():
        yield
        vip = site.vip(address)
        if vip is None:
            continue
        if vip.health is VipHealth.NO_OWNER and host in reach.order(address):
            moves.append(HandOver(address, vip.services, "", host))
        changes = _route_changes(reach, address, reach.planned(address, host))
        routes |= {change.prefix: change for change in changes}
    return Preview(action, None, tuple(moves), tuple(routes.values()), is_partial=reach.is_partial)


def _move(site: Site, action: MoveVip, address: IPAddress, to: str) -> Preview:
    vip = site.vip(address)
    if vip is None:
        return Preview(action, Obstacle.UNKNOWN_VIP)
    if not _has_layer2(vip):
        return Preview(action, Obstacle.NO_LAYER2)
    if vip.health is VipHealth.TWO_OWNERS:
        return Preview(action, Obstacle.SEVERAL_OWNERS)
    if not vip.owner:
        return Preview(action, Obstacle.NO_OWNER)
    if to == vip.owner:
        return Preview(action, Obstacle.OWNS_IT)
    reach = reach_of(site, but=vip.owner)
    obstacle: Obstacle | Inability | None = reach.inability(address, to) if to else None
    successor = to or reach.successor(address)
    if not successor:
        obstacle = Obstacle.NO_OTHER_HOST
    return Preview(action, obstacle, () if obstacle else (HandOver(address, vip.services, vip.owner, successor),))


def _acknowledge(site: Site, action: AcknowledgeConflict, address: IPAddress) -> Preview:
    vip = site.vip(address)
    if vip is None:
        return Preview(action, Obstacle.UNKNOWN_VIP)
    if not vip.conflicts:
        return Preview(action, Obstacle.NO_CONFLICT)
    if vip.acknowledged:
        return Preview(action, Obstacle.ACKNOWLEDGED)
    return Preview(action, conflicts=vip.conflicts)


def _replan(site: Site, action: Replan) -> Preview:
    """What of a plan is still to be done: a VIP that has moved since, or whose next host is not able, is left alone."""
    reach = reach_of(site)
    moves = tuple(
        move
        for move in action.moves
        if (vip := site.vip(move.address))
        and vip.owner == move.owner
        and reach.inability(move.address, move.successor) is None
    )
    return Preview(action, None if moves else Obstacle.AS_PLANNED, moves)


def _has_layer2(vip: VipRow) -> bool:
    return vip.mode in (Mode.LAYER2, Mode.BOTH)


def _route_changes(reach: Reach, address: IPAddress, prefixes: frozenset[str]) -> list[RouteChange]:
    return [RouteChange(prefix, reach.announcers(address, prefix)) for prefix in sorted(prefixes)]
