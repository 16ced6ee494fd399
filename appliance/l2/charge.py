"""The VIPs each fellow is believed to answer for, and which of them to ask it for next."""

from collections import OrderedDict

from appliance.api.address import IPAddress

_SCANNED = 8


class Charges:
    """VIPs by fellow, in the order they will be asked for; each with the interfaces it is answered on (none = all)."""

    def __init__(self) -> None:
        self._charges: dict[str, OrderedDict[IPAddress, tuple[str, ...]]] = {}

    def move(self, address: IPAddress, interfaces: tuple[str, ...], before: str | None, after: str | None) -> None:
        """Note which fellow is now believed to answer; it is asked for this VIP before all others."""
        if before is not None and before in self._charges:
            self._charges[before].pop(address, None)
        if after is not None:
            charges = self._charges.setdefault(after, OrderedDict())
            charges[address] = interfaces
            charges.move_to_end(address, last=False)

    def of(self, fellow: str) -> tuple[IPAddress, ...]:
        """All VIPs of a fellow."""
        return tuple(self._charges.get(fellow, ()))

    def still(self, fellow: str, addresses: dict[IPAddress, None]) -> tuple[IPAddress, ...]:
        """Those of some VIPs that are the fellow's."""
        charges = self._charges.get(fellow, OrderedDict())
        return tuple(address for address in addresses if address in charges)

    def sample(self, fellow: str, interface: str, size: int) -> tuple[IPAddress, ...]:
        """A few VIPs the fellow answers for on an interface; others the next time."""
        charges = self._charges.get(fellow, OrderedDict())
        chosen: list[IPAddress] = []
        for address in tuple(address for address, _ in zip(charges, range(_SCANNED), strict=False)):
            if len(chosen) == size:
                break
            charges.move_to_end(address)
            if not charges[address] or interface in charges[address]:
                chosen.append(address)
        return tuple(chosen)
