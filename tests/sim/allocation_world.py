"""A store as allocators meet it, with every write and answer in its own time, and what must be true of it."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from appliance.advertise.endpoint import SERVICE_LABEL
from appliance.allocation.allocator import Allocator
from appliance.allocation.cache import WATCHED, slice_service
from appliance.allocation.event import (
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
from appliance.api.address import IPAddress
from appliance.api.core import Endpoint, EndpointPort, EndpointSlice, Service
from appliance.api.kind import KINDS_BY_TITLE, Kind, Object, ref_of
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import Backends, VirtualIP
from appliance.api.refusal import StoreRefusal
from appliance.ipam.request import Request, read_request
from appliance.store import protocol
from tests.sim.allocation_model import may_share, status_addresses

USER, OURS = "user", "allocator"
BEGIN = 1_767_225_600.0


class Store:
    """Objects, versions that only grow, and everything that ever happened to each kind, in order."""

    def __init__(self, manifests: Iterable[Object] = ()) -> None:
        self.objects: dict[Ref, Object] = {}
        self.log: dict[Kind, list[tuple[Ref, Object | None]]] = {kind: [] for kind in Kind}
        self.writes = 0
        self.version = 0
        self.recent: deque[str] = deque(maxlen=16)
        self._owned: dict[Ref, dict[str, tuple[Mapping[str, str], Mapping[str, str]]]] = {}
        for manifest in manifests:
            self.write(Write(WriteOperation.CREATE, ref_of(manifest), manifest), USER)

    def write(self, write: Write, manager: str = OURS) -> Object | StoreRefusal | None:
        """Do what is asked; the object as it is then, or why not."""
        present, manifest = self.objects.get(write.ref), write.manifest
        self.recent.append(f"{write.operation.name} {write.ref}")
        if write.operation is WriteOperation.GET:
            return present
        if write.operation is WriteOperation.CREATE and manifest is not None:
            if present is not None:
                return StoreRefusal.EXISTS
            self._owned[write.ref] = {}
            made: Any = manifest
            if hasattr(made, "status"):
                made = replace(made, status=type(made.status)())
            return self._put(made, manifest, manager)
        if present is None:
            return StoreRefusal.NOT_FOUND
        version = write.version or (manifest.metadata.resource_version if manifest else "")
        if version and version != present.metadata.resource_version:
            return StoreRefusal.CONFLICT
        if manifest is None:
            self.version += 1
            self.writes += 1
            del self.objects[write.ref]
            self.log[KINDS_BY_TITLE[write.ref.kind]].append((write.ref, None))
            return None
        changed: Any = present
        match write.operation:
            case WriteOperation.APPLY:
                changed = replace(changed, spec=manifest.spec) if hasattr(manifest, "spec") else manifest
                return self._put(changed, manifest, manager)
            case WriteOperation.APPLY_STATUS:
                changed = replace(changed, status=getattr(manifest, "status"))  # noqa: B009
                return self._put(changed, manifest if write.with_metadata else None, manager)
            case _:
                return self._put(changed, manifest, manager)

    def _put(self, manifest: Object, described: Object | None, manager: str) -> Object:
        """Labels and annotations are each manager's own; a write that changes nothing makes no version."""
        ref = ref_of(manifest)
        if described is not None:
            self._owned[ref][manager] = (described.metadata.labels, described.metadata.annotations)
        labels = {k: v for owned in self._owned[ref].values() for k, v in owned[0].items()}
        annotations = {k: v for owned in self._owned[ref].values() for k, v in owned[1].items()}
        present = self.objects.get(ref)
        version = present.metadata.resource_version if present else ""
        metadata = replace(manifest.metadata, labels=labels, annotations=annotations, resource_version=version)
        manifest = replace(manifest, metadata=metadata)
        if manifest == present:
            return present
        self.version += 1
        self.writes += 1
        manifest = replace(manifest, metadata=replace(metadata, resource_version=str(self.version)))
        self.objects[ref] = manifest
        self.log[KINDS_BY_TITLE[ref.kind]].append((ref, manifest))
        return manifest

    def put(self, manifest: Object) -> None:
        """What an operator does: create, or replace all but the status."""
        ref = ref_of(manifest)
        operation = WriteOperation.APPLY if ref in self.objects else WriteOperation.CREATE
        self.write(Write(operation, ref, manifest), USER)

    def delete(self, ref: Ref) -> None:
        """What an operator does."""
        self.write(Write(WriteOperation.DELETE, ref), USER)


