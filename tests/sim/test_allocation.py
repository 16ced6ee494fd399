"""Random Services and pools come, change and go: the ledger decides as a scan of every address would."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from appliance.api.address import Family, IPAddress, family_of
from appliance.api.core import Service
from appliance.api.metallb import IPAddressPool
from appliance.ipam.ledger import Ledger
from appliance.ipam.reconcile import Decision, Reconciliation, reconcile
from appliance.ipam.request import DualStack, Request, read_request
from tests.sim.allocation_model import SERVICES, Model, broken_laws, compiled, pool_sets, services
from tests.sim.scale import scaled


class AllocationMachine(RuleBasedStateMachine):
    """One ledger beside one naive model."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.model = Model()
        self.services: dict[str, Service] = {}

    @initialize(pools=pool_sets())
    def begin(self, pools: tuple[IPAddressPool, ...]) -> None:
        """Begin with some pools."""
        self.set_pools(pools)

    @rule(pools=pool_sets())
    def set_pools(self, pools: tuple[IPAddressPool, ...]) -> None:
        """Put other pools in force; everything is looked at again, those in order of name."""
        self.model.pools = compiled(pools)
        self.ledger.set_pools(self.model.pools.values())
        for path in sorted(self.services):
            self.serve(path)

    @rule(service=services())
    def write(self, service: Service) -> None:
        """Create or change a Service."""
        path = f"{service.metadata.namespace}/{service.metadata.name}"
        self.services[path] = service
        self.serve(path)

    @rule(name=st.sampled_from(SERVICES))
    def delete(self, name: str) -> None:
        """Remove a Service."""
        for path in [path for path in self.services if path.endswith(f"/{name}")]:
            del self.services[path]
            self.ledger.release(path)
            self.model.held.pop(path, None)

    @rule()
    def restart(self) -> None:
        """Enter every holding into an empty ledger: everybody keeps what they have."""
        self.ledger = Ledger(self.model.pools.values())
        for path, held in self.model.held.items():
            self.ledger.hold(self.model.asked[path], held)

    def serve(self, path: str) -> None:
        """Decide for one Service and hold the decision against the model."""
        asked = read_request(self.services[path], cluster_ips_known=False)
        held = self.model.held.pop(path, ())
        decision = reconcile(path, asked, held, self.ledger)
        if isinstance(asked, Request):
            self.model.asked[path] = asked
            self.judge(asked, held, decision)
        else:
            assert decision.addresses == ()
        if decision.addresses:
            self.model.held[path] = decision.addresses

    def judge(self, asked: Request, held: tuple[IPAddress, ...], decision: Decision) -> None:
        """The rules of keeping and giving, naively."""
        kept = tuple(address for address in held if self.model.can_keep(asked, (address,)))
        is_kept = bool(held) and len(kept) == len(held) and self.model.can_keep(asked, kept)
        expected = self.model.allocate(asked) if self.model.pools else ()
        if is_kept and self.is_as_asked(asked, kept):
            assert decision.addresses[: len(kept)] == kept
        elif asked.mistake:
            assert decision.addresses in ((), kept)
        elif expected:
            assert decision.addresses == expected
        elif is_kept and {family_of(address) for address in kept} <= set(asked.families):
            assert decision.addresses == kept, "an impossible request keeps the present address"
            assert decision.complaint is not None
        else:
            assert decision.outcome in (Reconciliation.NOTHING, Reconciliation.CLEARED)
            assert decision.addresses == ()

    def is_as_asked(self, asked: Request, kept: tuple[IPAddress, ...]) -> bool:
        """Whether addresses are what a Service asks for."""
        families = {family_of(address) for address in kept}
        pool = self.model.pool_of(kept[0])
        is_part = asked.dual_stack is DualStack.PREFERRED and families < set(asked.families)
        is_named = asked.pool is None or (pool is not None and asked.pool == pool.name)
        return (families == set(asked.families) or is_part) and is_named and set(asked.addresses or kept) == set(kept)

    @invariant()
    def laws_are_kept(self) -> None:
        """No address twice, none outside its pool, none leaked, sharing rules kept."""
        assert broken_laws(self.model) == []
        assert {path: holding.addresses for path, holding in self.ledger.holdings()} == self.model.held

    @invariant()
    def counts_are_right(self) -> None:
        """Each pool's count is the number of distinct addresses held of it."""
        distinct = {address for held in self.model.held.values() for address in held}
        for pool in self.model.pools.values():
            stock = self.ledger.stocks[pool.name]
            for family in Family:
                count = sum(1 for address in distinct if address in pool and family_of(address) is family)
                assert stock.assigned[family] == count


TestAllocation = AllocationMachine.TestCase
TestAllocation.settings = scaled(2000)
