"""What MetalLB's users look at: ServiceL2Status, ServiceBGPStatus and ConfigurationState, derived from our own objects.

Nothing is decided by them. They are worked out Service by Service when there is nothing else to do, written where they
differ, a few at a time, and taken away with what they are about. A kind that the store has not, or that may not be
written, is left alone for a while.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from appliance.allocation.cache import Cache, CacheChange
from appliance.allocation.event import Write, WriteOperation
from appliance.api.kind import REPORTS, Object, ref_of
from appliance.api.label import HOSTNAME_LABEL, any_matches
from appliance.api.meta import Metadata, Ref
from appliance.api.metallb import (
    COMPONENT_LABEL,
    NODE_LABEL,
    SERVICE_NAME_LABEL,
    SERVICE_NAMESPACE_LABEL,
    ConditionStatus,
    ConfigurationCondition,
    ConfigurationResult,
    ConfigurationState,
    ConfigurationStateStatus,
    InterfaceInfo,
    MetalLBServiceBGPStatus,
    MetalLBServiceL2Status,
    ServiceBGPStatus,
    ServiceL2Status,
)
from appliance.api.pierhead import Host, Layer2, Route, VirtualIP
from appliance.api.problem import Problem
from appliance.api.refusal import StoreRefusal

REPORT_TITLES = frozenset(kind.title for kind in REPORTS)
WRITES_MAX = 4
LOOKS_MAX = 64
# One a Service and host: a site of many of both has none for those that come last.
BGP_STATUSES_MAX = 10_000
PAUSE_SECONDS = 300.0
RETRY_SECONDS = 5.0
PROBLEMS_MAX = 50

_MANAGED_LABEL, _MANAGED_BY = "app.kubernetes.io/managed-by", "pierhead-allocator"
_STATE = "controller"
# MetalLB's conditions: its controller looks at pools and what belongs to them, its speakers at the rest.
_POOL_CONDITION, _SPEAKER_CONDITION = "poolReconcilerValid", "configReconcilerValid"
_POOL_KINDS = frozenset({"IPAddressPool", "Community", "Namespace"})
_VALID, _INVALID = "Reconciled", "ConfigurationError"
_TRIED_AGAIN = frozenset({StoreRefusal.UNAVAILABLE, StoreRefusal.THROTTLED, StoreRefusal.CONFLICT, StoreRefusal.EXISTS})


class Reports:
    """The statuses in one namespace, none where that is ""; times are seconds since 1970."""

    def __init__(self, namespace: str, cache: Cache) -> None:
        self._namespace = namespace
        self._cache = cache
        self._stale: dict[str, None] = {}
        self._is_state_stale = bool(namespace)
        self._present: dict[str, dict[Ref, Object]] = {}
        self._state: ConfigurationState | None = None
        self._mistakes: tuple[Problem, ...] = ()
        self._under_way: dict[Ref, str] = {}
        self._paused: dict[str, float] = {}
        self._peers: dict[str, Mapping[str, tuple[str, ...]]] = {}
        self._bgp_counts: dict[str, int] = {}
        self._bgp_count = 0

    def begin(self) -> None:
        """Look at all there is."""
        if not self._namespace:
            return
        for manifest in self._cache.objects(REPORT_TITLES):
            self._index(ref_of(manifest), None, manifest)
        for path in sorted({*self._cache.listed_services(), *self._present}):
            self._stale[path] = None

    def note(self, ref: Ref, before: Object | None, after: Object | None) -> None:
        """An object changed: what it is reported in is to be looked at again."""
        if not self._namespace:
            return
        if ref.kind in REPORT_TITLES:
            self._index(ref, before, after)
            return
        match before, after:
            case (VirtualIP(), _) | (_, VirtualIP()):
                if _reported(before) != _reported(after):
                    for vip in (before, after):
                        for entry in vip.spec.services if isinstance(vip, VirtualIP) else ():
                            self._stale[f"{entry.namespace}/{entry.name}"] = None
            case (Host() as old, Host() as new) if old.metadata.labels == new.metadata.labels:
                return
            case _ if ref.kind in ("Host", "BGPSession"):
                self._peers.clear()
                for path in self._cache.listed_services():
                    self._stale[path] = None
            case _:
                return

    def set_mistakes(self, mistakes: tuple[Problem, ...]) -> None:
        """What is wrong with what operators wrote."""
        if self._namespace and mistakes != self._mistakes:
            self._mistakes, self._is_state_stale = mistakes, True

    def take_over(self, write: Write, changes: Iterable[CacheChange]) -> None:
        """What any write made of objects; after one of a status look whether another is missing."""
        for change in changes:
            self.note(*change)
        self._end(write)

    def refuse(self, write: Write, refusal: StoreRefusal, now: float) -> None:
        """A write of a status was refused: leave its kind alone, long where the kind itself seems to be the cause."""
        self._end(write)
        is_gone = refusal is StoreRefusal.NOT_FOUND and write.operation is not WriteOperation.CREATE
        seconds = RETRY_SECONDS if is_gone or refusal in _TRIED_AGAIN else PAUSE_SECONDS
        self._paused[write.ref.kind] = now + seconds

    def _end(self, write: Write) -> None:
        path = self._under_way.pop(write.ref, None)
        if path:
            self._stale[path] = None
        elif path is not None:
            self._is_state_stale = True

    @property
    def under_way(self) -> int:
        """How many writes of statuses are under way."""
        return len(self._under_way)

    def deadline(self) -> float | None:
        """When there is something to look at; None for not before something changes."""
        if not self._may_write() or len(self._under_way) >= WRITES_MAX:
            return None
        if self._stale or (self._is_state_stale and ConfigurationState.__name__ not in self._paused):
            return float("-inf")
        return min(self._paused.values(), default=None)

    def writes(self, now: float, most: int) -> list[Write]:
        """Some of what is missing, `most` at the most; looks at a bounded number of Services."""
        if not self._may_write():
            return []
        self._end_pauses(now)
        most = min(most, WRITES_MAX - len(self._under_way))
        return list(islice(self._missing(now), most)) if most > 0 else []

    def _may_write(self) -> bool:
        """Whether there is to be a status at all, and it is known which there are."""
        return bool(self._namespace) and self._cache.has_listed(REPORTS)

    def _missing(self, now: float) -> Iterator[Write]:
        if self._is_state_stale and ConfigurationState.__name__ not in self._paused:
            self._is_state_stale = False
            yield from self._ask("", self._state_writes(now))
        for _ in range(LOOKS_MAX):
            if not self._stale:
                return
            path = next(iter(self._stale))
            del self._stale[path]
            yield from self._ask(path, self._service_writes(path))

    def _ask(self, path: str, writes: Iterator[Write]) -> Iterator[Write]:
        """Those that may be made now; of an object one at a time."""
        for write in writes:
            if write.ref not in self._under_way and write.ref.kind not in self._paused:
                self._under_way[write.ref] = path
                yield write

    def _end_pauses(self, now: float) -> None:
        over = [title for title, until in self._paused.items() if until <= now]
        for title in over:
            del self._paused[title]
        if over:
            for path in sorted({*self._cache.listed_services(), *self._present}):
                self._stale[path] = None
            self._is_state_stale = True

    def _index(self, ref: Ref, before: Object | None, after: Object | None) -> None:
        manifest = after or before
        if manifest is None or ref.namespace != self._namespace:
            return
        if isinstance(manifest, ConfigurationState):
            if ref.name == _STATE:
                self._state = manifest if after is not None else None
                self._is_state_stale = True
            return
        labels = manifest.metadata.labels
        if labels.get(_MANAGED_LABEL) != _MANAGED_BY:
            return
        path = f"{labels.get(SERVICE_NAMESPACE_LABEL, '')}/{labels.get(SERVICE_NAME_LABEL, '')}"
        reports = self._present.setdefault(path, {})
        if after is not None:
            reports[ref] = after
        else:
            reports.pop(ref, None)
            if not reports:
                del self._present[path]
        if ref not in self._under_way:
            self._stale[path] = None

    def _service_writes(self, path: str) -> Iterator[Write]:
        """What brings the statuses of a Service to what they should say."""
        manifests: tuple[Object, ...] = (*self._layer2(path), *self._bgp(path))
        wanted = {ref_of(manifest): manifest for manifest in manifests}
        present = self._present.get(path, {})
        for ref, manifest in wanted.items():
            found = present.get(ref)
            if found is None:
                yield Write(WriteOperation.CREATE, ref, manifest)
            elif _status(found) != _status(manifest):
                yield Write(WriteOperation.APPLY_STATUS, ref, manifest)
        for ref in present.keys() - wanted.keys():
            yield Write(WriteOperation.DELETE, ref)

    def _layer2(self, path: str) -> Iterator[ServiceL2Status]:
        """One for each host that owns an address of a Service: nearly always one."""
        found: dict[str, set[str] | None] = {}
        for address in self._cache.claims(path):
            vip = self._cache.vips[address]
            owner, layer2 = vip.status.owner, vip.spec.layer2
            if owner is None or layer2 is None:
                continue
            names = _interfaces(layer2, self._labels(owner.host))
            known = found.get(owner.host, set())
            found[owner.host] = known | names if known is not None and names else None
        namespace, name = path.split("/", 1)
        for host, interfaces in sorted(found.items()):
            listed = tuple(InterfaceInfo(name=interface) for interface in sorted(interfaces or ()))
            yield ServiceL2Status(
                metadata=self._metadata("l2", path, host),
                status=MetalLBServiceL2Status(
                    node=host, service_name=name, service_namespace=namespace, interfaces=listed
                ),
            )

    def _bgp(self, path: str) -> Iterator[ServiceBGPStatus]:
        """One for each host that is to announce a Service, with the peers it is to announce it to."""
        found: dict[str, set[str]] = {}
        for address in self._cache.claims(path):
            for route in self._cache.vips[address].spec.bgp:
                for host, peers in self._announced(route).items():
                    found.setdefault(host, set()).update(peers)
        self._bgp_count -= self._bgp_counts.pop(path, 0)
        if not found or self._bgp_count + len(found) > BGP_STATUSES_MAX:
            return
        self._bgp_counts[path] = len(found)
        self._bgp_count += len(found)
        namespace, name = path.split("/", 1)
        for host, names in sorted(found.items()):
            yield ServiceBGPStatus(
                metadata=self._metadata("bgp", path, host),
                status=MetalLBServiceBGPStatus(
                    node=host, service_name=name, service_namespace=namespace, peers=tuple(sorted(names))
                ),
            )

    def _announced(self, route: Route) -> Mapping[str, tuple[str, ...]]:
        """Which hosts announce a route to which peers; routes that differ in their prefix alone are alike."""
        key = repr((route.node_selectors, route.hosts, route.peers))
        if key not in self._peers:
            found = {}
            for host in self._cache.hosts:
                labels = self._labels(host)
                if (route.hosts is None or host in route.hosts) and any_matches(route.node_selectors, labels):
                    found[host] = tuple(
                        name
                        for name, session in self._cache.sessions.items()
                        if (not route.peers or name in route.peers) and any_matches(session.spec.node_selectors, labels)
                    )
            self._peers[key] = {host: peers for host, peers in found.items() if peers}
        return self._peers[key]

    def _labels(self, host: str) -> Mapping[str, str]:
        known = self._cache.hosts.get(host)
        return {HOSTNAME_LABEL: host, **(known.metadata.labels if known is not None else {})}

    def _metadata(self, prefix: str, path: str, host: str) -> Metadata:
        """MetalLB's labels; a name that is another for each Service and host, because those never change."""
        namespace, name = path.split("/", 1)
        digest = hashlib.sha256(f"{path}#{host}".encode()).hexdigest()[:20]
        return Metadata(
            name=f"{prefix}-{digest}",
            namespace=self._namespace,
            labels={
                NODE_LABEL: host,
                SERVICE_NAME_LABEL: name,
                SERVICE_NAMESPACE_LABEL: namespace,
                _MANAGED_LABEL: _MANAGED_BY,
            },
        )

    def _state_writes(self, now: float) -> Iterator[Write]:
        """What brings the ConfigurationState to what is known of the configuration."""
        metadata = Metadata(name=_STATE, namespace=self._namespace, labels={COMPONENT_LABEL: _STATE})
        present = self._state
        wanted = ConfigurationState(metadata=metadata, status=self._state_status(now))
        if present is None:
            yield Write(WriteOperation.CREATE, ref_of(wanted), wanted)
        elif present.status != wanted.status:
            yield Write(WriteOperation.APPLY_STATUS, ref_of(wanted), wanted)

    def _state_status(self, now: float) -> ConfigurationStateStatus:
        of_pools = [problem for problem in self._mistakes if problem.ref and problem.ref.kind in _POOL_KINDS]
        others = [problem for problem in self._mistakes if problem not in of_pools]
        return ConfigurationStateStatus(
            result=ConfigurationResult.INVALID if self._mistakes else ConfigurationResult.VALID,
            error_summary=_summary(list(self._mistakes)),
            conditions=(
                self._condition(_POOL_CONDITION, of_pools, now),
                self._condition(_SPEAKER_CONDITION, others, now),
            ),
        )

    def _condition(self, title: str, problems: list[Problem], now: float) -> ConfigurationCondition:
        status = ConditionStatus.FALSE if problems else ConditionStatus.TRUE
        known = [entry for entry in self._state.status.conditions if entry.type == title] if self._state else []
        since = next((entry.last_transition_time for entry in known if entry.status is status), "")
        return ConfigurationCondition(
            type=title,
            status=status,
            reason=_INVALID if problems else _VALID,
            message=_summary(problems),
            last_transition_time=since or datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )


def _reported(manifest: Object | None) -> object:
    """What of a VirtualIP is reported."""
    if not isinstance(manifest, VirtualIP):
        return None
    spec, owner = manifest.spec, manifest.status.owner
    return (
        tuple(entry.reference for entry in spec.services),
        owner.host if owner is not None and spec.layer2 is not None else "",
        spec.layer2 and (spec.layer2.interfaces, spec.layer2.interface_rules),
        spec.bgp,
    )


def _interfaces(layer2: Layer2, labels: Mapping[str, str]) -> set[str]:
    """The interfaces a host answers on, none for all."""
    rules = [rule for rule in layer2.interface_rules if any_matches(rule.node_selectors, labels)]
    if not rules:
        return set(layer2.interfaces)
    if any(not rule.interfaces for rule in rules):
        return set()
    return {name for rule in rules for name in rule.interfaces}


def _status(manifest: Object) -> object:
    return getattr(manifest, "status", None)


def _summary(problems: list[Problem]) -> str:
    """One problem a line."""
    lines = [str(replace(problem, source=None)) for problem in problems[:PROBLEMS_MAX]]
    left = len(problems) - len(lines)
    return "\n".join([*lines, *([f"and {left} more"] if left else [])])
