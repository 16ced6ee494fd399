"""What hosts are told of a BGPPeer and its BFDProfile."""

from dataclasses import replace

import pytest

from appliance.api.address import Family, parse_address
from appliance.api.kind import Kind
from appliance.api.manifest import decode, encode
from appliance.api.meta import Metadata
from appliance.api.pierhead import BFDOptions, BGPSession, BGPSessionSpec, PasswordFault
from appliance.config.peer import Sessions, sessions_of
from tests.unit.config.test_compile import BFD, TOR, manifests, peer

EBGP = "peerASN: 64501, peerAddress: 10.9.0.1"


def sessions(text: str) -> Sessions:
    """What a text's peers come to."""
    return sessions_of(manifests(text))


def session(fields: str, others: str = "") -> BGPSessionSpec:
    """What one peer comes to."""
    return sessions(others + peer(fields)).wanted["tor"]


def test_a_peer_becomes_a_session_of_its_family() -> None:
    """What is not said is left to the daemon."""
    assert session(EBGP) == BGPSessionSpec(
        neighbor=parse_address("10.9.0.1"), peer_asn=64501, local_asn=64500, families=(Family.IPV4,)
    )


def test_keepalive_alone_sets_the_hold_time() -> None:
    """Hold is three keepalives where only keepalive is given; a hold time alone leaves keepalive to the daemon."""
    given = [session(f"{EBGP}, {timer}") for timer in ("keepaliveTime: 10s", "holdTime: 9600ms", "holdTime: 0s")]
    assert [(entry.hold_seconds, entry.keepalive_seconds) for entry in given] == [(30, 10), (10, None), (0, None)]


def test_a_bfd_profile_gives_the_timing() -> None:
    """What a profile leaves out is the profile's default, 300 ms and 3."""
    profile = BFD % ("fast", "receiveInterval: 50, detectMultiplier: 5")
    assert session(f"{EBGP}, bfdProfile: fast", profile).bfd == BFDOptions(receive_milliseconds=50, multiplier=5)


def test_both_families_where_asked_or_unnumbered() -> None:
    """`dualStackAddressFamily` and an unnumbered peer carry IPv4 and IPv6."""
    given = [session(f"{EBGP}, dualStackAddressFamily: true"), session("peerASN: 64501, interface: eth0")]
    assert [entry.families for entry in given] == [(Family.IPV4, Family.IPV6)] * 2


SECRET = "{kind: Secret, apiVersion: v1, metadata: {name: %s, namespace: %s}, type: %s, data: {%s}}\n---\n"
BASIC = "kubernetes.io/basic-auth"
BAD_SECRETS = (
    ("", PasswordFault.SECRET_MISSING, "there is no Secret m/md5"),
    (SECRET % ("md5", "m", "Opaque", "password: eA=="), PasswordFault.SECRET_OF_OTHER_TYPE, "is of type 'Opaque'"),
    (SECRET % ("md5", "m", BASIC, "Password: eA=="), PasswordFault.SECRET_WITHOUT_PASSWORD, "has no password"),
    (SECRET % ("md5", "m", BASIC, "password: ''"), PasswordFault.SECRET_WITHOUT_PASSWORD, "has no password"),
    (SECRET % ("md5", "m", BASIC, "password: /w=="), PasswordFault.SECRET_WITHOUT_PASSWORD, "has no password"),
    (SECRET % ("md5", "m", BASIC, "password: eAo="), PasswordFault.PASSWORD_UNUSABLE, "has a double quote"),
    (SECRET % ("md5", "m", BASIC, "password: Ig=="), PasswordFault.PASSWORD_UNUSABLE, "has a double quote"),
)


def test_a_password_is_told_beside_the_session_and_never_in_it() -> None:
    """It stands in the peer or in a Secret, of the peer's own namespace where none is said."""
    own = SECRET % ("md5", "m", BASIC, "password: b3Blbg==")
    other = SECRET % ("a", "b", BASIC, "password: c2VzYW1l")
    told = [
        sessions(own + other + peer(f"{EBGP}, {written}"))
        for written in ("passwordSecret: {name: md5}", "passwordSecret: {name: a, namespace: b}", "password: inline")
    ]
    assert [entry.passwords for entry in told] == [{"tor": "open"}, {"tor": "sesame"}, {"tor": "inline"}]
    bare = session(EBGP)
    assert [entry.wanted["tor"] for entry in told] == [replace(bare, has_password=True)] * 3
    assert not any(word in repr(told) for word in ("open", "sesame", "inline"))


@pytest.mark.parametrize(("secret", "fault", "sentence"), BAD_SECRETS)
def test_a_session_stands_though_its_secret_is_wrong(secret: str, fault: PasswordFault, sentence: str) -> None:
    """It says what is wrong; the peer's problem names the Secret, and no password is known."""
    told = sessions(secret + peer(f"{EBGP}, passwordSecret: {{name: md5}}"))
    spec = replace(session(EBGP), has_password=True, password_fault=fault)
    assert (told.wanted, told.kept, told.passwords) == ({"tor": spec}, frozenset(), {})
    (problem,) = told.problems
    assert (str(problem.ref), problem.path, sentence in problem.text) == ("BGPPeer m/tor", "spec.passwordSecret", True)
    assert "hosts keep the password they have" in problem.text


def test_a_peer_without_its_profile_is_kept_as_it_was() -> None:
    """A session never loses its BFD in silence."""
    assert sessions(TOR + peer(f"{EBGP}, bfdProfile: fast").replace("tor", "spine")) == Sessions(
        sessions(TOR).wanted, frozenset({"spine"})
    )


def test_two_peers_of_one_name_are_kept_as_they_were() -> None:
    """Which of them is meant cannot be told; every other peer goes on."""
    twin = TOR.replace("namespace: m", "namespace: z").replace("64501", "64999")
    found = sessions(TOR + twin + TOR.replace("tor", "spine"))
    assert (set(found.wanted), set(found.kept)) == ({"spine"}, {"tor"})


def test_what_is_written_is_read_back() -> None:
    """The store gives back the very session, or it would be written for ever."""
    spec = session(
        f"{EBGP}, holdTime: 10s, routerID: 1.1.1.1, password: x, sourceAddress: 10.9.0.2, vrf: red, bfdProfile: fast,"
        "nodeSelectors: [{matchLabels: {rack: a}}]",
        BFD % ("fast", ""),
    )
    written = BGPSession(metadata=Metadata(name="tor"), spec=spec)
    assert decode(Kind.BGP_SESSION, encode(written), strict=True) == written
