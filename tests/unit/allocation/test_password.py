"""The Secret of each host, as sessions and their peers' Secrets want it."""

from dataclasses import replace
from ipaddress import ip_address

from appliance.allocation.event import Settings
from appliance.api.core import BASIC_AUTH, Secret, SecretReference
from appliance.api.kind import Object
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import BGPPeer, BGPPeerSpec
from appliance.api.pierhead import HOSTS_NAMESPACE, SESSION_PASSWORDS, BGPSession, Host, PasswordFault
from tests.unit.allocation.site import Site, delete, site

MD5 = Secret(
    metadata=Metadata(name="md5", namespace="metallb-system"), type=BASIC_AUTH, data={"password": b"open sesame"}
)
MD5_REF = Ref("Secret", "metallb-system", "md5")
PEER = BGPPeer(
    metadata=Metadata(name="tor", namespace="metallb-system"),
    spec=BGPPeerSpec(
        my_asn=64500,
        peer_asn=64501,
        peer_address=ip_address("192.0.2.1"),
        password_secret=SecretReference(name="md5"),
        node_selectors=(LabelSelector(match_labels={"rack": "1"}),),
    ),
)
PEER_REF = Ref("BGPPeer", "metallb-system", "tor")
INLINE = BGPPeer(
    metadata=Metadata(name="spine", namespace="metallb-system"),
    spec=replace(PEER.spec, peer_address=ip_address("192.0.2.2"), password="inline", password_secret=None),
)
A, B, C = (
    Host(metadata=Metadata(name=name, labels={"rack": rack})) for name, rack in (("a", "1"), ("b", "1"), ("c", "2"))
)
BOTH = {"a": {"tor": b"open sesame"}, "b": {"tor": b"open sesame"}}


async def passwords(here: Site) -> dict[str, dict[str, bytes]]:
    """What each host's Secret holds."""
    found = (each for each in (await here.objects()).values() if isinstance(each, Secret))
    ours = (secret for secret in found if secret.metadata.namespace == HOSTS_NAMESPACE)
    return {secret.metadata.name: dict(secret.data) for secret in ours}


async def session(here: Site) -> tuple[bool, PasswordFault | None]:
    """What hosts are told of the password of the session `tor`."""
    manifest = (await here.objects())[Ref("BGPSession", "", "tor")]
    assert isinstance(manifest, BGPSession)
    assert not {"open", "inline"} & set(repr(manifest).split())
    return manifest.spec.has_password, manifest.spec.password_fault


async def settled(*manifests: Object, settings: Settings | None = None) -> Site:
    """A site after its first look."""
    here = site(*manifests, settings=settings)
    await here.settle()
    return here


async def test_a_password_goes_to_the_hosts_of_its_session_only() -> None:
    """One Secret a host, of a type of its own; a host of another rack has none."""
    here = await settled(PEER, MD5, A, B, C)
    assert (await passwords(here), await session(here)) == (BOTH, (True, None))
    secret = (await here.objects())[Ref("Secret", HOSTS_NAMESPACE, "a")]
    assert isinstance(secret, Secret)
    assert secret.type == SESSION_PASSWORDS


async def test_a_password_in_the_peer_goes_the_same_way() -> None:
    """All of a host's passwords stand in its one Secret, by session."""
    here = await settled(PEER, INLINE, MD5, A)
    assert await passwords(here) == {"a": {"spine": b"inline", "tor": b"open sesame"}}


async def test_a_changed_password_follows() -> None:
    """The session itself says nothing new."""
    here = await settled(PEER, MD5, A)
    await here.store.apply(replace(MD5, data={"password": b"new"}), "operator")
    await here.settle()
    assert (await passwords(here), await session(here)) == ({"a": {"tor": b"new"}}, (True, None))


async def test_passwords_go_where_nobody_needs_them() -> None:
    """With the session, with the password of the peer, with the labels of the host, with the host."""
    here = await settled(PEER, INLINE, MD5, A, B, C)
    await delete(here, [Ref("BGPPeer", "metallb-system", "spine"), Ref("Host", "", "b")])
    await here.store.apply(replace(C, metadata=replace(C.metadata, labels={"rack": "1"})), "agent")
    await here.settle()
    assert await passwords(here) == {"a": BOTH["a"], "c": BOTH["a"]}
    await here.store.apply(replace(C, metadata=replace(C.metadata, labels={"rack": "2"})), "agent")
    await here.settle()
    assert await passwords(here) == {"a": BOTH["a"]}
    await here.store.apply(replace(PEER, spec=replace(PEER.spec, password_secret=None)), "operator")
    await here.settle()
    assert (await passwords(here), await session(here)) == ({}, (False, None))