class RealStore(Store):
    """The same on a store as programs use it: it is asked for every write, and what it answers is what happened."""

    def __init__(self, store: protocol.Store, manifests: Iterable[Object] = ()) -> None:
        self._store = store
        self._loop = asyncio.new_event_loop()
        super().__init__(manifests)

    def close(self) -> None:
        """Be used no longer."""
        self._loop.close()

    def write(self, write: Write, manager: str = OURS) -> Object | StoreRefusal | None:
        """Have the store do what is asked; the object as it is then, or why not."""
        self.recent.append(f"{write.operation.name} {write.ref}")
        try:
            stored = self._loop.run_until_complete(self._do(write, manager))
        except protocol.StoreError as error:
            return error.refusal
        if stored != self.objects.get(write.ref):
            self.writes += 1
            self.log[KINDS_BY_TITLE[write.ref.kind]].append((write.ref, stored))
            if stored is None:
                del self.objects[write.ref]
            else:
                self.objects[write.ref] = stored
        return stored

    async def _do(self, write: Write, manager: str) -> Object | None:
        if write.manifest is None:
            if write.operation is WriteOperation.DELETE:
                await self._store.delete(write.ref, write.version)
                return None
            return await self._store.get(write.ref) if write.ref in self.objects else None
        match write.operation:
            case WriteOperation.CREATE:
                return await self._store.create(write.manifest, manager)
            case WriteOperation.APPLY:
                return await self._store.apply(write.manifest, manager)
            case WriteOperation.APPLY_STATUS:
                return await self._store.apply_status(write.manifest, manager, with_metadata=write.with_metadata)
            case _:
                return await self._store.apply_metadata(write.manifest, manager)


