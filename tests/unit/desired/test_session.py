"""BGPSession to sessions."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from appliance.api.address import Family
from appliance.api.core import Secret
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata
from appliance.api.pierhead import HOSTS_NAMESPACE, SESSION_PASSWORDS, BGPSession, BGPSessionSpec, PasswordFault
from appliance.bird.fault import FaultReason, faults, usable_sessions
from appliance.bird.model import BirdConfig, Session
from appliance.desired.password import passwords_in_use
from appliance.desired.session import sessions_of
from tests.unit.desired.feed import feed_of

ADDRESS = ip_address("192.0.2.1")
NETWORKS = (ip_network("192.0.2.0/24"),)
SPEC = BGPSessionSpec(neighbor=ADDRESS, peer_asn=64501, local_asn=64500, families=(Family.IPV4,))
HOST = "node-a"
TO_HAVE_ONE = replace(SPEC, has_password=True)
GOOD = Secret(
    metadata=Metadata(name=HOST, namespace=HOSTS_NAMESPACE), type=SESSION_PASSWORDS, data={"tor": b"open sesame"}
)
BAD = (
    (None, PasswordFault.PASSWORD_MISSING),
    (replace(GOOD, type="Opaque"), PasswordFault.PASSWORD_MISSING),
    (replace(GOOD, data={"Tor": b"x"}), PasswordFault.PASSWORD_MISSING),
    (replace(GOOD, data={"tor": b""}), PasswordFault.PASSWORD_MISSING),
    (replace(GOOD, data={"tor": b"\xff"}), PasswordFault.PASSWORD_MISSING),
    (replace(GOOD, data={"tor": b"open sesame\n"}), PasswordFault.PASSWORD_UNUSABLE),
    (replace(GOOD, data={"tor": b'" bfd on; #'}), PasswordFault.PASSWORD_UNUSABLE),
    (replace(GOOD, data={"tor": b"x" * 81}), PasswordFault.PASSWORD_UNUSABLE),
)


def manifest(spec: BGPSessionSpec) -> BGPSession:
    """The session of a name."""
    return BGPSession(metadata=Metadata(name="tor"), spec=spec)


def session(spec: BGPSessionSpec, *secrets: Secret, before: tuple[Session, ...] = ()) -> Session:
    """The one session of a feed with one."""
    (only,) = sessions_of(feed_of((manifest(spec), *secrets)), HOST, {}, NETWORKS, before)
    return only


def usable(only: Session) -> tuple[tuple[Session, ...], set[FaultReason]]:
    """What BIRD is told of a session, and what is said to be wrong with it."""
    config = BirdConfig(router_id=IPv4Address("192.0.2.9"), sessions=(only,))
    return usable_sessions(config), {fault.reason for fault in faults(config)}


def test_a_session_is_taken_as_it_is() -> None:
    """What is not said is left to BIRD."""
    expected = Session(name="tor", neighbor=ADDRESS, peer_asn=64501, local_asn=64500, families=frozenset({Family.IPV4}))
    assert session(SPEC) == expected


def test_node_selectors_choose_the_hosts_of_a_session() -> None:
    """A peer for another rack is no session here."""
    feed = feed_of((manifest(replace(SPEC, node_selectors=(LabelSelector(match_labels={"rack": "2"}),))),))
    assert (sessions_of(feed, HOST, {"rack": "1"}, ()), len(sessions_of(feed, HOST, {"rack": "2"}, ()))) == ((), 1)


def test_an_internal_peer_beyond_the_lan_is_multihop() -> None:
    """An internal peer may be anywhere; an external one only where the operator says so."""
    distant = ip_address("198.51.100.1")
    internal, near, external = (
        session(replace(SPEC, peer_asn=asn, neighbor=address)).multihop
        for asn, address in ((64500, distant), (64500, ADDRESS), (64501, distant))
    )
    assert (internal, near, external) == (True, False, False)


def test_the_password_comes_from_this_hosts_secret() -> None:
    """Under the session's name; another host's Secret is not looked at."""
    other = replace(GOOD, metadata=replace(GOOD.metadata, name="node-b"), data={"tor": b"theirs"})
    found = session(TO_HAVE_ONE, GOOD, other)
    assert (found.password, found.password_fault, usable(found)) == ("open sesame", None, ((found,), set()))
    assert session(TO_HAVE_ONE, other).password is None


@pytest.mark.parametrize(("secret", "fault"), BAD)
def test_there_is_no_session_without_the_password_it_is_to_have(secret: Secret | None, fault: PasswordFault) -> None:
    """Its router would be spoken to unprotected, and nobody would know."""
    found = session(TO_HAVE_ONE, *([secret] if secret else []))
    assert (found.password, usable(found)) == (None, ((), {FaultReason(fault.value), FaultReason.NO_PASSWORD}))


@pytest.mark.parametrize(("secret", "_fault"), BAD)
def test_a_session_keeps_its_last_good_password(secret: Secret | None, _fault: PasswordFault) -> None:
    """What happens to a Secret interrupts no session; the fault is told, also after a restart with the cache."""
    named = manifest(TO_HAVE_ONE)
    cached = passwords_in_use([named], secret, passwords_in_use([named], GOOD, None))
    for again in (cached, passwords_in_use([named], secret, cached)):
        assert again is not None
        found = session(named.spec, again)
        assert (found.password, usable(found)) == ("open sesame", ((found,), {FaultReason.PASSWORD_MISSING}))
    assert passwords_in_use([named], GOOD, cached) == GOOD


def test_only_passwords_of_sessions_are_remembered() -> None:
    """A host's disk holds no password it has no use for."""
    more = replace(GOOD, data={**GOOD.data, "spine": b"other"})
    assert passwords_in_use([manifest(TO_HAVE_ONE)], more, None) == GOOD
    assert passwords_in_use([manifest(SPEC)], None, GOOD) is None
    assert passwords_in_use([], more, GOOD) is None


def test_a_session_stays_as_it_was_until_its_password_is_there() -> None:
    """With the password it had, or with none where its peer was only now given one; nothing else of it changes."""
    changed = replace(TO_HAVE_ONE, neighbor=ip_address("192.0.2.7"))
    for before in (session(TO_HAVE_ONE, GOOD), session(SPEC)):
        found = session(changed, before=(before,))
        assert found == replace(before, password_fault=PasswordFault.PASSWORD_MISSING)
        assert usable(found)[0] == (found,)
    never = session(TO_HAVE_ONE)
    assert session(changed, before=(never,)) == replace(never, neighbor=changed.neighbor)


def test_a_session_says_what_is_wrong_with_its_peers_secret() -> None:
    """The allocator has told; the password that this host has stays in use."""
    told = replace(TO_HAVE_ONE, password_fault=PasswordFault.SECRET_MISSING)
    found = session(told, GOOD)
    assert (found.password, usable(found)) == ("open sesame", ((found,), {FaultReason.SECRET_MISSING}))
    assert usable(session(told)) == ((), {FaultReason.SECRET_MISSING, FaultReason.NO_PASSWORD})
