"""Asking a choice: the maps and small chains by which a packet's hash leads to the host it goes to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.nft.model import Choice, Port
from appliance.nft.packet import Fields, error_element
from appliance.nft.syntax import BUCKET_SEED, chain, choice_map, name_of, verdict_map


@dataclass(frozen=True, slots=True)
class Steering:
    """The choices asked at one place: `place` begins every name, `way` the names of the chains that send."""

    place: str
    way: str
    chosen: Sequence[tuple[Port, Choice]]

    def packet_chain(self, port: Port, choice: Choice) -> str:
        """The chain that a packet to this port goes to."""
        return f"{self.place}_{name_of(choice)}_{'client' if port.by_address else 'flow'}"

    def error_chain(self, port: Port, choice: Choice) -> str:
        """The chain that an ICMP error about a packet from this port goes to."""
        return f"{self.place}_{name_of(choice)}_{'error_client' if port.by_address else 'error_flow'}"


def render_steering(steering: Steering, fields: Fields, me: str) -> list[str]:
    """A map for each distinct choice, the chains that hash, and the maps `<place>_ports` and `<place>_errors`."""
    choices = {name_of(choice): choice for _, choice in steering.chosen}
    maps = (choice_map(f"{steering.place}_{name}", choices[name], me, steering.way) for name in sorted(choices))
    return [*maps, *_hash_chains(steering, sorted(choices), fields), *_port_maps(steering, fields)]


def _hash_chains(steering: Steering, names: Sequence[str], fields: Fields) -> Iterable[str]:
    hashed = {
        "client": fields.client,
        "flow": fields.flow,
        "error_client": fields.error_client,
        "error_flow": fields.error_flow,
    }
    for name in names:
        for kind, expression in hashed.items():
            rule = f"jhash {expression} mod 1021 seed {BUCKET_SEED:#x} vmap @{steering.place}_{name}"
            yield chain(f"{steering.place}_{name}_{kind}", [rule])


def _port_maps(steering: Steering, fields: Fields) -> Iterable[str]:
    packets = (f"{element(port)} : goto {steering.packet_chain(port, choice)}" for port, choice in steering.chosen)
    errors = (
        f"{error_element(port.key)} : goto {steering.error_chain(port, choice)}" for port, choice in steering.chosen
    )
    yield verdict_map(f"{steering.place}_ports", f"type {fields.address_type} . inet_proto . inet_service", packets)
    yield verdict_map(f"{steering.place}_errors", f"typeof {fields.error_key}", errors)


def element(port: Port) -> str:
    """The key of a port in a map of ports."""
    return f"{port.key.address} . {port.key.protocol.lower()} . {port.key.port}"


def port_match(fields: Fields) -> str:
    """The expression that a map of ports is asked with."""
    return f"{fields.destination} . meta l4proto . th dport"
