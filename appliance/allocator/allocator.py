"""The allocator's loop body: from a picture of the store to the writes that bring it to what it should be."""

from collections.abc import Collection

import structlog

from appliance.allocator.announcer import Announcer
from appliance.allocator.claim import held_by, was_ours
from appliance.allocator.configuration import Configuration, is_input_change, kind_of_either
from appliance.allocator.gate import Gate
from appliance.allocator.herald import Herald, moves
from appliance.allocator.host_label import labelled, node_labels
from appliance.allocator.publisher import Publisher
from appliance.allocator.session import SESSION_INPUTS, session_writes, write
from appliance.allocator.setting import MANAGER, EventSink, Settings
from appliance.allocator.view import Changes, View, address_of_ref, address_order, service_path, slice_services
from appliance.api.address import IPAddress
from appliance.api.core import EndpointSlice, Service
from appliance.api.kind import Kind, Object, ref_of
from appliance.api.meta import Ref
from appliance.api.pierhead import Backends, VirtualIP
from appliance.ipam.allocation import refusal_of
from appliance.ipam.event import Event, EventReason
from appliance.ipam.ledger import Ledger
from appliance.ipam.reconcile import Decision, Outcome, events_of, reconcile
from appliance.ipam.request import Request, Unserved, read_held, read_request
from appliance.store.protocol import Listing, Refusal, Store, StoreError

_RETRIED = frozenset({Refusal.CONFLICT, Refusal.NOT_FOUND, Refusal.EXISTS, Refusal.READ_ONLY})


