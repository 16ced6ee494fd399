"""That somebody took note of a conflict: an annotation of the VIP, which every host and every screen reads."""

import json
from collections.abc import Collection, Iterable
from datetime import datetime

from appliance.api.meta import Metadata
from appliance.api.pierhead import AddressConflict, VirtualIP
from appliance.api.text import FreeText
from appliance.api.value import value
from appliance.control.codec import from_json, to_json

ANNOTATION = "pierhead.io/conflict-acknowledged"


@value
class Acknowledgement:
    """Who took note of which hardware addresses that answer for a VIP, and when (RFC 3339 text)."""

    hardware_addresses: tuple[FreeText, ...]
    by: FreeText
    at: FreeText

    def covers(self, conflicts: Collection[str], seen: Iterable[AddressConflict]) -> bool:
        """Whether it is of just these machines, and none of them has gone and come again since."""
        try:
            at = datetime.fromisoformat(self.at)
            is_of_these = all(datetime.fromisoformat(each.since) <= at for each in seen if each.since)
        except (ValueError, TypeError):
            return False
        return is_of_these and frozenset(conflicts) <= frozenset(self.hardware_addresses)


def acknowledgement_of(vip: VirtualIP) -> Acknowledgement | None:
    """What a VIP's annotation says; None where there is none that can be read."""
    written = vip.metadata.annotations.get(ANNOTATION)
    try:
        return from_json(Acknowledgement, written.encode()) if written else None
    except ValueError:
        return None


def acknowledged(vip: VirtualIP, acknowledgement: Acknowledgement) -> Metadata:
    """The metadata that says so, for a write of nothing else."""
    text = json.dumps(json.loads(to_json(acknowledgement)), separators=(",", ":"))
    return Metadata(name=vip.metadata.name, annotations={ANNOTATION: text})
