"""What the owners of Services are told when an address is answered for by another host."""

from collections.abc import Iterator

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
