"""A site as its store and its agents tell it, row by row; a change costs the rows it concerns."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from appliance.api.address import IPAddress, parse_address
from appliance.api.core import Service
from appliance.api.kind import Object, ref_of
from appliance.api.meta import Ref
from appliance.api.metallb import IPAddressPool
from appliance.api.pierhead import AddressConflict, Host, HostInterface, Owner, SessionStatus, VirtualIP
from appliance.control.client import HostHistory, TopicChange
from appliance.control.message import BirdSession, HistoryEntry, InterfaceStatus, SessionKind, VipMove, VirtualIPVerdict
from appliance.control.topic import Topic
from appliance.desired.announcement import BGPReason
from appliance.l2.event import Reachability
from appliance.overview.acknowledgement import acknowledgement_of
from appliance.overview.agent import EVENTS_MAX, AgentView, is_owner
from appliance.overview.row import (
    HostHealth,
    HostRow,
    Mode,
    PoolRow,
    ServiceHealth,
    ServiceRow,
    SessionHealth,
    SessionRow,
    Usage,
    VipHealth,
    VipRow,
)
from appliance.overview.timeline import EventRow, merge, row_of

K = TypeVar("K")
V = TypeVar("V")

# What BIRD calls a BGP or a BFD session that is up.
SESSION_UP = frozenset({"established", "up"})


@dataclass(slots=True)
class Touched:
    """The rows that may be other than before: VIPs by address, hosts by name, events by host and number."""

    vips: set[IPAddress] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    pools: set[Ref] = field(default_factory=set)
    services: set[Ref] = field(default_factory=set)
    events: set[tuple[str, str]] = field(default_factory=set)

    def add(self, other: "Touched") -> None:
        """These and those."""
        self.vips |= other.vips
        self.hosts |= other.hosts
        self.pools |= other.pools
        self.services |= other.services
        self.events |= other.events


class Site:
    """All that is known of a site; feed it changes of the store and topics of agents, then ask for rows."""

    def __init__(self) -> None:
        self.vips: dict[IPAddress, VirtualIP] = {}
        self.hosts: dict[str, Host] = {}
        self.pools: dict[Ref, IPAddressPool] = {}
        self.services: dict[Ref, Service] = {}
        self.agents: dict[str, AgentView] = {}
        self._verdicts: dict[IPAddress, dict[str, VirtualIPVerdict]] = {}
        self._conflicts: dict[IPAddress, dict[str, AddressConflict]] = {}
        self._owned: Counter[str] = Counter()
        self._refs: dict[Ref, Object] = {}

    def absorb(self, changed: Iterable[Object], removed: Iterable[Ref]) -> Touched:
        """Take over what a store told."""
        touched, hosts = Touched(), len(self.hosts)
        for manifest in changed:
            self._put(ref_of(manifest), manifest, touched)
        for ref in removed:
            self._put(ref, None, touched)
        if len(self.hosts) != hosts:
            # Whether every host was heard decides whether "nobody announces it" is known.
            touched.vips.update(address for address, vip in self.vips.items() if vip.spec.bgp)
        return touched

    def begin(self, listed: Iterable[Object]) -> Touched:
        """Take over a listing: what it does not name is gone."""
        objects = {ref_of(manifest): manifest for manifest in listed}
        return self.absorb(objects.values(), [ref for ref in self._refs if ref not in objects])

    @property
    def objects(self) -> Mapping[Ref, Object]:
        """Every object that the store told of, of whatever kind."""
        return self._refs

    def everything(self) -> Touched:
        """Every row there is."""
        return Touched(
            vips={*self.vips, *self._verdicts},
            hosts=set(self.host_names()),
            pools=set(self.pools),
            services=set(self.services),
            events={(host, number) for host, view in self.agents.items() for number in view.events},
        )

    def hear(self, host: str, change: TopicChange[object]) -> Touched:
        """Take over what the agent of a host told of a topic."""
        touched = Touched(hosts=set() if change.topic is Topic.EVENTS else {host})
        view = self.agents.setdefault(host, AgentView())
        if not view.is_live:
            view.is_live = True
            touched.add(self._said_by(host))
        match change.topic:
            case Topic.VIPS:
                keys = {*change.changed, *change.removed, *(view.vips if change.is_listing else ())}
                change.fold(view.vips)  # type: ignore[arg-type]  # the topic says of which type its values are
                view.are_vips_listed |= change.is_listing
                self._judge(host, view, keys, touched)
            case Topic.HOSTS:
                touched.hosts |= {*change.changed, *change.removed, *view.neighbors}
                change.fold(view.neighbors)  # type: ignore[arg-type]  # as above
            case Topic.SESSIONS:
                change.fold(view.sessions)  # type: ignore[arg-type]  # as above
            case Topic.PROGRAM:
                change.fold(view.programs)  # type: ignore[arg-type]  # as above
            case Topic.FEED:
                change.fold(view.feeds)  # type: ignore[arg-type]  # as above
            case Topic.EVENTS:
                touched.events = {(host, key) for key in change.changed}
                change.fold(view.events)  # type: ignore[arg-type]  # as above
                while len(view.events) > EVENTS_MAX:
                    del view.events[next(iter(view.events))]
        return touched

    def lose(self, host: str) -> Touched:
        """The agent of a host answers no longer: what it said last stays, and is known to be old."""
        view = self.agents.get(host)
        if view is None or not view.is_live:
            return Touched()
        view.is_live = False
        return self._said_by(host)

    def _said_by(self, host: str) -> Touched:
        """The rows that stand on what the agent of a host said."""
        view = self.agents[host]
        return Touched(vips={parse_address(key) for key in view.vips}, hosts={host, *view.neighbors})

    def is_heard(self, host: str) -> bool:
        """Whether the agent of a host is asked and answers."""
        view = self.agents.get(host)
        return view is not None and view.is_live

    # VIPs

    def addresses(self) -> list[IPAddress]:
        """Every VIP there is, IPv4 first."""
        return sorted({*self.vips, *self._verdicts}, key=lambda address: (address.version, int(address)))

    def vip(self, address: IPAddress) -> VipRow | None:
        """The row of a VIP; None for an address that is none. Where nobody can be asked it is as it was said last."""
        manifest, verdicts = self.vips.get(address), self.verdicts(address)
        is_old = manifest is None and not verdicts
        if is_old:
            verdicts = self._verdicts.get(address, {})
            if not verdicts:
                return None
        said = next(iter(verdicts.values()), None)
        stored = manifest.status.owner if manifest else None
        owners = sorted(host for host, verdict in verdicts.items() if is_owner(verdict))
        owner = owners[0] if owners else _believed(verdicts) or (stored.host if stored else "")
        mode = _mode(manifest, verdicts)
        announcers = sum(verdict.bgp is not None and verdict.bgp.announced for verdict in verdicts.values())
        conflicts = self._foreign(address, verdicts)
        known = acknowledgement_of(manifest) if manifest and conflicts else None
        is_known = known is not None and known.covers(conflicts, self._conflicts.get(address, {}).values())
        services = _services(manifest) if manifest else said.services if said else ()
        are_all_heard = bool(verdicts) and len(verdicts) >= len(self.hosts)
        return VipRow(
            address=address,
            health=VipHealth.UNKNOWN
            if is_old
            else _health(
                mode,
                services=services,
                conflicts=conflicts,
                is_acknowledged=is_known,
                owner=owner,
                owners=owners,
                announcers=announcers if are_all_heard or announcers else None,
            ),
            mode=mode,
            services=services,
            pool=manifest.spec.pool if manifest else said.pool if said else "",
            owner=owner,
            since=_since(stored, owner, verdicts),
            announcers=announcers if verdicts and mode is not Mode.LAYER2 else None,
            unasked=max(0, len(self.hosts) - len(self.agents)),
            conflicts=conflicts,
            acknowledged=f"by {known.by} at {known.at}" if known and is_known else "",
            last_move=max((v.last_move for v in verdicts.values() if v.last_move), key=_in_order_of_time, default=None),
        )

    def _foreign(self, address: IPAddress, verdicts: Mapping[str, VirtualIPVerdict]) -> tuple[str, ...]:
        """The hardware addresses of machines that are no hosts and answer for a VIP, as the store and agents tell."""
        stored = (seen.hardware_address.hex(":") for seen in self._conflicts.get(address, {}).values())
        told = (verdict.conflict.partition(" ")[0] for verdict in verdicts.values() if verdict.conflict)
        return tuple(sorted({*stored, *told}))

    def verdicts(self, address: IPAddress) -> Mapping[str, VirtualIPVerdict]:
        """What the agents that can be asked say of a VIP, by host."""
        verdicts = self._verdicts.get(address, {})
        return {host: verdict for host, verdict in verdicts.items() if self.agents[host].is_live}

    def _judge(self, host: str, view: AgentView, keys: Iterable[str], touched: Touched) -> None:
        for key in keys:
            address = parse_address(key)
            verdict = view.vips.get(key)
            by_host = self._verdicts.setdefault(address, {})
            view.count(by_host.get(host), verdict)
            if verdict is None:
                by_host.pop(host, None)
            else:
                by_host[host] = verdict
            if not by_host:
                del self._verdicts[address]
            touched.vips.add(address)

    # Hosts and their sessions

    def host_names(self) -> list[str]:
        """Every host that the store or an agent knows of."""
        seen = {name for view in self.agents.values() for name in view.neighbors}
        return sorted({*self.hosts, *self.agents, *seen})

    def host(self, name: str) -> HostRow | None:
        """The row of a host; None for a name that is none."""
        manifest, view = self.hosts.get(name), self.agents.get(name)
        if manifest is None and view is None and not any(name in other.neighbors for other in self.agents.values()):
            return None
        status = manifest.status if manifest else None
        live = view if view is not None and view.is_live else None
        are_known = live.are_vips_listed if live else manifest is not None
        feed = live.feed if live else None
        program = live.program if live else None
        health, detail = self._health(name, manifest, live)
        return HostRow(
            name=name,
            health=health,
            detail=detail,
            owned=(live.owned if live else self._owned[name]) if are_known else None,
            announced=(live.announced if live else status.announced if status else None) if are_known else None,
            drained=program.drained if program else manifest.is_draining if manifest else False,
            version=program.version if program else status.version if status else "",
            feed=feed.source if feed else "",
            feed_age_seconds=feed.age_seconds if feed else None,
            conflicts=len(status.conflicts) if status else 0,
            interfaces=program.interfaces
            if program and program.interfaces
            else tuple(map(_interface, status.interfaces))
            if status
            else (),
        )

    def _health(self, name: str, manifest: Host | None, live: AgentView | None) -> tuple[HostHealth, str]:
        seen = Counter(
            view.neighbors[name].state
            for other, view in self.agents.items()
            if other != name and view.is_live and name in view.neighbors
        )
        program, feed = (live.program, live.feed) if live else (None, None)
        if program is not None and program.isolated_links:
            return HostHealth.ISOLATED, f"nobody answers on {', '.join(program.isolated_links)}"
        if seen[Reachability.FAILED] > seen.total() / 2:
            return HostHealth.FAILED, f"silent, say {seen[Reachability.FAILED]} of {seen.total()} hosts"
        if seen[Reachability.AGENT_DOWN] > seen.total() / 2:
            return HostHealth.AGENT_DOWN, "its kernel answers and its agent does not"
        if feed is not None and feed.source != "live":
            return HostHealth.FEED_LOST, f"its feed is from: {feed.source}"
        if program is not None and program.waits_for:
            return HostHealth.NOT_READY, "; ".join(program.waits_for)
        if program.drained if program else bool(manifest and manifest.is_draining):
            return HostHealth.DRAINED, ""
        if live is not None or seen[Reachability.REACHABLE]:
            return HostHealth.REACHABLE, ""
        return HostHealth.UNKNOWN, ""

    def sessions(self, host: str) -> tuple[SessionRow, ...]:
        """The BGP sessions of a host, by name."""
        view, manifest = self.agents.get(host), self.hosts.get(host)
        bgp: Iterable[BirdSession | SessionStatus]
        if view is not None and view.is_live:
            bgp = (entry for entry in view.sessions.values() if entry.kind is SessionKind.BGP)
            bfd = {entry.peer: entry.state for entry in view.sessions.values() if entry.kind is SessionKind.BFD}
        elif manifest is not None:
            bgp = manifest.status.bgp_sessions
            bfd = {entry.peer: entry.state for entry in manifest.status.bfd_sessions}
        else:
            return ()
        listed = sorted(bgp, key=lambda entry: entry.name)
        return tuple(_session(host, entry, bfd.get(entry.peer, "")) for entry in listed)

    # Pools

    def pool_refs(self) -> list[Ref]:
        """Every pool, by name."""
        return sorted(self.pools, key=lambda ref: (ref.name, ref.namespace))

    def pool(self, ref: Ref) -> PoolRow | None:
        """The row of a pool; None where there is none of this name."""
        manifest = self.pools.get(ref)
        if manifest is None:
            return None
        status = manifest.status
        counted = {4: (status.assigned_ipv4, status.available_ipv4), 6: (status.assigned_ipv6, status.available_ipv6)}
        usage = {
            version: Usage(assigned, assigned + available)
            for version, (assigned, available) in counted.items()
            if assigned is not None and available is not None and assigned + available > 0
        }
        texts = tuple(run.text for run in manifest.spec.addresses)
        return PoolRow(ref.name, ref.namespace, texts, manifest.spec.auto_assign, usage)

    # Events

    def event(self, host: str, number: str) -> EventRow | None:
        """An event of a host as a row; None for one that is kept no longer."""
        view = self.agents.get(host)
        found = view.events.get(number) if view else None
        return row_of(host, found) if found else None

    def happened(self, at_most: int = EVENTS_MAX) -> list[EventRow]:
        """What happened lately on all hosts that were heard, in one line of time, oldest first."""
        told = (
            HostHistory(host, tuple(HistoryEntry(event=event) for event in view.events.values()))
            for host, view in self.agents.items()
        )
        return merge(told)[-at_most:]

    # Services

    def service(self, ref: Ref, load_balancer_class: str | None = None) -> ServiceRow | None:
        """The row of a Service; None for one that asks for no address, or asks somebody else."""
        found = self.services.get(ref)
        if found is None or found.spec.type != "LoadBalancer":
            return None
        if (found.spec.load_balancer_class or None) != load_balancer_class:
            return None
        addresses = tuple(entry.ip for entry in found.status.load_balancer.ingress if entry.ip)
        vips = (self.vips.get(address) for text in addresses if (address := _address(text)))
        return ServiceRow(
            name=ref.path,
            health=ServiceHealth.SERVED if addresses else ServiceHealth.PENDING,
            addresses=addresses,
            pools=tuple(sorted({vip.spec.pool for vip in vips if vip})),
        )

    def _put(self, ref: Ref, manifest: Object | None, touched: Touched) -> None:
        before = self._refs.pop(ref, None)
        if manifest is not None:
            self._refs[ref] = manifest
        for each, is_there in ((before, False), (manifest, True)):
            match each:
                case VirtualIP():
                    self._put_vip(each, is_there)
                    touched.vips.add(each.spec.address)
                    if each.status.owner is not None:
                        touched.hosts.add(each.status.owner.host)
                case Host():
                    self._put_host(each, is_there, touched)
                case IPAddressPool():
                    _set(self.pools, ref, each if is_there else None)
                    touched.pools.add(ref)
                case Service():
                    _set(self.services, ref, each if is_there else None)
                    touched.services.add(ref)
                case _:
                    continue

    def _put_vip(self, vip: VirtualIP, is_there: bool) -> None:
        _set(self.vips, vip.spec.address, vip if is_there else None)
        if vip.status.owner is not None and vip.spec.layer2 is not None:
            self._owned[vip.status.owner.host] += 1 if is_there else -1

    def _put_host(self, host: Host, is_there: bool, touched: Touched) -> None:
        name = host.metadata.name
        _set(self.hosts, name, host if is_there else None)
        touched.hosts.add(name)
        for conflict in host.status.conflicts:
            seen = self._conflicts.setdefault(conflict.address, {})
            _set(seen, name, conflict if is_there else None)
            if not seen:
                del self._conflicts[conflict.address]
            touched.vips.add(conflict.address)


def _address(text: str) -> IPAddress | None:
    try:
        return parse_address(text)
    except ValueError:
        return None


def _since(stored: Owner | None, owner: str, verdicts: Mapping[str, VirtualIPVerdict]) -> str:
    """Since when the owner answers: as the store says, else as the owner or somebody who saw it says."""
    if stored is not None and stored.host == owner and stored.since:
        return stored.since
    told = {host: v.layer2.since for host, v in verdicts.items() if v.layer2 and v.layer2.owner == owner and owner}
    return told.get(owner) or next(filter(None, told.values()), "")


def _in_order_of_time(move: VipMove) -> tuple[str, bool]:
    """The later one last; of those at the same moment the one that says who has the VIP now."""
    return move.time, bool(move.target)


def _interface(interface: HostInterface) -> InterfaceStatus:
    return InterfaceStatus(
        name=interface.name,
        up=interface.up,
        hardware_address=interface.hardware_address.hex(":") if interface.hardware_address else "",
        addresses=tuple(map(str, interface.addresses)),
    )


def _believed(verdicts: Mapping[str, VirtualIPVerdict]) -> str:
    """The host that most agents believe to answer."""
    believed = Counter(v.layer2.owner for v in verdicts.values() if v.layer2 is not None and v.layer2.owner)
    return min(believed, key=lambda host: (-believed[host], host), default="")


def _may_be_routed(verdict: VirtualIPVerdict) -> bool:
    """Whether a VIP is one of BGP as far as a host can say, which sees no advertisement where there is no endpoint."""
    is_covered = verdict.bgp is not None and verdict.bgp.reason != BGPReason.NO_ADVERTISEMENT.value
    return is_covered or (verdict.bgp is not None and verdict.layer2 is None)


def _mode(manifest: VirtualIP | None, verdicts: Mapping[str, VirtualIPVerdict]) -> Mode:
    if manifest is not None:
        has_layer2, has_bgp = manifest.spec.layer2 is not None, bool(manifest.spec.bgp)
    else:
        has_layer2 = any(verdict.layer2 is not None for verdict in verdicts.values())
        has_bgp = any(map(_may_be_routed, verdicts.values()))
    match has_layer2, has_bgp:
        case True, True:
            return Mode.BOTH
        case True, False:
            return Mode.LAYER2
        case False, True:
            return Mode.BGP
        case _:
            return Mode.NONE


def _health(
    mode: Mode,
    *,
    services: Sequence[str],
    conflicts: Sequence[str],
    is_acknowledged: bool,
    owner: str,
    owners: Sequence[str],
    announcers: int | None,
) -> VipHealth:
    """How a VIP is; `announcers` is None where not every host was heard."""
    if conflicts and not is_acknowledged:
        return VipHealth.CONFLICT
    if len(owners) > 1:
        return VipHealth.TWO_OWNERS
    if conflicts:
        return VipHealth.ACKNOWLEDGED
    if not services:
        return VipHealth.RESTING
    if mode is Mode.NONE:
        return VipHealth.UNANNOUNCED
    if mode is not Mode.BGP:
        return VipHealth.ANSWERED if owner else VipHealth.NO_OWNER
    if announcers is None:
        return VipHealth.UNKNOWN
    return VipHealth.ANNOUNCED if announcers else VipHealth.NO_ROUTE


def _services(vip: VirtualIP) -> tuple[str, ...]:
    return tuple(f"{entry.namespace}/{entry.name}" for entry in vip.spec.services)


def _session(host: str, entry: BirdSession | SessionStatus, bfd: str) -> SessionRow:
    health = SessionHealth.UP if entry.state.lower() in SESSION_UP else SessionHealth.DOWN
    if health is SessionHealth.UP and bfd and bfd.lower() not in SESSION_UP:
        health = SessionHealth.WITHOUT_BFD
    row = SessionRow(host, entry.name, entry.peer, health, entry.state, entry.since, bfd, entry.message)
    if isinstance(entry, SessionStatus):
        return row
    return replace(
        row,
        sent=entry.prefixes_sent,
        accepted=entry.prefixes_accepted,
        received=entry.updates_received,
        flaps=entry.flaps,
    )


def _set(table: dict[K, V], key: K, entry: V | None) -> None:
    if entry is None:
        table.pop(key, None)
    else:
        table[key] = entry
