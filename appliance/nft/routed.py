"""The ip and ip6 tables: second chance, tier 2, and what becomes of packets that nobody took.

In the order a packet meets them: *stateless* sends a packet in mid-connection that conntrack does not know to the host
that may hold it; *unserved* sends the first packet of a connection on where no backend stands here; *serve* gives a new
connection to a backend, before kube-proxy's chain of priority -100; *stray* sees what is still addressed to a VIP after
that: a port nobody serves is refused, anything else is dropped, because a reset would end a connection held elsewhere.
"""

from collections.abc import Iterable, Sequence

from appliance.api.address import Family, IPAddress, family_of
from appliance.nft.model import Fellow, Plan, Port, Target
from appliance.nft.packet import Fields, fields_of
from appliance.nft.steer import Steering, choice_maps, element, hash_chains, port_maps, port_match, port_type
from appliance.nft.syntax import TARGET_SEED, chain, counter, send_chain, set_of, table, verdict_map

_NEW_TCP = "tcp flags & (fin | syn | rst | ack) == syn"


def render_routed(plan: Plan, family: Family) -> str:
    """The whole table of one family."""
    fields = fields_of(family)
    ports = [port for port in plan.ports if family_of(port.key.address) is family]
    addresses = [address for address in plan.addresses if family_of(address) is family]
    blocks = [
        *(counter(name) for name in ("refused", "dropped")),
        *(_send(fellow, family) for fellow in plan.fellows if family in fellow.next_hops),
        *_handover(ports, fields, plan.me),
        *_tier_2(ports, fields),
        *_stray(plan.devices, addresses, ports, fields),
    ]
    return table(fields.table, blocks)


def _send(fellow: Fellow, family: Family) -> str:
    """`dup` takes a hop without looking, and rings may differ for moments: a packet that has used up its hops ends."""
    hop = fellow.next_hops[family]
    duplicate = f'{fields_of(family).hop_limit} > 1 counter dup to {hop.address} device "{hop.device}"'
    return chain(send_chain(fellow.name), [duplicate, "drop"])


def _handover(ports: Sequence[Port], fields: Fields, me: str) -> list[str]:
    stateless = Steering("stateless", fields, [(port, port.stateless) for port in ports if port.stateless is not None])
    first = [(port, port.unserved) for port in ports if port.unserved is not None]
    unserved = Steering("unserved", fields, first, takes_errors=False)
    rules = [
        "type filter hook prerouting priority mangle; policy accept;",
        "ct state { established, related } accept",
        f"{fields.is_error} {fields.error_key} vmap @stateless_{fields.table}_errors",
        f"meta l4proto tcp tcp flags & syn == 0 {port_match(fields)} vmap @stateless_{fields.table}_ports",
        "meta l4proto tcp tcp flags & syn == 0 accept",
        f"{port_match(fields)} vmap @unserved_{fields.table}_ports",
    ]
    blocks: list[str] = []
    for steering in (stateless, unserved):
        blocks += choice_maps(steering.place, (choice for _, choice in steering.chosen), me)
        blocks += [*hash_chains(steering), *port_maps(steering)]
    return [*blocks, chain("handover", rules)]


def _tier_2(ports: Sequence[Port], fields: Fields) -> Iterable[str]:
    served = [port for port in ports if port.targets]
    for port in served:
        yield chain(_target_chain(port), [_deliver(port, fields)])
    elements = (f"{element(port)} : goto {_target_chain(port)}" for port in served)
    yield verdict_map("targets", port_type(fields), elements)
    rules = [
        "type nat hook prerouting priority -110; policy accept;",
        "meta l4proto tcp tcp flags & (fin | syn | rst | ack) != syn accept",
        f"{port_match(fields)} vmap @targets",
    ]
    yield chain("serve", rules)


def _target_chain(port: Port) -> str:
    """A chain's name has no room for a colon."""
    address = str(port.key.address).replace(":", "-")
    return f"target_{address}_{port.key.protocol.lower()}_{port.key.port}"


def _deliver(port: Port, fields: Fields) -> str:
    match = f"meta l4proto {port.key.protocol.lower()}"
    if len(port.targets) == 1:
        return f"{match} dnat {fields.table} to {_written(port.targets[0])}"
    hashed = fields.client if port.by_address else fields.flow
    targets = ", ".join(f"{i} : {target.address} . {target.port}" for i, target in enumerate(port.targets))
    return (
        f"{match} dnat {fields.table} addr . port to "
        f"jhash {hashed} mod {len(port.targets)} seed {TARGET_SEED:#x} map {{ {targets} }}"
    )


def _written(target: Target) -> str:
    written = str(target.address) if target.address.version == 4 else f"[{target.address}]"
    return f"{written}:{target.port}"


def _stray(
    devices: Sequence[str], addresses: Sequence[IPAddress], ports: Sequence[Port], fields: Fields
) -> Iterable[str]:
    yield set_of("addresses", f"type {fields.address_type}", (str(address) for address in addresses))
    kept = (element(port) for port in ports if port.kept)
    yield set_of("kept", port_type(fields), kept)
    fate = [
        f"{port_match(fields)} @kept counter name dropped drop",
        f"meta l4proto tcp {_NEW_TCP} counter name refused reject with tcp reset",
        "meta l4proto udp counter name refused reject",
        "counter name dropped drop",
    ]
    yield chain("fate", fate)
    if devices:
        entered = ", ".join(f'"{device}"' for device in devices)
        hook = "type filter hook forward priority filter; policy accept;"
        yield chain("stray", [hook, f"iifname {{ {entered} }} {fields.destination} @addresses goto fate"])
