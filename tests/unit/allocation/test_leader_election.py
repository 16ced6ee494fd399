"""Leader election: who may write, by which clock, and until when."""

import itertools
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.allocation.event import TimePassed
from appliance.allocation.leader_election import (
    BeginLeading,
    ElectionCommand,
    ElectionInput,
    LeaderElection,
    LeaseRefused,
    LeaseSeen,
    LeaseTerms,
    LeaseTold,
    LeaveAsked,
    ReadLease,
    StopLeading,
    WriteLease,
)
from appliance.api.core import Lease, LeaseSpec
from appliance.api.meta import Metadata
from appliance.api.refusal import StoreRefusal

WALL = 1_800_000_000.25
HOUR = 3600.0


def terms(identity: str) -> LeaseTerms:
    """client-go's times."""
    return LeaseTerms("pierhead-allocator", "pierhead-system", identity)


def lease(holder: str, transitions: int = 0, version: str = "7", seconds: int = 15) -> Lease:
    """A Lease as a store has it."""
    metadata = Metadata(name="pierhead-allocator", namespace="pierhead-system", resource_version=version)
    spec = LeaseSpec(
        holder_identity=holder,
        lease_duration_seconds=seconds,
        acquire_time="2026-01-01T00:00:00.000000Z",
        renew_time=f"2026-01-01T00:00:{version.zfill(2)}.000000Z",
        lease_transitions=transitions,
    )
    return Lease(metadata=metadata, spec=spec)


@dataclass
class Candidate:
    """One candidate and the clock it is asked at."""

    election: LeaderElection = field(default_factory=lambda: LeaderElection(terms("a"), lambda: 0.0))
    now: float = 100.0

    def hear(self, event: ElectionInput, seconds: float = 0.0) -> list[ElectionCommand]:
        """Some seconds later an event comes."""
        self.now += seconds
        return self.election.handle(event, self.now, WALL)

    def lead(self) -> Lease:
        """Take the Lease that nobody has; the Lease as it is then."""
        self.hear(TimePassed())
        (write,) = self.hear(LeaseTold(None))
        assert isinstance(write, WriteLease)
        taken = stored(write, "1")
        assert self.hear(LeaseTold(taken)) == [BeginLeading()]
        return taken


def stored(write: ElectionCommand, version: str) -> Lease:
    """What a store answers to a write that it takes."""
    assert isinstance(write, WriteLease)
    return replace(write.lease, metadata=replace(write.lease.metadata, resource_version=version))


def test_a_lease_that_is_not_there_is_created_with_times_in_utc() -> None:
    """The first leader is told so when the store has its name."""
    here = Candidate()
    assert here.hear(TimePassed()) == [ReadLease()]
    (write,) = here.hear(LeaseTold(None))
    assert isinstance(write, WriteLease)
    assert (write.lease.metadata.name, write.lease.metadata.resource_version) == ("pierhead-allocator", "")
    spec = write.lease.spec
    assert (spec.holder_identity, spec.lease_duration_seconds, spec.lease_transitions) == ("a", 15, 0)
    assert spec.renew_time == spec.acquire_time == "2027-01-15T08:00:00.250000Z"
    assert not here.election.may_write(here.now)
    assert here.hear(LeaseTold(stored(write, "1"))) == [BeginLeading()]
    assert here.election.may_write(here.now)


@pytest.mark.parametrize("skew", [-HOUR, 0.0, HOUR])
def test_a_lease_is_free_when_it_has_not_changed_for_its_time_by_our_own_clock(skew: float) -> None:
    """What its holder's clock says, an hour ahead or behind, makes no difference."""
    here = Candidate()
    held = replace(lease("b"), spec=replace(lease("b").spec, renew_time=f"2027-01-15T0{8 + int(skew // HOUR)}:00:00Z"))
    here.hear(TimePassed())
    assert here.hear(LeaseTold(held)) == []
    begun = here.now
    while here.now < begun + 14.9:
        deadline = here.election.deadline()
        assert deadline is not None
        assert here.hear(TimePassed(), deadline - here.now) == [ReadLease()]
        commands = here.hear(LeaseTold(held))
        if commands:
            break
    assert here.now == begun + 15
    (write,) = commands
    assert isinstance(write, WriteLease)
    assert (write.lease.spec.holder_identity, write.lease.spec.lease_transitions) == ("a", 1)
    assert write.lease.metadata.resource_version == "7"


