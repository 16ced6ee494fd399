"""Why a Service gets no address, or not the one it asks for."""

from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """Why an allocation was refused."""

    NO_POOLS = "no pool is configured"
    UNKNOWN_POOL = "there is no pool of this name"
    NOT_ADMITTED = "the pool does not admit Services of this namespace or with these labels"
    NO_ADMITTING_POOL = "no pool that hands out addresses by itself admits this Service"
    OUTSIDE_POOLS = "the address is in no pool"
    BUGGY_ADDRESS = "the address ends in .0 or .255 and the pool avoids those"
    IN_USE = "the address is held by a Service that does not share it"
    OTHER_SHARING_KEY = "the address is held under another sharing key"
    OTHER_BACKENDS = "the address is shared only by Services with the same traffic policy and, if Local, selector"
    PORT_TAKEN = "a Service that shares the address uses the same port"
    RESERVED = "the address is reserved for another Service"
    NOT_RELEASED = "the address is not free again yet"
    QUARANTINED = "the address came free a short while ago and its pool keeps it in quarantine"
    UNREADABLE = "there is a VirtualIP of this address that cannot be read"
    NAME_TAKEN = "the store does not let the address's VirtualIP be written"
    HOST_ADDRESS = "the address is a host's own"
    ROUTER_ADDRESS = "the address is a BGP peer's own"
    SUBNET_END = "the address is the network or broadcast address of a host's subnet"
    OTHER_POOL = "the requested address is not in the pool the annotation names"
    SEVERAL_POOLS = "the requested addresses are in different pools"
    WRONG_FAMILY = "the requested addresses are not of the families of the Service"
    NO_FAMILY = "no pool it may use has addresses of the wanted family"
    SINGLE_STACK = "a Service with two cluster addresses needs ipFamilyPolicy PreferDualStack or RequireDualStack"
    EXHAUSTED = "every pool it may use is full"
    OVER_QUOTA = "the namespace holds as many addresses as it may"


_WITHHELD_WORDS = (
    ((Reason.RESERVED,), "reserved"),
    ((Reason.NOT_RELEASED,), "not released yet"),
    ((Reason.QUARANTINED,), "in quarantine"),
    ((Reason.HOST_ADDRESS, Reason.ROUTER_ADDRESS, Reason.SUBNET_END), "of hosts and routers"),
    ((Reason.UNREADABLE, Reason.NAME_TAKEN), "with a VirtualIP that cannot be used"),
)


class Skip(Enum):
    """Why one pool gave nothing."""

    FULL = "full"
    NO_FAMILY = "has no addresses of a wanted family"
    NO_AUTO_ASSIGN = "is used on request only"
    NOT_ADMITTED = "does not admit the Service"


@dataclass(frozen=True, slots=True)
class Tried:
    """A pool, why it gave nothing, and how full it is over both families: given, and withheld by reason."""

    pool: str
    why: Skip
    assigned: int
    capacity: int
    withheld: tuple[tuple[Reason, int], ...] = ()

    def __str__(self) -> str:
        counts = dict(self.withheld)
        shown = [f"{self.assigned} of {self.capacity} given"]
        for reasons, word in _WITHHELD_WORDS:
            count = sum(counts.get(reason, 0) for reason in reasons)
            shown += [f"{count} {word}"] if count else []
        return f"{self.pool} {self.why.value} ({', '.join(shown)})"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A "no": the reason, what it is about (a pool or an address), and the pools tried where that is the point."""

    reason: Reason
    subject: str = ""
    tried: tuple[Tried, ...] = ()

    def __str__(self) -> str:
        about = f"{self.subject}: " if self.subject else ""
        pools = f": {'; '.join(map(str, self.tried))}" if self.tried else ""
        return f"{about}{self.reason.value}{pools}"
