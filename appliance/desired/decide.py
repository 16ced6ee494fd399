"""What this host must look like: layer 2, BIRD, and one BGP decision a VIP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from zlib import crc32

from appliance.api.address import IPAddress
from appliance.api.label import any_matches
from appliance.api.pierhead import Host, VirtualIP
from appliance.bird.model import BirdConfig, Drain, Watch, WatchTiming
from appliance.desired.announcement import Announcer, BGPDecision, BGPReason, announce, announcements_of
from appliance.desired.feed import Feed
from appliance.desired.interface import addresses_of, reachable_address
from appliance.desired.session import sessions_of
from appliance.l2.election import fallback_order
from appliance.l2.plan import Fellow, Interface, Plan, VipPlan

HOSTNAME_LABEL = "kubernetes.io/hostname"


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What the host itself knows: its name, settings, links that can carry VIPs, and how far it is drained.

    `forwarded` are the VIPs its forwarder has rules for; None where none ever spoke, as where kube-proxy delivers.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    router_id: IPv4Address | None = None
    timing: WatchTiming = field(default_factory=WatchTiming)
    links: tuple[Interface, ...] = ()
    draining: bool = False
    drain: Drain = Drain.NONE
    forwarded: frozenset[IPAddress] | None = None

    def can_deliver(self, address: IPAddress) -> bool:
        """Whether packets for a VIP would be delivered if they came here."""
        return self.forwarded is None or address in self.forwarded


@dataclass(frozen=True, slots=True)
class Desired:
    """The whole of what the agent applies."""

    layer2: Plan
    bird: BirdConfig
    bgp: Mapping[IPAddress, BGPDecision]
    watched: Mapping[IPAddress, str]


def decide(feed: Feed, here: Here) -> Desired:
    """The same feed and the same host give the same answer, always."""
    labels = labels_of(feed, here)
    networks = tuple(address.network for link in here.links for address in link.addresses)
    sessions = sessions_of(feed, labels, networks)
    announcer = Announcer(here.name, labels, frozenset(session.name for session in sessions), here.drain)
    bgp = {
        address: announce(vip, announcer) if here.can_deliver(address) else BGPDecision(BGPReason.NOT_FORWARDED)
        for address, vip in feed.vips.items()
    }
    watches = _watches(feed, here)
    bird = BirdConfig(
        router_id=here.router_id or _router_id(here),
        sessions=sessions,
        announcements=announcements_of(bgp),
        watches=watches,
        timing=here.timing,
        drain=here.drain,
    )
    return Desired(_plan(feed, here), bird, bgp, {watch.address: watch.host for watch in watches})


def labels_of(feed: Feed, here: Here) -> dict[str, str]:
    """This host's labels: its name, what the site says of it, what its own settings say."""
    registered = feed.hosts.get(here.name)
    return {HOSTNAME_LABEL: here.name, **(registered.metadata.labels if registered else {}), **here.labels}


def _router_id(here: Here) -> IPv4Address:
    """The first IPv4 address; a host without one takes a number from its name, as MetalLB does."""
    own = (address.ip for link in here.links for address in link.addresses)
    found = [address for address in own if isinstance(address, IPv4Address)]
    return found[0] if found else IPv4Address(crc32(here.name.encode()) or 1)


def _watches(feed: Feed, here: Here) -> tuple[Watch, ...]:
    own = {link.name: link.addresses for link in here.links}
    reached = ((host, reachable_address(host, own)) for host in _fellow_hosts(feed, here))
    return tuple(Watch(host.metadata.name, way[1], way[0]) for host, way in reached if way)


def _fellow_hosts(feed: Feed, here: Here) -> tuple[Host, ...]:
    return tuple(host for name, host in feed.hosts.items() if name != here.name)


def _plan(feed: Feed, here: Here) -> Plan:
    fellows = {host.metadata.name: _fellow(host) for host in _fellow_hosts(feed, here)}
    labels = {name: {HOSTNAME_LABEL: name, **host.metadata.labels} for name, host in feed.hosts.items()}
    labels[here.name] = labels_of(feed, here)
    unable = (address for address in feed.vips if not here.can_deliver(address))
    left_out = dict.fromkeys(unable, here.name)
    planned = ((address, _vip_plan(vip, labels, left_out.get(address))) for address, vip in feed.vips.items())
    vips = {address: plan for address, plan in planned if plan}
    return Plan(me=here.name, vips=vips, fellows=fellows, draining=here.draining)


def _fellow(host: Host) -> Fellow:
    hardware = (interface.hardware_address for interface in host.status.interfaces)
    return Fellow(
        name=host.metadata.name,
        addresses=tuple(address.ip for address in addresses_of(host)),
        hardware_addresses=tuple(bytes.fromhex(text.replace(":", "")) for text in hardware if text),
        draining=host.spec.drain,
    )


def _vip_plan(vip: VirtualIP, labels: Mapping[str, Mapping[str, str]], left_out: str | None) -> VipPlan | None:
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
