"""Rings: who is primary, who is asked next, and what a change moves."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.forward.ring import BUCKETS, CHAIN_LENGTH, Member, Ring, ring_of

NAMES = [f"host-{index}" for index in range(8)]
Members = frozenset[Member]
briefly = settings(deadline=None, max_examples=15)


@st.composite
def memberships(draw: st.DrawFn, least: int = 1, most: int = 8) -> Members:
    """Hosts with one to four backends, none draining."""
    hosts = draw(st.lists(st.sampled_from(NAMES), min_size=least, max_size=most, unique=True))
    return frozenset(serving(host, draw(st.integers(1, 4))) for host in hosts)


def serving(host: str, backends: int = 1) -> Member:
    """A host whose backends all take new connections."""
    return Member(host, backends, backends)


def draining(member: Member) -> Member:
    """The same host, taking no new connections."""
    return Member(member.host, 0, member.held)


def primaries(ring: Ring) -> list[str]:
    """The primary of each bucket."""
    return [bucket[0] for bucket in ring.buckets]


def moved(before: Ring, after: Ring) -> list[int]:
    """The buckets whose primary changed."""
    return [n for n, pair in enumerate(zip(primaries(before), primaries(after), strict=True)) if pair[0] != pair[1]]


def test_a_ring_is_what_it_always_was() -> None:
    """Hosts of different versions must agree: the first buckets of a known ring never change."""
    ring = ring_of(frozenset((serving("node-a"), serving("node-b"), serving("node-c", 2))))
    assert "".join(name[-1] for name in primaries(ring)[:8]) == "accacaaa"


def test_every_bucket_names_each_host_once() -> None:
    """With as many hosts as a chain is long, every host is in every bucket."""
    ring = ring_of(frozenset(map(serving, NAMES[:CHAIN_LENGTH])))
    assert len(ring.buckets) == BUCKETS
    assert all(sorted(bucket) == NAMES[:CHAIN_LENGTH] for bucket in ring.buckets)


def test_no_host_is_no_ring() -> None:
    """A ring without hosts is a mistake of ours."""
    with pytest.raises(ValueError, match="at least one host"):
        ring_of(frozenset())


def test_buckets_follow_weight() -> None:
    """A host with twice the backends gets about twice the buckets."""
    share = Counter(primaries(ring_of(frozenset((serving("node-a", 2), serving("node-b"), serving("node-c"))))))
    assert 430 < share["node-a"] < 590
    assert 190 < share["node-b"] < 320


@briefly
@given(memberships(least=2), st.data())
def test_a_host_that_leaves_moves_only_its_buckets(members: Members, data: st.DataObject) -> None:
    """The others keep every bucket they had."""
    gone = data.draw(st.sampled_from(sorted(members)))
    before, after = ring_of(members), ring_of(members - {gone})
    assert {primaries(before)[n] for n in moved(before, after)} <= {gone.host}


@briefly
@given(memberships(least=2), st.data())
def test_a_host_that_joins_is_followed_by_who_was_there(members: Members, data: st.DataObject) -> None:
    """Buckets move to the new host alone, and it asks their former primary first."""
    new = data.draw(st.sampled_from(sorted(members)))
    before, after = ring_of(members - {new}), ring_of(members)
    for bucket in moved(before, after):
        assert after.buckets[bucket][:2] == (new.host, before.buckets[bucket][0])


@briefly
@given(memberships(least=2), st.data())
def test_a_host_that_drains_is_asked_next(members: Members, data: st.DataObject) -> None:
    """Nothing but its own buckets moves, and their new primaries ask it first."""
    leaving = data.draw(st.sampled_from(sorted(members)))
    before, after = ring_of(members), ring_of(members - {leaving} | {draining(leaving)})
    assert leaving.host not in primaries(after)
    for bucket in range(BUCKETS):
        if before.buckets[bucket][0] == leaving.host:
            assert after.buckets[bucket][1] == leaving.host
        else:
            assert after.buckets[bucket][0] == before.buckets[bucket][0]


@briefly
@given(memberships(least=2), st.data())
def test_a_backend_that_terminates_leaves_its_host_in_reach(members: Members, data: st.DataObject) -> None:
    """A host that serves less loses buckets, and is the first to be asked in each."""
    host = data.draw(st.sampled_from(sorted(members)))
    before = ring_of(members)
    after = ring_of(members - {host} | {Member(host.host, host.ready - 1, host.held)})
    for bucket in moved(before, after):
        assert before.buckets[bucket][0] == host.host
        assert after.buckets[bucket][1] == host.host


@briefly
@given(memberships(least=2), st.data())
def test_a_backend_more_takes_buckets_for_its_host_alone(members: Members, data: st.DataObject) -> None:
    """Weights move no bucket between two hosts whose own did not change, and the former primary is asked next."""
    host = data.draw(st.sampled_from(sorted(members)))
    before, after = ring_of(members), ring_of(members - {host} | {serving(host.host, host.ready + 1)})
    for bucket in moved(before, after):
        assert after.buckets[bucket][:2] == (host.host, before.buckets[bucket][0])


@briefly
@given(memberships())
def test_hosts_that_all_drain_serve_on(members: Members) -> None:
    """Where nobody takes new connections, a draining host is better than none."""
    assert ring_of(frozenset(map(draining, members))).buckets == ring_of(members).buckets


@briefly
@given(memberships(), memberships())
def test_few_hosts_find_everything(first: Members, second: Members) -> None:
    """With no more hosts than a chain is long, no change hides a host that is still there."""
    hosts = {member.host for member in second}
    if len(hosts) <= CHAIN_LENGTH:
        after = ring_of(second)
        for old, new in zip(ring_of(first).buckets, after.buckets, strict=True):
            assert old[0] in new or old[0] not in hosts