def test_a_renewed_lease_is_not_free() -> None:
    """Each change of the record begins its time anew."""
    here = Candidate()
    here.hear(TimePassed())
    here.hear(LeaseTold(lease("b", version="1")))
    for version in range(2, 30):
        here.hear(TimePassed(), 2.0)
        assert here.hear(LeaseTold(lease("b", version=str(version)))) == []


def test_a_lease_given_back_is_taken_at_once() -> None:
    """It names nobody."""
    here = Candidate()
    here.hear(TimePassed())
    (write,) = here.hear(LeaseTold(lease("", transitions=3, seconds=1)))
    assert isinstance(write, WriteLease)
    assert write.lease.spec.lease_transitions == 4


def test_a_lease_that_is_seen_to_be_given_back_is_taken_at_once() -> None:
    """Nobody waits for the next look; and while the watch tells of renewals there is none."""
    here = Candidate()
    here.hear(TimePassed())
    here.hear(LeaseTold(lease("b", version="1")))
    for version in range(2, 9):
        assert here.hear(LeaseSeen(lease("b", version=str(version))), 2.0) == []
        deadline = here.election.deadline()
        assert deadline is not None
        assert deadline >= here.now + 4
    (write,) = here.hear(LeaseSeen(lease("", version="9", seconds=1)))
    assert isinstance(write, WriteLease)
    assert (write.lease.spec.holder_identity, write.lease.metadata.resource_version) == ("a", "9")


def test_a_watch_that_tells_no_more_is_not_relied_on() -> None:
    """After two retries the Lease is read, and from then on as without a watch."""
    here = Candidate()
    here.hear(TimePassed())
    here.hear(LeaseTold(lease("b", version="1")))
    here.hear(LeaseSeen(lease("b", version="2")))
    assert here.hear(TimePassed(), 4.0) == [ReadLease()]
    assert here.hear(LeaseTold(lease("b", version="2"))) == []
    assert here.hear(TimePassed(), 2.0) == [ReadLease()]


def test_late_news_of_a_watch_are_no_news() -> None:
    """A leader's own renewals come back to it; and what was read since is not taken back."""
    here = Candidate()
    taken = here.lead()
    (write,) = here.hear(TimePassed(), 2.0)
    renewed = stored(write, "2")
    assert here.hear(LeaseSeen(renewed)) == []
    assert here.hear(LeaseTold(renewed)) == []
    for late in (taken, renewed):
        assert here.hear(LeaseSeen(late)) == []
    assert here.election.is_leader
    assert here.hear(LeaseSeen(lease("b", version="3"))) == [StopLeading()]


def test_what_was_seen_since_a_read_began_is_newer_than_its_answer() -> None:
    """A Lease given back meanwhile is free, though the answer still names its holder."""
    here = Candidate()
    here.hear(TimePassed())
    assert here.hear(LeaseSeen(lease("", version="9", seconds=1))) == []
    (write,) = here.hear(LeaseTold(lease("b", version="8")))
    assert isinstance(write, WriteLease)
    assert write.lease.metadata.resource_version == "9"


def test_versions_that_begin_anew_are_believed_when_they_are_read() -> None:
    """As after a cluster was restored from a backup."""
    here = Candidate()
    here.hear(TimePassed())
    here.hear(LeaseTold(lease("b", version="900")))
    assert here.hear(LeaseSeen(lease("", version="7"))) == []
    assert here.hear(TimePassed(), 2.0) == [ReadLease()]
    (write,) = here.hear(LeaseTold(lease("", version="7", seconds=1)))
    assert isinstance(write, WriteLease)


def test_of_two_the_store_lets_one_through() -> None:
    """Who is refused looks again later."""
    here = Candidate()
    here.hear(TimePassed())
    here.hear(LeaseTold(None))
    assert here.hear(LeaseRefused(StoreRefusal.EXISTS)) == []
    assert here.hear(TimePassed(), 2.0) == [ReadLease()]
    assert here.hear(LeaseTold(lease("b"))) == []
    assert not here.election.is_leader


def test_the_leader_renews_and_keeps_since_when_and_which() -> None:
    """A renewal changes the time alone, by the version that is known."""
    here = Candidate()
    taken = here.lead()
    (write,) = here.hear(TimePassed(), 2.0)
    assert isinstance(write, WriteLease)
    assert write.lease == replace(taken, spec=replace(taken.spec, renew_time=write.lease.spec.renew_time))
    assert here.hear(LeaseTold(stored(write, "2"))) == []
    assert here.election.may_write(here.now + 9.9)


