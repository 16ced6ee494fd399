"""BGPPeer and BFDProfile to sessions."""

from ipaddress import ip_address, ip_network

from appliance.api.address import Family
from appliance.api.core import Secret, SecretReference
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata
from appliance.api.metallb import BFDProfile, BFDProfileSpec, BGPPeer, BGPPeerSpec
from appliance.bird.model import BfdOptions, Session
from appliance.desired.feed import feed_of
from appliance.desired.session import sessions_of

ADDRESS = ip_address("192.0.2.1")


def peer(spec: BGPPeerSpec, name: str = "tor") -> BGPPeer:
    """A BGPPeer in MetalLB's namespace."""
    return BGPPeer(metadata=Metadata(name=name, namespace="metallb-system"), spec=spec)


def session(spec: BGPPeerSpec, *others: BFDProfile | Secret) -> Session:
    """The one session of a feed with one peer."""
    (only,) = sessions_of(feed_of((peer(spec), *others)), {}, (ip_network("192.0.2.0/24"),))
    return only


def test_a_peer_becomes_a_session_of_its_family() -> None:
    """What is not said is left to BIRD."""
    expected = Session(name="tor", neighbor=ADDRESS, peer_asn=64501, local_asn=64500, families=frozenset({Family.IPV4}))
    assert session(BGPPeerSpec(my_asn=64500, peer_asn=64501, peer_address=ADDRESS)) == expected


def test_node_selectors_choose_the_hosts_of_a_peer() -> None:
    """A peer for another rack is no session here."""
    spec = BGPPeerSpec(my_asn=1, peer_asn=2, node_selectors=(LabelSelector(match_labels={"rack": "2"}),))
    feed = feed_of((peer(spec),))
    assert (sessions_of(feed, {"rack": "1"}, ()), len(sessions_of(feed, {"rack": "2"}, ()))) == ((), 1)


def test_keepalive_alone_sets_the_hold_time() -> None:
    """Hold is three keepalives where only keepalive is given."""
    assert session(BGPPeerSpec(my_asn=1, peer_asn=2, peer_address=ADDRESS, keepalive_time=10)).hold_seconds == 30


def test_the_password_comes_from_the_secret() -> None:
    """A reference without a namespace means the peer's own."""
    secret = Secret(metadata=Metadata(name="md5", namespace="metallb-system"), data={"password": b"open sesame"})
    spec = BGPPeerSpec(my_asn=1, peer_asn=2, peer_address=ADDRESS, password_secret=SecretReference(name="md5"))
    assert session(spec, secret).password == "open sesame"


def test_a_bfd_profile_gives_the_timing() -> None:
    """What a profile leaves out is the profile's default, 300 ms and 3."""
    profile = BFDProfile(metadata=Metadata(name="fast"), spec=BFDProfileSpec(receive_interval=50, detect_multiplier=5))
    spec = BGPPeerSpec(my_asn=1, peer_asn=2, peer_address=ADDRESS, bfd_profile="fast")
    expected = BfdOptions(receive_milliseconds=50, transmit_milliseconds=300, multiplier=5)
    assert session(spec, profile).bfd == expected


def test_both_families_where_asked_or_unnumbered() -> None:
    """`dualStackAddressFamily` and an unnumbered peer carry IPv4 and IPv6."""
    dual = session(BGPPeerSpec(my_asn=1, peer_asn=2, peer_address=ADDRESS, dual_stack_address_family=True))
    unnumbered = session(BGPPeerSpec(my_asn=1, peer_asn=2, interface="eth0"))
    assert (dual.families, unnumbered.families) == (frozenset(Family), frozenset(Family))


def test_an_internal_peer_beyond_the_lan_is_multihop() -> None:
    """An internal peer may be anywhere; an external one only where the operator says so."""
    distant = ip_address("198.51.100.1")
    internal, near, external = (
        session(BGPPeerSpec(my_asn=1, peer_asn=asn, peer_address=address)).multihop
        for asn, address in ((1, distant), (1, ADDRESS), (2, distant))
    )
    assert (internal, near, external) == (True, False, False)
