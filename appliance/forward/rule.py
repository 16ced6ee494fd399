"""The parts of the rules that come and go: elements of ports, maps of rings, chains that send to a host.

Everything is of one of two sorts: a *definition* (a chain with its rules, a map or set with its type) and an *element*.
Numbers are written as the kernel lists them, so that a listing can be compared.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple

from appliance.api.address import Family, IPAddress, family_of
from appliance.api.core import Protocol
from appliance.forward.hop import NextHop, RemoteHost
from appliance.forward.packet import PROTOCOL_NUMBERS, Fields, fields_of
from appliance.forward.plan import HashInput, HostSet, PortPlan, VipPort
from appliance.forward.ring import Ring

BUCKET_SEED = 0x70696572  # the same on every host
TARGET_SEED = 0x68656164  # another one, so that a host's share of the buckets spreads over all its targets

# A datagram that one host asks another about is marked by a hop limit that none has that came in by our ingress chain
# (RFC 5082's idea). A copy to another host takes one hop: four hosts can be asked, then it ends.
ASKED_HOPS = 255
ASKED_HOPS_LEAST = 251
ENTRY_HOPS_MOST = 249

INGRESS = "netdev"


class Sort(Enum):
    """What a definition is."""

    CHAIN = "chain"
    MAP = "map"
    SET = "set"
    COUNTER = "counter"


@dataclass(frozen=True, slots=True)
class Name:
    """Where a definition stands: its table, by family, and its name there."""

    table: str
    sort: Sort
    name: str


class Element(NamedTuple):
    """An element of a set, or of a map where it has a value; there are tens of thousands, and they are sorted."""

    table: str
    collection: str
    key: str
    value: str = ""


Definitions = Mapping[Name, tuple[str, ...]]


class Part(Enum):
    """What of a ring is needed where: each is one map and the chains that ask it."""

    INGRESS = "packets that enter from the network"
    FIRST = "packets that this host has nothing for, to the primary"
    NEXT = "packets of a connection that this host does not know, to the host after it"
    DATAGRAM = "datagrams of a flow that this host does not know"


@dataclass(frozen=True, slots=True)
class RingView:
    """A ring as one host sees it; `gained` are buckets it was not primary of lately: others may hold flows of them."""

    ring: Ring
    me: str
    gained: frozenset[int] = frozenset()

    @property
    def own(self) -> frozenset[int]:
        """The buckets that this host is primary of; not kept, because thousands of rings may be in use."""
        return frozenset(bucket for bucket, host in enumerate(self.ring.primaries()) if host == self.me)

    @property
    def takes(self) -> bool:
        """Whether new connections are sent to this host."""
        ring = self.ring
        return self.me in ring.hosts and ring.hosts.index(self.me) in ring.order[:: ring.length]


def send_chain(host: str) -> str:
    """The name of the chain that sends to a host; nft takes names of fewer than 256 characters."""
    return f"to_{host}" if len(host) <= 64 else f"to_{blake2b(host.encode(), digest_size=16).hexdigest()}"


def host_definitions(host: RemoteHost) -> dict[Name, tuple[str, ...]]:
    """The chains that send a packet to a host."""
    name = send_chain(host.name)
    hops = [host.next_hops[family] for family in Family if family in host.next_hops]
    found = {Name(INGRESS, Sort.CHAIN, name): ("counter", *map(_forward, hops))} if hops else {}
    for hop in hops:
        fields = fields_of(family_of(hop.address))
        duplicate = f'{fields.hop_limit} > 1 counter dup to {hop.address} device "{hop.device}"'
        found[Name(fields.table, Sort.CHAIN, name)] = (duplicate, "drop")
    return found


def _forward(hop: NextHop) -> str:
    protocol = fields_of(family_of(hop.address)).table
    return f'meta protocol {protocol} fwd {protocol} to {hop.address} device "{hop.device}"'


def host_elements(host: RemoteHost) -> Iterator[Element]:
    """The hardware addresses a host's packets come from."""
    return (Element(INGRESS, "hosts", address) for address in host.hardware_addresses)


