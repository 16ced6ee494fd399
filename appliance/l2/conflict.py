"""Strangers that answer for our VIPs: who, since when, and how long to leave the address alone."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from appliance.api.address import IPAddress
from appliance.l2.agenda import Agenda
from appliance.l2.journal import Journal
from appliance.l2.timing import Timing
from appliance.l2.verdict import Conflict, Count


class Conflicts:
    """The conflicts seen lately."""

    def __init__(self, timing: Timing, journal: Journal) -> None:
        self._timing, self._journal = timing, journal
        self._conflicts: dict[IPAddress, Conflict] = {}
        self._attempts: dict[IPAddress, int] = {}
        self.forgets: Agenda[IPAddress] = Agenda()

    def all(self) -> Mapping[IPAddress, Conflict]:
        """By VIP."""
        return MappingProxyType(self._conflicts)

    def record(self, address: IPAddress, hardware_address: bytes, interface: str, now: float) -> None:
        """Note that a stranger answered for a VIP."""
        self.forgets.put(address, now + self._timing.conflict_forget_seconds)
        known = self._conflicts.get(address)
        if known and (known.hardware_address, known.interface) == (hardware_address, interface):
            return
        self._conflicts[address] = Conflict(address, hardware_address, interface, known.since if known else now)
        self._journal.counts[Count.CONFLICTS] += 1
        self._journal.touch(address)

    def back_off(self, address: IPAddress) -> float:
        """How many seconds to wait before the address is probed again; longer each time."""
        attempt = self._attempts.get(address, 0)
        self._attempts[address] = attempt + 1
        wait = self._timing.conflict_retry_seconds * (1 << min(attempt, 8))
        return min(wait, self._timing.conflict_retry_max_seconds)

    def forget(self, address: IPAddress) -> None:
        """The stranger was not heard for long, or nobody answered a probe."""
        self.forgets.drop(address)
        self._attempts.pop(address, None)
        if self._conflicts.pop(address, None):
            self._journal.touch(address)

    def forget_known(self, is_known: Callable[[bytes], bool]) -> None:
        """Forget conflicts with those who turned out to be no strangers."""
        for conflict in tuple(self._conflicts.values()):
            if is_known(conflict.hardware_address):
                self.forget(conflict.address)
