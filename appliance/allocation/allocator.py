"""Allocation as a core: from what changed in a store to the writes that bring it to what it should say.

Two tables are all there is to know: `ledger` says who holds which address and which are withheld, `cache` what the
store holds as far as is known. Every piece of work looks at both and asks for the next write that is missing; the
answer to a write, also a refusal, is an event like any other, and brings the work that waits for it back into the
queue. So nothing is undone and nothing is restored: whatever happened, the next look finds what is missing then.

From a manifest to its VirtualIP: `handle` takes the Service over (`_note`); `_serve` decides for it (`_decide`) and
sees what is missing (`_advance`); `_publish` plans the VirtualIP of each address (`_plan`) and has it written, then its
Backends; when both are there `_advance` has the Service told. A listing no longer needed goes by `_publish` too.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

from appliance.advertise.backend import backends
from appliance.advertise.host import site_hosts, taken_addresses
from appliance.advertise.plan import present_owner
from appliance.advertise.reason import HostReason, ServiceReason
from appliance.advertise.vip import HeldAddress, Planner, ServiceVerdict
from appliance.allocation.cache import Cache, address_of_ref, service_path, slice_service
from appliance.allocation.claim import (
    held_by,
    is_all_told,
    is_told,
    lists,
    take_back,
    tell,
    was_ours,
)
from appliance.allocation.configuration import INPUTS, Configuration, is_input_change
from appliance.allocation.event import (
    Command,
    Emit,
    Input,
    ObjectsChanged,
    Settings,
    TimePassed,
    Write,
    WriteDone,
    WriteOperation,
    WriteRefused,
)
from appliance.allocation.host_label import with_node_labels
from appliance.allocation.password import password_write
from appliance.allocation.pool_status import pool_status
from appliance.allocation.queue import BackOff, Queue, Urgency
from appliance.allocation.report import REPORT_TITLES, Reports
from appliance.api.address import IPAddress, vip_name
from appliance.api.core import EndpointSlice, Service
from appliance.api.kind import Kind, Object, ref_of
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import (
    HOSTS_NAMESPACE,
    Backends,
    BGPSession,
    VirtualIP,
    VirtualIPService,
    VirtualIPSpec,
    overview_of,
)
from appliance.api.refusal import StoreRefusal
from appliance.config.model import Pool
from appliance.ipam.allocation import refusal_of
from appliance.ipam.event import EventReason, ServiceEvent
from appliance.ipam.ledger import Ledger, Terms
from appliance.ipam.quarantine import freed, quarantine_of
from appliance.ipam.reason import Reason
from appliance.ipam.reconcile import Decision, Reconciliation, events_of, is_met, reconcile
from appliance.ipam.request import Request, Unserved, read_held, read_request, read_told
from appliance.ipam.withheld import Withheld, unreleased

Key = str | IPAddress | Ref

KEYS_MAX = 64
PART_MAX = 1000
MARKS_MAX = 16
RETRY_SECONDS_MAX = 5.0
IMPOSSIBLE_SECONDS, IMPOSSIBLE_SECONDS_MAX = 1.0, 300.0
STATUS_SECONDS = 1.0
_STORE = Ref("", "", "")
_SECRETS = frozenset({Kind.SECRET})
_OUTDATED = frozenset({StoreRefusal.CONFLICT, StoreRefusal.NOT_FOUND, StoreRefusal.EXISTS})


# Which of an address's objects may say something else than they should.
_VIP, _BACKENDS = 1, 2
_BOTH = _VIP | _BACKENDS


@dataclass(slots=True)
class _ServiceCase:
    """What was decided for one Service and how far it is written.

    `released` are the versions of VirtualIPs whose listing of the Service may go: it was changed, or seen to be gone,
    when they were known. `settled_at` is the version of the Service that a write of ours left as it is: what it says
    otherwise than it should is somebody else's, such as an annotation in an operator's manifest. `lingering` are the
    addresses that its status names though it does not hold them: nobody else is told one before it is cleared.
    """

    asked: Request | Unserved | None = None
    asked_at: str = ""
    decision: Decision | None = None
    last_told: Decision | None = None
    happened: tuple[ServiceEvent, ...] = ()
    is_assigning: bool = False
    is_written: bool = False
    is_rejected: bool = False
    settled_at: str | None = None
    lingering: tuple[IPAddress, ...] = ()
    released: dict[IPAddress, str] = field(default_factory=dict)

    def may_let_go(self, listings: Iterable[tuple[IPAddress, str]]) -> bool:
        """Whether all these listings, by the version of their VirtualIPs, may go."""
        return all(self.released.get(address) == version for address, version in listings)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A write under way, and the versions of the VirtualIPs whose listings it lets go when it is done."""

    write: Write
    released: tuple[tuple[IPAddress, str], ...] = ()


