"""A small site on the memory store, with its allocator."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from appliance.allocation.allocator import Allocator
from appliance.allocation.cache import WATCHED
from appliance.allocation.event import Emit, Input, ObjectsChanged, Settings, TimePassed, Write
from appliance.allocator.program import answered
from appliance.api.address import parse_range
from appliance.api.core import Endpoint, EndpointPort, EndpointSlice, FamilyName, Service
from appliance.api.kind import Kind, Object
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import IPAddressPool, IPAddressPoolSpec
from appliance.api.pierhead import VirtualIP
from appliance.ipam.event import ServiceEvent
from appliance.store.memory import MemoryStore

BEGIN = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
PATIENCE_SECONDS = 3.0
ROUNDS_MAX = 2000


def pool(name: str, *ranges: str, annotations: dict[str, str] | None = None) -> IPAddressPool:
    """An IPAddressPool."""
    metadata = Metadata(name=name, namespace="metallb-system", annotations=annotations or {})
    return IPAddressPool(
        metadata=metadata, spec=IPAddressPoolSpec(addresses=tuple(parse_range(text) for text in ranges))
    )


def endpoints(name: str, address: str = "10.244.0.1", family: FamilyName = FamilyName.IPV4) -> EndpointSlice:
    """One endpoint of a Service, on host h1."""
    labels = {"kubernetes.io/service-name": name}
    return EndpointSlice(
        metadata=Metadata(name=f"{name}-{family.value.lower()}", namespace="default", labels=labels),
        address_type=family,
        endpoints=(Endpoint(addresses=(address,), node_name="h1"),),
        ports=(EndpointPort(port=8080, name="80"),),
    )


@dataclass
class Site:
    """A store, an allocator, and what it told."""

    store: MemoryStore
    settings: Settings = field(default_factory=Settings)
    events: list[tuple[str, str]] = field(default_factory=list)
    now: float = BEGIN
    allocator: Allocator = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """An allocator that knows nothing."""
        self.allocator = Allocator(self.settings)

    async def settle(self, is_complete: bool = True, unreadable: Iterable[Ref] = ()) -> None:
        """Let the allocator see the store as it is, and do all it asks for until it asks for nothing more."""
        listing = await self.store.list(WATCHED)
        hidden = frozenset(unreadable)
        seen = tuple(found for ref, found in listing.objects.items() if ref not in hidden)
        news: Input = ObjectsChanged(seen, (), WATCHED, hidden, is_complete, is_first=True)
        asked = self.hear(news)
        for _ in range(ROUNDS_MAX):
            while asked:
                asked += self.hear(await answered(self.store, asked.pop(0)))
            deadline = self.allocator.deadline()
            if deadline is None or deadline > self.now + PATIENCE_SECONDS:
                return
            self.now = max(self.now, deadline)
            asked = self.hear(TimePassed())
        raise AssertionError("the allocator does not come to rest")

    def hear(self, event: Input) -> list[Write]:
        """Hand over one event; keep the reasons of what is told, and return the writes asked for."""
        commands = self.allocator.handle(event, self.now)
        for command in commands:
            if isinstance(command, Emit):
                self.emit(command.service, "", command.event)
        return [command for command in commands if isinstance(command, Write)]

    def emit(self, service: str, uid: str, event: ServiceEvent) -> None:  # noqa: ARG002  # as every sink is called
        """Keep an event's reason."""
        self.events.append((service, event.reason.text))

    async def objects(self) -> dict[Ref, Object]:
        """Everything in the store."""
        return dict((await self.store.list(frozenset(Kind))).objects)

    async def told(self, name: str, namespace: str = "default") -> str:
        """The addresses a Service was told."""
        service = (await self.objects())[Ref("Service", namespace, name)]
        assert isinstance(service, Service)
        return " ".join(entry.ip for entry in service.status.load_balancer.ingress)

    async def vips(self) -> dict[str, list[str]]:
        """The Services each VirtualIP lists."""
        found = (manifest for manifest in (await self.objects()).values() if isinstance(manifest, VirtualIP))
        return {vip.metadata.name: [str(entry.reference) for entry in vip.spec.services] for vip in found}


def site(*manifests: Object, settings: Settings | None = None) -> Site:
    """A site of some manifests."""
    return Site(MemoryStore(manifests), settings or Settings())


async def delete(where: Site, refs: Iterable[Ref]) -> None:
    """Remove objects."""
    for ref in refs:
        await where.store.delete(ref)