async def test_a_secret_that_is_missing_or_wrong_leaves_each_host_its_password() -> None:
    """The peer has a problem and the session a fault; a host that had none gets none."""
    here = await settled(PEER, MD5, A)
    wrong = replace(MD5, data={"password": b"two\nlines"})
    await here.store.apply(wrong, "operator")
    await here.store.create(B, "agent")
    await here.settle()
    assert (await passwords(here), await session(here)) == ({"a": BOTH["a"]}, (True, PasswordFault.PASSWORD_UNUSABLE))
    await delete(here, [MD5_REF])
    here.restart()
    await here.settle()
    assert (await passwords(here), await session(here)) == ({"a": BOTH["a"]}, (True, PasswordFault.SECRET_MISSING))
    (problem,) = here.allocator.configuration.problems
    assert (problem.ref, problem.path) == (PEER_REF, "spec.passwordSecret")
    await here.store.create(MD5, "operator")
    await here.settle()
    assert (await passwords(here), await session(here)) == (BOTH, (True, None))


async def test_a_peer_that_is_wrong_leaves_each_host_its_password() -> None:
    """As it leaves the session; so does one that cannot be read, or may be there."""
    here = await settled(PEER, MD5, A, B)
    both = replace(PEER, spec=replace(PEER.spec, password="x"))
    await here.store.apply(both, "operator")
    await here.settle()
    assert (await passwords(here), await session(here)) == (BOTH, (True, None))
    await here.settle(unreadable=[PEER_REF])
    assert await passwords(here) == BOTH
    await delete(here, [PEER_REF])
    await here.settle(is_complete=False)
    assert await passwords(here) == BOTH
    await here.settle()
    assert await passwords(here) == {}


async def test_secrets_of_other_namespaces_are_not_used() -> None:
    """A peer cannot have hosts told what somebody keeps elsewhere."""
    elsewhere = replace(PEER, spec=replace(PEER.spec, password_secret=SecretReference(name="md5", namespace="shop")))
    theirs = replace(MD5, metadata=replace(MD5.metadata, namespace="shop"))
    settings = Settings(configuration_namespaces=frozenset({"metallb-system"}))
    here = await settled(elsewhere, theirs, A, settings=settings)
    assert (await passwords(here), await session(here)) == ({}, (True, PasswordFault.SECRET_MISSING))


async def test_of_other_secrets_nothing_is_remembered() -> None:
    """Only those that can hold a password of a session are."""
    token = Secret(metadata=Metadata(name="token", namespace="metallb-system"), data={"token": b"open sesame"})
    here = await settled(token)
    kept = here.allocator.cache.get(Ref("Secret", "metallb-system", "token"))
    assert isinstance(kept, Secret)
    assert (kept.type, kept.data) == ("Opaque", {})


async def test_somebody_elses_secret_is_left_alone_until_it_is_in_the_way() -> None:
    """A host of its name that needs a password gets it."""
    theirs = Secret(metadata=Metadata(name="a", namespace=HOSTS_NAMESPACE), data={"x": b"y"})
    here = await settled(theirs, A)
    assert await passwords(here) == {"a": {"x": b"y"}}
    await here.store.create(MD5, "operator")
    await here.store.create(PEER, "operator")
    await here.settle()
    assert await passwords(here) == {"a": BOTH["a"]}


async def test_what_somebody_did_to_a_hosts_secret_is_undone() -> None:
    """The allocator is its only writer."""
    here = await settled(PEER, MD5, A)
    secret = (await here.objects())[Ref("Secret", HOSTS_NAMESPACE, "a")]
    assert isinstance(secret, Secret)
    await here.store.apply(replace(secret, data={"tor": b"theirs", "more": b"x"}), "somebody")
    await here.settle()
    assert await passwords(here) == {"a": BOTH["a"]}
    await delete(here, [Ref("Secret", HOSTS_NAMESPACE, "a")])
    await here.settle()
    assert await passwords(here) == {"a": BOTH["a"]}