def ring_definitions(host_set: HostSet, part: Part) -> dict[Name, tuple[str, ...]]:
    """The maps and chains of a part of a ring."""
    fields, name = fields_of(host_set.family), host_set.name
    table = INGRESS if part is Part.INGRESS else fields.table
    buckets = "typeof numgen inc mod 1021"
    if part is Part.DATAGRAM:
        return {
            Name(table, Sort.SET, f"own_{name}"): (buckets,),
            Name(table, Sort.SET, f"gained_{name}"): (buckets,),
            **{
                Name(table, Sort.CHAIN, f"datagram_{name}_{hashed}"): _datagram_rules(
                    name, fields, _input(fields, hashed)
                )
                for hashed in HashInput
            },
        }
    asked = f"{part.name.lower()}_{name}"
    entry = [f"{fields.hop_limit} > {ENTRY_HOPS_MOST} {fields.hop_limit} set {ENTRY_HOPS_MOST}"]
    inputs = {
        "flow": fields.flow,
        "client": fields.client,
        "error_flow": fields.error_flow,
        "error_client": fields.error_client,
    }
    return {
        Name(table, Sort.MAP, asked): (f"{buckets} : verdict",),
        **{
            Name(table, Sort.CHAIN, f"{asked}_{kind}"): (
                *(entry if part is Part.INGRESS else []),
                f"{bucket_of(hashed)} vmap @{asked}",
            )
            for kind, hashed in inputs.items()
        },
    }


def bucket_of(hashed: str) -> str:
    """The expression for a packet's bucket."""
    return f"jhash {hashed} mod 1021 seed {BUCKET_SEED:#x}"


def _input(fields: Fields, hashed: HashInput) -> str:
    return fields.client if hashed is HashInput.CLIENT else fields.flow


def _datagram_rules(name: str, fields: Fields, hashed: str) -> tuple[str, ...]:
    """Where a datagram of an unknown flow goes.

    To the bucket's primary; which asks the hosts after it whether they know it, where it has not had the bucket for
    long, and remembers that it asked. The last that is asked gives it back, marked still, and the primary serves it.
    """
    bucket, hops, flow = bucket_of(hashed), fields.hop_limit, f"{{ {fields.datagram_flow} }}"
    is_asked = f"{hops} {ASKED_HOPS_LEAST}-{ASKED_HOPS - 1}"
    ask = f"update @elsewhere {flow} {hops} set {ASKED_HOPS} {bucket} vmap @next_{name}"
    return (
        f"{hops} {ASKED_HOPS_LEAST - 1} drop",
        f"{is_asked} {bucket} @own_{name} delete @elsewhere {flow} accept",
        f"{is_asked} {bucket} vmap @next_{name}",
        f"{bucket} vmap @first_{name}",
        f"{fields.datagram_flow} @elsewhere {ask}",
        f"{bucket} @gained_{name} {ask}",
    )


def ring_elements(host_set: HostSet, part: Part, view: RingView, other: RingView | None = None) -> Iterator[Element]:
    """The buckets of a part of a ring; given another view of it, those alone that differ there."""
    table = INGRESS if part is Part.INGRESS else fields_of(host_set.family).table
    others = _buckets(part, other) if other else {}
    for collection, hosts in _buckets(part, view).items():
        name, before = f"{collection}_{host_set.name}", others.get(collection) or [None] * len(hosts)
        for bucket, host in enumerate(hosts):
            if host is not None and (bucket >= len(before) or host != before[bucket]):
                yield Element(table, name, str(bucket), f"goto {send_chain(host)}" if host else "")


def _buckets(part: Part, view: RingView) -> dict[str, list[str | None]]:
    """For each map the host that each bucket goes to; for each set an empty name where a bucket is in it."""
    if part is Part.DATAGRAM:
        buckets = range(len(view.ring.primaries()))
        return {
            name: ["" if bucket in among else None for bucket in buckets]
            for name, among in (("own", view.own), ("gained", view.gained))
        }
    chosen = view.ring.followers(view.me) if part is Part.NEXT else view.ring.primaries()
    return {part.name.lower(): [None if host == view.me else host for host in chosen]}


def parts_of(plan: PortPlan) -> frozenset[Part]:
    """The parts of its ring that a port needs."""
    if plan.host_set is None:
        return frozenset()
    parts = {Part.INGRESS}
    if plan.holds:
        parts.add(Part.NEXT)
    if not plan.holds or not plan.targets or plan.key.protocol is not Protocol.TCP:
        parts.add(Part.FIRST)
    if plan.holds and plan.key.protocol is not Protocol.TCP:
        parts.add(Part.DATAGRAM)
    return frozenset(parts)