class Allocator:
    """Who holds what, and which Services and addresses are to be looked at (again).

    `settle` is level-based: it may be stopped between any two writes and begun again, here or elsewhere.
    """

    def __init__(self, store: Store, events: EventSink, settings: Settings) -> None:
        self._log = structlog.get_logger()
        self._store = store
        self._events = events
        self._settings = settings
        self.view = View()
        self.ledger = Ledger()
        self.configuration = Configuration(settings.service_networks)
        self.gate = Gate(self.view, self.ledger, settings.clock)
        self._announcer = Announcer(store, self.view, self.ledger, self.gate, Herald(events))
        self._publisher = Publisher(store, self.view, self._announcer)
        self._decisions: dict[str, Decision] = {}
        self._services: set[str] = set()
        self._addresses: set[IPAddress] = set()
        self._refused: set[str] = set()
        self._held_back: set[str] = set()
        self._waiting: set[str] = set()
        self._held_back_addresses: set[IPAddress] = set()
        self._vanished: dict[str, Service] = {}
        self._is_complete = False
        self._is_stale = True
        self._are_sessions_stale = True

    @property
    def is_unfinished(self) -> bool:
        """Whether the store refused something that a fresh look at it may allow."""
        return bool(self._refused or self._addresses or self._are_sessions_stale)

    async def settle(self, snapshot: Listing) -> None:
        """Write all that a picture of the store calls for; raises StoreError where the store cannot be reached."""
        # What may be gone is taken away only once everything can be read.
        self._are_sessions_stale |= snapshot.is_complete and not self._is_complete
        self._is_complete = snapshot.is_complete
        self._note(self.view.absorb(snapshot))
        self._configure()
        self.configuration.tell(snapshot.problems, snapshot.sources)
        await self._write_sessions()
        if self.configuration.config is None:
            return
        await self._label_hosts()
        self._take_up_what_was_left()
        self._adopt()
        while self._services:
            await self._serve()
        await self._announce()

    def _note(self, changes: Changes) -> None:
        """Mark what changes concern."""
        for before, after in changes.values():
            self._is_stale |= is_input_change(before, after)
            self._are_sessions_stale |= kind_of_either(before, after) in SESSION_INPUTS
            match after or before:
                case Service() as service:
                    self._services.add(service_path(service))
                    if after is None:
                        self._vanished[service_path(service)] = service
                case VirtualIP() as vip:
                    self._note_vip(vip.spec.address, before, after)
                case Backends() as backends:
                    self._addresses.add(backends.spec.address)
                case EndpointSlice():
                    holdings = map(self.ledger.holding, slice_services(before, after))
                    self._addresses |= {address for holding in holdings if holding for address in holding.addresses}
                case _:
                    continue

    def _note_vip(self, address: IPAddress, *versions: *tuple[Object | None, Object | None]) -> None:
        self._addresses.add(address)
        self.gate.unbar(address)
        for service, event in moves(*versions):
            self._events.emit(service, event)
        for vip in versions:
            if isinstance(vip, VirtualIP):
                self._services |= {str(entry.reference) for entry in vip.spec.services}
        self._services |= set(self.ledger.users(address))
        self.gate.judge(address)

    def _configure(self) -> None:
        """Put another configuration in force where its inputs changed and are right."""
        if not self._is_stale:
            return
        self._is_stale = False
        before, extras_before = self.configuration.config, self.configuration.extras
        is_other_site = self._announcer.refresh_machines()
        if self.configuration.recompile(self.view) and (config := self.configuration.config) is not None:
            self._announcer.set_config(config)
            is_other_site = True
            extras = self.configuration.extras
            if before is None or before.pools != config.pools or extras_before != extras:
                self.ledger.set_pools(config.pools.values(), extras.reserved, extras.quotas)
                self.gate.set_durations(extras.quarantines)
                self._services |= self.view.services.keys()
        if is_other_site:
            self._addresses |= self.view.vips.keys()

    async def _write_sessions(self) -> None:
        """Tell hosts of every BGP peer that is right, whatever is wrong elsewhere."""
        if not self._are_sessions_stale:
            return
        self._are_sessions_stale = False
        for change in session_writes(self.view.objects(SESSION_INPUTS), self._is_complete):
            try:
                stored = await write(self._store, change)
            except StoreError as error:
                self._learn_of_object(error)
                self._are_sessions_stale = True
                continue
            if stored is not None:
                self.view.put(stored)
            else:
                self.view.drop(ref_of(change.session))

    async def _label_hosts(self) -> None:
        """Give Hosts the labels of their Nodes, which their agents cannot read."""
        for name in sorted(self.view.hosts.keys() & self.view.nodes.keys()):
            host = self.view.hosts[name]
            wanted = labelled(host, self.view.nodes[name])
            if wanted != host:
                try:
                    self.view.put(await self._store.apply_metadata(node_labels(wanted), MANAGER))
                except StoreError as error:
                    self._learn_of_object(error)

    def _take_up_what_was_left(self) -> None:
        self._services |= self._refused
        self._refused = set()
        if self._is_complete:
            self._services |= self._held_back
            self._held_back = set()
            self._addresses |= self._held_back_addresses
            self._held_back_addresses = set()
        self._judge_all((*self.gate.unbar_all(), *self.gate.due()))
        self._wake_the_waiting()

    def _wake_the_waiting(self) -> None:
        """Look again at every Service that waits, where an address came free."""
        if self.gate.is_freed:
            self.gate.is_freed = False
            self._services |= self._waiting

    def _adopt(self) -> None:
        """Enter what Services hold already, those with a VirtualIP of their own first, before anybody is given more."""
        found = []
        for path in self._services:
            service = self.view.services.get(path)
            if service is None or self.ledger.holding(path) is not None:
                continue
            held, asked = held_by(service, self.view.claims(path)), self._asked(service)
            if held and isinstance(asked, Request):
                is_claimed = self.view.claims(path).issuperset(held)
                found.append((not is_claimed, -len(held), path, asked, held))
        for _, _, _, asked, held in sorted(found, key=lambda entry: entry[:3]):
            if refusal_of(asked, held, self.ledger) is None:
                self.ledger.hold(asked, held)

    def _asked(self, service: Service) -> Request | Unserved:
        return read_request(service, self._settings.cluster_ips_known, self._settings.load_balancer_class)

    async def _serve(self) -> None:
        """Decide and write for every marked Service once, those that hold something first."""
        marked, self._services = self._services, set()
        for path in sorted(marked, key=lambda path: (self.ledger.holding(path) is None, path)):
            service = self.view.services.get(path)
            try:
                if service is not None:
                    await self._serve_one(path, service)
                else:
                    await self._retire(path)
            except StoreError as error:
                await self._learn(path, error)
        self._wake_the_waiting()

    async def _serve_one(self, path: str, service: Service) -> None:
        before, held, asked = self.ledger.holding(path), held_by(service, self.view.claims(path)), self._asked(service)
        decision = reconcile(path, asked, held, self.ledger)
        if decision.outcome is Outcome.IGNORED and not was_ours(service, asked, self.view.claims(path)):
            self._judge_all(self.view.claims(path))
            self._conclude(path, service, decision)
            return
        concerned = {*decision.addresses, *(held or ()), *self.view.claims(path), *(before.addresses if before else ())}
        try:
            if held and not self._is_complete and not set(held) <= set(decision.addresses):
                self._restore(path, asked, held)
                self._held_back.add(path)
                return
            await self._publisher.publish(path, service, decision.addresses, decision.pool)
            self.gate.is_freed |= before is not None and before != self.ledger.holding(path)
            self._conclude(path, service, decision)
        except StoreError:
            self._restore(path, asked, held)
            raise
        finally:
            self._judge_all(concerned)

    async def _retire(self, path: str) -> None:
        """Take back what a Service held that is gone."""
        if not self._is_complete:
            self._held_back.add(path)
            return
        if self.view.claims(path) and not await self._is_gone(path):
            self._services.add(path)
            return
        holding = self.ledger.release(path)
        concerned = {*(holding.addresses if holding else ()), *self.view.claims(path)}
        self.gate.is_freed |= bool(concerned)
        self._decisions.pop(path, None)
        self._waiting.discard(path)
        try:
            await self._publisher.withdraw_all(path)
        finally:
            self._judge_all(concerned)

    async def _is_gone(self, path: str) -> bool:
        """Ask the store itself: what is listed for a Service may be seen before the Service is."""
        last = self._vanished.pop(path, None)
        if last is None:
            self._note(self.view.learn(await self._store.list(frozenset({Kind.SERVICE}))))
            return path not in self.view.services
        try:
            self.view.put(await self._store.get(ref_of(last)))
        except StoreError as error:
            if error.refusal is not Refusal.NOT_FOUND:
                raise
            return True
        return False

    def _restore(self, path: str, asked: Request | Unserved, held: tuple[IPAddress, ...] | None) -> None:
        """Let a Service have what it has, where a decision is not carried out."""
        self.ledger.release(path)
        if isinstance(asked, Request) and held and refusal_of(asked, held, self.ledger) is None:
            self.ledger.hold(asked, held)

    def _conclude(self, path: str, service: Service, decision: Decision) -> None:
        """Remember and tell a decision that has been written."""
        events = events_of(decision, self._decisions.get(path))
        if decision.outcome is Outcome.KEPT and not read_held(service):
            texts = ", ".join(map(str, decision.addresses))
            events = (Event(EventReason.IP_ALLOCATED, f"assigned {texts} from pool {decision.pool}"), *events)
        for event in events:
            self._events.emit(path, event)
        self._decisions[path] = decision
        if decision.refusal is not None:
            self._waiting.add(path)
        else:
            self._waiting.discard(path)

    def _judge_all(self, addresses: Collection[IPAddress]) -> None:
        self._addresses.update(addresses)
        self.gate.judge_all(addresses)

    async def _learn(self, path: str, error: StoreError) -> None:
        """Take in what a refusal says: somebody else was faster, or the name is not ours to use."""
        self._learn_of_object(error)
        self._log.info("write_refused", service=path, refusal=error.refusal.value, subject=str(error.subject))
        if error.refusal not in (Refusal.EXISTS, Refusal.READ_ONLY):
            self._refused.add(path)
            return
        self._note(self.view.learn(await self._store.list(frozenset({Kind.VIRTUAL_IP, Kind.BACKENDS}))))
        self._adopt()
        self._services.add(path)
        if isinstance(error.subject, Ref) and (address := address_of_ref(error.subject)) is not None:
            if address not in self.view.vips or error.refusal is Refusal.READ_ONLY:
                self.gate.bar(address)
            self.gate.judge(address)

    def _learn_of_object(self, error: StoreError) -> None:
        if error.refusal not in _RETRIED:
            raise error
        if error.refusal is Refusal.NOT_FOUND and isinstance(error.subject, Ref):
            gone = self.view.get(error.subject)
            self.view.drop(error.subject)
            self._note({error.subject: (gone, None)})

    async def _announce(self) -> None:
        """Bring every marked address's objects to what they should say."""
        marked, self._addresses = self._addresses, set()
        for address in sorted(marked, key=address_order):
            if not self._is_complete and not self.ledger.users(address):
                self._held_back_addresses.add(address)
                continue
            try:
                await self._announcer.apply(address)
            except StoreError as error:
                self._learn_of_object(error)
                self._addresses.add(address)
