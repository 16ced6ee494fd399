"""What an operator can do to a site, and what each would change: judged from what is known, before anything is done.

A drain moves what a host owns to the first able host of each VIP's order, as the owner itself will do it; routes are
withdrawn where other hosts go on announcing them, or where nobody does. What nobody was asked about is not guessed.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from appliance.api.address import IPAddress
from appliance.api.label import HOSTNAME_LABEL
from appliance.desired.announcement import Announcer, announce
from appliance.desired.decide import owner_order
from appliance.l2.event import Role, RoleReason
from appliance.overview.row import HostHealth, Mode, SessionHealth, VipHealth, VipRow
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


Action = DrainHost | UndrainHost | MoveVip


class Obstacle(Enum):
    """Why an action cannot be done, or would change nothing."""

    UNKNOWN_HOST = "there is no such host"
    UNKNOWN_VIP = "there is no such VIP"
    DRAINED_ALREADY = "it is drained already"
    NOT_DRAINED = "it is not drained"
    NO_LAYER2 = "no host owns it: it is not announced on layer 2"
    NO_OWNER = "nobody is known to answer for it"
    SEVERAL_OWNERS = "more than one host answers for it; they find out which of them yields"
    OWNS_IT = "it answers for the VIP already"
    NO_OTHER_HOST = "no other host is able to answer for it"
    NOT_ADMITTED = "it is neither a candidate nor admitted by the advertisement's node selectors"
    HOST_DRAINED = "it is drained"
    HOST_UNREACHABLE = "it is not reachable"
    HOST_UNABLE = "its agent says that it cannot answer for the VIP"


@dataclass(frozen=True, slots=True)
class VipMove:
    """A VIP and the host that would take it from its owner; "" = none is able, so the owner goes on answering."""

    address: IPAddress
    services: tuple[str, ...]
    owner: str
    successor: str


@dataclass(frozen=True, slots=True)
class RouteChange:
    """A prefix that a host would announce no longer, or again, and the other hosts that announce it."""

    prefix: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would change; with an `obstacle`, nothing.

    `unreachable` are VIPs that nobody would be left to announce. `is_partial`: not every host was heard, so of routes
    only this host's own are known, and of nothing that it would be unreachable.
    """

    action: Action
    obstacle: Obstacle | None = None
    moves: tuple[VipMove, ...] = ()
    routes: tuple[RouteChange, ...] = ()
    unreachable: tuple[IPAddress, ...] = ()
    is_partial: bool = False

    @property
    def staying(self) -> tuple[VipMove, ...]:
        """The VIPs that no other host is able to take."""
        return tuple(move for move in self.moves if not move.successor)

    def successors(self) -> Counter[str]:
        """How many VIPs each host would take."""
        return Counter(move.successor for move in self.moves if move.successor)


def preview(site: Site, action: Action) -> Preview:
    """What an action would change of a site as it is known now."""
    match action:
        case DrainHost(host):
            return _drain(site, action, host)
        case UndrainHost(host):
            return _undrain(site, action, host)
        case MoveVip(address, to):
            return _move(site, action, address, to)


def _drain(site: Site, action: DrainHost, host: str) -> Preview:
    row = site.host(host)
    if row is None:
        return Preview(action, Obstacle.UNKNOWN_HOST)
    if row.drained:
        return Preview(action, Obstacle.DRAINED_ALREADY)
    known = _known(site, but=host)
    moves: list[VipMove] = []
    routes: dict[str, RouteChange] = {}
    unreachable: list[IPAddress] = []
    for address in site.addresses():
        vip = site.vip(address)
        if vip is None:
            continue
        if vip.owner == host and _has_layer2(vip):
            moves.append(VipMove(address, vip.services, host, known.successor(address)))
        changes = known.routes(address, known.announced(address, host))
        routes |= {change.prefix: change for change in changes}
        if changes and vip.mode is Mode.BGP and not known.is_partial and not any(change.others for change in changes):
            unreachable.append(address)
    return Preview(action, None, tuple(moves), tuple(routes.values()), tuple(unreachable), known.is_partial)


def _undrain(site: Site, action: UndrainHost, host: str) -> Preview:
    row = site.host(host)
    if row is None:
        return Preview(action, Obstacle.UNKNOWN_HOST)
    if not row.drained:
        return Preview(action, Obstacle.NOT_DRAINED)
    known = _known(site, but=host)
    moves: list[VipMove] = []
    routes: dict[str, RouteChange] = {}
    for address in site.addresses():
        vip = site.vip(address)
        if vip is None:
            continue
        if vip.health is VipHealth.NO_OWNER and host in known.order(address):
            moves.append(VipMove(address, vip.services, "", host))
        changes = known.routes(address, known.planned(address, host))
        routes |= {change.prefix: change for change in changes}
    return Preview(action, None, tuple(moves), tuple(routes.values()), is_partial=known.is_partial)


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
    known = _known(site, but=vip.owner)
    obstacle = known.obstacle(address, to) if to else None
    successor = to or known.successor(address)
    if not successor:
        obstacle = Obstacle.NO_OTHER_HOST
    return Preview(action, obstacle, () if obstacle else (VipMove(address, vip.services, vip.owner, successor),))


