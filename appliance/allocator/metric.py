"""What an allocator measures: read from what it holds, when somebody asks."""

from collections import Counter
from collections.abc import Iterator

from appliance.allocation.allocator import Allocator
from appliance.allocation.event import (
    Emit,
    Input,
    ObjectsChanged,
    WriteDone,
    WriteOperation,
    WriteRefused,
)
from appliance.api.address import Family
from appliance.api.core import Service
from appliance.api.meta import Ref
from appliance.control.metric import Labelled, Metric, MetricKind, Reading, many, observed, one
from appliance.daemon.metric import CONFIG_LOADED, CONFIG_STALE, UPDATE_ERRORS, UPDATES
from appliance.ipam.choice import Stock
from appliance.ipam.event import EventReason
from appliance.ipam.reason import Reason

COUNTER, GAUGE, HISTOGRAM = MetricKind.COUNTER, MetricKind.GAUGE, MetricKind.HISTOGRAM

ADDRESSES = Metric("metallb_allocator_addresses_total", GAUGE, "Addresses of a pool.", ("pool",))
IN_USE = Metric("metallb_allocator_addresses_in_use_total", GAUGE, "Addresses of a pool that Services have.", ("pool",))
ADDRESSES_OF = {
    Family.IPV4: Metric("metallb_allocator_ipv4_addresses_total", GAUGE, "IPv4 addresses of a pool.", ("pool",)),
    Family.IPV6: Metric("metallb_allocator_ipv6_addresses_total", GAUGE, "IPv6 addresses of a pool.", ("pool",)),
}
IN_USE_OF = {
    Family.IPV4: Metric(
        "metallb_allocator_ipv4_addresses_in_use_total", GAUGE, "IPv4 addresses that Services have.", ("pool",)
    ),
    Family.IPV6: Metric(
        "metallb_allocator_ipv6_addresses_in_use_total", GAUGE, "IPv6 addresses that Services have.", ("pool",)
    ),
}
POOL_SERVICES = Metric(
    "metallb_allocator_services_allocated_total", GAUGE, "Services that have addresses of a pool.", ("pool",)
)
WITHHELD = Metric(
    "pierhead_allocator_addresses_withheld",
    GAUGE,
    "Free addresses that nobody gets now, by reason.",
    ("pool", "reason"),
)
SERVICES = Metric(
    "pierhead_services",
    GAUGE,
    "Services that are to have an address: those that do, the others by reason.",
    ("state", "reason"),
)
LEADER = Metric("pierhead_leader", GAUGE, "1 where this allocator writes.")
QUEUE_LENGTH = Metric("pierhead_allocator_queue_length", GAUGE, "Services and objects that are still to be looked at.")
WRITES_UNDER_WAY = Metric("pierhead_allocator_writes_under_way", GAUGE, "Writes that the store has not answered yet.")
WRITES = Metric(
    "pierhead_allocator_writes_total",
    COUNTER,
    "Writes that the store answered, by what came of them.",
    ("operation", "result"),
)
SERVICE_EVENTS = Metric(
    "pierhead_service_events_total", COUNTER, "Events of Services, by MetalLB's reasons.", ("reason",)
)
SERVICE_EVENTS_DROPPED = Metric(
    "pierhead_service_events_dropped_total", COUNTER, "Events of Services that the store was not told, to spare it."
)
PROBLEMS = Metric("pierhead_configuration_problems", GAUGE, "Mistakes and warnings in what operators wrote.")
ALLOCATION_SECONDS = Metric(
    "pierhead_allocation_seconds",
    HISTOGRAM,
    "Seconds from seeing a Service until it is told its address; one that is refused meanwhile is left out.",
    buckets=(0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0),
)
ALLOCATOR_METRICS = (
    ADDRESSES,
    IN_USE,
    *ADDRESSES_OF.values(),
    *IN_USE_OF.values(),
    POOL_SERVICES,
    WITHHELD,
    SERVICES,
    LEADER,
    QUEUE_LENGTH,
    WRITES_UNDER_WAY,
    WRITES,
    SERVICE_EVENTS,
    SERVICE_EVENTS_DROPPED,
    PROBLEMS,
    ALLOCATION_SECONDS,
    UPDATES,
    UPDATE_ERRORS,
    CONFIG_LOADED,
    CONFIG_STALE,
)
_DONE = "done"


