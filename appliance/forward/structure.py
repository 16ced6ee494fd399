"""The parts of the rules that stand still: three tables, the chains that packets enter by, the maps these ask.

*netdev*, at the interface's ingress: a packet that enters from the network goes to the host its bucket names. One from
another host's hardware address has been through this there and is never chosen for again. An ICMP error goes where the
connection it is about goes. Fragments carry no port: those of a VIP's datagrams meet at one host, where conntrack puts
them together, and the datagram goes on from there to the host of its port.

*ip* and *ip6*, in the order a packet meets them: *handover* sends a packet in mid-connection that conntrack does not
know to the host that may hold it, and a first packet on where no backend stands here; *serve* gives a new connection to
a backend, before kube-proxy's chain of priority -100; *stray* sees what is still addressed to a VIP after that: a port
nobody serves is refused, anything else is dropped, because a reset would end a connection held elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b

from appliance.api.address import Family
from appliance.forward.packet import Fields, fields_of
from appliance.forward.rule import INGRESS, Name, Sort

TABLE = "pierhead"
FAMILIES = ("netdev", "ip", "ip6")
Statements = tuple[Sort, str, Sequence[str]]
ELSEWHERE_SECONDS = 180  # as long as conntrack keeps a flow of datagrams that was answered
_ELSEWHERE_MOST = 65536

_NEW_TCP = "tcp flags & (fin | syn | rst | ack) == syn"


def render_structure(devices: Sequence[str]) -> str:
    """The three tables without anything that comes and goes; they replace what stood under their names."""
    return "".join(_table(family, blocks) for family, blocks in _tables(devices).items())


def render_removal() -> str:
    """Text that removes the three tables, whether they are there or not."""
    return "".join(f"table {family} {TABLE}\ndelete table {family} {TABLE}\n" for family in FAMILIES)


def structure_definitions(devices: Sequence[str]) -> dict[Name, tuple[str, ...]]:
    """Everything in the structure by name; an empty chain's name in each table tells one structure from another."""
    return {name: body for blocks in _tables(devices).values() for name, body in blocks.items()}


def rules_of(body: Sequence[str]) -> int:
    """How many lines of a chain are rules."""
    return sum(not line.endswith(";") for line in body)


def _table(family: str, blocks: Mapping[Name, tuple[str, ...]]) -> str:
    name = f"{family} {TABLE}"
    written = "\n".join(_block(block, body) for block, body in blocks.items())
    return f"table {name}\ndelete table {name}\ntable {name} {{\n{written}\n}}\n"


def _block(name: Name, lines: Sequence[str]) -> str:
    body = "".join(f"\t\t{line}\n" for line in lines)
    return f"\t{name.sort.value} {name.name} {{\n{body}\t}}"


def _tables(devices: Sequence[str]) -> dict[str, dict[Name, tuple[str, ...]]]:
    tables = {INGRESS: _netdev(devices)} | {fields_of(family).table: _routed(family, devices) for family in Family}
    named = {
        family: {Name(family, kind, name): tuple(body) for kind, name, body in blocks}
        for family, blocks in tables.items()
    }
    mark = f"structure_{blake2b(repr(named).encode(), digest_size=8).hexdigest()}"
    return {family: blocks | {Name(family, Sort.CHAIN, mark): ()} for family, blocks in named.items()}


def _netdev(devices: Sequence[str]) -> Iterator[Statements]:
    yield Sort.SET, "hosts", ["type ether_addr"]
    for family in Family:
        fields = fields_of(family)
        yield Sort.MAP, f"ports_{fields.table}", [f"{fields.port_type} : verdict"]
        yield Sort.MAP, f"errors_{fields.table}", [f"typeof {fields.error_key} : verdict"]
        yield Sort.MAP, f"fragments_{fields.table}", [f"type {fields.address_type} . inet_proto : verdict"]
    if not devices:
        return
    quoted = ", ".join(f'"{device}"' for device in devices)
    rules = [
        f"type filter hook ingress devices = {{ {quoted} }} priority 0; policy accept;",
        # A switch that does not know where a host is sends its frames to every host: only the one meant may choose.
        "meta pkttype != host accept",
        "ether saddr @hosts accept",
    ]
    for family in Family:
        fields = fields_of(family)
        rules += [
            f"{fields.is_fragment} {fields.destination} . meta l4proto vmap @fragments_{fields.table}",
            f"{fields.port_match} vmap @ports_{fields.table}",
            f"{fields.is_error} {fields.error_key} vmap @errors_{fields.table}",
        ]
    yield Sort.CHAIN, "ingress", rules


def _routed(family: Family, devices: Sequence[str]) -> Iterator[Statements]:
    fields = fields_of(family)
    yield Sort.COUNTER, "refused", ()
    yield Sort.COUNTER, "dropped", ()
    yield Sort.SET, "addresses", [f"type {fields.address_type}"]
    yield Sort.SET, "kept", [fields.port_type]
    yield Sort.SET, "elsewhere", list(_elsewhere(fields))
    for name in ("stateless", "unserved", "datagrams", "targets"):
        yield Sort.MAP, name, [f"{fields.port_type} : verdict"]
    yield Sort.MAP, "errors", [f"typeof {fields.error_key} : verdict"]
    for protocol in ("tcp", "udp", "sctp"):
        # A map for each protocol, because nft 1.0.6 reads the type of a port as of one; `numgen` for a hash's type.
        kind = f"typeof {fields.destination} . th dport . numgen inc mod 2 : {fields.destination} . {protocol} dport"
        yield Sort.MAP, f"target_{protocol}", [kind]
    yield Sort.CHAIN, "handover", _handover(fields)
    yield Sort.CHAIN, "serve", _serve(fields)
    yield Sort.CHAIN, "fate", _fate(fields)
    if devices:
        entered = ", ".join(f'"{device}"' for device in devices)
        hook = "type filter hook forward priority filter; policy accept;"
        yield Sort.CHAIN, "stray", [hook, f"iifname {{ {entered} }} {fields.destination} @addresses goto fate"]


def _elsewhere(fields: Fields) -> Iterator[str]:
    yield f"type {fields.address_type} . inet_proto . inet_service . {fields.address_type} . inet_service"
    yield "flags dynamic, timeout"
    yield f"timeout {ELSEWHERE_SECONDS}s"
    yield f"size {_ELSEWHERE_MOST}"


def _handover(fields: Fields) -> list[str]:
    return [
        "type filter hook prerouting priority mangle; policy accept;",
        "ct state { established, related } accept",
        f"{fields.is_error} {fields.error_key} vmap @errors",
        f"meta l4proto tcp tcp flags & syn == 0 {fields.port_match} vmap @stateless",
        "meta l4proto tcp tcp flags & syn == 0 accept",
        f"meta l4proto tcp {fields.port_match} vmap @unserved",
        "meta l4proto tcp accept",
        # A flow whose datagrams nobody answers stays new for ever; that it has a backend shows that it is known.
        "ct status dnat accept",
        f"{fields.port_match} vmap @datagrams",
    ]


def _serve(fields: Fields) -> list[str]:
    return [
        "type nat hook prerouting priority -110; policy accept;",
        "meta l4proto tcp tcp flags & (fin | syn | rst | ack) != syn accept",
        f"{fields.port_match} vmap @targets",
    ]


def _fate(fields: Fields) -> list[str]:
    return [
        f"{fields.port_match} @kept counter name dropped drop",
        f"meta l4proto tcp {_NEW_TCP} counter name refused reject with tcp reset",
        "meta l4proto udp counter name refused reject",
        "counter name dropped drop",
    ]
