"""Which Secrets of the site the agent holds."""

from dataclasses import replace
from ipaddress import ip_address

from appliance.agent.secret import own_passwords
from appliance.api.core import BASIC_AUTH, Secret
from appliance.api.kind import Object, ref_of
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import (
    HOSTS_NAMESPACE,
    SESSION_PASSWORDS,
    BGPSession,
    BGPSessionSpec,
    Host,
    VirtualIP,
    VirtualIPSpec,
)
from appliance.daemon.feed import FeedChange

VIP = VirtualIP(
    metadata=Metadata(name="192.0.2.1"), spec=VirtualIPSpec(address=ip_address("192.0.2.1"), pool="production")
)
PEER = BGPSession(
    metadata=Metadata(name="tor"),
    spec=BGPSessionSpec(
        local_asn=1, peer_asn=2, has_password=True, node_selectors=(LabelSelector(match_labels={"rack": "1"}),)
    ),
)
SECRET = Secret(
    metadata=Metadata(name="node-a", namespace=HOSTS_NAMESPACE), type=SESSION_PASSWORDS, data={"tor": b"open sesame"}
)
THEIRS = replace(SECRET, metadata=replace(SECRET.metadata, name="node-b"))
OPERATORS = Secret(metadata=Metadata(name="md5", namespace="m"), type=BASIC_AUTH, data={"password": b"y"})
HERE = Host(metadata=Metadata(name="node-a", labels={"rack": "1"}))

choose = own_passwords("node-a", dict)


def named(*objects: Object) -> dict[Ref, Object]:
    """Objects by name."""
    return {ref_of(each): each for each in objects}


def test_a_password_comes_with_its_session() -> None:
    """Whichever of the two is told first; Secrets of others are neither held nor written to the disk."""
    first = FeedChange((VIP, HERE, SECRET, THEIRS, OPERATORS))
    told = named(VIP, HERE, SECRET, THEIRS, OPERATORS)
    assert choose(first, told, {}) == FeedChange((VIP, HERE))
    second = choose(FeedChange((PEER,)), told | named(PEER), named(VIP, HERE))
    assert second == FeedChange((PEER, SECRET))


def test_a_password_goes_with_its_session() -> None:
    """A password nobody needs is not kept: the session is gone, has none any more, or is another host's now."""
    held = named(VIP, HERE, SECRET, PEER)
    gone = FeedChange(removed=(PEER,))
    assert choose(gone, named(VIP, HERE, SECRET), held) == FeedChange(removed=(PEER, SECRET))
    open_now = replace(PEER, spec=replace(PEER.spec, has_password=False))
    change = FeedChange((open_now,))
    assert choose(change, named(HERE, SECRET, open_now), held) == FeedChange((open_now,), (SECRET,))
    moved = replace(HERE, metadata=replace(HERE.metadata, labels={"rack": "2"}))
    assert choose(FeedChange((moved,)), named(moved, SECRET, PEER), held) == FeedChange((moved,), (SECRET,))


def test_a_hosts_settings_have_the_last_word_on_its_labels() -> None:
    """As they have where its sessions are chosen."""
    moved = own_passwords("node-a", lambda: {"rack": "2"})
    assert moved(FeedChange((PEER,)), named(HERE, SECRET, PEER), named(HERE)) == FeedChange((PEER,))


def test_a_password_that_vanishes_is_kept_for_its_session() -> None:
    """A session never loses its password; that it is not in the store is marked on what is kept."""
    told = choose(FeedChange(removed=(SECRET,)), named(VIP, HERE, PEER), named(VIP, HERE, PEER, SECRET))
    (kept,) = told.changed
    assert isinstance(kept, Secret)
    assert (kept.text("tor"), kept != SECRET, told.removed) == ("open sesame", True, ())
    held = named(VIP, HERE, PEER, kept)
    assert choose(FeedChange((OPERATORS,)), named(VIP, HERE, PEER, OPERATORS), held) == FeedChange()
    assert choose(FeedChange((SECRET,)), named(VIP, HERE, PEER, SECRET), held) == FeedChange((SECRET,))


def test_what_another_machine_left_on_the_disk_goes() -> None:
    """A disk that was copied holds the passwords of the host it was of."""
    change = choose(FeedChange((PEER,)), named(HERE, PEER), named(HERE, THEIRS))
    assert change == FeedChange((PEER,), (THEIRS,))


def test_other_objects_are_held_as_they_are_told() -> None:
    """What is neither a session nor a Secret, nor a label of this host, costs nothing more."""
    change = FeedChange((VIP, HERE))
    assert choose(change, named(VIP, HERE, PEER), named(HERE, PEER)) is change
