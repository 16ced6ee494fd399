"""The quarantine of an address that came free: how its VirtualIP remembers it, and when it is over.

As long as it lasts the VirtualIP stays in the store, lists nobody and is announced nowhere, so every allocator finds it
in the way, also one that was not there when the address came free.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.api.core import ObjectReference
from appliance.api.pierhead import Freed, VirtualIPSpec


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Until when an address is given to nobody but its last holder (`namespace/name`), and to that only by name.

    Times are seconds since 1970.
    """

    until: float
    last_holder: str


def freed(spec: VirtualIPSpec, service: ObjectReference, now: float) -> VirtualIPSpec:
    """What the VirtualIP of an address says whose last holder gives it back."""
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return VirtualIPSpec(address=spec.address, pool=spec.pool, freed=Freed(at=moment, by=service))


def quarantine_of(spec: VirtualIPSpec, seconds: float, now: float) -> Quarantine | None:
    """The quarantine an address is in where its pool wants one of so many seconds; None once it is over."""
    if spec.services or spec.freed is None or not seconds:
        return None
    try:
        moment = datetime.fromisoformat(spec.freed.at)
    except ValueError:
        return None
    if moment.tzinfo is None or (until := moment.timestamp() + seconds) <= now:
        return None
    return Quarantine(until, str(spec.freed.by))
