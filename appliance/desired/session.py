"""BGPSession to the sessions this host's BIRD runs."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address

from appliance.api.address import IPNetwork
from appliance.api.core import Secret
from appliance.api.label import any_matches
from appliance.api.metallb import DynamicASN
from appliance.api.pierhead import BGPSession, BGPSessionSpec
from appliance.bird.model import Session
from appliance.desired.feed import Feed
from appliance.desired.password import password_of


def sessions_of(
    feed: Feed, host: str, labels: Mapping[str, str], networks: Collection[IPNetwork], before: Iterable[Session] = ()
) -> tuple[Session, ...]:
    """The sessions whose node selectors admit a host of this name with these labels and networks, by name.

    One whose password is not known stays as it was `before`; where it was not, its password is None.
    """
    known = {session.name: session for session in before}
    chosen = (session for session in feed.sessions.values() if any_matches(session.spec.node_selectors, labels))
    secret = feed.passwords.get(host)
    return tuple(_session(session, secret, networks, known.get(session.metadata.name)) for session in chosen)


def _session(
    manifest: BGPSession, secret: Secret | None, networks: Collection[IPNetwork], before: Session | None
) -> Session:
    spec = manifest.spec
    password, fault = password_of(manifest.metadata.name, secret) if spec.has_password else ("", None)
    fault = spec.password_fault or fault
    if password is None and before is not None and before.password is not None:
        return replace(before, password_fault=fault)
    return Session(
        name=manifest.metadata.name,
        neighbor=spec.neighbor,
        interface=spec.interface,
        peer_asn=spec.dynamic_asn or spec.peer_asn,
        local_asn=spec.local_asn,
        port=spec.port,
        source_address=spec.source_address,
        router_id=spec.router_id if isinstance(spec.router_id, IPv4Address) else None,
        hold_seconds=spec.hold_seconds,
        keepalive_seconds=spec.keepalive_seconds,
        connect_seconds=spec.connect_seconds,
        password=password,
        password_fault=fault,
        bfd=spec.bfd,
        multihop=spec.multihop or _is_distant(spec, networks),
        graceful_restart=spec.graceful_restart,
        families=frozenset(spec.families),
        vrf=spec.vrf,
    )


def _is_distant(spec: BGPSessionSpec, networks: Collection[IPNetwork]) -> bool:
    """Whether this is an internal peer beyond the host's own networks, which BGP allows without being asked."""
    neighbor = spec.neighbor
    if neighbor is None or spec.peer_asn not in (0, spec.local_asn):
        return False
    if spec.peer_asn == 0 and spec.dynamic_asn is not DynamicASN.INTERNAL:
        return False
    return not any(neighbor in network for network in networks if network.version == neighbor.version)
