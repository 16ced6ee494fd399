"""What this host must look like: layer 2, BIRD, and one BGP decision a VIP."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from appliance.api.address import IPAddress, IPNetwork
from appliance.api.label import HOSTNAME_LABEL, any_matches
from appliance.api.pierhead import Host, VirtualIP
from appliance.bird.fault import usable_sessions
from appliance.bird.model import AnnouncedRoute, BirdConfig, Drain, Watch, WatchTiming
from appliance.desired.announcement import Announcer, BGPDecision, BGPReason, announce, order_of
from appliance.desired.feed import Feed
from appliance.desired.interface import (
    Layer2Refusal,
    Unusable,
    addresses_of,
    interfaces_on,
    reachable_address,
    refusal_of,
    unusable_addresses,
)
from appliance.desired.session import sessions_of
from appliance.l2.election import fallback_order
from appliance.l2.event import HostPlan, Interface, Plan, VipPlan

_FEW = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What the host itself knows: its name, settings, links that can carry VIPs, and how far it is drained.

    `forwarded` are the VIPs its forwarder has rules for; None where it has none, as where kube-proxy delivers.
    """

    name: str
    router_id: IPv4Address
    labels: Mapping[str, str] = field(default_factory=dict)
    timing: WatchTiming = field(default_factory=WatchTiming)
    links: tuple[Interface, ...] = ()
    drain: Drain = Drain.NONE
    forwarded: frozenset[IPAddress] | None = None

    @property
    def draining(self) -> bool:
        """Whether this host is to be left."""
        return self.drain is not Drain.NONE

    def can_deliver(self, address: IPAddress) -> bool:
        """Whether packets for a VIP would be delivered if they came here."""
        return self.forwarded is None or address in self.forwarded


@dataclass(frozen=True, slots=True)
class Basis:
    """What every VIP's decision rests on beside the VIP: the labels of all hosts, and this host as an announcer."""

    labels: Mapping[str, Mapping[str, str]]
    announcer: Announcer
    unusable: tuple[Unusable, ...]


@dataclass(frozen=True, slots=True)
class VipDecision:
    """What this host does for one VIP, as it was decided for one state of the VIP.

    `layer2` says who may answer; `refusal` why this host is not among them, whatever the candidates are.
    """

    vip: VirtualIP
    is_delivered: bool
    layer2: VipPlan | None
    refusal: Layer2Refusal | None
    bgp: BGPDecision


@dataclass(frozen=True, slots=True)
class Desired:
    """The whole of what the agent applies, and what saves work the next time.

    `shares` counts the VIPs of each announcement; `changed` are the VIPs that were decided anew or are gone, None where
    all were.
    """

    layer2: Plan
    bird: BirdConfig
    basis: Basis
    vips: Mapping[IPAddress, VipDecision]
    shares: Mapping[AnnouncedRoute, int]
    announced: int
    watched: Mapping[IPAddress, str]
    changed: frozenset[IPAddress] | None = field(default=None, compare=False)


def decide(
    feed: Feed, here: Here, before: Desired | None = None, touched: Collection[IPAddress] | None = None
) -> Desired:
    """The same feed and the same host give the same answer, always; `before` only saves work on what stays.

    One exception: a session whose password cannot be known stays as it was before.
    Objects of the feed that stay are expected to be the same Python objects; parts of the answer that stay are.
    `touched` are the VIPs of which feed or forwarder may say something else than before; None = any.
    """
    sessions = sessions_of(
        feed, here.name, labels_of(feed, here), _networks(here), before.bird.sessions if before else ()
    )
    usable = usable_sessions(BirdConfig(router_id=here.router_id, sessions=sessions))
    basis = _basis(feed, here, frozenset(session.name for session in usable))
    if before is None or before.basis != basis:
        before = None
    changed = _changed(feed, here, before, touched)
    vips = _replaced(before.vips if before else {}, changed, lambda vip: _decision(vip, basis, here))
    announcements, shares = _announcements(vips, changed, before)
    known = before.vips if before else {}
    watches = _watches(feed, here)
    bird = BirdConfig(
        router_id=here.router_id,
        sessions=sessions,
        announcements=announcements,
        watches=watches,
        timing=here.timing,
        drain=here.drain,
    )
    plan = Plan(
        me=here.name,
        vips=_vip_plans(vips, changed, before),
        hosts={host.metadata.name: _host_plan(host) for host in _other_hosts(feed, here)},
        draining=here.draining,
    )
    return Desired(
        layer2=before.layer2 if before and before.layer2 == plan else plan,
        bird=bird,
        basis=basis,
        vips=vips,
        shares=shares,
        announced=(before.announced if before else 0)
        + sum(_is_announced(vips.get(address)) - _is_announced(known.get(address)) for address in changed),
        watched={watch.address: watch.host for watch in watches},
        changed=frozenset(changed) if before else None,
    )


