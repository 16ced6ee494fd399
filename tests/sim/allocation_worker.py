"""Sites drawn by a seed, and an allocator that advances write by write on pictures that may lag."""

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from appliance.allocator.allocator import Allocator
from appliance.allocator.setting import Settings
from appliance.allocator.view import WATCHED
from appliance.api.core import FamilyName, FamilyPolicy, Service, ServicePort, ServiceSpec
from appliance.api.kind import Object
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import IPAddressPool, ServiceAllocation
from appliance.ipam.event import Event
from appliance.store.memory import MemoryStore
from appliance.store.protocol import Listing
from tests.sim.allocation_model import ADDRESSES, BLOCKS, pool_manifest
from tests.sim.allocation_store import GatedStore, run

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("s0", "s1", "s2", "s5")
_PROGRAMS_KINDS = frozenset({"VirtualIP", "Backends"})


def draw_pools(random: Random, annotations: Mapping[str, str] | None = None) -> tuple[IPAddressPool, ...]:
    """Up to three pools over disjoint blocks."""
    owners = [random.choice((None, "pool-a", "pool-b", "pool-c")) for _ in BLOCKS]
    found = []
    for name in ("pool-a", "pool-b", "pool-c"):
        blocks = tuple(block for block, owner in zip(BLOCKS, owners, strict=True) if owner == name)
        gold = (LabelSelector(match_labels={"tier": "gold"}),)
        selectors = random.choice(((), (), gold))
        allocation = ServiceAllocation(priority=random.randrange(3), service_selectors=selectors)
        if blocks:
            pool = pool_manifest(
                name,
                blocks,
                auto_assign=random.random() < 0.8,
                avoid_buggy_ips=random.random() < 0.3,
                service_allocation=random.choice((None, allocation)),
            )
            found.append(replace(pool, metadata=replace(pool.metadata, annotations=annotations or {})))
    return tuple(found)


def draw_service(random: Random) -> Service:
    """A Service whose terms of sharing its name decides, so that no edit makes two holders clash."""
    name = random.choice(NAMES)
    number = int(name[1:])
    annotations = {} if number % 2 else {"metallb.io/allow-shared-ip": "k"}
    if random.random() < 0.4:
        annotations["metallb.io/loadBalancerIPs"] = random.choice(ADDRESSES)
    if random.random() < 0.2:
        annotations["metallb.io/address-pool"] = random.choice(("pool-a", "pool-b"))
    spec = ServiceSpec(
        type="LoadBalancer" if random.random() < 0.9 else "ClusterIP",
        ports=(ServicePort(port=80 + number % 4),),
        ip_family_policy=random.choice((None, None, FamilyPolicy.PREFER_DUAL_STACK, FamilyPolicy.REQUIRE_DUAL_STACK)),
        ip_families=random.choice(((), (FamilyName.IPV6,))),
    )
    labels = random.choice(({}, {"tier": "gold"}))
    return Service(metadata=Metadata(name=name, namespace="a", labels=labels, annotations=annotations), spec=spec)


@dataclass
class Clock:
    """The time that all allocators of one history agree on."""

    now: datetime = BEGIN


class Silence:
    """Nobody listens."""

    def emit(self, service: str, event: Event) -> None:
        """Drop one."""


@dataclass
class Worker:
    """An allocator that advances write by write."""

    store: MemoryStore
    clock: Clock = field(default_factory=Clock)
    allocator: Allocator = field(init=False)
    running: Coroutine[Any, Any, None] | None = None

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Know nothing."""
        self.running = None
        self.allocator = Allocator(GatedStore(self.store), Silence(), Settings(clock=lambda: self.clock.now))

    def crash(self) -> None:
        """Stop where it is."""
        if self.running is not None:
            self.running.close()
        self.begin()

    def take(self, picture: Listing) -> None:
        """Begin to settle a picture, if nothing is under way."""
        if self.running is None:
            self.running = self.allocator.settle(picture)

    def advance(self, writes: int) -> None:
        """Go on for some writes, or to the end."""
        for _ in range(writes):
            if self.running is not None:
                try:
                    self.running.send(None)
                except StopIteration:
                    self.running = None

    def finish(self) -> None:
        """Go on until nothing is under way."""
        while self.running is not None:
            self.advance(1)


def picture_of(store: MemoryStore, past: Mapping[Ref, Object] | None, is_ours_late: bool) -> Listing:
    """The store now, but for the kinds of programs or those of operators as they were: kinds lag one another."""
    now: Listing = run(store.list(WATCHED))
    if past is None:
        return now
    late = {ref: manifest for ref, manifest in past.items() if (ref.kind in _PROGRAMS_KINDS) is is_ours_late}
    fresh = {
        ref: manifest for ref, manifest in now.objects.items() if (ref.kind in _PROGRAMS_KINDS) is not is_ours_late
    }
    return Listing(objects={**late, **fresh})
