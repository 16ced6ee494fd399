"""What becomes of one Service's addresses: kept, changed, given or taken (MetalLB's order of decisions)."""

from dataclasses import dataclass
from enum import Enum

from appliance.api.address import IPAddress, family_of
from appliance.ipam.allocation import Allocation, allocate, allocate_additional, refusal_of
from appliance.ipam.event import EventReason, ServiceEvent
from appliance.ipam.ledger import Holding, Ledger
from appliance.ipam.reason import Reason, Refusal
from appliance.ipam.request import PREFIX, DualStack, Request, Unserved

Addresses = tuple[IPAddress, ...]


class Reconciliation(Enum):
    """What happened to the addresses."""

    IGNORED = "not ours to touch"
    NOTHING = "none before, none now"
    KEPT = "as before"
    ASSIGNED = "none before"
    CHANGED = "others than before"
    CLEARED = "some before, none now"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a Service has from now on; `happened` are transitions, `complaint` holds as long as nothing changes."""

    outcome: Reconciliation
    addresses: Addresses = ()
    pool: str = ""
    happened: tuple[ServiceEvent, ...] = ()
    complaint: ServiceEvent | None = None
    refusal: Refusal | None = None
    unserved: Unserved | None = None


def events_of(decision: Decision, before: Decision | None) -> tuple[ServiceEvent, ...]:
    """What to tell after a decision, given the one before it: complaints once, not as long as they last."""
    if decision.complaint is None or (before is not None and _essence(decision) == _essence(before)):
        return decision.happened
    return (*decision.happened, decision.complaint)


def _essence(decision: Decision) -> tuple[object, ...]:
    """A complaint without the counts of its pools, which change from one moment to the next."""
    complaint, refusal = decision.complaint, decision.refusal
    if complaint is None:
        return ()
    return (complaint.reason, refusal.reason, refusal.subject) if refusal else (complaint.reason, complaint.message)


def reconcile(
    service: str,
    asked: Request | Unserved,
    held: Addresses | None,
    ledger: Ledger,
    *,
    is_told: bool = True,
    listed: Addresses = (),
) -> Decision:
    """Decide for one Service and bring the ledger to the decision.

    `held` is what it has now, None where that cannot be read. A request that cannot be met leaves it what it has, and
    so does a pool of which it is not known that it is gone; but not what it was never told it has. Of the addresses it
    is listed for beside, one of a family that it misses goes before any other.
    """
    holding = ledger.holding(service)
    if isinstance(asked, Request) and holding is not None and _is_plainly_kept(asked, held, holding, ledger):
        return Decision(Reconciliation.KEPT, holding.addresses, holding.pool)
    if asked is Unserved.OTHER_CLASS:
        ledger.release(service)
        return Decision(Reconciliation.IGNORED, unserved=asked)
    if asked is Unserved.UNREADABLE_CLUSTER_IPS:
        sentence = "the cluster addresses are not one of each family"
        return _undecided(service, held, ledger, ServiceEvent(EventReason.NO_CLUSTER_FAMILY, sentence), asked)
    ledger.release(service)
    if isinstance(asked, Unserved):
        return _unserved(asked, held, ledger)
    if held and _is_unknown(asked, held, ledger):
        return _undecided(service, held, ledger)
    if not ledger.stocks:
        return Decision(_outcome(held, ()), refusal=Refusal(Reason.NO_POOLS))
    return _Case(asked, held, ledger, is_told, listed).decide()


def is_met(request: Request, held: Addresses, ledger: Ledger) -> bool:
    """Whether addresses a Service may hold are all that it asks for."""
    return len(held) == len(request.families) and not request.mistake and _is_as_asked(request, held, ledger)


def _is_as_asked(request: Request, addresses: Addresses, ledger: Ledger) -> bool:
    """Whether addresses are what a Service asks for, or a part of it that will do for now."""
    if len(addresses) == 1 == len(request.families):
        if family_of(addresses[0]) is not request.families[0]:
            return False
    else:
        families, wanted = {family_of(address) for address in addresses}, set(request.families)
        if families != wanted and not (families < wanted and request.dual_stack is DualStack.PREFERRED):
            return False
    if request.pool is not None:
        stock = ledger.stock_at(addresses[0])
        if stock is None or stock.pool.name != request.pool:
            return False
    return not request.addresses or set(request.addresses) == set(addresses)


def _is_plainly_kept(request: Request, held: Addresses | None, holding: Holding, ledger: Ledger) -> bool:
    """Whether a Service holds what it was told, on the same terms, as it asks for it, and still may."""
    return (
        holding.addresses == held
        and (holding.sharing, holding.ports) == (request.sharing, request.ports)
        and is_met(request, held, ledger)
        and refusal_of(request, held, ledger) is None
    )


def _is_unknown(request: Request, held: Addresses, ledger: Ledger) -> bool:
    """Whether what a Service holds may be allowed by a pool or Namespace that cannot be read, or is at fault."""
    if not ledger.has_unknown_pools:
        return False
    if any(ledger.stock_at(address) is None for address in held):
        return True
    refusal = refusal_of(request, held, ledger)
    return refusal is not None and refusal.reason is Reason.NOT_ADMITTED


def _undecided(
    service: str,
    held: Addresses | None,
    ledger: Ledger,
    complaint: ServiceEvent | None = None,
    unserved: Unserved | None = None,
) -> Decision:
    """Where something needed is not known nothing is given and nothing is taken."""
    request = Request(service, namespace=service.partition("/")[0])
    if held and ledger.holding(service) is None and not any(map(ledger.users, held)):
        ledger.hold(request, held)
    holding = ledger.holding(service)
    pool = holding.pool if holding else ""
    return Decision(Reconciliation.IGNORED, held or (), pool, complaint=complaint, unserved=unserved)


def _unserved(why: Unserved, held: Addresses | None, ledger: Ledger) -> Decision:
    complaint = None
    if why is Unserved.NOT_ENOUGH_CLUSTER_IPS and ledger.stocks:
        complaint = ServiceEvent(EventReason.NOT_ENOUGH_CLUSTER_IPS, why.value)
    return Decision(_outcome(held, ()), complaint=complaint, unserved=why)


def _outcome(held: Addresses | None, addresses: Addresses) -> Reconciliation:
    if not addresses:
        return Reconciliation.NOTHING if held == () else Reconciliation.CLEARED
    if not held:
        return Reconciliation.ASSIGNED
    return Reconciliation.KEPT if held == addresses else Reconciliation.CHANGED


class _Case:
    """One Service under decision: what it may keep, what it falls back to, and what is to be told."""

    def __init__(
        self, request: Request, held: Addresses | None, ledger: Ledger, is_told: bool, listed: Addresses = ()
    ) -> None:
        self.request = request
        self.held = held
        self.is_told = is_told
        self.listed = listed
        self.ledger = ledger
        self.kept: Addresses = held or ()
        self.fallback: Addresses = ()
        self.happened: list[ServiceEvent] = []
        self.complaint: ServiceEvent | None = None
        self.refusal: Refusal | None = None

    def decide(self) -> Decision:
        if self.held is None:
            sentence = "the addresses in the status are not one of each family"
            self.happened.append(ServiceEvent(EventReason.NO_LOAD_BALANCER_FAMILY, sentence))
        self._drop_what_is_not_allowed()
        self._set_aside_what_is_not_asked_for()
        if self.request.mistake:
            stays = self.kept or self.fallback
            reason = EventReason.LOAD_BALANCER_FAILED if stays else EventReason.ALLOCATION_FAILED
            self.complaint = ServiceEvent(reason, self.request.mistake)
            return self._close(stays)
        if self.kept:
            return self._close(self.kept + self._additional())
        return self._allocate()

    def _drop_what_is_not_allowed(self) -> None:
        """Addresses in no pool, in one that does not admit the Service, or in conflict are gone whatever follows."""
        refusal = refusal_of(self.request, self.kept, self.ledger) if self.kept else None
        if refusal is not None:
            self.happened.append(ServiceEvent(EventReason.CLEAR_ASSIGNMENT, f"address taken back: {refusal}"))
            self.kept = ()

    def _set_aside_what_is_not_asked_for(self) -> None:
        """Addresses that are allowed but not what is asked for stay until something better is found."""
        if self.kept and not _is_as_asked(self.request, self.kept, self.ledger):
            is_part = {family_of(address) for address in self.kept} <= set(self.request.families)
            self.fallback, self.kept = (self.kept if is_part and self.is_told else ()), ()

    def _additional(self) -> Addresses:
        """The second family, where one is held, both are preferred and no address was named."""
        request = self.request
        if len(self.kept) == len(request.families) or request.addresses:
            return ()
        address = self._listed_already() or allocate_additional(request, self.kept[0], self.ledger)
        if isinstance(address, Refusal):
            self._note_missing_family(address)
            return ()
        pool = self.ledger.stock_at(address)
        name = pool.pool.name if pool else ""
        self.happened.append(ServiceEvent(EventReason.IP_ALLOCATED, f"additional address {address} from pool {name}"))
        return (address,)

    def _listed_already(self) -> IPAddress | None:
        """The address of the missing family that was claimed for the Service and not told yet."""
        for address in self.listed:
            is_missing = address.version != self.kept[0].version
            if is_missing and refusal_of(self.request, (*self.kept, address), self.ledger) is None:
                return address
        return None

    def _note_missing_family(self, refusal: IPAddress | Refusal) -> None:
        """The second family is waited for; why it cannot be had now is told."""
        if isinstance(refusal, Refusal):
            self.refusal = refusal
            sentence = f"no address of the second family: {refusal}"
            self.complaint = ServiceEvent(EventReason.ADDITIONAL_ASSIGN_FAILED, sentence)

    def _allocate(self) -> Decision:
        match allocate(self.request, self.ledger):
            case Allocation(addresses, pool):
                texts = ", ".join(map(str, addresses))
                if addresses != self.held:
                    self.happened.append(ServiceEvent(EventReason.IP_ALLOCATED, f"assigned {texts} from pool {pool}"))
                if len(addresses) < len(self.request.families) and not self.request.addresses:
                    self._note_missing_family(allocate_additional(self.request, addresses[0], self.ledger))
                return self._close(addresses)
            case Refusal() as refusal:
                self.refusal = refusal
                kept = f"; keeps {', '.join(map(str, self.fallback))}" if self.fallback else ""
                self.complaint = ServiceEvent(EventReason.ALLOCATION_FAILED, f"no address: {refusal}{kept}")
                return self._close(self.fallback)

    def _close(self, addresses: Addresses) -> Decision:
        """Write the decision into the ledger."""
        if addresses:
            self.ledger.hold(self.request, addresses)
        holding = self.ledger.holding(self.request.service)
        outcome = _outcome(self.held, addresses)
        happened = tuple(self.happened)
        if self.request.deprecated and outcome not in (Reconciliation.KEPT, Reconciliation.NOTHING):
            sentence = f"an annotation metallb.universe.tf/ is in use; write {PREFIX} instead"
            happened += (ServiceEvent(EventReason.DEPRECATED_ANNOTATION, sentence),)
        return Decision(outcome, addresses, holding.pool if holding else "", happened, self.complaint, self.refusal)