def _changed(
    feed: Feed, here: Here, before: Desired | None, touched: Collection[IPAddress] | None
) -> Mapping[IPAddress, VirtualIP | None]:
    """The VIPs to decide anew, and those that are gone."""
    if before is None:
        return feed.vips
    looked_at = (*feed.vips, *(before.vips.keys() - feed.vips.keys())) if touched is None else touched
    changed: dict[IPAddress, VirtualIP | None] = {}
    for address in looked_at:
        vip, decided = feed.vips.get(address), before.vips.get(address)
        if vip is None:
            if decided is not None:
                changed[address] = None
        elif decided is None or decided.vip is not vip or decided.is_delivered is not here.can_deliver(address):
            changed[address] = vip
    return changed


def _replaced(
    known: Mapping[IPAddress, VipDecision],
    changed: Mapping[IPAddress, VirtualIP | None],
    decision_of: Callable[[VirtualIP], VipDecision],
) -> Mapping[IPAddress, VipDecision]:
    if not changed:
        return known
    vips = dict(known)
    for address, vip in changed.items():
        if vip is None:
            del vips[address]
        else:
            vips[address] = decision_of(vip)
    return vips


def _vip_plans(
    vips: Mapping[IPAddress, VipDecision], changed: Collection[IPAddress], before: Desired | None
) -> Mapping[IPAddress, VipPlan]:
    if before and not changed:
        return before.layer2.vips
    plans = dict(before.layer2.vips) if before else {}
    for address in changed:
        decided = vips.get(address)
        if decided and decided.layer2:
            plans[address] = decided.layer2
        else:
            plans.pop(address, None)
    return plans


def _announcements(
    vips: Mapping[IPAddress, VipDecision], changed: Collection[IPAddress], before: Desired | None
) -> tuple[tuple[AnnouncedRoute, ...], Mapping[AnnouncedRoute, int]]:
    """Every announcement once, in order, and how many VIPs share it: those of one aggregate do."""
    if before and not changed:
        return before.bird.announcements, before.shares
    shares, counted = Counter(before.shares if before else {}), before.vips if before else {}
    for address in changed:
        shares.subtract(_announced(counted.get(address)))
        shares.update(_announced(vips.get(address)))
    touched = {entry for at in changed for known in (counted, vips) for entry in _announced(known.get(at))}
    gone = {entry for entry in touched if not shares[entry]}
    new = {entry for entry in touched - gone if before is None or entry not in before.shares}
    for entry in gone:
        del shares[entry]
    return _reordered(before.bird.announcements if before else (), gone, new), shares


def _reordered(
    ordered: tuple[AnnouncedRoute, ...], gone: Collection[AnnouncedRoute], new: Collection[AnnouncedRoute]
) -> tuple[AnnouncedRoute, ...]:
    """The order of announcements without some and with others; a few of many cost no sort."""
    if not gone and not new:
        return ordered
    if len(gone) + len(new) > _FEW:
        return tuple(sorted((*(entry for entry in ordered if entry not in gone), *new), key=order_of))
    changed = list(ordered)
    for entry in gone:
        del changed[bisect_left(changed, order_of(entry), key=order_of)]
    for entry in new:
        insort(changed, entry, key=order_of)
    return tuple(changed)


