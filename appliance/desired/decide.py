"""What this host must look like: layer 2, BIRD, and one BGP decision a VIP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from appliance.api.address import IPAddress, IPNetwork
from appliance.api.label import HOSTNAME_LABEL, any_matches
from appliance.api.pierhead import Host, VirtualIP
from appliance.bird.model import BirdConfig, Drain, Watch, WatchTiming
from appliance.desired.announcement import Announcer, BGPDecision, BGPReason, announce, announcements_of
from appliance.desired.feed import Feed
from appliance.desired.interface import addresses_of, reachable_address
from appliance.desired.session import sessions_of
from appliance.l2.election import fallback_order
from appliance.l2.plan import Fellow, Interface, Plan, VipPlan


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


@dataclass(frozen=True, slots=True)
class VipDecision:
    """What this host does for one VIP, as it was decided for one state of the VIP."""

    vip: VirtualIP
    is_delivered: bool
    layer2: VipPlan | None
    bgp: BGPDecision


@dataclass(frozen=True, slots=True)
class Desired:
    """The whole of what the agent applies."""

    layer2: Plan
    bird: BirdConfig
    basis: Basis
    vips: Mapping[IPAddress, VipDecision]
    watched: Mapping[IPAddress, str]


def decide(feed: Feed, here: Here, before: Desired | None = None) -> Desired:
    """The same feed and the same host give the same answer, always; `before` only saves work on VIPs that stay."""
    sessions = sessions_of(feed, labels_of(feed, here), _networks(here))
    basis = _basis(feed, here, frozenset(session.name for session in sessions))
    known = before.vips if before and before.basis == basis else {}
    vips = {address: _decision(vip, basis, here, known.get(address)) for address, vip in feed.vips.items()}
    watches = _watches(feed, here)
    bird = BirdConfig(
        router_id=here.router_id,
        sessions=sessions,
        announcements=announcements_of(decision.bgp for decision in vips.values()),
        watches=watches,
        timing=here.timing,
        drain=here.drain,
    )
    return Desired(_plan(feed, here, vips), bird, basis, vips, {watch.address: watch.host for watch in watches})


def _networks(here: Here) -> tuple[IPNetwork, ...]:
    return tuple(address.network for link in here.links for address in link.addresses)


def _basis(feed: Feed, here: Here, sessions: frozenset[str]) -> Basis:
    labels = {name: {HOSTNAME_LABEL: name, **host.metadata.labels} for name, host in feed.hosts.items()}
    labels[here.name] = labels_of(feed, here)
    return Basis(labels, Announcer(here.name, labels[here.name], sessions, here.drain))


def _decision(vip: VirtualIP, basis: Basis, here: Here, known: VipDecision | None) -> VipDecision:
    is_delivered = here.can_deliver(vip.spec.address)
    if known and known.vip is vip and known.is_delivered == is_delivered:
        return known
    if is_delivered:
        return VipDecision(vip, True, _vip_plan(vip, basis.labels), announce(vip, basis.announcer))
    plan = _vip_plan(vip, basis.labels, left_out=here.name)
    return VipDecision(vip, False, plan, BGPDecision(BGPReason.NOT_FORWARDED))


def labels_of(feed: Feed, here: Here) -> dict[str, str]:
    """This host's labels: its name, what the site says of it, what its own settings say."""
    registered = feed.hosts.get(here.name)
    return {HOSTNAME_LABEL: here.name, **(registered.metadata.labels if registered else {}), **here.labels}


def _watches(feed: Feed, here: Here) -> tuple[Watch, ...]:
    own = {link.name: link.addresses for link in here.links}
    reached = ((host, reachable_address(host, own)) for host in _fellow_hosts(feed, here))
    return tuple(Watch(host.metadata.name, way[1], way[0]) for host, way in reached if way)


def _fellow_hosts(feed: Feed, here: Here) -> tuple[Host, ...]:
    return tuple(host for name, host in feed.hosts.items() if name != here.name)


def _plan(feed: Feed, here: Here, vips: Mapping[IPAddress, VipDecision]) -> Plan:
    return Plan(
        me=here.name,
        vips={address: decision.layer2 for address, decision in vips.items() if decision.layer2},
        fellows={host.metadata.name: _fellow(host) for host in _fellow_hosts(feed, here)},
        draining=here.draining,
    )


def _fellow(host: Host) -> Fellow:
    hardware = (interface.hardware_address for interface in host.status.interfaces)
    return Fellow(
        name=host.metadata.name,
        addresses=tuple(address.ip for address in addresses_of(host)),
        hardware_addresses=tuple(address for address in hardware if address),
        draining=host.spec.drain,
    )


def _vip_plan(vip: VirtualIP, labels: Mapping[str, Mapping[str, str]], left_out: str = "") -> VipPlan | None:
    """Candidates as planned, then every other host the selectors admit, in MetalLB's order, but one left out."""
    layer2 = vip.spec.layer2
    if layer2 is None:
        return None
    known = tuple(host for host in layer2.candidates if host in labels)
    others = (host for host in labels if host not in known and any_matches(layer2.node_selectors, labels[host]))
    fallback = fallback_order(others, vip.spec.address) if layer2.candidates else ()
    owner = vip.status.owner.host if vip.status.owner else None
    hosts = tuple(host for host in (*known, *fallback) if host != left_out)
    return VipPlan(vip.spec.address, hosts, layer2.interfaces, owner)
