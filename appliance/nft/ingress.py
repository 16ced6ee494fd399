"""Tier 1, the netdev table: a packet that enters from the network goes to the host its bucket names, unchanged.

A packet from a fellow host's hardware address has been through this there and is never chosen for again.
An ICMP error goes where the connection it is about goes. Fragments follow a client's address where all ports of the VIP
and protocol are chosen by address and share a ring; other fragments stay where they came in.
"""

from collections.abc import Iterable, Sequence

from appliance.api.address import Family, IPAddress, family_of
from appliance.api.core import Protocol
from appliance.nft.model import Choice, Fellow, Plan, Port
from appliance.nft.packet import Fields, fields_of
from appliance.nft.steer import Steering, port_match, render_steering
from appliance.nft.syntax import chain, set_of, table, verdict_map


def render_ingress(plan: Plan) -> str:
    """The whole netdev table; without a device it hooks nowhere."""
    blocks = [set_of("fellows", "ether_addr", _hardware_addresses(plan.fellows))]
    for family in Family:
        blocks += _family_blocks(plan, family)
    return table("netdev", [*blocks, *_hook(plan)])


def _hardware_addresses(fellows: Sequence[Fellow]) -> list[str]:
    return sorted({address for fellow in fellows for address in fellow.hardware_addresses})


def _family_blocks(plan: Plan, family: Family) -> list[str]:
    ports = [port for port in plan.ports if family_of(port.key.address) is family]
    chosen = tuple((port, port.first) for port in ports if port.first is not None)
    steering = Steering(f"first{family}", f"to{family}_", chosen)
    fields = fields_of(family)
    sends = [_send(fellow, family) for fellow in plan.fellows if family in fellow.next_hops]
    fragments = verdict_map(
        f"fragments{family}", f"type {fields.address_type} . inet_proto", _fragments(ports, steering)
    )
    return [*sends, *render_steering(steering, fields, plan.me), fragments]


def _send(fellow: Fellow, family: Family) -> str:
    hop = fellow.next_hops[family]
    protocol = fields_of(family).table
    return chain(f"to{family}_{fellow.name}", ["counter", f'fwd {protocol} to {hop.address} device "{hop.device}"'])


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


def _hook(plan: Plan) -> Iterable[str]:
    if not plan.devices:
        return
    devices = ", ".join(f'"{device}"' for device in plan.devices)
    rules = [f"type filter hook ingress devices = {{ {devices} }} priority 0; policy accept;"]
    rules.append("ether saddr @fellows accept")
    for family in Family:
        rules += _rules(fields_of(family), family)
    yield chain("ingress", rules)


def _rules(fields: Fields, family: Family) -> list[str]:
    return [
        f"{fields.is_fragment} {fields.destination} . meta l4proto vmap @fragments{family}",
        f"{port_match(fields)} vmap @first{family}_ports",
        f"{fields.is_error} {fields.error_key} vmap @first{family}_errors",
    ]
