"""Asking a choice: the maps and small chains by which a packet's hash leads to the host it goes to."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from appliance.nft.model import Choice, Port
from appliance.nft.packet import Fields, error_element
from appliance.nft.syntax import BUCKET_SEED, chain, choice_map, name_of, verdict_map


@dataclass(frozen=True, slots=True)
class Steering:
    """The choices of one family asked at one place, whose name begins the names of all that belongs to it.

    An ICMP error is about a connection, so a place that first packets come to takes none.
    """

    place: str
    fields: Fields
    chosen: Sequence[tuple[Port, Choice]]
    takes_errors: bool = True

    def packet_chain(self, port: Port, choice: Choice) -> str:
        """The chain that a packet to this port goes to."""
        return self._chain(choice, "client" if port.by_address else "flow")

    def error_chain(self, port: Port, choice: Choice) -> str:
        """The chain that an ICMP error about a packet from this port goes to."""
        return self._chain(choice, "error_client" if port.by_address else "error_flow")

    def _chain(self, choice: Choice, kind: str) -> str:
        return f"{self.place}_{name_of(choice)}_{self.fields.table}_{kind}"


def choice_maps(place: str, choices: Iterable[Choice], me: str) -> list[str]:
    """A map for each distinct choice asked at a place; families share them."""
    named = {name_of(choice): choice for choice in choices}
    return [choice_map(f"{place}_{name}", choice, me) for name, choice in sorted(named.items())]


def hash_chains(steering: Steering) -> list[str]:
    """The chains that hash a packet and look its bucket up, each once."""
    fields = steering.fields
    hashed: dict[str, tuple[str, Choice]] = {}
    for port, choice in steering.chosen:
        hashed[steering.packet_chain(port, choice)] = (fields.client if port.by_address else fields.flow, choice)
        if steering.takes_errors:
            in_error = fields.error_client if port.by_address else fields.error_flow
            hashed[steering.error_chain(port, choice)] = (in_error, choice)
    return [
        chain(
            name,
            [f"jhash {expression} mod {len(choice)} seed {BUCKET_SEED:#x} vmap @{steering.place}_{name_of(choice)}"],
        )
        for name, (expression, choice) in sorted(hashed.items())
    ]


def port_maps(steering: Steering) -> list[str]:
    """The maps `<place>_<protocol>_ports` and `<place>_<protocol>_errors` from a packet to the chain that hashes it."""
    packets = (f"{element(port)} : goto {steering.packet_chain(port, choice)}" for port, choice in steering.chosen)
    errors = (
        f"{error_element(port.key)} : goto {steering.error_chain(port, choice)}" for port, choice in steering.chosen
    )
    name = f"{steering.place}_{steering.fields.table}"
    maps = [verdict_map(f"{name}_ports", port_type(steering.fields), packets)]
    if steering.takes_errors:
        maps.append(verdict_map(f"{name}_errors", f"typeof {steering.fields.error_key}", errors))
    return maps


def element(port: Port) -> str:
    """The key of a port in a map of ports."""
    return f"{port.key.address} . {port.key.protocol.lower()} . {port.key.port}"


def port_type(fields: Fields) -> str:
    """The type of a map or set of ports."""
    return f"type {fields.address_type} . inet_proto . inet_service"


def port_match(fields: Fields) -> str:
    """The expression that a map of ports is asked with."""
    return f"{fields.destination} . meta l4proto . th dport"
