"""What the owners of Services are told of who announces an address, and of what keeps every host from it."""

from collections.abc import Iterable, Iterator

from appliance.advertise.reason import HostReason, Outcome
from appliance.advertise.vip import ServiceVerdict
from appliance.allocator.setting import EventSink
from appliance.api.address import IPAddress
from appliance.api.kind import Object
from appliance.api.pierhead import VirtualIP
from appliance.ipam.event import Event, EventReason


def moves(before: Object | None, after: Object | None) -> Iterator[tuple[str, Event]]:
    """One event for each Service (`namespace/name`) of an address whose owner is another than it was seen before."""
    if not isinstance(before, VirtualIP) or not isinstance(after, VirtualIP):
        return
    old, new = before.status.owner, after.status.owner
    if new is None or (old is not None and old.host == new.host):
        return
    # Tools find the host by this text, so it is MetalLB's to the letter.
    event = Event(EventReason.NODE_ASSIGNED, f'announcing from node "{new.host}" with protocol "layer2"')
    for entry in after.spec.services:
        yield str(entry.reference), event


def missing_interfaces(verdict: ServiceVerdict) -> Event | None:
    """The event of a Service that no host can announce because those that may lack the interfaces asked for."""
    layer2 = verdict.layer2
    if layer2.outcome is not Outcome.NO_ELIGIBLE_HOST or HostReason.NO_INTERFACE not in layer2.hosts.values():
        return None
    names = ", ".join(sorted({name for ad in layer2.ads for name in ad.interfaces}))
    return Event(EventReason.ANNOUNCE_FAILED, f"no host that may announce it has one of the interfaces {names}")


class Herald:
    """Tells what keeps an address from being announced when it begins, and not as long as it lasts."""

    def __init__(self, events: EventSink) -> None:
        self._events = events
        self._failing: dict[IPAddress, frozenset[str]] = {}

    def hear(self, address: IPAddress, verdicts: Iterable[ServiceVerdict]) -> None:
        """Take what was decided of an address."""
        judged = ((verdict.service.metadata, missing_interfaces(verdict)) for verdict in verdicts)
        failures = {f"{metadata.namespace}/{metadata.name}": event for metadata, event in judged if event}
        known = self._failing.pop(address, frozenset())
        for path in sorted(failures.keys() - known):
            self._events.emit(path, failures[path])
        if failures:
            self._failing[address] = frozenset(failures)
