"""The allocator on a store: whatever comes in whatever order, what the store says in the end is right."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from appliance.allocator.allocator import Allocator
from appliance.allocator.setting import Settings
from appliance.allocator.view import WATCHED
from appliance.api.core import Service
from appliance.api.kind import Object, ref_of
from appliance.api.metallb import IPAddressPool
from appliance.ipam.event import Event
from appliance.store.memory import MemoryStore
from tests.sim.allocation_model import SERVICES, pool_sets, services
from tests.sim.allocation_store import broken_store_laws, objects_of, put, run, told_addresses
from tests.sim.scale import scaled


class Told:
    """Events as they were told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Event]] = []

    def emit(self, service: str, event: Event) -> None:
        """Keep one."""
        self.events.append((service, event))


class StoreMachine(RuleBasedStateMachine):
    """One allocator that settles after every change."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.told = Told()
        self.allocator = Allocator(self.store, self.told, Settings())

    def settle(self) -> None:
        """Let the allocator look until it has nothing left to do."""
        for _ in range(3):
            run(self.allocator.settle(run(self.store.list(WATCHED))))
            if not self.allocator.is_unfinished:
                return
        raise AssertionError("alone on its store an allocator is never refused for long")

    @initialize(pools=pool_sets())
    def begin(self, pools: tuple[IPAddressPool, ...]) -> None:
        """Begin with some pools."""
        self.set_pools(pools)

    @rule(pools=pool_sets())
    def set_pools(self, pools: tuple[IPAddressPool, ...]) -> None:
        """Replace the pools."""
        run(put(self.store, IPAddressPool, pools))
        self.settle()

    @rule(found=st.lists(services(), min_size=1, max_size=3))
    def write(self, found: list[Service]) -> None:
        """Create or change Services."""
        for service in found:
            run(put(self.store, None, (service,)))
        self.settle()

    @rule(name=st.sampled_from(SERVICES))
    def delete(self, name: str) -> None:
        """Remove a Service."""
        for ref, manifest in list(objects_of(self.store).items()):
            if isinstance(manifest, Service) and ref.name == name:
                run(self.store.delete(ref))
        self.settle()

    @rule()
    def restart(self) -> None:
        """A new allocator on the same store writes nothing."""
        before = objects_of(self.store)
        self.allocator = Allocator(self.store, self.told, Settings())
        self.settle()
        assert objects_of(self.store) == before

    @rule()
    def look_again(self) -> None:
        """A settled store calls for no write and no event."""
        before, events = objects_of(self.store), len(self.told.events)
        self.settle()
        assert objects_of(self.store) == before
        assert len(self.told.events) == events

    @invariant()
    def laws_are_kept(self) -> None:
        """No address twice, none leaked, none told without its VirtualIP, and the ledger says the same."""
        assert broken_store_laws(objects_of(self.store), settled=True) == []
        held = {path: set(holding.addresses) for path, holding in self.allocator.ledger.holdings()}
        assert held == told_addresses(objects_of(self.store))


TestStore = StoreMachine.TestCase
TestStore.settings = scaled(500, 25)


@scaled(2500)
@given(pools=pool_sets(), found=st.lists(services(), unique_by=lambda s: s.metadata.name, max_size=8), order=st.data())
def test_order_of_arrival_in_one_picture_changes_nothing(
    pools: tuple[IPAddressPool, ...], found: list[Service], order: st.DataObject
) -> None:
    """Services that come at once get the same addresses in whatever order they stand in the store."""
    manifests: list[Object] = [*pools, *found]
    assert _settled(manifests) == _settled(order.draw(st.permutations(manifests)))


def _settled(manifests: list[Object]) -> dict[str, Object]:
    async def settle() -> MemoryStore:
        store = MemoryStore(manifests)
        await Allocator(store, Told(), Settings()).settle(await store.list(WATCHED))
        return store

    store: MemoryStore = run(settle())
    return {
        str(ref): replace(manifest, metadata=replace(manifest.metadata, resource_version=""))
        for ref, manifest in objects_of(store).items()
        if ref_of(manifest)
    }
