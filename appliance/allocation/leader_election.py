"""Which of several allocators writes: leader election by a Lease (coordination.k8s.io/v1), as client-go does it.

The rules:

- Who is free to take the Lease writes its own name into it, by the version it has read: of two the store lets one
  through. It is free where it names nobody, or where it has not been seen to change for as long as it says it lasts.
  That time is measured by the reader's own clock alone; what other machines take the time for is of no account.
- Whoever does not lead hears of the Lease by a watch, and reads it itself where that told nothing for two retries.
- The leader renews every `retry_seconds`. It leads until `renew_seconds` after it *sent* the last renewal that was
  accepted, and no write of it may be under way `lease_seconds` after that (`writes_end`): nobody else can lead before.
- Told to leave, the leader gives the Lease back after its last write, so that another takes it at its next look.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil

from appliance.allocation.event import TimePassed
from appliance.api.core import Lease, LeaseSpec
from appliance.api.meta import Metadata, is_newer
from appliance.api.refusal import StoreRefusal

# client-go's defaults.
LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 15.0, 10.0, 2.0
# How much longer than `retry_seconds` a candidate may wait, so that not all ask at once.
JITTER = 0.2
# What client-go writes for a Lease that was given back: the field must be positive.
_RELEASED_SECONDS = 1
_OUTDATED = frozenset({StoreRefusal.CONFLICT, StoreRefusal.NOT_FOUND, StoreRefusal.EXISTS})


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """The Lease that is wanted, by whom, and its times in seconds; raises ValueError for times that protect nothing."""

    name: str
    namespace: str
    identity: str
    lease_seconds: float = LEASE_SECONDS
    renew_seconds: float = RENEW_SECONDS
    retry_seconds: float = RETRY_SECONDS

    def __post_init__(self) -> None:
        if not self.lease_seconds > self.renew_seconds > self.retry_seconds * (1 + JITTER) > 0:
            raise ValueError("a lease lasts longer than the time to renew it, and that longer than a retry")


@dataclass(frozen=True, slots=True)
class LeaseTold:
    """What the Lease is, as the store answered to the request under way; None for no such Lease."""

    lease: Lease | None


@dataclass(frozen=True, slots=True)
class LeaseRefused:
    """The request under way was not done, or nobody knows."""

    refusal: StoreRefusal


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """What a watch tells the Lease to be; it may be late, or not be told at all."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class LeaveAsked:
    """No write is under way and none will be: give the Lease back."""


@dataclass(frozen=True, slots=True)
class ReadLease:
    """Say what the Lease is now."""


