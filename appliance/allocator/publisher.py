"""Writes what was decided for one Service, in the order that survives a crash between any two writes."""

from dataclasses import replace

from appliance.allocator.announcer import Announcer
from appliance.allocator.claim import is_told, lists, marks_of, renewed, taken_back, told
from appliance.allocator.setting import MANAGER
from appliance.allocator.view import View, address_order
from appliance.api.address import IPAddress
from appliance.api.core import Service
from appliance.api.pierhead import VirtualIP
from appliance.store.protocol import Store


class Publisher:
    """Claims first, then the Service, then what is no longer held; raises StoreError and leaves the rest undone."""

    def __init__(self, store: Store, view: View, announcer: Announcer) -> None:
        self._store = store
        self._view = view
        self._announcer = announcer

    async def publish(self, path: str, service: Service, addresses: tuple[IPAddress, ...], pool: str) -> None:
        """Make the store say that a Service has exactly some addresses."""
        for address in addresses:
            await self._claim(address, path, service)
        wanted = told(service, addresses, pool)
        is_change = wanted != service
        if is_change:
            service = await self._write(wanted)
        for address in sorted(self._view.claims(path) - set(addresses), key=address_order):
            if not is_change:
                service = await self._write(taken_back(service, self._view.vips[address]))
                is_change = True
            await self._withdraw(self._view.vips[address], path)

    async def withdraw_all(self, path: str) -> None:
        """Take back everything a Service that is gone was listed for."""
        for address in sorted(self._view.claims(path), key=address_order):
            await self._withdraw(self._view.vips[address], path)

    async def _claim(self, address: IPAddress, path: str, service: Service) -> None:
        """See to it that the address's VirtualIP lists the Service, and freshly so before the Service is told."""
        vip = self._view.vips.get(address)
        if vip is None:
            await self._announcer.create(address)
        elif not lists(vip, path):
            await self._announcer.replace(replace(vip, spec=self._announcer.spec(address)))
        elif not is_told(service, address):
            await self._announcer.replace(renewed(vip, service))
        if not is_told(service, address):
            await self._announcer.apply_backends(address)

    async def _withdraw(self, vip: VirtualIP, path: str) -> None:
        left = tuple(entry for entry in vip.spec.services if str(entry.reference) != path)
        if left:
            await self._announcer.replace(replace(vip, spec=replace(vip.spec, services=left)))
        else:
            await self._announcer.free(vip, path)

    async def _write(self, service: Service) -> Service:
        """Write the status first: it is what the store refuses where the Service has changed."""
        stored = await self._store.apply_status(service, MANAGER)
        self._view.put(stored)
        version = stored.metadata.resource_version
        stored = await self._store.apply_metadata(marks_of(service, version), MANAGER)
        self._view.put(stored)
        return stored if isinstance(stored, Service) else service
