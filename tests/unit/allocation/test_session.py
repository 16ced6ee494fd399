"""BGPSessions, as peers want them."""

from dataclasses import replace
from ipaddress import ip_address

from appliance.api.kind import Object
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import BFDProfile, BGPPeer, BGPPeerSpec
from appliance.api.pierhead import BFDOptions, BGPSession
from tests.unit.allocation.site import Site, delete, pool, site

PEER = BGPPeer(
    metadata=Metadata(name="tor", namespace="metallb-system"),
    spec=BGPPeerSpec(my_asn=64500, peer_asn=64501, peer_address=ip_address("192.0.2.1")),
)
PROFILE = BFDProfile(metadata=Metadata(name="fast", namespace="metallb-system"))
FAST = replace(PEER, spec=replace(PEER.spec, bfd_profile="fast"))
OVERLAP = (pool("a", "10.0.0.0/30"), pool("b", "10.0.0.0/30"))


async def sessions(here: Site) -> dict[str, BGPSession]:
    """The sessions in the store, by name."""
    found = (manifest for manifest in (await here.objects()).values() if isinstance(manifest, BGPSession))
    return {session.metadata.name: session for session in found}


async def settled(*manifests: Object) -> Site:
    """A site after its first look."""
    here = site(*manifests)
    await here.settle()
    return here


async def test_a_peer_is_compiled_once_for_all_hosts() -> None:
    """A change of the peer or of its profile follows, and the session goes with its peer."""
    here = await settled(FAST, PROFILE)
    assert (await sessions(here))["tor"].spec.bfd == BFDOptions()
    await here.store.apply(replace(PROFILE, spec=replace(PROFILE.spec, detect_multiplier=7)), "operator")
    await here.settle()
    assert (await sessions(here))["tor"].spec.bfd == BFDOptions(multiplier=7)
    await delete(here, [Ref("BGPPeer", "metallb-system", "tor")])
    await here.settle()
    assert await sessions(here) == {}


async def test_a_missing_profile_leaves_the_session_as_it_was() -> None:
    """It is a problem, and no host stops its BFD for it."""
    here = await settled(FAST, PROFILE)
    before = await sessions(here)
    await delete(here, [Ref("BFDProfile", "metallb-system", "fast")])
    await here.settle()
    assert await sessions(here) == before
    assert [problem.path for problem in here.allocator.configuration.problems] == ["spec.bfdProfile"]


async def test_peers_are_told_whatever_is_wrong_with_pools() -> None:
    """One mistake hurts only what hangs on it."""
    assert list(await sessions(await settled(PEER, *OVERLAP))) == ["tor"]


async def test_no_session_is_taken_away_while_a_peer_may_be_unreadable() -> None:
    """It goes once everything can be read."""
    here = await settled(PEER)
    await delete(here, [Ref("BGPPeer", "metallb-system", "tor")])
    await here.settle(is_complete=False)
    assert list(await sessions(here)) == ["tor"]
    await here.settle()
    assert await sessions(here) == {}


async def test_two_peers_of_one_name_leave_the_session_as_it_was() -> None:
    """The one that was there is kept until it is clear which is meant."""
    here = await settled(PEER)
    before = await sessions(here)
    twin = replace(PEER, metadata=replace(PEER.metadata, namespace="a"), spec=replace(PEER.spec, peer_asn=7))
    await here.store.create(twin, "operator")
    await here.settle()
    assert await sessions(here) == before