def test_a_leader_that_cannot_renew_stops_before_another_may_start() -> None:
    """The time counts from when the last renewal that was accepted was sent, not from its answer."""
    here = Candidate()
    here.lead()
    (write,) = here.hear(TimePassed(), 2.0)
    sent = here.now
    assert [type(command) for command in here.hear(LeaseTold(stored(write, "2")), 3.0)] == [WriteLease]
    assert here.election.writes_end == sent + 15
    assert here.hear(LeaseRefused(StoreRefusal.UNAVAILABLE), 1.0) == []
    assert here.hear(TimePassed(), 2.0) == [ReadLease()]
    assert here.election.deadline() == sent + 10
    assert here.election.may_write(sent + 9.9)
    assert not here.election.may_write(sent + 10)
    assert here.hear(TimePassed(), sent + 10 - here.now) == [StopLeading()]
    assert not here.election.is_leader


def test_a_leader_that_was_paused_does_not_write() -> None:
    """Nobody told it anything, but its time is over; what it hears then makes it stop."""
    here = Candidate()
    here.lead()
    here.now += 60
    assert not here.election.may_write(here.now)
    commands = here.hear(TimePassed())
    assert commands[0] == StopLeading()
    assert here.hear(LeaseRefused(StoreRefusal.CONFLICT)) == []
    assert here.hear(TimePassed(), 2.0) == [ReadLease()]
    assert here.hear(LeaseTold(lease("b"))) == []


def test_a_renewal_that_was_accepted_too_long_ago_makes_no_leader() -> None:
    """Its answer came after a pause."""
    here = Candidate()
    here.hear(TimePassed())
    (write,) = here.hear(LeaseTold(None))
    assert BeginLeading() not in here.hear(LeaseTold(stored(write, "1")), 10.0)
    assert not here.election.may_write(here.now)


def test_a_lost_answer_costs_nothing() -> None:
    """The renewal was made, its answer lost: the Lease is read and renewed by its new version."""
    here = Candidate()
    here.lead()
    (write,) = here.hear(TimePassed(), 2.0)
    assert here.hear(LeaseRefused(StoreRefusal.CONFLICT)) == [ReadLease()]
    (again,) = here.hear(LeaseTold(stored(write, "2")))
    assert isinstance(again, WriteLease)
    assert again.lease.metadata.resource_version == "2"
    assert here.hear(LeaseTold(stored(again, "3"))) == []
    assert here.election.is_leader


def test_a_leader_that_reads_another_name_stops_at_once() -> None:
    """Somebody took the Lease by hand."""
    here = Candidate()
    here.lead()
    here.hear(TimePassed(), 2.0)
    assert here.hear(LeaseRefused(StoreRefusal.CONFLICT)) == [ReadLease()]
    assert here.hear(LeaseTold(lease("b"))) == [StopLeading()]


def test_who_leaves_gives_the_lease_back() -> None:
    """Nobody is named, for one second, and the count of holders stays."""
    here = Candidate()
    taken = here.lead()
    (write,) = here.hear(LeaveAsked(), 1.0)
    assert isinstance(write, WriteLease)
    spec = write.lease.spec
    assert (spec.holder_identity, spec.lease_duration_seconds) == ("", 1)
    assert spec.lease_transitions == taken.spec.lease_transitions
    assert here.hear(LeaseTold(stored(write, "2"))) == [StopLeading()]
    assert here.election.is_over
    assert here.election.deadline() is None


def test_who_leaves_while_a_renewal_is_under_way_gives_it_back_afterwards() -> None:
    """By the version that the renewal made."""
    here = Candidate()
    here.lead()
    (write,) = here.hear(TimePassed(), 2.0)
    assert here.hear(LeaveAsked()) == []
    (released,) = here.hear(LeaseTold(stored(write, "2")))
    assert isinstance(released, WriteLease)
    assert (released.lease.spec.holder_identity, released.lease.metadata.resource_version) == ("", "2")
    here.hear(LeaseRefused(StoreRefusal.UNAVAILABLE))
    assert here.election.is_over


