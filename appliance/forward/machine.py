"""The rules of this host as its inputs change: what an event makes different, and nothing else.

What is kept is one record an address and one a ring. An event marks what it concerns; `change` decides those anew,
compares them with what they were, and gives the difference as one nftables transaction:

- an object of an address: the ports of that address;
- a host that comes, goes, fails, drains or moves: the rings it is in, and of their ports those that only get new
  connections while nobody else takes them;
- a network interface: everything, because the chain that packets enter by hangs on it.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from appliance.api.address import IPAddress, vip_name
from appliance.api.core import Protocol
from appliance.api.kind import Kind, Object
from appliance.api.meta import Ref
from appliance.api.pierhead import BackendPort, Backends, Host, VirtualIP
from appliance.forward.change import Difference, revision_mark, revision_of
from appliance.forward.hop import LeftOut, RemoteHost, remote_hosts, why_left_out
from appliance.forward.listing import KernelTables
from appliance.forward.packet import fields_of
from appliance.forward.plan import HostSet, LocalBackend, PortPlan, VipPort, host_set_of, members_of, plan_port
from appliance.forward.ring import Member, Ring, ring_of
from appliance.forward.rule import (
    Definitions,
    Element,
    Name,
    Part,
    RingView,
    Sort,
    address_elements,
    host_definitions,
    host_elements,
    parts_of,
    ring_definitions,
    ring_elements,
    target_definitions,
)
from appliance.forward.structure import (
    ELSEWHERE_SECONDS,
    FAMILIES,
    render_structure,
    rules_of,
    structure_definitions,
)

TIDY_SECONDS = 1.0
NO_RING = Ring((), 1, array("B"))
_WAY_OUT = re.compile(r'(?:fwd ip6?|dup) to (\S+) device "([^"]+)"')


@dataclass(frozen=True, slots=True)
class Device:
    """A network interface that packets enter by; one made anew under its name has another index."""

    name: str
    index: int


@dataclass(frozen=True, slots=True)
class ObjectsChanged:
    """Objects that are new or differ, and those that are gone; other kinds are passed over."""

    changed: Sequence[Object] = ()
    removed: Sequence[Ref] = ()


@dataclass(frozen=True, slots=True)
class DevicesChanged:
    """The interfaces that are present."""

    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True)
class FailedHostsChanged:
    """The hosts that failed and were not heard of since."""

    failed: frozenset[str]


Event = ObjectsChanged | DevicesChanged | FailedHostsChanged


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction, the revision it brings, the VIPs it concerns, and the backends that flows of UDP may keep."""

    text: str
    revision: str
    vips: frozenset[str]
    flows: Mapping[VipPort, frozenset[LocalBackend]]


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """A VIP and what happens to the packets of each of its ports."""

    address: IPAddress
    ports: tuple[PortPlan, ...]

    def elements(self) -> Iterator[Element]:
        """What is said of it in the kernel."""
        return address_elements(self.address, self.ports)


@dataclass(slots=True)
class _Ring:
    """A ring in use.

    `uses` counts the ports that need a part of it. `dependants` are the ports whose backends here get new connections
    only while this host takes some of the ring's, because none is ready.
    """

    members: frozenset[Member]
    view: RingView
    uses: Counter[Part] = field(default_factory=Counter)
    dependants: set[VipPort] = field(default_factory=set)
    gained_until: float = 0.0

    @property
    def parts(self) -> frozenset[Part]:
        return frozenset(part for part, count in self.uses.items() if count)


@dataclass(frozen=True, slots=True)
class _Site:
    """What is known of hosts: the way to each, who is drained, who failed."""

    remote: Mapping[str, RemoteHost] = field(default_factory=dict)
    drained: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()

    def definitions(self) -> dict[Name, tuple[str, ...]]:
        return {name: body for host in self.remote.values() for name, body in host_definitions(host).items()}

    def elements(self) -> set[Element]:
        return {element for host in self.remote.values() for element in host_elements(host)}