@dataclass(frozen=True, slots=True)
class WriteLease:
    """Create the Lease, or replace its spec where it is still of the version that the manifest carries."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class BeginLeading:
    """Writes may be made, as long as `may_write` says so."""


@dataclass(frozen=True, slots=True)
class StopLeading:
    """No further write may be made; what is under way has to end by `writes_end`."""


ElectionInput = LeaseTold | LeaseRefused | LeaseSeen | LeaveAsked | TimePassed
ElectionCommand = ReadLease | WriteLease | BeginLeading | StopLeading


class LeaderElection:
    """One candidate; `now` are seconds of a clock that only goes forward, `wall` seconds since 1970 for people to read.

    `jitter` gives numbers from 0 to 1. One request is under way at most; each is answered by LeaseTold or LeaseRefused.
    """

    def __init__(self, terms: LeaseTerms, jitter: Callable[[], float]) -> None:
        self._terms = terms
        self._jitter = jitter
        self._lease: Lease | None = None
        self._seen_at = float("-inf")
        self._renewed_at: float | None = None
        self._request: ReadLease | WriteLease | None = None
        self._sent_at = 0.0
        self._next_at = float("-inf")
        self._is_outdated = True
        self._is_watched = False
        self._is_seen_since = False
        self._is_leaving = False
        self.is_over = False

    @property
    def is_leader(self) -> bool:
        """Whether leading was begun and not yet stopped."""
        return self._renewed_at is not None

    @property
    def holder(self) -> str:
        """Whom the Lease was last seen to name, "" for nobody."""
        return self._lease.spec.holder_identity if self._lease is not None else ""

    @property
    def writes_end(self) -> float:
        """When every write that was begun while `may_write` held must have ended."""
        return self._renewed_at + self._terms.lease_seconds if self._renewed_at is not None else float("-inf")

    def may_write(self, now: float) -> bool:
        """Whether a write may begin."""
        return self._renewed_at is not None and now < self._renewed_at + self._terms.renew_seconds

    def deadline(self) -> float | None:
        """When there is something to do though nothing is told; None for not before the answer that is awaited."""
        moments = [] if self._request is not None or self.is_over else [self._next_at]
        if self._renewed_at is not None:
            moments.append(self._renewed_at + self._terms.renew_seconds)
        return min(moments, default=None)

    def handle(self, event: ElectionInput, now: float, wall: float) -> list[ElectionCommand]:
        """Take an event in; what is to be done about it, in order."""
        commands: list[ElectionCommand] = []
        was_leader = self.is_leader
        self._hear(event, now)
        if was_leader and not self.may_write(now):
            self._renewed_at = None
        if self.is_leader and not was_leader and not self._is_leaving:
            commands.append(BeginLeading())
        if was_leader and not self.is_leader:
            commands.append(StopLeading())
        if self._request is None and not self.is_over and now >= self._next_at:
            self._request = self._leave(wall) if self._is_leaving else self._attempt(now, wall)
            if self._request is not None:
                self._sent_at, self._is_seen_since = now, False
                commands.append(self._request)
        return commands

    def _hear(self, event: ElectionInput, now: float) -> None:
        match event:
            case LeaseTold(lease):
                self._take(lease, now)
            case LeaseRefused(refusal):
                self._refuse(refusal, now)
            case LeaseSeen(lease):
                self._see(lease, now)
            case LeaveAsked():
                self._is_leaving = True
                self._next_at = now
            case TimePassed():
                pass

    def _take(self, lease: Lease | None, now: float) -> None:
        """Take over what the Lease is, and what that makes of us."""
        request, self._request = self._request, None
        if not (self._is_seen_since and lease is not None and self._is_old(lease)):
            self._note(lease, now)
        self._is_outdated = False
        is_ours = self.holder == self._terms.identity
        if not isinstance(request, WriteLease):
            self._next_at = now
            if not is_ours:
                self._renewed_at = None
        elif not is_ours:
            self._renewed_at = None
            self.is_over = self._is_leaving
            self._next_at = now + self._retry_seconds()
        else:
            is_in_time = now < self._sent_at + self._terms.renew_seconds
            self._renewed_at = self._sent_at if is_in_time else None
            self._next_at = now if self._is_leaving else self._sent_at + self._terms.retry_seconds

    def _see(self, lease: Lease, now: float) -> None:
        """Take over what a watch tells; the answer to a write under way says more."""
        if isinstance(self._request, WriteLease) or self._is_old(lease):
            return
        self._note(lease, now)
        self._is_watched = self._is_seen_since = True
        if self.is_leader and self.holder != self._terms.identity:
            self._renewed_at = None
        if not self.is_leader:
            self._is_outdated = False
            self._next_at = now

    def _note(self, lease: Lease | None, now: float) -> None:
        if lease is None or self._lease is None or lease.spec != self._lease.spec:
            self._seen_at = now
        self._lease = lease

    def _is_old(self, lease: Lease) -> bool:
        """Whether a Lease is the one that is known, or one before it."""
        known = self._lease
        return known is not None and not is_newer(lease.metadata.resource_version, known.metadata.resource_version)

    def _refuse(self, refusal: StoreRefusal, now: float) -> None:
        """Look at the Lease anew before anything else; at once where it is only another than it was thought to be."""
        was_last = self._is_leaving and self._is_leave(self._request)
        self._request, self._is_outdated = None, True
        self.is_over |= was_last
        is_at_once = self._is_leaving or (self.is_leader and refusal in _OUTDATED)
        self._next_at = now if is_at_once else now + self._retry_seconds()

    def _is_leave(self, request: ReadLease | WriteLease | None) -> bool:
        """Whether a request is one that only who leaves makes: nothing is tried again after it."""
        return isinstance(request, ReadLease) or (request is not None and not request.lease.spec.holder_identity)

    def _attempt(self, now: float, wall: float) -> ReadLease | WriteLease | None:
        """Renew, or take the Lease where it is free; else look again when it may be."""
        if self._is_outdated:
            self._is_watched = False
            return ReadLease()
        if self.is_leader or self._lease is None or not self._is_held(now):
            return WriteLease(self._taken(wall))
        self._is_outdated = True
        retries = 2 if self._is_watched else 1
        self._next_at = min(now + retries * self._retry_seconds(), self._expires_at())
        return None

    def _leave(self, wall: float) -> ReadLease | WriteLease | None:
        """Give back a Lease that is ours; there is nothing more to do where it is not."""
        if not self.is_leader or self._lease is None:
            self.is_over = True
            return None
        if self._is_outdated:
            return ReadLease()
        spec = replace(
            self._lease.spec,
            holder_identity="",
            lease_duration_seconds=_RELEASED_SECONDS,
            acquire_time=_text(wall),
            renew_time=_text(wall),
        )
        return WriteLease(_written(self._lease, spec))

    def _is_held(self, now: float) -> bool:
        return self.holder not in ("", self._terms.identity) and now < self._expires_at()

    def _expires_at(self) -> float:
        spec = self._lease.spec if self._lease is not None else LeaseSpec()
        seconds = spec.lease_duration_seconds
        return self._seen_at + (seconds if seconds is not None else self._terms.lease_seconds)

    def _taken(self, wall: float) -> Lease:
        """The Lease with ourselves as its holder."""
        terms = self._terms
        mine = LeaseSpec(
            holder_identity=terms.identity,
            lease_duration_seconds=ceil(terms.lease_seconds),
            acquire_time=_text(wall),
            renew_time=_text(wall),
        )
        if self._lease is None:
            return Lease(metadata=Metadata(name=terms.name, namespace=terms.namespace), spec=mine)
        before = self._lease.spec
        if before.holder_identity == terms.identity:
            mine = replace(mine, acquire_time=before.acquire_time, lease_transitions=before.lease_transitions)
        else:
            mine = replace(mine, lease_transitions=before.lease_transitions + 1)
        return _written(self._lease, mine)

    def _retry_seconds(self) -> float:
        return self._terms.retry_seconds * (1 + JITTER * self._jitter())


def _written(lease: Lease, spec: LeaseSpec) -> Lease:
    """The Lease of the same version with another spec, and without the labels and annotations of others."""
    return replace(lease, metadata=replace(lease.metadata, labels={}, annotations={}), spec=spec)


def _text(wall: float) -> str:
    """A moment as `metav1.MicroTime` has it."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
