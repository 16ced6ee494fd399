"""BGPPeers: their meaning, the sessions hosts are told of, and what is wrong with each."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from appliance.api.address import Family, family_of
from appliance.api.core import BASIC_AUTH, Secret
from appliance.api.kind import Object, ref_of
from appliance.api.meta import Ref
from appliance.api.metallb import BFDProfile, BFDProfileSpec, BGPPeer, BGPPeerSpec, DynamicASN
from appliance.api.pierhead import BFDOptions, BGPSessionSpec, PasswordFault
from appliance.api.problem import Problem
from appliance.api.text import SESSION_PASSWORD_MAX, is_session_password, shown
from appliance.config.conflict import share_host
from appliance.config.model import Peer
from appliance.config.selector import selector_problems

BGP_PORT = 179
HOLD_SECONDS_MIN = 3  # RFC 4271 section 4.2
HOLD_SECONDS_MAX = 65535
CONNECT_SECONDS_MAX = 65535


def peers_of(manifests: Iterable[BGPPeer], profiles: Mapping[str, BFDProfile]) -> dict[str, Peer]:
    """Peers by name, in the order given."""
    return {manifest.metadata.name: _peer(manifest, profiles) for manifest in manifests}


def _peer(manifest: BGPPeer, profiles: Mapping[str, BFDProfile]) -> Peer:
    profile = profiles.get(manifest.spec.bfd_profile)
    return Peer(ref_of(manifest), manifest.spec, profile.spec if profile else None)


@dataclass(frozen=True, slots=True)
class Sessions:
    """What hosts are to be told of BGP, by name; `kept` names those whose peer is wrong: they stay as they are.

    `passwords` has those that are known; `problems` says why one that a peer asks for is not.
    """

    wanted: Mapping[str, BGPSessionSpec] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    problems: tuple[Problem, ...] = ()


def sessions_of(manifests: Iterable[Object]) -> Sessions:
    """A session for each peer that is right in itself and has its BFDProfile, whatever else there is.

    Of two peers of one name, in two namespaces, nobody knows which is meant. A Secret that is missing or unusable is no
    reason against a session: hosts that have a password for it keep that.
    """
    listed = sorted(manifests, key=ref_of)
    peers = [manifest for manifest in listed if isinstance(manifest, BGPPeer)]
    profiles = {manifest.metadata.name: manifest for manifest in reversed(listed) if isinstance(manifest, BFDProfile)}
    names = Counter(peer.metadata.name for peer in peers)
    right = [peer for peer in peers if names[peer.metadata.name] == 1 and not any(peer_problems(peer, profiles))]
    secrets = {ref_of(manifest): manifest for manifest in listed if isinstance(manifest, Secret)}
    faults: dict[str, PasswordFault] = {}
    passwords: dict[str, str] = {}
    problems: list[Problem] = []
    for peer in right:
        name, secret_ref = peer.metadata.name, _secret_ref(ref_of(peer), peer.spec)
        if secret_ref is None:
            passwords[name] = peer.spec.password
            continue
        secret = secrets.get(secret_ref)
        if fault := _secret_fault(secret):
            faults[name] = fault
            sentence = f"{_secret_sentence(secret_ref, secret, fault)}; hosts keep the password they have for it"
            problems.append(Problem(ref_of(peer), "spec.passwordSecret", sentence))
        else:
            passwords[name] = (secret.text("password") if secret else None) or ""
    passwords = {name: password for name, password in passwords.items() if password}
    wanted = {
        peer.metadata.name: replace(
            _session(peer, profiles),
            has_password=peer.metadata.name in passwords or peer.metadata.name in faults,
            password_fault=faults.get(peer.metadata.name),
        )
        for peer in right
    }
    return Sessions(wanted, frozenset(names.keys() - wanted.keys()), passwords, tuple(problems))


def _session(peer: BGPPeer, profiles: Mapping[str, BFDProfile]) -> BGPSessionSpec:
    """What a peer and its profile say of a session, but for its password."""
    spec = peer.spec
    hold, _ = timers(spec)
    address = spec.peer_address
    return BGPSessionSpec(
        neighbor=address,
        interface=spec.interface,
        peer_asn=spec.peer_asn,
        dynamic_asn=spec.dynamic_asn,
        local_asn=spec.local_asn or spec.my_asn,
        port=spec.peer_port or BGP_PORT,
        source_address=spec.source_address,
        router_id=spec.router_id,
        hold_seconds=_whole(hold, HOLD_SECONDS_MIN),
        # Left to the daemon where the operator left it out, though the hold time was given.
        keepalive_seconds=_whole(spec.keepalive_time, 1),
        connect_seconds=_whole(spec.connect_time, 1),
        bfd=_bfd(profiles[spec.bfd_profile].spec) if spec.bfd_profile else None,
        multihop=spec.ebgp_multi_hop,
        graceful_restart=spec.enable_graceful_restart,
        families=tuple(Family) if address is None or spec.dual_stack_address_family else (family_of(address),),
        vrf=spec.vrf,
        node_selectors=spec.node_selectors,
    )


def _whole(seconds: float | None, least: int) -> int | None:
    """The whole seconds nearest to a time, but not less than some; 0 stays, for it means no timer."""
    return None if seconds is None else max(least, round(seconds)) if seconds else 0


def _bfd(spec: BFDProfileSpec) -> BFDOptions:
    """What a profile leaves out is MetalLB's default, which is that of BFDOptions."""
    given = {
        "receive_milliseconds": spec.receive_interval,
        "transmit_milliseconds": spec.transmit_interval,
        "multiplier": spec.detect_multiplier,
    }
    return BFDOptions(passive=spec.passive_mode, **{name: number for name, number in given.items() if number})


