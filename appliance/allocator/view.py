"""What the store holds as far as this allocator knows: the last snapshot, and its own writes since."""

from collections import Counter
from collections.abc import Mapping
from itertools import compress, count
from operator import is_not
from typing import TypeVar

from appliance.advertise.endpoint import SERVICE_LABEL, Slices
from appliance.advertise.plan import present_owner
from appliance.api.address import IPAddress, address_of
from appliance.api.core import EndpointSlice, Node, Service
from appliance.api.kind import Kind, Object, ref_of
from appliance.api.meta import Ref
from appliance.api.pierhead import Backends, Host, VirtualIP
from appliance.store.protocol import Listing

Changes = dict[Ref, tuple[Object | None, Object | None]]
Key = TypeVar("Key")
Value = TypeVar("Value")


def service_path(service: Service) -> str:
    """`namespace/name`."""
    return f"{service.metadata.namespace}/{service.metadata.name}"


class View:
    """Objects by kind, with the indexes that allocation asks for; `put` and `drop` change all of them together."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.vips: dict[IPAddress, VirtualIP] = {}
        self.backends: dict[IPAddress, Backends] = {}
        self.slices: dict[str, Slices] = {}
        self.hosts: dict[str, Host] = {}
        self.nodes: dict[str, Node] = {}
        self.load: Counter[str] = Counter()
        self._objects: dict[Ref, Object] = {}
        self._claims: dict[str, frozenset[IPAddress]] = {}
        self._shown: Mapping[Ref, Object] = {}
        self._doubtful: set[Ref] = set()
        self._ahead: dict[Ref, int] = {}
        self._pictures = 0

    def absorb(self, snapshot: Listing) -> Changes:
        """Take a snapshot over and return what is new in it, as before and after.

        What vanished from an incomplete picture stays until a complete one says so too.
        """
        touched = changed_refs(self._shown, snapshot.objects)
        self._shown = snapshot.objects
        gone = {ref for ref in touched | self._doubtful | self._outdated() if ref not in snapshot.objects}
        self._doubtful = set() if snapshot.is_complete else gone
        changes: Changes = {}
        for ref in sorted(touched if not snapshot.is_complete else touched | gone):
            before, after = self._objects.get(ref), snapshot.objects.get(ref)
            if before is after or (after is None and not snapshot.is_complete) or _is_known(before, after):
                continue
            changes[ref] = (before, after)
            if after is not None:
                self.put(after)
            else:
                self.drop(ref)
        return changes

    def learn(self, snapshot: Listing) -> Changes:
        """Take over what a fresh look at some kinds shows, what vanished from it left to the next whole picture."""
        changes: Changes = {}
        for ref, manifest in snapshot.objects.items():
            before = self._objects.get(ref)
            if before is not manifest and not _is_known(before, manifest):
                changes[ref] = (before, manifest)
                self.put(manifest)
        return changes

    def put(self, manifest: Object) -> None:
        """Take one object over."""
        ref = ref_of(manifest)
        before = self._objects.get(ref)
        self._objects[ref] = manifest
        if ref not in self._shown:
            self._ahead[ref] = self._pictures
        self._index(ref, before, manifest)

    def drop(self, ref: Ref) -> None:
        """Forget one object."""
        before = self._objects.pop(ref, None)
        self._ahead.pop(ref, None)
        if before is not None:
            self._index(ref, before, None)

    def claims(self, service: str) -> frozenset[IPAddress]:
        """The addresses whose VirtualIP lists a Service."""
        return self._claims.get(service, frozenset())

    def objects(self, titles: frozenset[str]) -> list[Object]:
        """The objects of some kinds."""
        return [manifest for ref, manifest in self._objects.items() if ref.kind in titles]

    def get(self, ref: Ref) -> Object | None:
        """One object."""
        return self._objects.get(ref)

    def _outdated(self) -> set[Ref]:
        """Objects known by our own writes that a second picture now fails to show."""
        self._pictures += 1
        self._ahead = {ref: since for ref, since in self._ahead.items() if ref not in self._shown}
        return {ref for ref, since in self._ahead.items() if since < self._pictures - 1}

    def _index(self, ref: Ref, before: Object | None, after: Object | None) -> None:
        match after or before:
            case Service():
                _set(self.services, ref.path, after, Service)
            case VirtualIP() as vip:
                self._index_vip(vip.spec.address, before, after)
            case Backends() as backends:
                _set(self.backends, backends.spec.address, after, Backends)
            case EndpointSlice():
                self._index_slice(before, after)
            case Host():
                _set(self.hosts, ref.name, after, Host)
            case Node():
                _set(self.nodes, ref.name, after, Node)
            case _:
                return

    def _index_vip(self, address: IPAddress, before: Object | None, after: Object | None) -> None:
        for change, vip in ((-1, before), (1, after)):
            if not isinstance(vip, VirtualIP):
                continue
            if vip.spec.services and (owner := present_owner(vip)):
                self.load[owner] += change
            for entry in vip.spec.services:
                self._claim(str(entry.reference), address, change > 0)
        _set(self.vips, address, after, VirtualIP)

    def _claim(self, service: str, address: IPAddress, is_listed: bool) -> None:
        claims = self.claims(service) | {address} if is_listed else self.claims(service) - {address}
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


def slice_service(piece: EndpointSlice) -> str:
    """The Service a slice belongs to, `namespace/` for none."""
    return f"{piece.metadata.namespace}/{piece.metadata.labels.get(SERVICE_LABEL, '')}"


def slice_services(*versions: Object | None) -> set[str]:
    """The Services that versions of a slice belong to."""
    return {slice_service(piece) for piece in versions if isinstance(piece, EndpointSlice)}


def address_order(address: IPAddress) -> tuple[int, int]:
    """Addresses of both families in one order: IPv4 first."""
    return address.version, int(address)


def address_of_ref(ref: Ref) -> IPAddress | None:
    """The address a VirtualIP or Backends is named by; None for a name that is none."""
    try:
        return address_of(ref.name)
    except ValueError:
        return None


def changed_refs(before: Mapping[Ref, Object], after: Mapping[Ref, Object]) -> set[Ref]:
    """The names whose objects differ, fast where two large pictures are alike in all but a few places."""
    old, new = list(before.values()), list(after.values())
    if len(old) == len(new):
        old_refs, new_refs = list(before), list(after)
        places = list(compress(count(), map(is_not, old, new)))
        refs = {old_refs[place] for place in places} | {new_refs[place] for place in places}
        return {ref for ref in refs if before.get(ref) is not after.get(ref)}
    shorter = min(len(old), len(new))
    start = next(compress(count(), map(is_not, old, new)), shorter)
    end = next(compress(count(), map(is_not, reversed(old), reversed(new))), shorter)
    end = min(end, shorter - start)
    middle_before = dict(zip(list(before)[start : len(old) - end], old[start : len(old) - end], strict=True))
    middle_after = dict(zip(list(after)[start : len(new) - end], new[start : len(new) - end], strict=True))
    changed = {ref for ref, manifest in middle_after.items() if middle_before.get(ref) is not manifest}
    return changed | (middle_before.keys() - middle_after.keys())


def _is_known(before: Object | None, after: Object | None) -> bool:
    """Whether a snapshot shows what a write of ours made already."""
    if before is None or after is None:
        return False
    version = after.metadata.resource_version
    return bool(version) and before.metadata.resource_version == version and before == after


def _set(table: dict[Key, Value], key: Key, manifest: object, cls: type[Value]) -> None:
    if isinstance(manifest, cls):
        table[key] = manifest
    else:
        table.pop(key, None)


WATCHED = frozenset(
    {
        Kind.SERVICE,
        Kind.ENDPOINT_SLICE,
        Kind.NODE,
        Kind.NAMESPACE,
        Kind.IP_ADDRESS_POOL,
        Kind.L2_ADVERTISEMENT,
        Kind.BGP_ADVERTISEMENT,
        Kind.BGP_PEER,
        Kind.BFD_PROFILE,
        Kind.COMMUNITY,
        Kind.VIRTUAL_IP,
        Kind.BACKENDS,
        Kind.BGP_SESSION,
        Kind.HOST,
    }
)