@dataclass(slots=True)
class _Step:
    """What one decision changes: the rings and target chains it touched as they were, and the rest as a difference."""

    now: float
    difference: Difference = field(default_factory=Difference)
    rings: dict[HostSet, tuple[frozenset[Part], RingView]] = field(default_factory=dict)
    target_chains: dict[tuple[Name, tuple[str, ...]], bool] = field(default_factory=dict)
    vips: set[str] = field(default_factory=set)
    flows: dict[VipPort, frozenset[LocalBackend]] = field(default_factory=dict)


class Forwarding:
    """The rules of one host; events are noted by `handle`, and what they change is told by `change`."""

    def __init__(self, me: str) -> None:
        self._me = me
        self._hosts: dict[str, Host] = {}
        self._vips: dict[str, IPAddress] = {}
        self._ports: dict[str, tuple[BackendPort, ...]] = {}
        self._devices: tuple[Device, ...] = ()
        self._failed: frozenset[str] = frozenset()
        self._site = _Site()
        self._plans: dict[str, AddressPlan] = {}
        self._rings: dict[HostSet, _Ring] = {}
        self._target_chains: Counter[tuple[Name, tuple[str, ...]]] = Counter()
        self._structure: tuple[Device, ...] | None = None
        self._stale: set[str] = set()
        self._is_site_stale = True
        self._old_marks: list[str] = []
        self._tidy_at: float | None = None
        self.revision = ""

    @property
    def plans(self) -> Mapping[str, AddressPlan]:
        """The VIPs, by object name."""
        return self._plans

    @property
    def ring_count(self) -> int:
        """How many rings are in use."""
        return len(self._rings)

    def view(self, host_set: HostSet) -> RingView:
        """The ring of the hosts behind a port."""
        return self._rings[host_set].view

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The other hosts that hold backends and are in no ring, with the reason."""
        behind = {(host, host_set.family) for host_set in self._rings for host in host_set.hosts if host != self._me}
        reasons = ((*one, why_left_out(*one, self._site.remote, self._site.failed)) for one in sorted(behind))
        return tuple(LeftOut(host, family, reason) for host, family, reason in reasons if reason)

    def deadline(self) -> float | None:
        """When `change` has something to say without an event."""
        moments = [ring.gained_until for ring in self._rings.values() if ring.view.gained]
        return min(moments if self._tidy_at is None else (*moments, self._tidy_at), default=None)

    def handle(self, event: Event) -> None:
        """Note an event."""
        match event:
            case ObjectsChanged(changed, removed):
                for manifest in changed:
                    self._take(manifest)
                for ref in removed:
                    self._drop(ref)
            case DevicesChanged(devices):
                self._is_site_stale |= devices != self._devices
                self._devices = devices
            case FailedHostsChanged(failed):
                self._is_site_stale |= failed != self._failed
                self._failed = failed

    def _drop(self, ref: Ref) -> None:
        if ref.kind == Kind.HOST.title:
            self._is_site_stale |= self._hosts.pop(ref.name, None) is not None
        elif ref.kind == Kind.VIRTUAL_IP.title:
            self._stale |= {ref.name} if self._vips.pop(ref.name, None) else set()
        elif ref.kind == Kind.BACKENDS.title:
            self._stale |= {ref.name} if self._ports.pop(ref.name, None) is not None else set()

    def _take(self, manifest: Object) -> None:
        name = manifest.metadata.name
        match manifest:
            case Host():
                before, self._hosts[name] = self._hosts.get(name), manifest
                # A host's agent writes its status every few seconds; almost all of it is nothing to a packet.
                self._is_site_stale |= before is None or (
                    (before.spec, before.is_draining, before.status.interfaces)
                    != (manifest.spec, manifest.is_draining, manifest.status.interfaces)
                )
            case VirtualIP() if vip_name(manifest.spec.address) == name:
                if name not in self._vips:
                    self._vips[name] = manifest.spec.address
                    self._stale.add(name)
            case Backends() if vip_name(manifest.spec.address) == name:
                if self._ports.get(name) != manifest.spec.ports:
                    self._ports[name] = manifest.spec.ports
                    self._stale.add(name)
            case _:
                return

    def change(self, now: float) -> Change | None:
        """What is different since the last call, or None; what it says counts as done."""
        if self._structure != self._own_devices:
            self._decide(now, compares=False)
            return self._whole()
        step = self._decide(now)
        is_tidying = self._tidy_at is not None and now >= self._tidy_at
        if not step.difference and not is_tidying:
            return None
        self._old_marks.append(self.revision)
        if not step.difference.takes_away and not is_tidying:
            # What only comes is in force at once; marks go later, with what goes.
            self._tidy_at = self._tidy_at or now + TIDY_SECONDS
            return self._changed(step.difference, (), step.vips, step.flows)
        marks = [Name(family, Sort.CHAIN, revision_mark(old)) for old in self._old_marks for family in FAMILIES]
        self._old_marks, self._tidy_at = [], None
        return self._changed(step.difference, marks, step.vips, step.flows)

    def take_over(self, listing: KernelTables, now: float) -> Change:
        """What makes the rules that the kernel lists be this host's; its text is empty where they are."""
        self._decide(now, compares=False)
        self._old_marks, self._tidy_at = [], None
        self._gain_what_is_new(listing, now)
        structure = structure_definitions(_names(self._own_devices))
        if any(not _is_listed(name, body, listing) for name, body in structure.items()):
            return self._whole()
        self._structure = self._own_devices
        definitions, elements = self._desired()
        names = [name for name in (*listing.chains, *listing.collections) if name not in structure]
        marks = [name for name in names if revision_of(name.name) is not None]
        before = {
            name: definitions[name] if name in definitions and _is_listed(name, definitions[name], listing) else ()
            for name in names
            if name not in marks
        }
        kept = {(name.table, name.name) for name in (*definitions, *structure)}
        difference = Difference()
        difference.define(before, definitions)
        difference.replace((one for one in listing.elements if (one.table, one.collection) in kept), elements)
        if not difference and listing.revision is not None:
            self.revision = listing.revision
            return Change("", self.revision, frozenset(self._plans), self._flows())
        return self._changed(difference, marks, self._plans, self._flows())

    @property
    def _own_devices(self) -> tuple[Device, ...]:
        own = self._hosts.get(self._me)
        known = {interface.name for interface in own.status.interfaces} if own else set[str]()
        return tuple(sorted((device for device in self._devices if device.name in known), key=lambda one: one.name))

    def _decide(self, now: float, compares: bool = True) -> _Step:
        """Bring plans and rings up to date; the difference is told where it is compared with what was."""
        step = _Step(now)
        if self._is_site_stale:
            self._decide_site(step)
        for host_set, ring in self._rings.items():
            if ring.view.gained and ring.gained_until <= now:
                self._set_view(host_set, replace(ring.view, gained=frozenset()), step)
        for name in sorted(self._stale):
            self._decide_address(name, step, compares)
        step.vips.update(self._stale)
        self._is_site_stale, self._stale = False, set()
        for host_set, (parts, view) in step.rings.items():
            if compares:
                self._compare_ring(host_set, parts, view, step.difference)
            if not self._rings[host_set].parts:
                del self._rings[host_set]
        step.difference.define(
            dict(definition for definition, was_used in step.target_chains.items() if was_used),
            dict(definition for definition in step.target_chains if self._target_chains[definition]),
        )
        return step

    def _decide_site(self, step: _Step) -> None:
        before = self._site
        self._site = after = _Site(
            remote_hosts(self._me, self._hosts, _names(self._own_devices)),
            frozenset(name for name, host in self._hosts.items() if host.is_draining),
            self._failed,
        )
        step.difference.define(before.definitions(), after.definitions())
        step.difference.replace(before.elements(), after.elements())
        for host_set, ring in self._rings.items():
            members = self._members(host_set)
            if members != ring.members:
                view = self._seen(members)
                if view.takes != ring.view.takes:
                    self._stale.update(vip_name(key.address) for key in ring.dependants)
                if Part.DATAGRAM in ring.parts:
                    gained = view.own & (ring.view.gained | (view.own - ring.view.own))
                    view = replace(view, gained=gained)
                self._set_view(host_set, view, step)
                ring.members = members

    def _members(self, host_set: HostSet) -> frozenset[Member]:
        site = self._site
        reachable = [
            host
            for host in host_set.hosts
            if host == self._me or why_left_out(host, host_set.family, site.remote, site.failed) is None
        ]
        return members_of(host_set, reachable=reachable, drained=site.drained)

    def _seen(self, members: frozenset[Member]) -> RingView:
        return RingView(ring_of(members) if members else NO_RING, self._me)

    def _set_view(self, host_set: HostSet, view: RingView, step: _Step) -> None:
        ring = self._rings[host_set]
        step.rings.setdefault(host_set, (ring.parts, ring.view))
        if view.gained - ring.view.gained:
            ring.gained_until = step.now + ELSEWHERE_SECONDS
        ring.view = view

    def _decide_address(self, name: str, step: _Step, compares: bool) -> None:
        before, address, behind = self._plans.pop(name, None), self._vips.get(name), self._ports.get(name)
        # Without its Backends a VIP is announced by nobody yet: the two come as one change.
        if address is not None and behind is not None:
            ports = sorted(behind, key=lambda port: (port.protocol, port.port))
            keyed = {VipPort(address, port.protocol, port.port): port for port in ports}
            self._plans[name] = AddressPlan(address, tuple(self._plan(key, port) for key, port in keyed.items()))
        after = self._plans.get(name)
        if compares:
            step.difference.replace(before.elements() if before else (), after.elements() if after else ())
        old = {port.key: port for port in before.ports} if before else {}
        new = {port.key: port for port in after.ports} if after else {}
        for key in old | new:
            self._replace_port(old.get(key), new.get(key), step)

    def _plan(self, key: VipPort, port: BackendPort) -> PortPlan:
        host_set = host_set_of(key, port)
        if host_set is None:
            return plan_port(key, port, None, self._me, is_taking=True)
        if host_set not in self._rings:
            members = self._members(host_set)
            self._rings[host_set] = _Ring(members, self._seen(members))
        return plan_port(key, port, host_set, self._me, is_taking=self._rings[host_set].view.takes)

    def _replace_port(self, old: PortPlan | None, new: PortPlan | None, step: _Step) -> None:
        """Count what a port uses, and note the flows and buckets that go with it."""
        for port, count in ((old, -1), (new, +1)):
            if port is None:
                continue
            for definition in target_definitions(port).items():
                step.target_chains.setdefault(definition, self._target_chains[definition] > 0)
                self._target_chains[definition] += count
            if port.host_set is not None:
                ring = self._rings[port.host_set]
                step.rings.setdefault(port.host_set, (ring.parts, ring.view))
                ring.uses.update(dict.fromkeys(parts_of(port), count))
                ring.dependants.discard(port.key)
        if new and new.host_set and self._me in new.host_set.hosts and new.host_set.share(self._me).ready == 0:
            self._rings[new.host_set].dependants.add(new.key)
        if old and new and new.key.protocol is not Protocol.TCP and old.host_set != new.host_set:
            self._move_flows(old.host_set, new.host_set, step)
        if new and new.key.protocol is Protocol.UDP and not (old and set(old.backends) <= set(new.backends)):
            step.flows[new.key] = frozenset(new.backends)
        elif old and not new and old.key.protocol is Protocol.UDP:
            step.flows[old.key] = frozenset()

    def _move_flows(self, before: HostSet | None, after: HostSet | None, step: _Step) -> None:
        """A port has another ring: of the buckets it had not here before, others may hold flows."""
        if before and after:
            _, had = step.rings[before]
            view = self._rings[after].view
            gained = view.gained | (view.own - (had.own - had.gained))
            self._set_view(after, replace(view, gained=gained), step)

    def _compare_ring(self, host_set: HostSet, parts: frozenset[Part], view: RingView, difference: Difference) -> None:
        ring = self._rings[host_set]
        for part in Part:
            if (part in parts) != (part in ring.parts):
                definitions = ring_definitions(host_set, part)
                difference.define(definitions if part in parts else {}, definitions if part in ring.parts else {})
            if part in ring.parts and (part not in parts or view is not ring.view):
                seen, now = (view, ring.view) if part in parts else (None, ring.view)
                gone = ring_elements(host_set, part, seen, now) if seen else ()
                difference.replace(gone, ring_elements(host_set, part, now, seen))

    def _gain_what_is_new(self, listing: KernelTables, now: float) -> None:
        """Of a ring that the kernel has otherwise, or not at all, others may hold flows."""
        listed: dict[tuple[str, str], set[int]] = {}
        for element in listing.elements:
            if element.collection.startswith(("own_", "gained_")):
                listed.setdefault((element.table, element.collection), set()).add(int(element.key))
        for host_set, ring in self._rings.items():
            if Part.DATAGRAM in ring.parts:
                table = fields_of(host_set.family).table
                own = listed.get((table, f"own_{host_set.name}"), set())
                gained = listed.get((table, f"gained_{host_set.name}"), set())
                ring.view = replace(ring.view, gained=ring.view.own & (ring.view.own - own | gained))
                ring.gained_until = now + ELSEWHERE_SECONDS

    def _desired(self) -> tuple[Definitions, list[Element]]:
        """Everything that comes and goes, as it is decided."""
        definitions = self._site.definitions()
        definitions.update(definition for definition, count in self._target_chains.items() if count)
        elements = list(self._site.elements())
        for host_set, ring in self._rings.items():
            for part in Part:
                if part in ring.parts:
                    definitions.update(ring_definitions(host_set, part))
                    elements.extend(ring_elements(host_set, part, ring.view))
        for plan in self._plans.values():
            elements.extend(plan.elements())
        return definitions, elements

    def _flows(self) -> dict[VipPort, frozenset[LocalBackend]]:
        ports = (port for plan in self._plans.values() for port in plan.ports)
        return {port.key: frozenset(port.backends) for port in ports if port.key.protocol is Protocol.UDP}

    def _whole(self) -> Change:
        """Everything, in place of whatever the tables hold."""
        self._structure = self._own_devices
        self._old_marks, self._tidy_at = [], None
        definitions, elements = self._desired()
        difference = Difference()
        difference.define({}, definitions)
        difference.replace((), sorted(elements))
        return self._changed(difference, (), self._plans, self._flows(), render_structure(_names(self._own_devices)))

    def _changed(
        self,
        difference: Difference,
        marks: Iterable[Name],
        vips: Iterable[str],
        flows: Mapping[VipPort, frozenset[LocalBackend]],
        structure: str = "",
    ) -> Change:
        text = structure + difference.text()
        self.revision = blake2b(f"{self.revision}\n{text}".encode(), digest_size=8).hexdigest()
        new: Definitions = {Name(family, Sort.CHAIN, revision_mark(self.revision)): () for family in FAMILIES}
        marked = text + Difference(dict(new), removed=set(marks)).text()
        return Change(marked, self.revision, frozenset(vips), flows)


def _names(devices: Iterable[Device]) -> tuple[str, ...]:
    return tuple(device.name for device in devices)


def _is_listed(name: Name, body: tuple[str, ...], listing: KernelTables) -> bool:
    """Whether the kernel has a definition: a chain by its rules' number and the ways out they name, others by name."""
    if name.sort is not Sort.CHAIN:
        return name in listing.collections
    ways = tuple((match[1], match[2]) for line in body for match in _WAY_OUT.finditer(line))
    return listing.chains.get(name) == (rules_of(body), ways)