def timers(spec: BGPPeerSpec) -> tuple[float | None, float | None]:
    """Hold and keepalive seconds: one follows from the other, both are None where neither is given."""
    hold, keepalive = spec.hold_time, spec.keepalive_time
    if hold is None and keepalive is not None:
        hold = keepalive * 3
    if keepalive is None and hold is not None:
        keepalive = hold / 3
    return hold, keepalive


def peer_problems(
    manifest: BGPPeer, profiles: Mapping[str, BFDProfile], secrets: Mapping[Ref, Secret] = MappingProxyType({})
) -> Iterator[Problem]:
    """What is wrong with a peer whatever other peers there are; a Secret that nobody shows is not missed here."""
    ref, spec = ref_of(manifest), manifest.spec
    yield from _identity_problems(ref, spec)
    yield from _password_problems(ref, spec, secrets)
    yield from _timer_problems(ref, spec)
    yield from selector_problems(ref, "spec.nodeSelectors", spec.node_selectors)
    if spec.router_id is not None and spec.router_id.version != 4:
        yield Problem(ref, "spec.routerID", f"{spec.router_id} is not an IPv4 address")
    if spec.peer_port == 0:
        yield Problem(ref, "spec.peerPort", "0 is not a port")
    if spec.bfd_profile and spec.bfd_profile not in profiles:
        yield Problem(ref, "spec.bfdProfile", f"there is no BFDProfile {spec.bfd_profile!r}")


def _identity_problems(ref: Ref, spec: BGPPeerSpec) -> Iterator[Problem]:
    if spec.peer_asn and spec.dynamic_asn:
        yield Problem(ref, "spec.dynamicASN", "cannot stand beside peerASN; write one of them")
    if not spec.peer_asn and not spec.dynamic_asn:
        yield Problem(ref, "spec.peerASN", "is required where there is no dynamicASN")
    if spec.peer_address and spec.interface:
        yield Problem(ref, "spec.interface", "cannot stand beside peerAddress; write one of them")
    if spec.interface.startswith("-") or not set(spec.interface).isdisjoint("*?"):
        yield Problem(ref, "spec.interface", f"{spec.interface!r} is a pattern to BIRD; name one interface")
    if not spec.peer_address and not spec.interface:
        yield Problem(ref, "spec.peerAddress", "is required where there is no interface")
    if spec.ebgp_multi_hop and (spec.peer_asn == spec.my_asn or spec.dynamic_asn is DynamicASN.INTERNAL):
        yield Problem(ref, "spec.ebgpMultiHop", "is for a peer of another AS, but this peer's is our own")
    source, peer = spec.source_address, spec.peer_address
    if peer and (peer.is_unspecified or peer.is_multicast):
        yield Problem(ref, "spec.peerAddress", f"{peer} is no router's address")
    if source and peer and source.version != peer.version:
        yield Problem(ref, "spec.sourceAddress", f"{source} and the peer's {peer} are of different families")


