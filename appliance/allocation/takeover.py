"""What would become of each Service of a cluster if Pierhead took over the addresses it has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from appliance.allocation.event import Settings
from appliance.allocation.rehearsal import rehearse
from appliance.api.core import Service
from appliance.api.kind import Object, ref_of
from appliance.api.meta import Ref
from appliance.ipam.event import EventType, ServiceEvent
from appliance.ipam.request import Unserved, read_request


class Fate(Enum):
    """What becomes of a Service's addresses; the worst first."""

    LOST = "loses its address"
    CHANGED = "gets another address"
    GAINED = "gets an address"
    WAITING = "has none and gets none"
    KEPT = "keeps its address"
    LEFT = "is left alone"


@dataclass(frozen=True, slots=True)
class ServiceTakeover:
    """One Service: its addresses before and after as its status names them, and what its owner would be told."""

    service: str
    fate: Fate
    before: tuple[str, ...]
    after: tuple[str, ...]
    told: tuple[ServiceEvent, ...] = ()


def take_over(objects: Iterable[Object], settings: Settings, now: float) -> tuple[ServiceTakeover, ...]:
    """Every Service of type LoadBalancer or with an address, worst fate first, then by name; `now` in seconds."""
    present = tuple(objects)
    services = {f"{s.metadata.namespace}/{s.metadata.name}": s for s in present if isinstance(s, Service)}
    rehearsal = rehearse(present, settings, now)
    told: dict[str, list[ServiceEvent]] = {}
    for emitted in rehearsal.told:
        told.setdefault(emitted.service, []).append(emitted.event)
    found = [
        _service(path, service, rehearsal.objects, settings, told.get(path, []))
        for path, service in services.items()
        if service.spec.type == "LoadBalancer" or _addresses(service)
    ]
    order = {fate: index for index, fate in enumerate(Fate)}
    return tuple(sorted(found, key=lambda each: (order[each.fate], each.service)))


def _service(
    path: str, service: Service, after: Mapping[Ref, Object], settings: Settings, told: Iterable[ServiceEvent]
) -> ServiceTakeover:
    now = after.get(ref_of(service))
    old, new = _addresses(service), _addresses(now) if isinstance(now, Service) else ()
    warnings = tuple(event for event in told if event.reason.event_type is EventType.WARNING)
    asked = read_request(service, settings.cluster_ips_known, settings.load_balancer_class)
    if asked is Unserved.OTHER_CLASS and old == new:
        return ServiceTakeover(path, Fate.LEFT, old, new, warnings)
    if old == new:
        return ServiceTakeover(path, Fate.KEPT if old else Fate.WAITING, old, new, warnings)
    fate = Fate.GAINED if not old else Fate.LOST if len(new) < len(old) else Fate.CHANGED
    return ServiceTakeover(path, fate, old, new, warnings)


def _addresses(service: Service) -> tuple[str, ...]:
    return tuple(entry.ip for entry in service.status.load_balancer.ingress if entry.ip)