@dataclass
class Worker:
    """An allocator with the writes it asked for, their answers on the way, and how far it has seen each kind."""

    store: Store
    settings: Settings = field(default_factory=Settings)
    now: float = BEGIN
    allocator: Allocator = field(init=False)
    asked: list[Write] = field(default_factory=list)
    answers: list[Input] = field(default_factory=list)
    ghosts: list[Write] = field(default_factory=list)
    told: list[Emit] = field(default_factory=list)
    seen: dict[Kind, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Know nothing; what was asked for and not done may still be done, and nobody hears of it."""
        self.ghosts += self.asked
        self.asked, self.answers = [], []
        self.seen = {kind: len(self.store.log[kind]) for kind in WATCHED}
        self.allocator = Allocator(self.settings)
        listed = tuple(found for ref, found in self.store.objects.items() if KINDS_BY_TITLE[ref.kind] in WATCHED)
        self.hear(ObjectsChanged(changed=listed, listed=WATCHED, is_first=True))

    def hear(self, event: Input) -> None:
        """Hand an event over and keep what is asked for."""
        for command in self.allocator.handle(event, self.now):
            match command:
                case Write():
                    self.asked.append(command)
                case Emit():
                    self.told.append(command)

    def look(self, kinds: Iterable[Kind], most: int) -> None:
        """Hear of some more of what happened to some kinds, as one batch."""
        changed: dict[Ref, Object | None] = {}
        for kind in sorted(kinds, key=lambda kind: kind.title):
            begin = self.seen[kind]
            entries = self.store.log[kind][begin : begin + most]
            self.seen[kind] = begin + len(entries)
            changed.update(entries)
        if changed:
            self.hear(
                ObjectsChanged(
                    changed=tuple(found for found in changed.values() if found is not None),
                    removed=tuple(ref for ref, found in changed.items() if found is None),
                )
            )

    def do(self, number: int, outcome: StoreRefusal | None = None, is_done: bool = True) -> None:
        """Let one of the writes asked for happen, or not; its answer comes later."""
        if not self.asked:
            return
        write = self.asked.pop(number % len(self.asked))
        answer = self.store.write(write) if is_done else None
        if outcome is not None:
            self.answers.append(WriteRefused(write, outcome))
        elif isinstance(answer, StoreRefusal):
            self.answers.append(WriteRefused(write, answer))
        else:
            self.answers.append(WriteDone(write, answer))

    def haunt(self) -> None:
        """Let a write happen that was on its way when its allocator died."""
        if self.ghosts:
            self.store.write(self.ghosts.pop(0))

    def answer(self, number: int) -> None:
        """Let one answer arrive."""
        if self.answers:
            self.hear(self.answers.pop(number % len(self.answers)))

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.hear(TimePassed())

    @property
    def is_busy(self) -> bool:
        """Whether there is anything to do before time passes."""
        late = any(self.seen[kind] < len(self.store.log[kind]) for kind in WATCHED)
        deadline = self.allocator.deadline()
        return bool(self.asked or self.answers or late or (deadline is not None and deadline <= self.now))

    def go_on(self) -> None:
        """See everything, have everything done and answered, once."""
        self.look(WATCHED, 10**6)
        while self.asked:
            self.do(0)
        while self.answers:
            self.answer(0)
        self.wait(0.01)


def come_to_rest(workers: Iterable[Worker], longest: float = 400.0) -> None:
    """Let everybody finish, and time pass as far as back-off asks for it, until nobody writes any more."""
    everybody = tuple(workers)
    store = everybody[0].store
    for worker in everybody:
        while worker.ghosts:
            worker.haunt()
    end = max(worker.now for worker in everybody) + longest
    for _ in range(300):
        before = store.writes
        for worker in everybody:
            worker.go_on()
        if store.writes != before or any(worker.is_busy for worker in everybody):
            continue
        moments = [moment for worker in everybody if (moment := worker.allocator.deadline()) is not None]
        if not moments or min(moments) > end:
            return
        for worker in everybody:
            worker.now = max(worker.now, min(moments))
    raise AssertionError(f"the allocators do not come to rest: {'; '.join(store.recent)}")


def told_addresses(objects: Mapping[Ref, Object]) -> dict[str, set[IPAddress]]:
    """What each Service was told, of those told anything."""
    told = {
        ref.path: set(status_addresses(manifest)) for ref, manifest in objects.items() if isinstance(manifest, Service)
    }
    return {path: addresses for path, addresses in told.items() if addresses}


def broken_store_laws(objects: Mapping[Ref, Object], settled: bool) -> list[str]:
    """What is wrong with a store; a settled one has nothing left over either."""
    vips = {manifest.spec.address: manifest for manifest in objects.values() if isinstance(manifest, VirtualIP)}
    listed = {address: {str(s.reference) for s in vip.spec.services} for address, vip in vips.items()}
    told = told_addresses(objects)
    broken = [
        f"{path} was told {address}, its VirtualIP lists {sorted(listed.get(address, set()))}"
        for path, addresses in told.items()
        for address in addresses
        if path not in listed.get(address, set())
    ]
    broken += doubles(objects)
    if settled:
        broken += [
            f"{address} lists {path}, which was told {told.get(path)}"
            for address, paths in listed.items()
            for path in paths
            if address not in told.get(path, set())
        ]
        backends = {manifest.spec.address for manifest in objects.values() if isinstance(manifest, Backends)}
        held = {address for address, vip in vips.items() if vip.spec.services}
        slices = (found for found in objects.values() if isinstance(found, EndpointSlice))
        served = {slice_service(piece) for piece in slices if piece.endpoints}
        needed = {address for address in held if listed[address] & served}
        if not needed <= backends <= held:
            texts = (sorted(map(str, found)) for found in (held, needed, backends))
            broken.append("held {}, with endpoints {}, Backends {}".format(*texts))
        freed = {address for address, vip in vips.items() if vip.spec.freed is not None}
        if freed != set(vips) - held:
            broken.append(f"of {sorted(map(str, vips))} are held {sorted(map(str, held))}, freed {freed}")
    return broken


def doubles(objects: Mapping[Ref, Object]) -> list[str]:
    """Services that were told one address and may not share it by what they ask for now."""
    told = told_addresses(objects)
    asked = {}
    for ref, manifest in objects.items():
        if isinstance(manifest, Service):
            asked[ref.path] = read_request(manifest, cluster_ips_known=False)
    return [
        f"{one} and {other} were both told {sorted(map(str, told[one] & told[other]))}"
        for one in told
        for other in told
        if one < other and told[one] & told[other] and not _share(asked[one], asked[other])
    ]


def _share(one: object, other: object) -> bool:
    """Whether two Services may hold one address; one that asks for nothing any more is about to lose it."""
    return not (isinstance(one, Request) and isinstance(other, Request)) or may_share(one, other)


def plain(objects: Mapping[Ref, Object]) -> dict[Ref, Object]:
    """Objects without their versions."""
    return {
        ref: replace(manifest, metadata=replace(manifest.metadata, resource_version=""))
        for ref, manifest in objects.items()
    }


def metadata(name: str, **fields: Any) -> Metadata:
    """The metadata of a Service of the tests' namespace."""
    return Metadata(name=name, namespace="a", **fields)


def endpoints(name: str, count: int) -> EndpointSlice:
    """The EndpointSlice of such a Service, with so many endpoints."""
    return EndpointSlice(
        metadata=Metadata(name=f"{name}-1", namespace="a", labels={SERVICE_LABEL: name}),
        endpoints=tuple(Endpoint(addresses=(f"10.244.0.{number + 1}",), node_name="h") for number in range(count)),
        ports=(EndpointPort(port=8080),),
    )
