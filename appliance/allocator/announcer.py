"""What hosts are told of an address: its VirtualIP's spec and its Backends, written where they differ."""

from dataclasses import replace

from appliance.advertise.backend import backends
from appliance.advertise.machine import Machine, machines_of
from appliance.advertise.plan import Standing, present_owner
from appliance.advertise.vip import Held, Site, virtual_ip
from appliance.allocator.gate import Gate
from appliance.allocator.herald import Herald
from appliance.allocator.setting import MANAGER
from appliance.allocator.view import View
from appliance.api.address import IPAddress, vip_name
from appliance.api.core import Service
from appliance.api.kind import ref_of
from appliance.api.meta import Metadata
from appliance.api.pierhead import Backends, VirtualIP, VirtualIPSpec
from appliance.config.model import Config
from appliance.ipam.ledger import Ledger
from appliance.ipam.quarantine import taken
from appliance.store.protocol import Refusal, Store, StoreError


class Announcer:
    """Keeps VirtualIP specs and Backends as the ledger, the configuration and the endpoints want them."""

    def __init__(self, store: Store, view: View, ledger: Ledger, gate: Gate, herald: Herald) -> None:
        self._store = store
        self._view = view
        self._ledger = ledger
        self._gate = gate
        self._herald = herald
        self._config = Config()
        self._machines: dict[str, Machine] = {}

    def set_config(self, config: Config) -> None:
        """Announce by another configuration."""
        self._config = config

    def refresh_machines(self) -> bool:
        """Look at Hosts and Nodes again; says whether they mean something else now."""
        machines = machines_of(self._view.hosts.values(), self._view.nodes.values())
        is_other = machines != self._machines
        self._machines = machines
        return is_other

    def spec(self, address: IPAddress) -> VirtualIPSpec:
        """What a VirtualIP should say: its holders, and every other listing until it has been taken back.

        The holders are told what keeps every host from announcing it.
        """
        present = self._view.vips.get(address)
        stock = self._ledger.stock_at(address)
        held = Held(address, stock.pool.name if stock else "", self._holders(address))
        load = dict(self._view.load)
        owner = present_owner(present)
        if owner in load:
            load[owner] -= 1
        site = Site(self._config, self._machines, self._view.slices)
        announcement = virtual_ip(held, site, Standing(keep=owner, load=load))
        self._herald.hear(address, announcement.verdicts)
        wanted = announcement.spec
        known = {entry.reference for entry in wanted.services}
        left = [entry for entry in present.spec.services if entry.reference not in known] if present else []
        services = sorted((*wanted.services, *left), key=lambda entry: (entry.namespace, entry.name))
        return replace(wanted, services=tuple(services))

    async def create(self, address: IPAddress) -> None:
        """Claim an address under its name; raises StoreError EXISTS where somebody has it."""
        metadata = Metadata(name=vip_name(address))
        self._view.put(await self._store.create(VirtualIP(metadata=metadata, spec=self.spec(address)), MANAGER))

    async def apply(self, address: IPAddress) -> None:
        """Bring an address's objects to what they should say, or away where it is nobody's."""
        vip = self._view.vips.get(address)
        if not self._ledger.users(address):
            await self._sweep(address, vip)
        elif vip is not None:
            spec = self.spec(address)
            if spec != vip.spec:
                await self.replace(replace(vip, spec=spec))
            await self.apply_backends(address)

    async def replace(self, vip: VirtualIP) -> None:
        """Write a VirtualIP; one that lists somebody is freed no longer."""
        self._view.put(await self._store.apply(taken(vip) if vip.spec.services else vip, MANAGER))

    async def remove(self, vip: VirtualIP) -> None:
        """Take an address's objects away, the claim last."""
        await self._remove_backends(vip.spec.address)
        await self._store.delete(ref_of(vip), vip.metadata.resource_version)
        self._view.drop(ref_of(vip))

    async def free(self, vip: VirtualIP, service: str) -> None:
        """Give back an address of which a Service is the last holder: away with its objects, or into quarantine."""
        if not self._gate.wants_quarantine(vip.spec.address):
            await self.remove(vip)
            return
        await self._remove_backends(vip.spec.address)
        await self.replace(self._gate.freed(vip, service))

    async def apply_backends(self, address: IPAddress) -> None:
        """Bring the Backends of an address to what they should say."""
        spec = backends(address, self._holders(address), self._view.slices)
        present = self._view.backends.get(address)
        if present is None:
            manifest = Backends(metadata=Metadata(name=vip_name(address)), spec=spec)
            self._view.put(await self._store.create(manifest, MANAGER))
        elif present.spec != spec:
            self._view.put(await self._store.apply(replace(present, spec=spec), MANAGER))

    async def _sweep(self, address: IPAddress, vip: VirtualIP | None) -> None:
        """Take away what a late write of another allocator or a quarantine left behind."""
        if vip is None or self._gate.rest(vip) is not None:
            await self._remove_backends(address)
        elif not vip.spec.services:
            await self.remove(vip)

    async def _remove_backends(self, address: IPAddress) -> None:
        present = self._view.backends.get(address)
        if present is None:
            return
        try:
            await self._store.delete(ref_of(present), present.metadata.resource_version)
        except StoreError as error:
            if error.refusal is not Refusal.NOT_FOUND:
                raise
        self._view.drop(ref_of(present))

    def _holders(self, address: IPAddress) -> tuple[Service, ...]:
        services = (self._view.services.get(path) for path in self._ledger.users(address))
        return tuple(service for service in services if service is not None)