class Allocator:
    """Who holds what, what the store says, and the writes that are missing; times are seconds since 1970.

    Of one object at most one write is under way, of all of them at most `settings.writes_max`. One call does a bounded
    part of what there is to do; `deadline` then lies in the past. What a given `cache` has
    been told needs not be told again.
    """

    def __init__(self, settings: Settings, cache: Cache | None = None) -> None:
        self._settings = settings
        self.cache = cache if cache is not None else Cache()
        self.ledger = Ledger()
        self.configuration = Configuration(settings)
        self._reports = Reports(settings.report_namespace, self.cache)
        self._planner = Planner(settings.order)
        self._queue: Queue[Key] = Queue()
        self._back_off: BackOff[Ref] = BackOff()
        self._quarantines: BackOff[IPAddress] = BackOff()
        self._attempts: dict[Ref, _Attempt] = {}
        self.cases: dict[str, _ServiceCase] = {}
        self._stale: dict[IPAddress, int] = {}
        self._planned: Counter[str] = Counter()
        self._waiting: dict[str, None] = {}
        self._undecided: set[str] = set()
        self._to_adopt: dict[str, None] = {}
        self._holders: dict[tuple[bool, int], list[str]] = {}
        self._adoptions: deque[str] = deque()
        self._start: Iterator[None] | None = None
        self._held_back: dict[Key, None] = {}
        self._overtaken: set[Ref] = set()
        self._name_taken: set[IPAddress] = set()
        self._lingering: dict[IPAddress, tuple[str, ...]] = {}
        self._forbidden: dict[tuple[str, WriteOperation], dict[Ref, None]] = {}
        self._failing: dict[IPAddress, frozenset[str]] = {}
        self._is_freed = False
        self._is_begun = False
        self._is_stale = True
        self._are_counts_stale = True
        self._count_due: float | None = None
        self._now = 0.0
        self._commands: list[Command] = []

    def handle(self, event: Input, now: float) -> list[Command]:
        """Take an event in, and do a bounded part of what there is to do."""
        self._now = now
        self._commands = []
        match event:
            case ObjectsChanged():
                self._absorb(event)
            case WriteDone(write, stored):
                self._conclude_write(write, stored)
            case WriteRefused(write, refusal, retry_seconds):
                self._learn(write, refusal, retry_seconds)
            case TimePassed():
                pass
        if self.cache.is_listed:
            if not self._is_begun:
                self._is_begun = self._is_stale = self._are_counts_stale = True
                self._start = self._begin()
            self._work()
        return self._commands

    def deadline(self) -> float | None:
        """When there is something to do though nothing happens; None for never."""
        moments = [self._back_off.deadline(), self._quarantines.deadline()]
        if self.cache.is_listed and _STORE not in self._back_off:
            if len(self._attempts) < self._settings.writes_max and self._has_work():
                moments.append(self._now)
            if self._are_counts_stale:
                moments.append(self._now if self._count_due is None else self._count_due)
            if self._may_report() and (report_at := self._reports.deadline()) is not None:
                moments.append(max(report_at, self._now))
        return min((moment for moment in moments if moment is not None), default=None)

    @property
    def queue_length(self) -> int:
        """How many Services and objects are still to be looked at."""
        return len(self._queue)

    def _has_work(self) -> bool:
        return bool(self._queue or self._start or self._to_adopt or self._adoptions or self._is_stale or self._is_freed)

    # What happened

    def _absorb(self, event: ObjectsChanged) -> None:
        """Take a batch over; of what there was at the beginning Services come in order of name."""
        was_complete = self.cache.is_complete
        for change in self.cache.absorb(event):
            if self._is_begun:
                self._note(*change)
        self._overtaken.update(ref for ref in event.removed if ref in self._attempts)
        self._is_stale |= was_complete != self.cache.is_complete or Kind.SECRET in event.listed

    def _begin(self) -> Iterator[None]:
        """Look at everything there is for the first time, a part at a time: holders first, then what is listed."""
        for count, path in enumerate(sorted(self.cache.services), 1):
            self._note_service(path)
            if not count % PART_MAX:
                yield
        for path in sorted(self.cache.listed_services() - self.cache.services.keys()):
            self._queue.add(path, Urgency.HOLDER)
        for name in self.cache.hosts:
            self._queue.add(Ref("Host", "", name), Urgency.REPORT)
        self._adopt()
        while self._to_adopt or self._adoptions:
            yield
            self._adopt()
        for count, address in enumerate(list(self.cache.vips), 1):
            self._note_listing(address)
            if not count % PART_MAX:
                yield
        self._mark_all(sorted(self.cache.backends.keys() - self.cache.vips.keys(), key=int))
        self._reports.begin()

    def _note(self, ref: Ref, before: Object | None, after: Object | None) -> None:
        """Put everything that the change of an object concerns into the queue."""
        self._reports.note(ref, before, after)
        self._back_off.revive(ref)
        self._is_stale |= is_input_change(before, after) or (before is after and ref.kind in INPUTS)
        match after or before:
            case VirtualIP() as vip:
                self._note_vip(vip.spec.address, before, after)
            case EndpointSlice():
                for piece in (before, after):
                    if isinstance(piece, EndpointSlice) and (holding := self.ledger.holding(slice_service(piece))):
                        self._mark_all(holding.addresses)
            case _:
                self._note_other(ref)

    def _note_other(self, ref: Ref) -> None:
        match ref.kind:
            case "Service":
                self._note_service(ref.path)
                self._note_told(ref.path)
            case "VirtualIP" | "Backends":
                address = address_of_ref(ref)
                if address is not None:
                    self._withhold(address)
                    self._mark(address)
            case "Host" | "Node":
                self._queue.add(Ref("Host", "", ref.name), Urgency.REPORT)
            case "IPAddressPool":
                self._are_counts_stale = True
            case "BGPSession":
                self._queue.add(ref, Urgency.REPORT)
            case "Secret" if ref.namespace == HOSTS_NAMESPACE:
                self._queue.add(ref, Urgency.REPORT)
            case _:
                return

    def _note_service(self, path: str) -> None:
        self._undecided.add(path)
        self._to_adopt[path] = None
        case = self.cases.get(path)
        if case is not None:
            case.is_rejected = False
        is_holder = case is not None or bool(self.cache.claims(path))
        holders = Urgency.HOLDER if self._start is None else Urgency.REVIEW
        self._queue.add(path, holders if is_holder else Urgency.NEWCOMER)

    def _note_told(self, path: str) -> None:
        """Withhold what a Service's status names though it does not hold it, as another system may have told it."""
        service, holding = self.cache.services.get(path), self.ledger.holding(path)
        held = holding.addresses if holding is not None else ()
        told = read_told(service) if service is not None and service.status.load_balancer.ingress else ()
        lingering = tuple([address for address in told if address not in held]) if told != held else ()
        case = self.cases.get(path)
        before = case.lingering if case is not None else ()
        if lingering == before:
            return
        self._case(path).lingering = lingering
        for address in {*before, *lingering}:
            others = tuple(other for other in self._lingering.pop(address, ()) if other != path)
            if paths := (*others, path) if address in lingering else others:
                self._lingering[address] = paths
            self._withhold(address)

    def _release(self, path: str) -> None:
        """Let a Service hold nothing until it is decided for; nobody else gets what it was told or is listed for."""
        holding = self.ledger.release(path)
        self._note_told(path)
        for address in holding.addresses if holding is not None else ():
            self._withhold(address)

    def _note_vip(self, address: IPAddress, before: Object | None, after: Object | None) -> None:
        """A VirtualIP changed that we did not write: look again at whom it lists, listed, and lists no longer."""
        old, new = _listing(before), _listing(after)
        self._name_taken.discard(address)
        for path in self.ledger.users(address):
            is_news = before is None or old != new
            if path not in new and after is not None and is_news and not self._is_told(path, address):
                self._release(path)
                self._undecided.add(path)
            self._queue.add(path, Urgency.HOLDER)
        for path in (*old, *new):
            if (path in old) != (path in new):
                self._to_adopt[path] = None
            if (path in old) != (path in new) or path not in self.ledger.users(address):
                self._undecided.add(path)
            self._queue.add(path, Urgency.HOLDER)
        self._commands.extend(moves(before, after))
        self._withhold(address)
        self._mark(address, _BOTH if before is None or after is None else _VIP)

    def _conclude_write(self, write: Write, stored: Object | None) -> None:
        """Take over what a write made of an object, and go on with all that waited for it."""
        attempt = self._end(write)
        self._back_off.succeed(_STORE)
        if self._overtaken and write.ref in self._overtaken:
            self._overtaken.discard(write.ref)
            self._look_up(write.ref)
            return
        changes = tuple(self.cache.drop(write.ref) if stored is None else filter(None, (self.cache.put(stored),)))
        for ref, before, after in changes:
            if write.operation is WriteOperation.GET:
                self._note(ref, before, after)
                continue
            self._is_stale |= is_input_change(before, after)
            for path in _listing(before):
                self._queue.add(path, Urgency.HOLDER)
        if write.operation is not WriteOperation.GET:
            self._back_off.succeed(write.ref)
        if stored is not None and _is_unchanged(stored, write):
            if isinstance(stored, Service):
                self._case(write.ref.path).settled_at = stored.metadata.resource_version
        elif write.operation is not WriteOperation.GET or stored is None:
            for address, version in attempt.released:
                self._case(write.ref.path).released[address] = version
                self._mark(address, _VIP)
        self._reports.take_over(write, changes)
        self._touch(write.ref)
        self._retry_forbidden(write)

    def _note_forbidden(self, write: Write, refusal: StoreRefusal, waiting: Ref) -> None:
        if refusal is StoreRefusal.FORBIDDEN:
            self._forbidden.setdefault((write.ref.kind, write.operation), {})[waiting] = None

    def _retry_forbidden(self, done: Write) -> None:
        """Try one write again that was forbidden, as one like it was not: a right may have been given back."""
        refs = self._forbidden.get((done.ref.kind, done.operation), {})
        refs.pop(done.ref, None)
        ref = next(iter(refs), None)
        if ref is not None:
            del refs[ref]
            self._back_off.revive(ref)
            self._mark_of_ref(ref)
            self._touch(ref)

    def _learn(self, write: Write, refusal: StoreRefusal, retry_seconds: float) -> None:
        """Take in what a refusal says of an object, and leave it alone for as long as it says."""
        self._end(write)
        self._overtaken.discard(write.ref)
        self._mark_of_ref(write.ref)
        is_report = write.ref.kind in REPORT_TITLES
        if is_report:
            self._reports.refuse(write, refusal, self._now)
        if refusal in (StoreRefusal.UNAVAILABLE, StoreRefusal.THROTTLED):
            if _STORE not in self._back_off:
                self._back_off.put(_STORE, self._now, max(RETRY_SECONDS_MAX, retry_seconds), max(retry_seconds, 0.05))
            self._touch(write.ref)
            return
        if is_report:
            return
        if refusal in _OUTDATED and write.operation is not WriteOperation.GET:
            self._back_off.put(write.ref, self._now, RETRY_SECONDS_MAX)
            if write.operation is WriteOperation.APPLY_STATUS and write.ref.kind == "Service":
                self._case(write.ref.path).is_assigning = False
            self._look_up(write.ref)
            return
        self._back_off.put(write.ref, self._now, IMPOSSIBLE_SECONDS_MAX, IMPOSSIBLE_SECONDS)
        self._note_forbidden(write, refusal, write.ref)
        address = address_of_ref(write.ref) if write.ref.kind == "VirtualIP" else None
        if address is not None:
            self._give_up(address, write, refusal)
        self._touch(write.ref)

    def _end(self, write: Write) -> _Attempt:
        """A write is under way no longer."""
        if isinstance(write.manifest, VirtualIP) and write.operation is WriteOperation.CREATE:
            owner = present_owner(write.manifest)
            if owner:
                self._planned -= Counter([owner])
        return self._attempts.pop(write.ref)

    def _look_up(self, ref: Ref) -> None:
        """Ask the store itself what an object is, where what is known of it is doubtful."""
        write = Write(WriteOperation.GET, ref)
        self._attempts[ref] = _Attempt(write)
        self._commands.append(write)

    def _give_up(self, address: IPAddress, write: Write, refusal: StoreRefusal) -> None:
        """A VirtualIP cannot be written: for its name, or for what a Service asks for that it does not list yet."""
        is_name = refusal is StoreRefusal.READ_ONLY or write.operation is WriteOperation.GET
        if is_name:
            self._name_taken.add(address)
        for path in self.ledger.users(address):
            if self._is_told(path, address):
                continue
            self._release(path)
            self._undecided.add(path)
            self._queue.add(path, Urgency.NEWCOMER)
            service = self.cache.services.get(path)
            if not is_name and service is not None:
                self._back_off.put(ref_of(service), self._now, IMPOSSIBLE_SECONDS_MAX, IMPOSSIBLE_SECONDS)
                self._note_forbidden(write, refusal, ref_of(service))
                if not self.cache.claims(path):
                    self._back_off.revive(write.ref)
                self._tell_rejected(path, refusal)

    def _tell_rejected(self, path: str, refusal: StoreRefusal) -> None:
        case = self._case(path)
        if not case.is_rejected:
            case.is_rejected = True
            sentence = f"the store does not take what the Service asks for: {refusal.value}"
            self._commands.append(Emit(path, ServiceEvent(EventReason.INTERNAL_ERROR, sentence)))

    def _touch(self, ref: Ref) -> None:
        """Look again at all that the write of an object is for."""
        if ref.kind == "Service":
            self._note_told(ref.path)
            self._queue.add(ref.path, Urgency.HOLDER)
            holding = self.ledger.holding(ref.path)
            for held in holding.addresses if holding else ():
                for path in self.ledger.users(held):
                    self._queue.add(path, Urgency.HOLDER)
            return
        if ref.kind not in ("VirtualIP", "Backends"):
            self._queue.add(ref, Urgency.REPORT)
            return
        address = address_of_ref(ref)
        if address is None:
            return
        if ref.kind == "VirtualIP":
            self._withhold(address)
        if address in self._stale:
            self._queue.add(address, Urgency.ADDRESS)
        vip = self.cache.vips.get(address)
        for path in self.ledger.users(address):
            self._queue.add(path, Urgency.HOLDER)
        for entry in vip.spec.services if vip else ():
            self._queue.add(_path(entry), Urgency.HOLDER)

    def _mark(self, address: IPAddress, stale: int = _BOTH, urgency: Urgency = Urgency.ADDRESS) -> None:
        """An address's objects may have to say something else."""
        self._stale[address] = self._stale.get(address, 0) | stale
        self._queue.add(address, urgency)

    def _mark_all(self, addresses: Iterable[IPAddress], stale: int = _BOTH) -> None:
        for address in addresses:
            self._mark(address, stale)

    def _mark_of_ref(self, ref: Ref) -> None:
        address = address_of_ref(ref) if ref.kind in ("VirtualIP", "Backends") else None
        if address is not None:
            self._mark(address)

    # What is to be done

    def _work(self) -> None:
        """Do what is most urgent, as long as writes may be asked for, and a bounded number of things."""
        self._take_up_what_is_due()
        if self._is_stale:
            self._configure()
        if not self._have_holders_entered():
            return
        self._count()
        for _ in range(KEYS_MAX):
            if self._is_freed:
                self._wake()
            if len(self._attempts) >= self._settings.writes_max or _STORE in self._back_off:
                return
            match self._queue.pop():
                case None:
                    self._write_reports()
                    return
                case str() as path:
                    self._serve(path)
                case Ref() as ref:
                    self._report(ref)
                case address:
                    self._publish(address)

    def _have_holders_entered(self) -> bool:
        """Go one bounded part further with entering who holds what; whether all of it is done."""
        if self._start is not None:
            if next(self._start, self._start) is None:
                return False
            self._start = None
        self._adopt()
        return not self._to_adopt and not self._adoptions

    def _write_reports(self) -> None:
        """Ask for statuses that say something else than they should, when nothing else is asked for."""
        if self._may_report():
            for write in self._reports.writes(self._now, self._settings.writes_max - len(self._attempts)):
                self._ask(write)

    def _may_report(self) -> bool:
        return len(self._attempts) == self._reports.under_way < self._settings.writes_max

    def _take_up_what_is_due(self) -> None:
        """Look again at objects that were left alone for a while, and at addresses whose quarantine is over."""
        for ref in self._back_off.due(self._now):
            if ref.kind == "VirtualIP" and (named := address_of_ref(ref)) is not None:
                self._name_taken.discard(named)
            self._mark_of_ref(ref)
            self._touch(ref)
        for address in self._quarantines.due(self._now):
            self._withhold(address)
            self._mark(address)

    def _ask(self, write: Write, released: Iterable[tuple[IPAddress, str]] = ()) -> bool:
        """Ask for a write, unless one of the same object is under way or the object is to be left alone."""
        if write.ref in self._attempts or write.ref in self._back_off:
            return False
        self._attempts[write.ref] = _Attempt(write, tuple(released))
        self._commands.append(write)
        return True

    def _serve(self, path: str) -> None:
        """Go one step further with a Service: decide for it, have its addresses published, tell it."""
        service = self.cache.services.get(path)
        if service is None:
            self._retire(path)
            return
        ref = ref_of(service)
        if ref in self._attempts or ref in self._back_off:
            return
        case = self._case(path)
        if case.decision is None or path in self._undecided:
            self._decide(path, service, case)
        self._advance(path, service, case)

    def _decide(self, path: str, service: Service, case: _ServiceCase) -> None:
        """What a Service is to have from now on."""
        self._undecided.discard(path)
        claims, before = self.cache.claims(path), self.ledger.holding(path)
        asked = self._asked(case, service)
        held = held_by(service, claims)
        if held == () and before is not None:
            held = before.addresses
        is_told = any(entry.ip for entry in service.status.load_balancer.ingress)
        decision = reconcile(path, asked, held, self.ledger, is_told=is_told, listed=claims)
        carried = () if case.is_written else case.happened
        # A store may tell of our own write before it answers: the Service is looked at again, and already has it all.
        is_same = not case.is_written and case.decision is not None and case.decision.addresses == decision.addresses
        case.happened = (
            *(event for event in carried if is_same or event.reason is not EventReason.IP_ALLOCATED),
            *decision.happened,
        )
        case.decision, case.is_written, case.is_assigning = decision, False, case.is_assigning and is_same
        if decision.refusal is not None:
            self._waiting[path] = None
        else:
            self._waiting.pop(path, None)
        now = self.ledger.holding(path)
        self._note_told(path)
        if before != now:
            self._are_counts_stale = True
            self._is_freed |= before is not None
        for address in {*decision.addresses, *(held or ()), *claims, *(before.addresses if before else ())}:
            self._withhold(address)
            self._mark(address)

    def _advance(self, path: str, service: Service, case: _ServiceCase) -> None:
        """Ask for what is missing before a decision is written; conclude it when nothing is."""
        decision, claims = case.decision, self.cache.claims(path)
        if decision is None or case.asked is None:
            return
        if decision.outcome is Reconciliation.IGNORED and not was_ours(service, case.asked, claims):
            self._conclude(path, case)
            return
        addresses = decision.addresses
        if claims == addresses and is_all_told(service, addresses, decision.pool):
            self._conclude(path, case)
            return
        published = [self._is_published(address, path, service) for address in addresses]
        if not all(published):
            return
        extra = [address for address in claims if address not in addresses]
        versions = [(address, self.cache.vips[address].metadata.resource_version) for address in extra]
        if not is_all_told(service, addresses, decision.pool) and case.settled_at != service.metadata.resource_version:
            case.is_assigning |= bool(addresses) and addresses != read_held(service)
            self._tell(tell(service, addresses, decision.pool), versions)
            return
        if not case.may_let_go(versions):
            self._tell(take_back(service, dict(versions)), versions)
            return
        self._mark_all(extra, _VIP)
        self._conclude(path, case)

    def _tell(self, told: Service, released: Iterable[tuple[IPAddress, str]]) -> None:
        """Ask for a Service's status and annotations of ours in one write."""
        self._ask(Write(WriteOperation.APPLY_STATUS, ref_of(told), told, with_metadata=True), released)

    def _is_published(self, address: IPAddress, path: str, service: Service) -> bool:
        """Whether a Service may be told an address, or was; what is missing before is asked for."""
        vip = self.cache.vips.get(address)
        if is_told(service, address):
            if not lists(vip, path):
                self._mark(address)
            return True
        if vip is None or not lists(vip, path) or _version_of(service) not in vip.spec.renewed_for.split(","):
            self._mark(address, _VIP)
            return False
        if self._lacks_backends(address) and Ref("Backends", "", vip.metadata.name) not in self._back_off:
            self._mark(address, _BACKENDS)
            return False
        return True

    def _lacks_backends(self, address: IPAddress) -> bool:
        """Whether the Backends of an address is to be made: it is nothing to hosts before the first endpoint."""
        slices = self.cache.slices
        return address not in self.cache.backends and any(
            piece.endpoints for path in self.ledger.users(address) for piece in slices.get(path, ())
        )

    def _conclude(self, path: str, case: _ServiceCase) -> None:
        """Tell the owner of a Service of a decision that has been written."""
        decision = case.decision
        if case.is_written or decision is None:
            return
        happened = case.happened
        if not case.is_assigning:
            happened = tuple(event for event in happened if event.reason is not EventReason.IP_ALLOCATED)
        elif not any(event.reason is EventReason.IP_ALLOCATED for event in happened):
            texts = ", ".join(map(str, decision.addresses))
            event = ServiceEvent(EventReason.IP_ALLOCATED, f"assigned {texts} from pool {decision.pool}")
            happened = (event, *happened)
        told_now = decision if decision.happened == happened else replace(decision, happened=happened)
        self._commands.extend([Emit(path, event) for event in events_of(told_now, case.last_told)])
        case.last_told, case.happened, case.is_written = decision, (), True

    def _retire(self, path: str) -> None:
        """Take back what a Service held that is gone: after the store itself has said so, for kinds lag one another."""
        ref = Ref("Service", *path.split("/", 1))
        if not self.cache.is_complete or not self.cache.is_readable(ref):
            self._held_back[path] = None
            return
        claims = self.cache.claims(path)
        versions = [(address, self.cache.vips[address].metadata.resource_version) for address in claims]
        case = self._case(path)
        if not case.may_let_go(versions):
            self._ask(Write(WriteOperation.GET, ref), versions)
            return
        holding = self.ledger.release(path)
        self._note_told(path)
        self._is_freed |= holding is not None
        self._are_counts_stale |= holding is not None
        for address in (*claims, *(holding.addresses if holding else ())):
            self._withhold(address)
            self._mark(address)
        if not claims:
            del self.cases[path]
            self._waiting.pop(path, None)
            self._undecided.discard(path)
            self._back_off.succeed(ref)

    def _publish(self, address: IPAddress) -> None:
        """Bring an address's VirtualIP and Backends to what they should say, or away where it is nobody's."""
        stale = self._stale.pop(address, 0)
        if not stale:
            return
        users = self._decided_users(address)
        if users is None or self._is_unreadable(address):
            return
        vip = self.cache.vips.get(address)
        listed = vip.spec.services if vip else ()
        others = tuple([entry for entry in listed if vip and self._is_listed_still(entry, vip, users)])
        if not users and not others:
            self._clear(address, vip)
            return
        left = 0
        if stale & _VIP and not self._write_vip(address, vip, users, others):
            left |= _VIP
        if stale & _BACKENDS and users and not self._write_backends(address, users):
            left |= _BACKENDS
        if left:
            self._stale[address] = left

    def _decided_users(self, address: IPAddress) -> tuple[str, ...] | None:
        """The Services that are to have an address; None where one that holds it is still to be decided for."""
        users = []
        for path in self.ledger.users(address):
            case = self.cases.get(path)
            if path in self.cache.services:
                if case is None or case.decision is None:
                    return None
                if address in case.decision.addresses:
                    users.append(path)
        return tuple(users)

    def _is_listed_still(self, entry: VirtualIPService, vip: VirtualIP, users: tuple[str, ...]) -> bool:
        """Whether an entry names a Service that holds the address no longer, and has not been let go yet."""
        path = _path(entry)
        case = self.cases.get(path)
        released = case.released.get(vip.spec.address) if case else None
        return path not in users and released != vip.metadata.resource_version

    def _write_vip(
        self, address: IPAddress, vip: VirtualIP | None, users: tuple[str, ...], others: tuple[VirtualIPService, ...]
    ) -> bool:
        """Ask for what a VirtualIP should say; says whether nothing is left to ask for."""
        if not users and vip is not None:
            overview = overview_of(others, vip.spec.layer2, vip.spec.bgp)
            spec = replace(vip.spec, services=others, overview=overview)
        elif vip is None and all(self._is_ignored(path) for path in users):
            return True
        else:
            spec = self._plan(address, vip, users, others)
        if vip is None:
            manifest = VirtualIP(metadata=Metadata(name=vip_name(address)), spec=spec)
            is_asked = self._ask(Write(WriteOperation.CREATE, ref_of(manifest), manifest))
            if is_asked and (owner := present_owner(manifest)):
                self._planned[owner] += 1
            return is_asked
        return spec == vip.spec or self._ask(Write(WriteOperation.APPLY, ref_of(vip), replace(vip, spec=spec)))

    def _plan(
        self, address: IPAddress, vip: VirtualIP | None, users: tuple[str, ...], others: tuple[VirtualIPService, ...]
    ) -> VirtualIPSpec:
        """What a VirtualIP should say: its holders, and every other listing until it has been let go."""
        stock = self.ledger.stock_at(address)
        pool = stock.pool.name if stock else ""
        services = tuple([self.cache.services[path] for path in users])
        siblings = self._siblings(users)
        owner = present_owner(vip)
        if not owner and siblings:
            owner = next(filter(None, map(self._planned_owner, siblings)), "")
        order_by = siblings[0] if siblings else None
        held = HeldAddress(address, pool, services, owner, order_by)
        load = self.cache.load + self._planned if self._planned else self.cache.load
        announcement = self._planner.plan(held, self.cache.slices, load)
        self._tell_failures(address, announcement.verdicts)
        spec = announcement.spec
        if vip is not None:
            spec = self._with_what_is_frozen(spec, vip.spec, announcement.verdicts)
        if others:
            listed = sorted((*spec.services, *others), key=lambda entry: (entry.namespace, entry.name))
            spec = replace(spec, services=tuple(listed))
        if spec is not announcement.spec:
            spec = replace(spec, overview=overview_of(spec.services, spec.layer2, spec.bgp))
        marks = [_version_of(service) for service in services if not is_told(service, address)][:MARKS_MAX]
        present = vip.spec.renewed_for if vip is not None else ""
        is_fresh = set(marks) <= set(present.split(","))
        mark = present if is_fresh else ",".join(marks)
        return spec if spec.renewed_for == mark else replace(spec, renewed_for=mark)

    def _with_what_is_frozen(
        self, spec: VirtualIPSpec, present: VirtualIPSpec, verdicts: Iterable[tuple[str, ServiceVerdict]]
    ) -> VirtualIPSpec:
        """Where it is not known how a pool is to be announced, its addresses are announced as they were."""
        in_force = self.configuration.in_force
        is_of_unknown_pool = not spec.pool or (present.pool and present.pool not in in_force.config.pools)
        if in_force.has_unknown_pools and is_of_unknown_pool:
            return replace(spec, pool=present.pool, layer2=present.layer2, bgp=present.bgp)
        frozen, is_complete = in_force.frozen, self.cache.is_complete
        if spec.pool in frozen.layer2 or (
            (frozen.is_layer2_unknown or not is_complete)
            and all(verdict.layer2.outcome is ServiceReason.NO_ADVERTISEMENT for _, verdict in verdicts)
        ):
            spec = replace(spec, layer2=present.layer2)
        if spec.pool in frozen.bgp or (
            (frozen.is_bgp_unknown or not is_complete)
            and all(verdict.bgp.outcome is ServiceReason.NO_ADVERTISEMENT for _, verdict in verdicts)
        ):
            spec = replace(spec, bgp=present.bgp)
        return spec

    def _write_backends(self, address: IPAddress, users: tuple[str, ...]) -> bool:
        """Ask for what the Backends of an address should say; says whether nothing is left to ask for."""
        present = self.cache.backends.get(address)
        if present is None and not self._lacks_backends(address):
            return True
        if address not in self.cache.vips:
            return False
        services = tuple(self.cache.services[path] for path in users)
        spec = backends(address, services, self.cache.slices)
        if present is None:
            name = vip_name(address)
            manifest = Backends(metadata=Metadata(name=name), spec=spec)
            return self._ask(Write(WriteOperation.CREATE, Ref("Backends", "", name), manifest))
        return present.spec == spec or self._ask(
            Write(WriteOperation.APPLY, ref_of(present), replace(present, spec=spec))
        )

    def _clear(self, address: IPAddress, vip: VirtualIP | None) -> None:
        """Away with the objects of an address that nobody holds, the claim last; or into quarantine with it."""
        if not self.cache.is_complete:
            self._held_back[address] = None
            return
        self._planner.forget(address)
        self._failing.pop(address, None)
        present = self.cache.backends.get(address)
        if present is not None:
            self._stale[address] = _BOTH
            self._ask(Write(WriteOperation.DELETE, ref_of(present), version=present.metadata.resource_version))
            return
        if vip is None or quarantine_of(vip.spec, self._quarantine_seconds(address), self._now) is not None:
            return
        if vip.spec.services and self._quarantine_seconds(address):
            spec = freed(vip.spec, vip.spec.services[-1].reference, self._now)
            is_asked = self._ask(Write(WriteOperation.APPLY, ref_of(vip), replace(vip, spec=spec)))
        else:
            is_asked = self._ask(Write(WriteOperation.DELETE, ref_of(vip), version=vip.metadata.resource_version))
        if not is_asked:
            self._stale[address] = _BOTH

    def _report(self, ref: Ref) -> None:
        """Bring the labels of a Host, the status of a pool or a session to what they should say."""
        match ref.kind:
            case "BGPSession":
                self._report_session(ref)
            case "Secret" if self.cache.has_listed(_SECRETS) and self.cache.is_readable(ref):
                host, secret = self.cache.hosts.get(ref.name), self.cache.host_secrets.get(ref.name)
                write = password_write(host, secret, self.configuration.sessions, self._may_have_peer)
                if write is not None:
                    self._ask(write)
            case "Host":
                host, node = self.cache.hosts.get(ref.name), self.cache.nodes.get(ref.name)
                wanted = with_node_labels(host, node) if host is not None and node is not None else None
                if wanted is not None:
                    self._ask(Write(WriteOperation.APPLY_METADATA, ref, wanted))
            case "IPAddressPool":
                pool, stock = self.cache.pools.get(ref), self.ledger.stocks.get(ref.name)
                if pool is not None and stock is not None and pool.status != (status := pool_status(stock)):
                    metadata = replace(pool.metadata, resource_version="")
                    self._ask(Write(WriteOperation.APPLY_STATUS, ref, replace(pool, status=status, metadata=metadata)))
            case _:
                return

    def _report_session(self, ref: Ref) -> None:
        """A session of a peer that is wrong or cannot be read stays as it is."""
        sessions, present = self.configuration.sessions, self.cache.sessions.get(ref.name)
        spec = sessions.wanted.get(ref.name)
        if spec is not None and present is None:
            manifest = BGPSession(metadata=Metadata(name=ref.name), spec=spec)
            self._ask(Write(WriteOperation.CREATE, ref, manifest))
        elif spec is not None and present is not None and present.spec != spec:
            self._ask(Write(WriteOperation.APPLY, ref, replace(present, spec=spec)))
        elif spec is None and present is not None and not self._may_have_peer(ref.name):
            self._ask(Write(WriteOperation.DELETE, ref, version=present.metadata.resource_version))

    def _may_have_peer(self, name: str) -> bool:
        """Whether there may be a BGPPeer though no session is wanted for it: it is wrong, or cannot be read."""
        unreadable = {ref.name for ref in self.cache.unreadable if ref.kind == "BGPPeer"}
        return not self.cache.is_complete or name in self.configuration.sessions.kept or name in unreadable

    # What it all rests on

    def _configure(self) -> None:
        """Put in force what operators wrote, and look again at all that it concerns."""
        self._is_stale = False
        before = self.configuration.in_force
        self.configuration.compile(self.cache)
        self._reports.set_mistakes(self.configuration.mistakes)
        now = self.configuration.in_force
        nodes = self.cache.nodes.values()
        hosts = site_hosts(self.cache.hosts.values(), nodes, self._settings.ignores_exclude_label)
        taken = taken_addresses(hosts.values(), nodes, now.config.peers.values())
        self._set_pools(
            before.config.pools, Terms(now.options.reserved, now.options.quotas, taken, now.has_unknown_pools)
        )
        if now != before:
            self._is_freed = True
            self._are_counts_stale = True
        self._mark_all(sorted(self._planner.set_site(now.config, hosts), key=int), _VIP)
        for name in sorted(self.configuration.sessions.wanted.keys() | self.cache.sessions.keys()):
            self._queue.add(Ref("BGPSession", "", name), Urgency.REPORT)
        for name in sorted(self.cache.hosts.keys() | self.cache.host_secrets.keys()):
            self._queue.add(Ref("Secret", HOSTS_NAMESPACE, name), Urgency.REPORT)
        if before.options.quarantines != now.options.quarantines or before.frozen != now.frozen:
            for address in self.cache.vips:
                self._withhold(address)
                self._mark(address, _VIP)
        if self.cache.is_complete:
            self._take_up_what_was_held_back()

    def _set_pools(self, before: Mapping[str, Pool], terms: Terms) -> None:
        """Put pools in force, and look again at those who hold an address of one that changed."""
        pools = self.configuration.in_force.config.pools
        changed = {pool for pool in before.keys() | pools.keys() if before.get(pool) != pools.get(pool)}
        concerned = []
        if changed or terms.has_unknown_pools != self.ledger.has_unknown_pools:
            holdings = self.ledger.holdings()
            concerned = [path for path, holding in holdings if not holding.pool or holding.pool in changed]
        self.ledger.set_pools(pools.values(), terms)
        in_doubt = [path for path in concerned if not self._may_plainly_keep(path)]
        for path in sorted(in_doubt, key=self._order):
            self._look_again(path)

    def _take_up_what_was_held_back(self) -> None:
        for key in self._held_back:
            if isinstance(key, str):
                self._queue.add(key, Urgency.HOLDER)
            elif not isinstance(key, Ref):
                self._mark(key)
        self._held_back.clear()

    def _order(self, path: str) -> tuple[int, str]:
        """Services with more addresses go first, as in MetalLB."""
        holding = self.ledger.holding(path)
        return -len(holding.addresses) if holding else 0, path

    def _look_again(self, path: str) -> None:
        """Decide again for a Service whose pool changed; nobody gets what it may not keep before it was told so."""
        holding, case = self.ledger.holding(path), self.cases.get(path)
        if holding is None:
            return
        asked = case.asked if case is not None else None
        is_known = not self.ledger.has_unknown_pools
        if isinstance(asked, Request) and is_known and refusal_of(asked, holding.addresses, self.ledger):
            self._release(path)
        self._undecided.add(path)
        self._queue.add(path, Urgency.HOLDER)

    def _may_plainly_keep(self, path: str) -> bool:
        """Whether a Service that holds what it asks for may go on with it, whatever changed of its pool."""
        holding, case = self.ledger.holding(path), self.cases.get(path)
        if holding is None or case is None or case.decision is None or not isinstance(case.asked, Request):
            return False
        stock = self.ledger.stock_at(holding.addresses[0])
        if stock is None or case.decision.refusal is not None or case.decision.pool != stock.pool.name:
            return False
        for address in holding.addresses:
            if self.ledger.stock_at(address) is not stock or stock.is_buggy(address):
                return False
        return stock.pool.admits(case.asked.namespace, case.asked.labels)

    def _adopt(self) -> None:
        """Enter what Services hold already, those with a VirtualIP of their own first, before anybody is given more.

        A bounded part at a time: first who holds something is found, then it is entered.
        """
        if self._to_adopt and not self._adoptions:
            for path in list(islice(self._to_adopt, PART_MAX)):
                del self._to_adopt[path]
                service = self.cache.services.get(path)
                if service is not None and self._is_new(path):
                    claims = self.cache.claims(path)
                    if held := held_by(service, claims):
                        rank = not all(address in claims for address in held), -len(held)
                        self._holders.setdefault(rank, []).append(path)
                    else:
                        self._note_told(path)
            if self._to_adopt:
                return
            self._adoptions.extend(path for _, paths in sorted(self._holders.items()) for path in sorted(paths))
            self._holders = {}
        for _ in range(min(len(self._adoptions), PART_MAX)):
            self._adopt_one(self._adoptions.popleft())

    def _adopt_one(self, path: str) -> None:
        """Enter what one Service holds; where that is just what it asks for there is nothing more to decide."""
        service = self.cache.services.get(path)
        if service is None or not self._is_new(path):
            return
        case, claims = self._case(path), self.cache.claims(path)
        asked, held = self._asked(case, service), held_by(service, claims)
        if not held or not isinstance(asked, Request) or refusal_of(asked, held, self.ledger) is not None:
            self._note_told(path)
            return
        holding = self.ledger.hold(asked, held)
        self._note_told(path)
        if not is_met(asked, held, self.ledger):
            return
        case.decision = Decision(Reconciliation.KEPT, held, holding.pool)
        self._undecided.discard(path)
        self._are_counts_stale = True
        urgency = Urgency.REVIEW if self._start is not None and held == claims else Urgency.ADDRESS
        for address in held if held == claims else {*held, *claims}:
            if self._start is None:
                self._withhold(address)
            self._mark(address, urgency=urgency)

    def _note_listing(self, address: IPAddress) -> None:
        """Withhold an address listed for others than its holders; one that is listed for no Service is looked at."""
        vip = self.cache.vips.get(address)
        listed, users = _listing(vip), self.ledger.users(address)
        if not listed or not all(path in users for path in listed):
            self._withhold(address)
        if not any(path in self.cache.services for path in listed):
            self._mark(address)

    def _asked(self, case: _ServiceCase, service: Service) -> Request | Unserved:
        """What a Service asks for, read once for each version of it."""
        version = service.metadata.resource_version
        if case.asked is None or case.asked_at != version or not version:
            settings = self._settings
            case.asked = read_request(service, settings.cluster_ips_known, settings.load_balancer_class)
            case.asked_at = version
        return case.asked

    def _is_new(self, path: str) -> bool:
        case = self.cases.get(path)
        return (case is None or case.decision is None) and self.ledger.holding(path) is None

    def _wake(self) -> None:
        """Look again at every Service that waits, where an address came free."""
        self._is_freed = False
        for path in self._waiting:
            self._undecided.add(path)
            self._queue.add(path, Urgency.NEWCOMER)

    def _count(self) -> None:
        """Have the status of pools written a second after the first change: who waits for an address comes first."""
        if not self._are_counts_stale:
            return
        if self._count_due is None:
            self._count_due = self._now + STATUS_SECONDS
        elif self._now >= self._count_due:
            self._are_counts_stale, self._count_due = False, None
            for ref in self.cache.pools:
                self._queue.add(ref, Urgency.REPORT)

    def _withhold(self, address: IPAddress) -> None:
        """Withhold an address or open it again, by what is known of its VirtualIP."""
        cause, vip = None, self.cache.vips.get(address)
        if self._is_unreadable(address):
            cause = Withheld(Reason.UNREADABLE)
        elif address in self._name_taken:
            cause = Withheld(Reason.NAME_TAKEN)
        elif vip is not None:
            cause = self._cause(vip)
        if cause is None and address in self._lingering:
            paths = self._lingering[address]
            cause = Withheld(Reason.NOT_RELEASED, paths[0] if len(paths) == 1 else "")
        if self.ledger.withhold(address, cause):
            self._is_freed = True

    def _is_unreadable(self, address: IPAddress) -> bool:
        unreadable = self.cache.unreadable
        return bool(unreadable) and Ref("VirtualIP", "", vip_name(address)) in unreadable

    def _cause(self, vip: VirtualIP) -> Withheld | None:
        """Why an address that has a VirtualIP is not to be given: it lists somebody else, or is in quarantine."""
        address = vip.spec.address
        left = unreleased(map(_path, vip.spec.services), self.ledger.users(address))
        if left is not None:
            return left
        quarantine = quarantine_of(vip.spec, self._quarantine_seconds(address), self._now)
        if quarantine is None:
            return None
        self._quarantines.wait(address, quarantine.until)
        return Withheld(Reason.QUARANTINED, quarantine.last_holder)

    def _quarantine_seconds(self, address: IPAddress) -> float:
        seconds = self.configuration.in_force.options.quarantines
        stock = self.ledger.stock_at(address) if seconds else None
        return seconds.get(stock.pool.name, 0.0) if stock else 0.0

    def _tell_failures(self, address: IPAddress, verdicts: Iterable[tuple[str, ServiceVerdict]]) -> None:
        """Tell what keeps every host from announcing an address when it begins, and not as long as it lasts."""
        failures = {path: event for path, verdict in verdicts if (event := _missing_interfaces(verdict))}
        known = self._failing.pop(address, frozenset())
        self._commands.extend(Emit(path, failures[path]) for path in sorted(failures.keys() - known))
        if failures:
            self._failing[address] = frozenset(failures)

    def _case(self, path: str) -> _ServiceCase:
        case = self.cases.get(path)
        if case is None:
            case = self.cases[path] = _ServiceCase()
        return case

    def _is_ignored(self, path: str) -> bool:
        decision = self._case(path).decision
        return decision is None or decision.outcome is Reconciliation.IGNORED

    def _is_told(self, path: str, address: IPAddress) -> bool:
        service = self.cache.services.get(path)
        return service is not None and is_told(service, address)

    def _siblings(self, users: tuple[str, ...]) -> tuple[IPAddress, ...]:
        """All addresses of the first holder where there are several: they are best announced by one host."""
        holding = self.ledger.holding(users[0]) if users else None
        return holding.addresses if holding is not None and len(holding.addresses) > 1 else ()

    def _planned_owner(self, address: IPAddress) -> str:
        """The owner of an address, also where its VirtualIP is only just being written."""
        vip = self.cache.vips.get(address)
        if vip is None and (attempt := self._attempts.get(Ref("VirtualIP", "", vip_name(address)))) is not None:
            manifest = attempt.write.manifest
            vip = manifest if isinstance(manifest, VirtualIP) else None
        return present_owner(vip)


