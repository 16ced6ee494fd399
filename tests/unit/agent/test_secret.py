"""Which Secrets of the site the agent holds."""

from ipaddress import ip_address

from appliance.agent.secret import secrets_in_sessions
from appliance.api.core import BASIC_AUTH, ObjectReference, Secret
from appliance.api.kind import Object, ref_of
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import BGPSession, BGPSessionSpec, VirtualIP, VirtualIPSpec
from appliance.daemon.feed import FeedChange

VIP = VirtualIP(
    metadata=Metadata(name="192.0.2.1"), spec=VirtualIPSpec(address=ip_address("192.0.2.1"), pool="production")
)
PEER = BGPSession(
    metadata=Metadata(name="tor"),
    spec=BGPSessionSpec(local_asn=1, peer_asn=2, password_secret=ObjectReference(namespace="m", name="md5")),
)
SECRET = Secret(metadata=Metadata(name="md5", namespace="m"), type=BASIC_AUTH, data={"password": b"x"})


OTHER = Secret(metadata=Metadata(name="other", namespace="m"), type=BASIC_AUTH, data={"password": b"y"})


def named(*objects: Object) -> dict[Ref, Object]:
    """Objects by name."""
    return {ref_of(each): each for each in objects}


def test_a_secret_comes_with_the_session_that_names_it() -> None:
    """Whichever of the two is told first; Secrets nobody names are neither held nor written to the disk."""
    first = FeedChange((VIP, SECRET, OTHER))
    assert secrets_in_sessions(first, named(VIP, SECRET, OTHER), {}) == FeedChange((VIP,))
    second = secrets_in_sessions(FeedChange((PEER,)), named(VIP, SECRET, OTHER, PEER), named(VIP))
    assert second == FeedChange((PEER, SECRET))


def test_a_secret_goes_with_the_session_that_named_it() -> None:
    """A password nobody needs is not kept."""
    gone = FeedChange(removed=(PEER,))
    assert secrets_in_sessions(gone, named(VIP, SECRET), named(VIP, SECRET, PEER)) == FeedChange(removed=(PEER, SECRET))


def test_a_secret_that_vanishes_is_kept_for_its_session() -> None:
    """A session never loses its password; that the Secret is gone is marked on what is kept."""
    told = secrets_in_sessions(FeedChange(removed=(SECRET,)), named(VIP, PEER), named(VIP, PEER, SECRET))
    (kept,) = told.changed
    assert isinstance(kept, Secret)
    assert (kept.text("password"), kept != SECRET, told.removed) == ("x", True, ())
    assert secrets_in_sessions(FeedChange((OTHER,)), named(VIP, PEER, OTHER), named(VIP, PEER, kept)) == FeedChange()
    assert secrets_in_sessions(FeedChange((SECRET,)), named(VIP, PEER, SECRET), named(VIP, PEER, kept)) == FeedChange(
        (SECRET,)
    )


def test_other_objects_are_held_as_they_are_told() -> None:
    """What is neither a session nor a Secret costs nothing more."""
    change = FeedChange((VIP,))
    assert secrets_in_sessions(change, named(VIP, PEER), named(PEER)) is change