def target_definitions(plan: PortPlan) -> dict[Name, tuple[str, ...]]:
    """The chain that gives a new connection to one of so many targets."""
    if not plan.targets:
        return {}
    fields, protocol = fields_of(family_of(plan.key.address)), plan.key.protocol.lower()
    number = f"jhash {_input(fields, plan.hashed)} mod {len(plan.targets)} seed {TARGET_SEED:#x}"
    target = f"{fields.destination} . th dport . {number} map @target_{protocol}"
    rule = f"meta l4proto {protocol} dnat {fields.table} addr . port to {target}"
    return {Name(fields.table, Sort.CHAIN, _target_chain(plan)): (rule,)}


def _target_chain(plan: PortPlan) -> str:
    return f"targets_{plan.key.protocol.lower()}_{len(plan.targets)}_{plan.hashed}"


def address_elements(address: IPAddress, plans: Iterable[PortPlan]) -> Iterator[Element]:
    """Everything that is said of an address and its ports."""
    fields = fields_of(family_of(address))
    yield Element(fields.table, "addresses", str(address))
    together: dict[Protocol, list[PortPlan]] = {}
    for plan in plans:
        together.setdefault(plan.key.protocol, []).append(plan)
        yield from _port_elements(plan, fields)
    for protocol, group in together.items():
        gathered = _gathered(group)
        if gathered:
            key = f"{address} . {PROTOCOL_NUMBERS[protocol]}"
            yield Element(INGRESS, f"fragments_{fields.table}", key, f"goto ingress_{gathered.name}_client")


def _gathered(plans: list[PortPlan]) -> HostSet | None:
    """The hosts that fragments are put together on, by the client's address; None where they stay where they came in.

    A datagram put together goes on to the host of its port. A segment does not, so that all ports must agree.
    """
    sets = [plan.host_set for plan in plans]
    is_routed = plans[0].key.protocol is not Protocol.TCP or (
        len(set(sets)) == 1 and all(plan.hashed is HashInput.CLIENT for plan in plans)
    )
    return sets[0] if is_routed and all(sets) else None


def _port_elements(plan: PortPlan, fields: Fields) -> Iterator[Element]:
    key = port_text(plan.key)
    if plan.host_set:
        yield from _steering(plan, plan.host_set, key, fields)
    if plan.targets:
        yield Element(fields.table, "targets", key, f"goto {_target_chain(plan)}")
    for number, target in enumerate(plan.targets):
        choice = f"{plan.key.address} . {plan.key.port} . {number}"
        yield Element(fields.table, f"target_{plan.key.protocol.lower()}", choice, f"{target.address} . {target.port}")
    if plan.kept:
        yield Element(fields.table, "kept", key)


def _steering(plan: PortPlan, host_set: HostSet, key: str, fields: Fields) -> Iterator[Element]:
    ring, hashed, error = host_set.name, plan.hashed, error_text(plan.key)
    unknown = "next" if plan.holds else "first"
    yield Element(INGRESS, f"ports_{fields.table}", key, f"goto ingress_{ring}_{hashed}")
    yield Element(INGRESS, f"errors_{fields.table}", error, f"goto ingress_{ring}_error_{hashed}")
    yield Element(fields.table, "errors", error, f"goto {unknown}_{ring}_error_{hashed}")
    if plan.key.protocol is not Protocol.TCP:
        chain = "datagram" if plan.holds else "first"
        yield Element(fields.table, "datagrams", key, f"goto {chain}_{ring}_{hashed}")
        return
    yield Element(fields.table, "stateless", key, f"goto {unknown}_{ring}_{hashed}")
    if not plan.targets:
        yield Element(fields.table, "unserved", key, f"goto first_{ring}_{hashed}")


def port_text(key: VipPort) -> str:
    """The key of a port."""
    return f"{key.address} . {PROTOCOL_NUMBERS[key.protocol]} . {key.port}"


def error_text(key: VipPort) -> str:
    """The key that an ICMP error about a packet from a port is found by."""
    return f"{int(key.address):#x} . {PROTOCOL_NUMBERS[key.protocol]:#x} . {key.port:#x}"