def _is_announced(decided: VipDecision | None) -> bool:
    return decided is not None and decided.bgp.is_announced


def _announced(decided: VipDecision | None) -> tuple[AnnouncedRoute, ...]:
    return decided.bgp.announcements if decided else ()


def _networks(here: Here) -> tuple[IPNetwork, ...]:
    return tuple(address.network for link in here.links for address in link.addresses)


def _basis(feed: Feed, here: Here, sessions: frozenset[str]) -> Basis:
    labels = {name: {HOSTNAME_LABEL: name, **host.metadata.labels} for name, host in feed.hosts.items()}
    labels[here.name] = labels_of(feed, here)
    own = {link.name: link.addresses for link in here.links}
    gateways = {gateway for link in here.links for gateway in link.gateways}
    announcer = Announcer(here.name, labels[here.name], sessions, here.drain)
    return Basis(labels, announcer, unusable_addresses(own, gateways))


def _decision(vip: VirtualIP, basis: Basis, here: Here) -> VipDecision:
    is_delivered = here.can_deliver(vip.spec.address)
    layer2 = vip.spec.layer2
    interfaces = interfaces_on(layer2, basis.announcer.labels) if layer2 else ()
    refusal = refusal_of(vip.spec.address, interfaces, basis.unusable) if layer2 else None
    bgp = announce(vip, basis.announcer)
    if not is_delivered:
        refusal, bgp = refusal or Layer2Refusal.NOT_FORWARDED, BGPDecision(BGPReason.NOT_FORWARDED)
    plan = _vip_plan(vip, basis.labels, interfaces, left_out=here.name if refusal else "")
    return VipDecision(vip, is_delivered, plan, refusal, bgp)


def labels_of(feed: Feed, here: Here) -> dict[str, str]:
    """This host's labels: its name, what the site says of it, what its own settings say."""
    registered = feed.hosts.get(here.name)
    return {HOSTNAME_LABEL: here.name, **(registered.metadata.labels if registered else {}), **here.labels}


def _watches(feed: Feed, here: Here) -> tuple[Watch, ...]:
    own = {link.name: link.addresses for link in here.links}
    reached = ((host, reachable_address(host, own)) for host in _other_hosts(feed, here))
    return tuple(Watch(host.metadata.name, way[1], way[0]) for host, way in reached if way)


def _other_hosts(feed: Feed, here: Here) -> tuple[Host, ...]:
    return tuple(host for name, host in feed.hosts.items() if name != here.name)


def _host_plan(host: Host) -> HostPlan:
    hardware = (interface.hardware_address for interface in host.status.interfaces)
    return HostPlan(
        name=host.metadata.name,
        addresses=tuple(address.ip for address in addresses_of(host)),
        hardware_addresses=tuple(address for address in hardware if address),
        draining=host.is_draining,
    )


def _vip_plan(
    vip: VirtualIP, labels: Mapping[str, Mapping[str, str]], interfaces: tuple[str, ...], left_out: str = ""
) -> VipPlan | None:
    if vip.spec.layer2 is None:
        return None
    owner = vip.status.owner.host if vip.status.owner else None
    hosts = tuple(host for host in owner_order(vip, labels) if host != left_out)
    return VipPlan(vip.spec.address, hosts, interfaces, owner)


def owner_order(vip: VirtualIP, labels: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Who may answer for a VIP, best first: the candidates, then every other host its selectors admit.

    `labels` are those of all hosts, by name; the others come in MetalLB's order.
    """
    layer2 = vip.spec.layer2
    if layer2 is None:
        return ()
    known = tuple(host for host in layer2.candidates if host in labels)
    others = (host for host in labels if host not in known and any_matches(layer2.node_selectors, labels[host]))
    return (*known, *(fallback_order(others, vip.spec.address) if layer2.candidates else ()))
