"""What BIRD cannot be told of a session."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from appliance.api.pierhead import PasswordFault
from appliance.bird.model import BirdConfig, Session


class FaultReason(StrEnum):
    """Why a session, or its BFD, is not in the configuration."""

    NAME_TWICE = "name-twice"
    NO_NEIGHBOR = "no-neighbor"
    NO_FAMILY = "no-family"
    NO_ASN = "no-asn"
    SOURCE_OF_OTHER_FAMILY = "source-of-other-family"
    LINK_LOCAL_WITHOUT_INTERFACE = "link-local-without-interface"
    MULTIHOP_ON_LINK_LOCAL = "multihop-on-link-local"
    UNWRITABLE_TEXT = "unwritable-text"
    BFD_WITHOUT_SOURCE = "bfd-without-source"
    NO_PASSWORD = "no-password"
    SECRET_MISSING = "secret-missing"
    SECRET_OF_OTHER_TYPE = "secret-of-other-type"
    SECRET_WITHOUT_PASSWORD = "secret-without-password"
    PASSWORD_UNUSABLE = "password-unusable"
    PASSWORD_MISSING = "password-missing"


_TEXT_MAX = 1000
_UNWRITABLE = frozenset('"\n\r\0')
_HARMLESS = frozenset({FaultReason.BFD_WITHOUT_SOURCE, *(FaultReason(fault.value) for fault in PasswordFault)})


@dataclass(frozen=True, slots=True)
class Fault:
    """A session with one thing that cannot be."""

    session: str
    reason: FaultReason

    @property
    def leaves_out_session(self) -> bool:
        """Whether the whole session is missing: not only its BFD, nor a password for which the last good one stands."""
        return self.reason not in _HARMLESS


def faults(config: BirdConfig) -> tuple[Fault, ...]:
    """Every fault of every session; `render` leaves out what is named here, so that one mistake stops only itself."""
    names = Counter(session.name for session in config.sessions)
    found = {Fault(session.name, reason) for session in config.sessions for reason in _reasons(session)}
    found |= {Fault(name, FaultReason.NAME_TWICE) for name, count in names.items() if count > 1}
    return tuple(sorted(found, key=lambda fault: (fault.session, fault.reason)))


def usable_sessions(config: BirdConfig) -> tuple[Session, ...]:
    """The sessions that can be configured, by name."""
    left_out = {fault.session for fault in faults(config) if fault.leaves_out_session}
    usable = (session for session in config.sessions if session.name not in left_out)
    return tuple(sorted(usable, key=lambda session: session.name))


def can_have_bfd(session: Session) -> bool:
    """Whether BIRD accepts BFD here: over several hops it must be told the source address."""
    return not session.multihop or session.source_address is not None


def _reasons(session: Session) -> Iterator[FaultReason]:
    yield from _neighbor_reasons(session)
    source = session.source_address
    if source is not None and session.neighbor is not None and source.version != session.neighbor.version:
        yield FaultReason.SOURCE_OF_OTHER_FAMILY
    if not session.families:
        yield FaultReason.NO_FAMILY
    if session.peer_asn == 0 or session.local_asn == 0:
        yield FaultReason.NO_ASN
    if not _is_writable(session):
        yield FaultReason.UNWRITABLE_TEXT
    if session.bfd is not None and not can_have_bfd(session):
        yield FaultReason.BFD_WITHOUT_SOURCE
    if session.password_fault is not None:
        yield FaultReason(session.password_fault.value)
    if session.password is None:
        yield FaultReason.NO_PASSWORD


def _neighbor_reasons(session: Session) -> Iterator[FaultReason]:
    neighbor = session.neighbor
    if not session.interface if neighbor is None else neighbor.is_unspecified or neighbor.is_multicast:
        yield FaultReason.NO_NEIGHBOR
    if session.neighbor is None or session.neighbor.is_link_local:
        if session.neighbor is not None and not session.interface:
            yield FaultReason.LINK_LOCAL_WITHOUT_INTERFACE
        if session.multihop:
            yield FaultReason.MULTIHOP_ON_LINK_LOCAL


def _is_writable(session: Session) -> bool:
    """Whether every text and address means in BIRD's configuration what it means here.

    A quoted text has no escapes, and BIRD 2.0.12 dies of one of 4,096 bytes; the name of an interface is a pattern to
    some of its protocols; what stands after % in an address may be anything.
    """
    texts = (session.name, session.interface, session.vrf, session.password or "")
    addresses = (session.neighbor, session.source_address)
    return (
        not any(len(text) > _TEXT_MAX or set(text) & _UNWRITABLE for text in texts)
        and not is_pattern(session.interface)
        and not any(address is not None and "%" in str(address) for address in addresses)
    )


def is_pattern(interface: str) -> bool:
    """Whether BIRD would take the name of an interface for a pattern that others match."""
    return interface.startswith("-") or not set(interface).isdisjoint("*?")
