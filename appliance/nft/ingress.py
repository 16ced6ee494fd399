"""Tier 1, the netdev table: a packet that enters from the network goes to the host its bucket names, unchanged.

A packet from a fellow host's hardware address has been through this there and is never chosen for again.
An ICMP error goes where the connection it is about goes. Fragments follow a client's address where all ports of the VIP
and protocol are chosen by address and share a ring; other fragments stay where they came in.
"""

from collections.abc import Iterable, Sequence

from appliance.api.address import Family, IPAddress, family_of
from appliance.api.core import Protocol
from appliance.nft.model import Choice, Fellow, NextHop, Plan, Port
from appliance.nft.packet import Fields, fields_of
from appliance.nft.steer import Steering, choice_maps, hash_chains, port_maps, port_match
from appliance.nft.syntax import chain, send_chain, set_of, table, verdict_map

_PLACE = "first"


def render_ingress(plan: Plan) -> str:
    """The whole netdev table; without a device it hooks nowhere."""
    blocks = [
        set_of("fellows", "type ether_addr", _hardware_addresses(plan.fellows)),
        *(_send(fellow) for fellow in plan.fellows),
        *choice_maps(_PLACE, (port.first for port in plan.ports if port.first is not None), plan.me),
    ]
    for family in Family:
        blocks += _family_blocks([port for port in plan.ports if family_of(port.key.address) is family], family)
    return table("netdev", [*blocks, *_hook(plan.devices)])


def _hardware_addresses(fellows: Sequence[Fellow]) -> list[str]:
    return sorted({address for fellow in fellows for address in fellow.hardware_addresses})


def _send(fellow: Fellow) -> str:
    return chain(send_chain(fellow.name), ["counter", *(_forward(hop) for hop in fellow.next_hops.values())])


def _forward(hop: NextHop) -> str:
    protocol = fields_of(family_of(hop.address)).table
    return f'meta protocol {protocol} fwd {protocol} to {hop.address} device "{hop.device}"'


def _family_blocks(ports: Sequence[Port], family: Family) -> list[str]:
    chosen = [(port, port.first) for port in ports if port.first is not None]
    steering = Steering(_PLACE, fields_of(family), chosen)
    name, key = f"fragments_{steering.fields.table}", f"type {steering.fields.address_type} . inet_proto"
    fragments = verdict_map(name, key, _fragments(ports, steering))
    return [*hash_chains(steering), *port_maps(steering), fragments]


def _fragments(ports: Sequence[Port], steering: Steering) -> Iterable[str]:
    together: dict[tuple[IPAddress, Protocol], list[Port]] = {}
    for port in ports:
        together.setdefault((port.key.address, port.key.protocol), []).append(port)
    for (address, protocol), group in together.items():
        choice = _common_choice(group)
        if choice is not None:
            yield f"{address} . {protocol.lower()} : goto {steering.packet_chain(group[0], choice)}"


def _common_choice(group: Sequence[Port]) -> Choice | None:
    """What all ports choose by the client's address, or None where they do not agree."""
    choice = group[0].first
    return choice if all(port.by_address and port.first == choice for port in group) else None


def _hook(devices: Sequence[str]) -> Iterable[str]:
    if not devices:
        return
    quoted = ", ".join(f'"{device}"' for device in devices)
    rules = [f"type filter hook ingress devices = {{ {quoted} }} priority 0; policy accept;"]
    # A switch that does not know where a host is sends its frames to every host: only the one meant may choose.
    rules.append("meta pkttype != host accept")
    rules.append("ether saddr @fellows accept")
    for family in Family:
        rules += _rules(fields_of(family))
    yield chain("ingress", rules)


def _rules(fields: Fields) -> list[str]:
    place = f"{_PLACE}_{fields.table}"
    return [
        f"{fields.is_fragment} {fields.destination} . meta l4proto vmap @fragments_{fields.table}",
        f"{port_match(fields)} vmap @{place}_ports",
        f"{fields.is_error} {fields.error_key} vmap @{place}_errors",
    ]
