"""This host's role for every VIP, as the world sees it."""

from collections.abc import Mapping
from types import MappingProxyType

from appliance.api.address import IPAddress
from appliance.l2.journal import Journal
from appliance.l2.verdict import Holding, Role


class Holdings:
    """Roles by VIP; a change is noted in the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._holdings: dict[IPAddress, Holding] = {}

    def all(self) -> Mapping[IPAddress, Holding]:
        """A view that stays current."""
        return MappingProxyType(self._holdings)

    def role(self, address: IPAddress) -> Role:
        """The role for an address; none for one that is not planned."""
        holding = self._holdings.get(address)
        return holding.role if holding else Role.NONE

    def put(self, address: IPAddress, holding: Holding) -> None:
        """Set what is held of a VIP."""
        if self._holdings.get(address) != holding:
            self._holdings[address] = holding
            self._journal.touch(address)

    def drop(self, address: IPAddress) -> None:
        """The VIP is planned no more."""
        self._holdings.pop(address, None)
        self._journal.touch(address)
