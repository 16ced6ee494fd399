"""BGPPeer and BFDProfile to the sessions this host's BIRD runs."""

from collections.abc import Collection, Mapping
from ipaddress import IPv4Address

from appliance.api.address import Family, IPNetwork, family_of
from appliance.api.label import any_matches
from appliance.api.metallb import BFDProfile, BGPPeer, BGPPeerSpec, DynamicASN
from appliance.bird.model import BGP_PORT, BfdOptions, Session
from appliance.desired.feed import Feed

_BFD_MILLISECONDS = 300
_BFD_MULTIPLIER = 3
_HOLD_TO_KEEPALIVE = 3


def sessions_of(feed: Feed, labels: Mapping[str, str], networks: Collection[IPNetwork]) -> tuple[Session, ...]:
    """The sessions of every peer whose node selectors admit a host with these labels and networks, by name."""
    chosen = (peer for peer in feed.peers.values() if any_matches(peer.spec.node_selectors, labels))
    return tuple(_session(peer, feed, networks) for peer in chosen)


def _session(peer: BGPPeer, feed: Feed, networks: Collection[IPNetwork]) -> Session:
    spec = peer.spec
    hold = spec.hold_time
    if hold is None and spec.keepalive_time is not None:
        hold = spec.keepalive_time * _HOLD_TO_KEEPALIVE
    return Session(
        name=peer.metadata.name,
        neighbor=spec.peer_address,
        interface=spec.interface,
        peer_asn=spec.dynamic_asn or spec.peer_asn,
        local_asn=spec.local_asn or spec.my_asn,
        port=spec.peer_port or BGP_PORT,
        source_address=spec.source_address,
        router_id=spec.router_id if isinstance(spec.router_id, IPv4Address) else None,
        hold_seconds=hold,
        keepalive_seconds=spec.keepalive_time,
        connect_seconds=spec.connect_time,
        password=_password(peer, feed),
        bfd=_bfd(feed.profiles.get(spec.bfd_profile)),
        multihop=spec.ebgp_multi_hop or _is_distant(spec, networks),
        graceful_restart=spec.enable_graceful_restart,
        families=_families(peer),
        vrf=spec.vrf,
    )


def _is_distant(spec: BGPPeerSpec, networks: Collection[IPNetwork]) -> bool:
    """Whether this is an internal peer beyond the host's own networks, which BGP allows without being asked."""
    if spec.peer_address is None or spec.peer_asn not in (0, spec.local_asn or spec.my_asn):
        return False
    if spec.peer_asn == 0 and spec.dynamic_asn is not DynamicASN.INTERNAL:
        return False
    return not any(spec.peer_address in network for network in networks if network.version == spec.peer_address.version)


def _families(peer: BGPPeer) -> frozenset[Family]:
    address = peer.spec.peer_address
    if address is None or peer.spec.dual_stack_address_family:
        return frozenset(Family)
    return frozenset({family_of(address)})


def _password(peer: BGPPeer, feed: Feed) -> str:
    reference = peer.spec.password_secret
    if reference is None or not reference.name:
        return peer.spec.password
    secret = feed.secrets.get((reference.namespace or peer.metadata.namespace, reference.name))
    return (secret.text("password") if secret else None) or ""


def _bfd(profile: BFDProfile | None) -> BfdOptions | None:
    if profile is None:
        return None
    return BfdOptions(
        receive_milliseconds=profile.spec.receive_interval or _BFD_MILLISECONDS,
        transmit_milliseconds=profile.spec.transmit_interval or _BFD_MILLISECONDS,
        multiplier=profile.spec.detect_multiplier or _BFD_MULTIPLIER,
        passive=profile.spec.passive_mode,
    )
