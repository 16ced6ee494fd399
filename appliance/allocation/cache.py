"""What the store holds as far as is known: what a watch told, and what own writes made of it since."""

from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import replace
from typing import TypeVar

from appliance.advertise.endpoint import SERVICE_LABEL, Slices
from appliance.advertise.plan import present_owner
from appliance.allocation.event import ObjectsChanged
from appliance.api.address import IPAddress, address_of
from appliance.api.core import BASIC_AUTH, EndpointSlice, Node, Secret, Service
from appliance.api.kind import REPORTS, Kind, Object, ref_of
from appliance.api.meta import Ref, is_newer
from appliance.api.metallb import IPAddressPool
from appliance.api.pierhead import HOSTS_NAMESPACE, SESSION_PASSWORDS, Backends, BGPSession, Host, VirtualIP

CacheChange = tuple[Ref, Object | None, Object | None]
Key = TypeVar("Key")
Value = TypeVar("Value")

WATCHED = frozenset(Kind) - {Kind.LEASE, Kind.EVENT}
# Addresses are given without these: they may be forbidden, or not be there to be read.
_NOT_NEEDED = REPORTS | {Kind.SECRET}
# Of other Secrets their type is all there is to know.
_PASSWORD_TYPES = frozenset({BASIC_AUTH, SESSION_PASSWORDS})


