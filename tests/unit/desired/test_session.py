"""BGPSession to sessions."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from appliance.api.address import Family
from appliance.api.core import BASIC_AUTH, ObjectReference, Secret
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata
from appliance.api.pierhead import BGPSession, BGPSessionSpec
from appliance.bird.fault import FaultReason, faults, usable_sessions
from appliance.bird.model import BirdConfig, PasswordFault, Session
from appliance.desired.feed import feed_of
from appliance.desired.password import secrets_in_use
from appliance.desired.session import sessions_of

ADDRESS = ip_address("192.0.2.1")
NETWORKS = (ip_network("192.0.2.0/24"),)
SPEC = BGPSessionSpec(neighbor=ADDRESS, peer_asn=64501, local_asn=64500, families=(Family.IPV4,))
REFERENCE = ObjectReference(namespace="metallb-system", name="md5")
GOOD = Secret(
    metadata=Metadata(name="md5", namespace="metallb-system"), type=BASIC_AUTH, data={"password": b"open sesame"}
)
BAD = (
    (None, PasswordFault.SECRET_MISSING),
    (replace(GOOD, type="Opaque"), PasswordFault.SECRET_OF_OTHER_TYPE),
    (replace(GOOD, data={"Password": b"x"}), PasswordFault.SECRET_WITHOUT_PASSWORD),
    (replace(GOOD, data={"password": b""}), PasswordFault.SECRET_WITHOUT_PASSWORD),
    (replace(GOOD, data={"password": b"\xff"}), PasswordFault.SECRET_WITHOUT_PASSWORD),
    (replace(GOOD, data={"password": b"open sesame\n"}), PasswordFault.PASSWORD_UNUSABLE),
    (replace(GOOD, data={"password": b'" bfd on; #'}), PasswordFault.PASSWORD_UNUSABLE),
    (replace(GOOD, data={"password": b"x" * 81}), PasswordFault.PASSWORD_UNUSABLE),
)


def manifest(spec: BGPSessionSpec) -> BGPSession:
    """The session of a name."""
    return BGPSession(metadata=Metadata(name="tor"), spec=spec)


def session(spec: BGPSessionSpec, *secrets: Secret, before: tuple[Session, ...] = ()) -> Session:
    """The one session of a feed with one."""
    (only,) = sessions_of(feed_of((manifest(spec), *secrets)), {}, NETWORKS, before)
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
    assert (sessions_of(feed, {"rack": "1"}, ()), len(sessions_of(feed, {"rack": "2"}, ()))) == ((), 1)


def test_an_internal_peer_beyond_the_lan_is_multihop() -> None:
    """An internal peer may be anywhere; an external one only where the operator says so."""
    distant = ip_address("198.51.100.1")
    internal, near, external = (
        session(replace(SPEC, peer_asn=asn, neighbor=address)).multihop
        for asn, address in ((64500, distant), (64500, ADDRESS), (64501, distant))
    )
    assert (internal, near, external) == (True, False, False)


def test_the_password_comes_from_the_secret() -> None:
    """The one that the session names."""
    found = session(replace(SPEC, password_secret=REFERENCE), GOOD)
    assert (found.password, found.password_fault, usable(found)) == ("open sesame", None, ((found,), set()))


@pytest.mark.parametrize(("secret", "fault"), BAD)
def test_there_is_no_session_without_the_password_it_is_to_have(secret: Secret | None, fault: PasswordFault) -> None:
    """Its router would be spoken to unprotected, and nobody would know."""
    found = session(replace(SPEC, password_secret=REFERENCE), *([secret] if secret else []))
    assert (found.password, usable(found)) == ("", ((), {FaultReason(fault.value), FaultReason.NO_PASSWORD}))


@pytest.mark.parametrize(("secret", "fault"), BAD)
def test_a_session_keeps_its_last_good_password(secret: Secret | None, fault: PasswordFault) -> None:
    """What happens to a Secret interrupts no session; the fault is told, also after a restart with the cache."""
    named = manifest(replace(SPEC, password_secret=REFERENCE))
    now = [secret] if secret else []
    cached = secrets_in_use([named], now, secrets_in_use([named], [GOOD], []))
    for again in (cached, secrets_in_use([named], now, cached)):
        found = session(named.spec, *again)
        assert (found.password, usable(found)) == ("open sesame", ((found,), {FaultReason(fault.value)}))
    assert secrets_in_use([named], [GOOD], cached) == (GOOD,)


def test_only_secrets_that_sessions_name_are_remembered() -> None:
    """A host's disk holds no password it has no use for."""
    other = replace(GOOD, metadata=Metadata(name="other", namespace="shop"))
    named = manifest(replace(SPEC, password_secret=REFERENCE))
    assert secrets_in_use([named], [other, GOOD], []) == (GOOD,)
    assert secrets_in_use([], [other, GOOD], [GOOD]) == ()


def test_a_session_stays_as_it_was_until_its_new_secret_is_there() -> None:
    """The peer was changed to name another Secret, which nobody has made yet."""
    before = session(replace(SPEC, password_secret=REFERENCE), GOOD)
    changed = replace(SPEC, password_secret=replace(REFERENCE, name="new"), neighbor=ip_address("192.0.2.7"))
    assert session(changed, GOOD, before=(before,)) == replace(before, password_fault=PasswordFault.SECRET_MISSING)
