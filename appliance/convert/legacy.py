"""MetalLB's legacy configuration to today's kinds."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from appliance.api.kind import Object
from appliance.api.label import LabelSelector, Requirement
from appliance.api.meta import Metadata
from appliance.api.metallb import (
    BFDProfile,
    BFDProfileSpec,
    BGPAdvertisement,
    BGPAdvertisementSpec,
    BGPPeer,
    BGPPeerSpec,
    Community,
    CommunityAlias,
    CommunitySpec,
    IPAddressPool,
    IPAddressPoolSpec,
    L2Advertisement,
    L2AdvertisementSpec,
)
from appliance.convert.model import (
    LegacyAdvertisement,
    LegacyConfig,
    LegacyPeer,
    LegacyPool,
    LegacyProfile,
    LegacySelector,
    PoolProtocol,
)
from appliance.convert.name import object_name

HOLD_SECONDS = 90.0  # what MetalLB held where the operator had left it out
_ORDER = (BGPPeer, IPAddressPool, BGPAdvertisement, L2Advertisement, BFDProfile, Community)


@dataclass(slots=True)
class Numbering:
    """Numbers for the objects that had no name, running on over all documents of a conversion."""

    _counts: dict[str, Iterator[int]] = field(default_factory=dict)

    def next_name(self, stem: str) -> str:
        """The next name of a stem, from 1."""
        return f"{stem}{next(self._counts.setdefault(stem, count(1)))}"


def from_legacy(config: LegacyConfig, namespace: str, numbering: Numbering) -> tuple[Object, ...]:
    """All objects of a legacy configuration."""
    named = _Namer(namespace, numbering)
    return (
        *(_peer(peer, named) for peer in config.peers),
        *(entry for pool in config.address_pools for entry in from_pool(pool, namespace, numbering)),
        *(_profile(profile, named) for profile in config.bfd_profiles),
        *_communities(config, named),
    )


def in_order(manifests: Iterable[Object]) -> tuple[Object, ...]:
    """Peers, pools, advertisements, profiles, communities, then anything else, as they came."""
    places = {cls: place for place, cls in enumerate(_ORDER)}
    return tuple(sorted(manifests, key=lambda manifest: places.get(type(manifest), len(places))))


@dataclass(frozen=True, slots=True)
class _Namer:
    namespace: str
    numbering: Numbering

    def called(self, name: str) -> Metadata:
        return Metadata(name=object_name(name), namespace=self.namespace)

    def numbered(self, stem: str) -> Metadata:
        return Metadata(name=self.numbering.next_name(stem), namespace=self.namespace)


def _peer(peer: LegacyPeer, named: _Namer) -> BGPPeer:
    spec = BGPPeerSpec(
        my_asn=peer.my_asn,
        peer_asn=peer.peer_asn,
        peer_address=peer.peer_address,
        peer_port=peer.peer_port,
        source_address=peer.source_address,
        hold_time=HOLD_SECONDS if peer.hold_time is None else peer.hold_time,
        keepalive_time=peer.keepalive_time,
        router_id=peer.router_id,
        password=peer.password,
        node_selectors=tuple(_selector(selector) for selector in peer.node_selectors),
        bfd_profile=object_name(peer.bfd_profile),
        ebgp_multi_hop=peer.ebgp_multihop,
    )
    return BGPPeer(metadata=named.numbered("peer"), spec=spec)


def _selector(selector: LegacySelector) -> LabelSelector:
    expressions = (
        Requirement(key=entry.key, operator=entry.operator, values=entry.values) for entry in selector.match_expressions
    )
    return LabelSelector(match_labels=selector.match_labels, match_expressions=tuple(expressions))


def from_pool(pool: LegacyPool, namespace: str, numbering: Numbering) -> Iterator[Object]:
    """A pool and the advertisements that its protocol and entries stand for."""
    named = _Namer(namespace, numbering)
    spec = IPAddressPoolSpec(
        addresses=pool.addresses, auto_assign=pool.auto_assign, avoid_buggy_ips=pool.avoid_buggy_ips
    )
    metadata = named.called(pool.name)
    yield IPAddressPool(metadata=metadata, spec=spec)
    match pool.protocol:
        case PoolProtocol.LAYER2:
            yield L2Advertisement(
                metadata=named.numbered("l2advertisement"), spec=L2AdvertisementSpec(ip_address_pools=(metadata.name,))
            )
        case PoolProtocol.BGP:
            for entry in pool.bgp_advertisements or (LegacyAdvertisement(),):
                yield _advertisement(entry, metadata.name, named)


def _advertisement(entry: LegacyAdvertisement, pool: str, named: _Namer) -> BGPAdvertisement:
    spec = BGPAdvertisementSpec(
        aggregation_length=entry.aggregation_length,
        aggregation_length_v6=entry.aggregation_length_v6,
        local_pref=entry.localpref,
        communities=entry.communities,
        ip_address_pools=(pool,),
    )
    return BGPAdvertisement(metadata=named.numbered("bgpadvertisement"), spec=spec)


def _profile(profile: LegacyProfile, named: _Namer) -> BFDProfile:
    spec = BFDProfileSpec(
        receive_interval=profile.receive_interval,
        transmit_interval=profile.transmit_interval,
        detect_multiplier=profile.detect_multiplier,
        echo_interval=profile.echo_interval,
        echo_mode=profile.echo_mode,
        passive_mode=profile.passive_mode,
        minimum_ttl=profile.minimum_ttl,
    )
    return BFDProfile(metadata=named.called(profile.name), spec=spec)


def _communities(config: LegacyConfig, named: _Namer) -> Iterator[Community]:
    if config.bgp_communities:
        aliases = (CommunityAlias(name=name, value=text) for name, text in sorted(config.bgp_communities.items()))
        yield Community(metadata=named.called("communities"), spec=CommunitySpec(communities=tuple(aliases)))
