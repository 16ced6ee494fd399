"""Which BGP sessions a change of BIRD's configuration restarts (BIRD's own rules, in its `bgp_reconfigure`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from appliance.bird.fault import usable_sessions
from appliance.bird.model import BirdConfig, Session
from appliance.bird.name import symbols
from appliance.bird.timer import timers


class Field(StrEnum):
    """What of a session cannot be changed while it is up; REMOVED = the session is gone."""

    REMOVED = "removed"
    PROTOCOL_NAME = "protocol-name"
    ROUTER_ID = "router-id"
    NEIGHBOR = "neighbor"
    ASN = "asn"
    SOURCE_ADDRESS = "source-address"
    TIMERS = "timers"
    PASSWORD = "password"
    MULTIHOP = "multihop"
    GRACEFUL_RESTART = "graceful-restart"
    FAMILIES = "families"
    VRF = "vrf"


@dataclass(frozen=True, slots=True)
class Restart:
    """A session that goes down, and what brings it down."""

    session: str
    fields: tuple[Field, ...]


def sessions_restarted(old: BirdConfig, new: BirdConfig) -> tuple[Restart, ...]:
    """The sessions of `old` that going to `new` interrupts, by name; routes, BFD and a drain interrupt none."""
    before, after = _fixed(old), _fixed(new)
    restarts = []
    for name, fields in before.items():
        following = after.get(name)
        changed = [Field.REMOVED] if following is None else [key for key in fields if fields[key] != following[key]]
        if changed:
            restarts.append(Restart(name, tuple(changed)))
    return tuple(restarts)


def _fixed(config: BirdConfig) -> Mapping[str, Mapping[Field, object]]:
    sessions = usable_sessions(config)
    named = symbols(sessions)
    return {session.name: _fields(config, session, named[session.name]) for session in sessions}


def _fields(config: BirdConfig, session: Session, symbol: str) -> Mapping[Field, object]:
    return {
        Field.PROTOCOL_NAME: symbol,
        Field.ROUTER_ID: session.router_id or config.router_id,
        Field.NEIGHBOR: (session.neighbor, session.bound_interface, session.port),
        Field.ASN: (session.local_asn, session.peer_asn),
        Field.SOURCE_ADDRESS: session.source_address,
        Field.TIMERS: timers(session),
        Field.PASSWORD: session.password,
        Field.MULTIHOP: session.multihop,
        Field.GRACEFUL_RESTART: session.graceful_restart,
        Field.FAMILIES: session.families,
        Field.VRF: session.vrf,
    }