def test_who_does_not_lead_leaves_at_once() -> None:
    """There is nothing to give back."""
    here = Candidate()
    here.hear(TimePassed())
    here.hear(LeaseTold(lease("b")))
    assert here.hear(LeaveAsked()) == []
    assert here.election.is_over


@pytest.mark.parametrize("times", [(10, 10, 2), (15, 2, 2), (15, 10, 0)])
def test_times_that_protect_nothing_are_refused(times: tuple[float, float, float]) -> None:
    """A lease outlasts the time to renew it, that outlasts a retry."""
    with pytest.raises(ValueError):
        LeaseTerms("n", "s", "a", *times)


class Lan:
    """Some candidates and one store; requests and answers take their time or are lost, programs pause, clocks differ.

    All clocks go equally fast. A write takes until `writes_end` at the longest.
    """

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.now = 0.0
        self.lease: Lease | None = None
        self.version = 0
        self.elections = {name: LeaderElection(terms(name), lambda: data.draw(st.floats(0, 1))) for name in "abc"}
        self.skews = {"a": 0.0, "b": HOUR, "c": -HOUR}
        self.paused_until = dict.fromkeys("abc", 0.0)
        self.writing_until = dict.fromkeys("abc", float("-inf"))
        self.leaders: list[str] = []
        self.pending: list[tuple[float, int, str, ElectionCommand | ElectionInput]] = []
        self.counter = itertools.count()

    def put(self, at: float, name: str, what: ElectionCommand | ElectionInput) -> None:
        heappush(self.pending, (at, next(self.counter), name, what))

    def run(self, seconds: float) -> None:
        for name in self.elections:
            self.hear(name, TimePassed())
        while self.pending and self.now < seconds:
            at, _, name, what = heappop(self.pending)
            self.now = max(self.now, at)
            match what:
                case ReadLease() | WriteLease():
                    self.answer(name, what)
                case LeaseTold() | LeaseRefused() | LeaseSeen() | TimePassed() | LeaveAsked():
                    self.hear(name, what)

    def answer(self, name: str, request: ReadLease | WriteLease) -> None:
        """The store takes a request, and its answer sets out."""
        told: ElectionInput = LeaseTold(self.lease)
        if isinstance(request, WriteLease):
            version = self.lease.metadata.resource_version if self.lease else ""
            if version == request.lease.metadata.resource_version:
                self.version += 1
                self.lease = stored(request, str(self.version))
                told = LeaseTold(self.lease)
                for each in self.elections:
                    if (seconds := self.data.draw(st.sampled_from((None, 0.01, 0.5, 4.0, 11.0)))) is not None:
                        self.put(self.now + seconds, each, LeaseSeen(self.lease))
            else:
                told = LeaseRefused(StoreRefusal.CONFLICT if version else StoreRefusal.NOT_FOUND)
        if self.data.draw(st.integers(0, 9)) == 0:
            told = LeaseRefused(StoreRefusal.UNAVAILABLE)
        self.put(self.now + self.data.draw(st.sampled_from((0.01, 0.5, 4.0, 11.0))), name, told)

    def hear(self, name: str, event: ElectionInput) -> None:
        if self.now < self.paused_until[name]:
            self.put(self.paused_until[name], name, event)
            return
        election = self.elections[name]
        for command in election.handle(event, self.now, WALL + self.now + self.skews[name]):
            match command:
                case BeginLeading():
                    self.leaders.append(name)
                case ReadLease() | WriteLease():
                    self.put(self.now + self.data.draw(st.sampled_from((0.01, 0.5, 4.0))), name, command)
                case StopLeading():
                    pass
        if election.may_write(self.now):
            others = {other: until for other, until in self.writing_until.items() if other != name}
            assert all(until <= self.now for until in others.values()), (name, self.now, others)
            self.writing_until[name] = max(self.writing_until[name], election.writes_end)
        if self.data.draw(st.integers(0, 19)) == 0:
            self.paused_until[name] = self.now + self.data.draw(st.sampled_from((3.0, 12.0, 40.0)))
        deadline = election.deadline()
        if deadline is not None:
            self.put(max(deadline, self.now), name, TimePassed())


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_write_is_under_way_while_another_leads(data: st.DataObject) -> None:
    """Whatever is slow, lost or paused."""
    lan = Lan(data)
    lan.run(120.0)
    assert lan.lease is None or lan.lease.spec.lease_transitions <= lan.version
