"""The allocator on a store: whatever comes in whatever order, what the store says in the end is right."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from appliance.api.core import Service
from appliance.api.kind import Object, ref_of
from appliance.api.metallb import IPAddressPool
from appliance.api.pierhead import VirtualIP
from tests.sim.allocation_model import SERVICES, pool_sets, services
from tests.sim.allocation_world import (
    Store,
    Worker,
    broken_store_laws,
    come_to_rest,
    endpoints,
    plain,
    told_addresses,
)
from tests.sim.scale import scaled


def put_pools(store: Store, pools: tuple[IPAddressPool, ...]) -> None:
    """Have exactly some pools."""
    wanted = {ref_of(pool) for pool in pools}
    for ref in [ref for ref in store.objects if ref.kind == "IPAddressPool" and ref not in wanted]:
        store.delete(ref)
    for pool in pools:
        store.put(pool)


class StoreMachine(RuleBasedStateMachine):
    """One allocator that settles after every change."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.worker = Worker(self.store)

    @initialize(pools=pool_sets())
    def begin(self, pools: tuple[IPAddressPool, ...]) -> None:
        """Begin with some pools."""
        self.set_pools(pools)

    @rule(pools=pool_sets())
    def set_pools(self, pools: tuple[IPAddressPool, ...]) -> None:
        """Replace the pools."""
        put_pools(self.store, pools)
        come_to_rest([self.worker])

    @rule(found=st.lists(services(), min_size=1, max_size=3))
    def write(self, found: list[Service]) -> None:
        """Create or change Services."""
        for service in found:
            self.store.put(service)
        come_to_rest([self.worker])

    @rule(name=st.sampled_from(SERVICES), count=st.integers(0, 2))
    def endpoints_change(self, name: str, count: int) -> None:
        """Some endpoints of a Service come or go."""
        self.store.put(endpoints(name, count))
        come_to_rest([self.worker])

    @rule(name=st.sampled_from(SERVICES))
    def delete(self, name: str) -> None:
        """Remove a Service."""
        for ref in [ref for ref in self.store.objects if ref.kind == "Service" and ref.name == name]:
            self.store.delete(ref)
        come_to_rest([self.worker])

    @rule()
    def restart(self) -> None:
        """A new allocator on the same store writes nothing."""
        before = self.store.version
        self.worker.begin()
        come_to_rest([self.worker])
        assert self.store.version == before

    @rule()
    def look_again(self) -> None:
        """A settled store calls for no write and no event."""
        before, events = self.store.version, len(self.worker.told)
        come_to_rest([self.worker])
        assert (self.store.version, len(self.worker.told)) == (before, events)

    @invariant()
    def laws_are_kept(self) -> None:
        """No address twice, none leaked, none told without its VirtualIP, and the ledger says the same."""
        assert broken_store_laws(self.store.objects, settled=True) == []
        held = {path: set(holding.addresses) for path, holding in self.worker.allocator.ledger.holdings()}
        assert held == told_addresses(self.store.objects)


TestStore = StoreMachine.TestCase
TestStore.settings = scaled(500, 25)


@scaled(2500)
@given(pools=pool_sets(), found=st.lists(services(), unique_by=lambda s: s.metadata.name, max_size=8), order=st.data())
def test_order_of_arrival_in_one_batch_changes_nothing(
    pools: tuple[IPAddressPool, ...], found: list[Service], order: st.DataObject
) -> None:
    """Services that come at once get the same addresses in whatever order they stand in the store."""
    manifests: list[Object] = [*pools, *found]
    assert _settled(manifests) == _settled(order.draw(st.permutations(manifests)))


def _settled(manifests: list[Object]) -> dict[str, object]:
    worker = Worker(Store(manifests))
    come_to_rest([worker])
    found = sorted(plain(worker.store.objects).items())
    return {str(ref): _without_mark(manifest) for ref, manifest in found}


def _without_mark(manifest: Object) -> Object:
    """The mark of a claim names a version, which tells how many writes went before."""
    return (
        replace(manifest, spec=replace(manifest.spec, renewed_for="")) if isinstance(manifest, VirtualIP) else manifest
    )