class Cache:
    """Objects by name, with the indexes that allocation asks for; `absorb`, `put` and `drop` change all of them."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.vips: dict[IPAddress, VirtualIP] = {}
        self.backends: dict[IPAddress, Backends] = {}
        self.slices: dict[str, Slices] = {}
        self.hosts: dict[str, Host] = {}
        self.nodes: dict[str, Node] = {}
        self.pools: dict[Ref, IPAddressPool] = {}
        self.sessions: dict[str, BGPSession] = {}
        self.host_secrets: dict[str, Secret] = {}
        self.load: Counter[str] = Counter()
        self.unreadable: frozenset[Ref] = frozenset()
        self.is_complete = True
        self._listed: set[Kind] = set()
        self._objects: dict[Ref, Object] = {}
        self._claims: dict[str, tuple[IPAddress, ...]] = {}
        self._untold: set[Ref] = set()

    @property
    def is_listed(self) -> bool:
        """Whether everything that decides has been told."""
        return self.has_listed(WATCHED - _NOT_NEEDED)

    def has_listed(self, kinds: frozenset[Kind]) -> bool:
        """Whether everything there is of some kinds has been told."""
        return self._listed >= kinds

    def absorb(self, event: ObjectsChanged) -> Iterator[CacheChange]:
        """Take a batch over, change by change; late news of what an own write replaced since is passed over."""
        if event.is_first:
            self._untold = set(self._objects)
        for manifest in sorted(event.changed, key=_name):
            if self._untold:
                self._untold.discard(ref_of(manifest))
            if (change := self.put(manifest)) is not None:
                yield change
        for ref in event.removed:
            yield from self.drop(ref)
        self._listed |= event.listed
        titles = {kind.title for kind in event.listed}
        for ref in sorted(ref for ref in self._untold if ref.kind in titles):
            yield from self.drop(ref)
        if event.is_complete is not None:
            self.is_complete = event.is_complete
        if event.unreadable is not None:
            touched, self.unreadable = self.unreadable ^ event.unreadable, event.unreadable
            for ref in sorted(touched):
                yield ref, self._objects.get(ref), self._objects.get(ref)

    def put(self, manifest: Object) -> CacheChange | None:
        """Take one object over as a store answered; None where something newer or the same is known."""
        ref = ref_of(manifest)
        before = self._objects.get(ref)
        if before is not None and not _is_newer(manifest, before):
            return None
        if isinstance(manifest, Secret) and manifest.type not in _PASSWORD_TYPES:
            manifest = replace(manifest, data={}, string_data={})
        self._set(ref, before, manifest)
        return ref, before, manifest

    def drop(self, ref: Ref) -> Iterator[CacheChange]:
        """Forget one object."""
        before = self._objects.pop(ref, None)
        self._untold.discard(ref)
        if before is not None:
            self._index(ref, before, None)
            yield ref, before, None

    def get(self, ref: Ref) -> Object | None:
        """One object."""
        return self._objects.get(ref)

    def objects(self, titles: frozenset[str]) -> list[Object]:
        """The objects of some kinds."""
        return [manifest for ref, manifest in self._objects.items() if ref.kind in titles]

    def claims(self, service: str) -> tuple[IPAddress, ...]:
        """The addresses whose VirtualIP lists a Service, lowest first."""
        return self._claims.get(service, ())

    def listed_services(self) -> Set[str]:
        """The Services (`namespace/name`) that some VirtualIP lists."""
        return self._claims.keys()

    def is_readable(self, ref: Ref) -> bool:
        """Whether an object, if there is one, is what is known of it."""
        return not self.unreadable or ref not in self.unreadable

    def _set(self, ref: Ref, before: Object | None, after: Object) -> None:
        self._objects[ref] = after
        self._index(ref, before, after)

    def _index(self, ref: Ref, before: Object | None, after: Object | None) -> None:
        match after or before:
            case Service():
                _enter(self.services, ref.path, after, Service)
            case VirtualIP() as vip:
                self._index_vip(vip.spec.address, before, after)
            case Backends() as backends:
                _enter(self.backends, backends.spec.address, after, Backends)
            case EndpointSlice():
                self._index_slice(before, after)
            case Host():
                _enter(self.hosts, ref.name, after, Host)
            case Node():
                _enter(self.nodes, ref.name, after, Node)
            case BGPSession():
                _enter(self.sessions, ref.name, after, BGPSession)
            case IPAddressPool():
                _enter(self.pools, ref, after, IPAddressPool)
            case Secret() if ref.namespace == HOSTS_NAMESPACE:
                _enter(self.host_secrets, ref.name, after, Secret)
            case _:
                return

    def _index_vip(self, address: IPAddress, before: Object | None, after: Object | None) -> None:
        for change, vip in ((-1, before), (1, after)):
            if not isinstance(vip, VirtualIP):
                continue
            if vip.spec.services and (owner := present_owner(vip)):
                self.load[owner] += change
            for entry in vip.spec.services:
                self._claim(f"{entry.namespace}/{entry.name}", address, change > 0)
        _enter(self.vips, address, after, VirtualIP)

    def _claim(self, service: str, address: IPAddress, is_listed: bool) -> None:
        known = self._claims.get(service, ())
        claims = tuple(claim for claim in known if claim != address)
        if is_listed:
            claims = tuple(sorted((*claims, address), key=address_order)) if claims else (address,)
        if claims:
            self._claims[service] = claims
        else:
            self._claims.pop(service, None)

    def _index_slice(self, before: Object | None, after: Object | None) -> None:
        for old, new in ((before, None), (None, after)):
            piece = old or new
            if not isinstance(piece, EndpointSlice) or not piece.metadata.labels.get(SERVICE_LABEL):
                continue
            service = slice_service(piece)
            others = [p for p in self.slices.get(service, ()) if p.metadata.name != piece.metadata.name]
            pieces = sorted([*others, piece] if new else others, key=lambda p: p.metadata.name)
            if pieces:
                self.slices[service] = tuple(pieces)
            else:
                self.slices.pop(service, None)


def _name(manifest: Object) -> tuple[str, str]:
    return manifest.metadata.namespace, manifest.metadata.name


def service_path(service: Service) -> str:
    """`namespace/name`."""
    return f"{service.metadata.namespace}/{service.metadata.name}"


def slice_service(piece: EndpointSlice) -> str:
    """The Service a slice belongs to, `namespace/` for none."""
    return f"{piece.metadata.namespace}/{piece.metadata.labels.get(SERVICE_LABEL, '')}"


def address_order(address: IPAddress) -> tuple[int, int]:
    """Addresses of both families in one order: IPv4 first."""
    return address.version, int(address)


def address_of_ref(ref: Ref) -> IPAddress | None:
    """The address a VirtualIP or Backends is named by; None for a name that is none."""
    try:
        return address_of(ref.name)
    except ValueError:
        return None


def _is_newer(manifest: Object, known: Object) -> bool:
    """Whether an object is to be taken for what is known of it; one without a version where it says something else."""
    version, before = manifest.metadata.resource_version, known.metadata.resource_version
    if version == before:
        return not version and manifest != known
    return is_newer(version, before)


def _enter(table: dict[Key, Value], key: Key, manifest: object, cls: type[Value]) -> None:
    if isinstance(manifest, cls):
        table[key] = manifest
    else:
        table.pop(key, None)