def _password_problems(ref: Ref, spec: BGPPeerSpec, secrets: Mapping[Ref, Secret]) -> Iterator[Problem]:
    secret_ref = _secret_ref(ref, spec)
    if secret_ref is None:
        return
    if spec.password:
        yield Problem(ref, "spec.passwordSecret", "cannot stand beside password; write one of them")
    secret = secrets.get(secret_ref)
    if secret is not None and (fault := _secret_fault(secret)):
        yield Problem(ref, "spec.passwordSecret", _secret_sentence(secret_ref, secret, fault))


def _secret_ref(peer: Ref, spec: BGPPeerSpec) -> Ref | None:
    """The Secret that a peer names, its own namespace's where it says none."""
    named = spec.password_secret
    return Ref("Secret", named.namespace or peer.namespace, named.name) if named and named.name else None


def _secret_fault(secret: Secret | None) -> PasswordFault | None:
    """Why a Secret gives no password."""
    if secret is None:
        return PasswordFault.SECRET_MISSING
    if secret.type != BASIC_AUTH:
        return PasswordFault.SECRET_OF_OTHER_TYPE
    password = secret.text("password")
    if not password:
        return PasswordFault.SECRET_WITHOUT_PASSWORD
    return None if is_session_password(password) else PasswordFault.PASSWORD_UNUSABLE


def _secret_sentence(ref: Ref, secret: Secret | None, fault: PasswordFault) -> str:
    match fault:
        case PasswordFault.SECRET_OF_OTHER_TYPE if secret is not None:
            return f"{ref} is of type {shown(secret.type)}, not {BASIC_AUTH}"
        case PasswordFault.SECRET_WITHOUT_PASSWORD:
            return f"{ref} has no password"
        case PasswordFault.PASSWORD_UNUSABLE:
            return f"the password of {ref} has a double quote, a line end or more than {SESSION_PASSWORD_MAX} bytes"
        case _:
            return f"there is no {ref}, or it is in a namespace that is not read"


def _timer_problems(ref: Ref, spec: BGPPeerSpec) -> Iterator[Problem]:
    hold, keepalive = timers(spec)
    if hold is not None and int(hold) != 0 and not HOLD_SECONDS_MIN <= int(hold) <= HOLD_SECONDS_MAX:
        path = "spec.holdTime" if spec.hold_time is not None else "spec.keepaliveTime"
        sentence = f"a hold time is 0 or {HOLD_SECONDS_MIN} to {HOLD_SECONDS_MAX} seconds, not {hold:g}"
        yield Problem(ref, path, sentence)
    if hold is not None and keepalive is not None and keepalive > hold:
        yield Problem(ref, "spec.keepaliveTime", f"{keepalive:g} seconds are more than the hold time of {hold:g}")
    connect = spec.connect_time
    if connect is not None and (connect != int(connect) or not 1 <= connect <= CONNECT_SECONDS_MAX):
        sentence = f"a connect time is 1 to {CONNECT_SECONDS_MAX} whole seconds, not {connect:g}"
        yield Problem(ref, "spec.connectTime", sentence)


def same_peer_warnings(peers: Iterable[Peer], hosts: Mapping[str, Mapping[str, str]]) -> Iterator[Problem]:
    """Peers that name one router twice from one host, where only one session can be."""
    seen: dict[tuple[object, ...], list[Peer]] = {}
    for peer in peers:
        spec = peer.spec
        place = (spec.vrf, spec.peer_address, spec.interface, spec.peer_port, spec.source_address)
        for other in seen.get(place, ()):
            if share_host(other.spec.node_selectors, spec.node_selectors, hosts):
                written = spec.peer_address or spec.interface
                path = "spec.peerAddress" if spec.peer_address else "spec.interface"
                yield Problem(peer.ref, path, f"{written} is the peer of {other.ref} too, on the same hosts")
                break
        seen.setdefault(place, []).append(peer)
