"""Addresses that are in a pool and are given to nobody for now, but perhaps to one Service."""

from collections.abc import Container, Iterable
from dataclasses import dataclass

from appliance.ipam.reason import Reason


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why an address is withheld, and the one Service (`namespace/name`) that may have it by name, "" for none."""

    reason: Reason
    service: str = ""


def united(standing: Withheld | None, passing: Withheld | None) -> Withheld | None:
    """What two causes come to: the passing one is told, and only whom both would let have the address may have it."""
    if standing is None or passing is None:
        return standing or passing
    return passing if passing.service == standing.service else Withheld(passing.reason)


def unreleased(listed: Iterable[str], users: Container[str]) -> Withheld | None:
    """Withhold an address whose VirtualIP lists Services that use it no longer, until it lists them no longer."""
    left = [service for service in listed if service not in users]
    return Withheld(Reason.NOT_RELEASED, left[0] if len(left) == 1 else "") if left else None