class AllocatorCounts:
    """What an allocator did since it began, and how long Services wait for their addresses; times are any clock's."""

    def __init__(self) -> None:
        self.updates = self.update_errors = 0
        self.allocations = ALLOCATION_SECONDS.histogram()
        self._writes: Counter[tuple[WriteOperation, str]] = Counter()
        self._events: Counter[EventReason] = Counter()
        self._waiting: dict[str, float] = {}
        self._unreadable: frozenset[Ref] = frozenset()

    def hear(self, event: Input, now: float, *, is_leader: bool) -> None:
        """Take in what the store told."""
        if not isinstance(event, ObjectsChanged):
            return
        self.updates += len(event.changed) + len(event.removed)
        if event.unreadable is not None:
            self.update_errors += len(event.unreadable - self._unreadable)
            self._unreadable = event.unreadable
        for manifest in event.changed:
            if isinstance(manifest, Service):
                self._see(manifest, now, is_leader=is_leader)
        for ref in event.removed:
            if ref.kind == "Service":
                self._waiting.pop(ref.path, None)

    def _see(self, service: Service, now: float, *, is_leader: bool) -> None:
        path = f"{service.metadata.namespace}/{service.metadata.name}"
        if service.spec.type != "LoadBalancer":
            self._waiting.pop(path, None)
        elif not any(entry.ip for entry in service.status.load_balancer.ingress):
            self._waiting.setdefault(path, now)
        elif (since := self._waiting.pop(path, None)) is not None and is_leader:
            self.allocations.observe(now - since)

    def answer(self, answer: WriteDone | WriteRefused, now: float) -> None:
        """Take in what came of a write."""
        result = answer.refusal.name.lower() if isinstance(answer, WriteRefused) else _DONE
        self._writes[answer.write.operation, result] += 1
        if isinstance(answer, WriteDone) and isinstance(answer.stored, Service):
            self._see(answer.stored, now, is_leader=True)

    def emit(self, emit: Emit) -> None:
        """Take in what a Service's owner is told; one that is refused an address waits for it no longer."""
        self._events[emit.event.reason] += 1
        if emit.event.reason is EventReason.ALLOCATION_FAILED:
            self._waiting.pop(emit.service, None)

    def readings(self) -> Iterator[Reading]:
        """All of it."""
        yield one(UPDATES, self.updates)
        yield one(UPDATE_ERRORS, self.update_errors)
        writes = {(operation.name.lower(), _DONE): 0 for operation in WriteOperation}
        writes |= {(operation.name.lower(), result): number for (operation, result), number in self._writes.items()}
        yield many(WRITES, writes.items())
        yield many(SERVICE_EVENTS, (((reason.text,), self._events[reason]) for reason in EventReason))
        yield observed(ALLOCATION_SECONDS, self.allocations)


def allocation_readings(core: Allocator) -> Iterator[Reading]:
    """Pools and Services, as the allocator that leads knows them."""
    stocks = tuple(core.ledger.stocks.values())
    yield many(ADDRESSES, (((stock.pool.name,), stock.capacity) for stock in stocks))
    yield many(IN_USE, (((stock.pool.name,), stock.assigned_count) for stock in stocks))
    for family in Family:
        yield many(ADDRESSES_OF[family], (((stock.pool.name,), _capacity(stock, family)) for stock in stocks))
        yield many(IN_USE_OF[family], (((stock.pool.name,), stock.assigned[family]) for stock in stocks))
    holders = Counter(holding.pool for _, holding in core.ledger.holdings())
    yield many(POOL_SERVICES, (((stock.pool.name,), holders[stock.pool.name]) for stock in stocks))
    yield many(WITHHELD, _withheld(stocks))
    yield many(SERVICES, _services(core).items())
    yield one(QUEUE_LENGTH, core.queue_length)


def _capacity(stock: Stock, family: Family) -> int:
    space = stock.spaces.get(family)
    return space.capacity if space else 0


def _withheld(stocks: tuple[Stock, ...]) -> Iterator[Labelled]:
    for stock in stocks:
        for reason, number in tuple(stock.withheld.items()):
            yield (stock.pool.name, reason.name.lower()), number


def _services(core: Allocator) -> dict[tuple[str, ...], int]:
    """How many Services have their addresses, and how many wait for what."""
    numbers: Counter[tuple[str, ...]] = Counter({("allocated", ""): 0, ("pending", "undecided"): 0})
    numbers.update({("pending", reason.name.lower()): 0 for reason in Reason})
    for case in tuple(core.cases.values()):
        decision = case.decision
        if decision is None:
            numbers["pending", "undecided"] += 1
        elif decision.refusal is not None and not decision.addresses:
            numbers["pending", decision.refusal.reason.name.lower()] += 1
        elif decision.addresses:
            numbers["allocated", ""] += 1
    return dict(numbers)
