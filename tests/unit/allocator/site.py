"""A small site on the memory store, with its allocator."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from appliance.allocator.allocator import Allocator
from appliance.allocator.setting import Settings
from appliance.allocator.view import WATCHED
from appliance.api.address import parse_range
from appliance.api.core import Service
from appliance.api.kind import Kind, Object
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import IPAddressPool, IPAddressPoolSpec
from appliance.api.pierhead import VirtualIP
from appliance.ipam.event import Event
from appliance.store.memory import MemoryStore


def pool(name: str, *ranges: str, annotations: dict[str, str] | None = None) -> IPAddressPool:
    """An IPAddressPool."""
    metadata = Metadata(name=name, namespace="metallb-system", annotations=annotations or {})
    return IPAddressPool(
        metadata=metadata, spec=IPAddressPoolSpec(addresses=tuple(parse_range(text) for text in ranges))
    )


@dataclass
class Site:
    """A store, an allocator, and what it told."""

    store: MemoryStore
    settings: Settings = field(default_factory=Settings)
    events: list[tuple[str, str]] = field(default_factory=list)
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    allocator: Allocator = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """An allocator that knows nothing."""
        settings = replace(self.settings, clock=lambda: self.now)
        self.allocator = Allocator(self.store, self, settings)

    def emit(self, service: str, event: Event) -> None:
        """Keep an event's reason."""
        self.events.append((service, event.reason.text))

    async def settle(self, complete: bool = True) -> None:
        """Settle the store as it is."""
        snapshot = await self.store.list(WATCHED)
        await self.allocator.settle(replace(snapshot, is_complete=complete))

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