def _has_layer2(vip: VipRow) -> bool:
    return vip.mode in (Mode.LAYER2, Mode.BOTH)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of the hosts: who is able to take something, their labels, and their BGP sessions that are up.

    `is_partial`: of some neither the store nor their own agent tells what they announce.
    """

    site: Site
    able: frozenset[str]
    labels: Mapping[str, Mapping[str, str]]
    sessions: Mapping[str, frozenset[str]]
    is_partial: bool

    def order(self, address: IPAddress) -> tuple[str, ...]:
        """Who may answer for a VIP, in order; without its object the candidates that agents tell of."""
        vip = self.site.vips.get(address)
        if vip is not None:
            return owner_order(vip, self.labels)
        told = (verdict.layer2.candidates for verdict in self.site.verdicts(address).values() if verdict.layer2)
        return next((candidates for candidates in told if candidates), ())

    def successor(self, address: IPAddress) -> str:
        """The first able host of a VIP's order; "" for none."""
        return next((host for host in self.order(address) if self._unable(address, host) is None), "")

    def obstacle(self, address: IPAddress, host: str) -> Obstacle | None:
        """Why a host cannot be given a VIP."""
        row = self.site.host(host)
        if row is None:
            return Obstacle.UNKNOWN_HOST
        if host not in self.order(address):
            return Obstacle.NOT_ADMITTED
        return Obstacle.HOST_DRAINED if row.drained else self._unable(address, host)

    def _unable(self, address: IPAddress, host: str) -> Obstacle | None:
        if host not in self.able:
            return Obstacle.HOST_UNREACHABLE
        verdict = self.site.verdicts(address).get(host)
        layer2 = verdict.layer2 if verdict else None
        if layer2 is not None and (layer2.role is Role.NONE or layer2.reason == RoleReason.LINK_DOWN.value):
            return Obstacle.HOST_UNABLE
        return None

    def announced(self, address: IPAddress, host: str) -> frozenset[str]:
        """The prefixes of a VIP that routers hear from a host: as its agent says, else as they are planned."""
        verdict = self.site.verdicts(address).get(host)
        if verdict is None:
            return self.planned(address, host)
        bgp, up = verdict.bgp, self.sessions[host]
        if bgp is None or not bgp.announced or not (up & frozenset(bgp.peers) if bgp.peers else up):
            return frozenset()
        return frozenset(bgp.prefixes)

    def planned(self, address: IPAddress, host: str) -> frozenset[str]:
        """The prefixes of a VIP that a host announces while it is not drained, by its labels and sessions."""
        vip = self.site.vips.get(address)
        if vip is None or not vip.spec.bgp or host not in self.labels:
            return frozenset()
        decision = announce(vip, Announcer(host, self.labels[host], self.sessions[host]))
        return frozenset(str(entry.prefix) for entry in decision.announcements)

    def routes(self, address: IPAddress, prefixes: frozenset[str]) -> list[RouteChange]:
        """Prefixes of a VIP, each with the able hosts that announce it."""
        if not prefixes:
            return []
        by_host = {host: self.announced(address, host) for host in sorted(self.able)}
        return [
            RouteChange(prefix, tuple(host for host, theirs in by_host.items() if prefix in theirs))
            for prefix in sorted(prefixes)
        ]


def _known(site: Site, *, but: str) -> _Known:
    """What is known of a site, `but` one host that is not to be given anything."""
    names = site.host_names()
    rows = [row for name in names if name != but and (row := site.host(name))]
    return _Known(
        site=site,
        able=frozenset(row.name for row in rows if not row.drained and row.health not in _NOT_ABLE),
        labels={name: {HOSTNAME_LABEL: name, **host.metadata.labels} for name, host in site.hosts.items()},
        sessions={
            name: frozenset(row.name for row in site.sessions(name) if row.health is not SessionHealth.DOWN)
            for name in names
        },
        is_partial=any(name not in site.hosts and not site.is_heard(name) for name in names),
    )


_NOT_ABLE = frozenset({HostHealth.FAILED, HostHealth.ISOLATED, HostHealth.AGENT_DOWN})
