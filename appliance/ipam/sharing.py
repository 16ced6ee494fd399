"""Which held addresses a further Service may share (MetalLB's rules: equal key, equal backends, no common port)."""

from bisect import bisect_left, insort
from collections.abc import Callable, Set

from appliance.ipam.reason import Reason
from appliance.ipam.request import PortKey, SharingTerms

_CURSORS_MAX = 1024


def clash(
    asked: SharingTerms | None, held: SharingTerms | None, asked_ports: frozenset[PortKey], held_ports: Set[PortKey]
) -> Reason | None:
    """Why two Services cannot hold one address; None where they can."""
    if asked is None or held is None:
        return Reason.IN_USE
    if asked.key != held.key:
        return Reason.OTHER_SHARING_KEY
    if asked.selector != held.selector:
        return Reason.OTHER_BACKENDS
    return None if asked_ports.isdisjoint(held_ports) else Reason.PORT_TAKEN


class SharedPositions:
    """The positions of one space held under the same terms, with the ports in use at each.

    A cursor for every set of ports asked for says below which index nothing fits; it falls back when ports come free.
    """

    __slots__ = ("_cursors", "_ports", "_positions")

    def __init__(self) -> None:
        self._positions: list[int] = []
        self._ports: dict[int, set[PortKey]] = {}
        self._cursors: dict[frozenset[PortKey], int] = {}

    def __bool__(self) -> bool:
        return bool(self._positions)

    def join(self, position: int, ports: frozenset[PortKey]) -> None:
        """Note one more holder of a position."""
        if position in self._ports:
            self._ports[position] |= ports
            return
        if self._positions and position < self._positions[-1]:
            self.reconsider()
        insort(self._positions, position)
        self._ports[position] = set(ports)

    def leave(self, position: int, ports: frozenset[PortKey], is_last: bool) -> None:
        """Note that a holder gave a position back."""
        self.reconsider()
        if is_last:
            del self._ports[position]
            del self._positions[bisect_left(self._positions, position)]
        else:
            self._ports[position] -= ports

    def reconsider(self) -> None:
        """Forget what did not fit before."""
        self._cursors.clear()

    def lowest(self, ports: frozenset[PortKey], is_kept_back: Callable[[int], bool]) -> int | None:
        """The first position whose holders use none of some ports."""
        index = self._cursors.get(ports, 0)
        while index < len(self._positions):
            position = self._positions[index]
            if ports.isdisjoint(self._ports[position]) and not is_kept_back(position):
                break
            index += 1
        if len(self._cursors) >= _CURSORS_MAX:
            self.reconsider()
        self._cursors[ports] = index
        return self._positions[index] if index < len(self._positions) else None
