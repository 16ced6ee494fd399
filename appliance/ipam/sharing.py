"""Which held addresses a further Service may share (MetalLB's rules: equal key, equal backends, no common port)."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator, Set

from appliance.api.core import Service, TrafficPolicy
from appliance.api.kind import Object, ref_of
from appliance.api.problem import Problem
from appliance.ipam.reason import Reason
from appliance.ipam.request import SHARING_KEY, PortKey, SharingTerms, annotation, read_held

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


def sharing_warnings(manifests: Iterable[Object]) -> Iterator[Problem]:
    """Services under Local without a selector, taken for Cluster by MetalLB, beside one of their key under Cluster."""
    shared = [
        (key, manifest)
        for manifest in manifests
        if isinstance(manifest, Service) and (key := annotation(manifest.metadata.annotations, SHARING_KEY))
    ]
    served = [(key, service) for key, service in shared if service.spec.type == "LoadBalancer"]
    by_key: dict[str, list[Service]] = {}
    for key, service in served:
        if service.spec.external_traffic_policy is TrafficPolicy.CLUSTER:
            by_key.setdefault(key, []).append(service)
    for key, service in served:
        if service.spec.external_traffic_policy is TrafficPolicy.LOCAL and not service.spec.selector:
            other = next((each for each in by_key.get(key, ()) if _may_be_together(each, service)), None)
            if other is not None:
                sentence = (
                    "is empty under externalTrafficPolicy Local, which MetalLB takes for Cluster; here the address"
                )
                yield Problem(ref_of(service), "spec.selector", f"{sentence} is not shared with {ref_of(other)}")


def _may_be_together(one: Service, other: Service) -> bool:
    """Whether two Services have an address in common, or one has none yet."""
    held, own = read_held(one) or (), read_held(other) or ()
    return not held or not own or not set(held).isdisjoint(own)


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
