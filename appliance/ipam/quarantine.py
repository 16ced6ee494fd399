"""The quarantine of an address that came free: how its VirtualIP remembers it, and when it is over.

As long as it lasts the VirtualIP stays in the store, lists nobody and is announced nowhere, so every allocator finds it
in the way, also one that was not there when the address came free.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from appliance.api.pierhead import VirtualIP, VirtualIPSpec

FREED_AT = "pierhead.io/freed-at"
FREED_BY = "pierhead.io/freed-by"


@dataclass(frozen=True, slots=True)
class Rest:
    """Until when an address is given to nobody but its last holder (`namespace/name`), and to that only by name."""

    until: datetime
    last_holder: str


def freed(vip: VirtualIP, service: str, now: datetime) -> VirtualIP:
    """The VirtualIP of an address whose last holder gives it back."""
    marks = {FREED_AT: now.isoformat(timespec="milliseconds"), FREED_BY: service}
    return replace(
        vip,
        metadata=replace(vip.metadata, annotations={**vip.metadata.annotations, **marks}),
        spec=VirtualIPSpec(address=vip.spec.address, pool=vip.spec.pool),
    )


def taken(vip: VirtualIP) -> VirtualIP:
    """The VirtualIP without what was noted when its address came free."""
    kept = {key: text for key, text in vip.metadata.annotations.items() if key not in (FREED_AT, FREED_BY)}
    return replace(vip, metadata=replace(vip.metadata, annotations=kept))


def rest_of(vip: VirtualIP, seconds: float, now: datetime) -> Rest | None:
    """The quarantine an address is in where its pool wants one of so many seconds; None once it is over."""
    if vip.spec.services or not seconds:
        return None
    try:
        until = datetime.fromisoformat(vip.metadata.annotations.get(FREED_AT, "")) + timedelta(seconds=seconds)
        is_over = until <= now
    except (ValueError, TypeError, OverflowError):
        return None
    return None if is_over else Rest(until, vip.metadata.annotations.get(FREED_BY, ""))
