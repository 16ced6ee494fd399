"""Addresses that are in a pool and are given to nobody for now, but perhaps to one Service."""

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