def _is_unchanged(stored: Object, write: Write) -> bool:
    """Whether a write left an object as it was."""
    version = write.manifest.metadata.resource_version if write.manifest else ""
    return bool(version) and version == stored.metadata.resource_version


def _path(entry: VirtualIPService) -> str:
    return f"{entry.namespace}/{entry.name}"


def _version_of(service: Service) -> str:
    """What a VirtualIP says it was last renewed for."""
    return f"{service_path(service)}@{service.metadata.resource_version}"


def _listing(manifest: Object | None) -> tuple[str, ...]:
    return tuple(map(_path, manifest.spec.services)) if isinstance(manifest, VirtualIP) else ()


def moves(before: Object | None, after: Object | None) -> Iterator[Emit]:
    """One event for each Service of an address whose owner is another than it was seen before."""
    if not isinstance(before, VirtualIP) or not isinstance(after, VirtualIP):
        return
    old, new = before.status.owner, after.status.owner
    if new is None or (old is not None and old.host == new.host):
        return
    # Tools find the host by this text, so it is MetalLB's to the letter.
    event = ServiceEvent(EventReason.NODE_ASSIGNED, f'announcing from node "{new.host}" with protocol "layer2"')
    for entry in after.spec.services:
        yield Emit(_path(entry), event)


def _missing_interfaces(verdict: ServiceVerdict) -> ServiceEvent | None:
    """The event of a Service that no host can announce because those that may lack the interfaces asked for."""
    layer2 = verdict.layer2
    if layer2.outcome is not ServiceReason.NO_ELIGIBLE_HOST or HostReason.NO_INTERFACE not in layer2.hosts.values():
        return None
    names = ", ".join(sorted({name for ad in layer2.ads for name in ad.interfaces}))
    return ServiceEvent(EventReason.ANNOUNCE_FAILED, f"no host that may announce it has one of the interfaces {names}")
