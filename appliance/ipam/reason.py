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
    OTHER_POOL = "the requested address is not in the pool the annotation names"
    SEVERAL_POOLS = "the requested addresses are in different pools"
    WRONG_FAMILY = "the requested addresses are not of the families of the Service"
    NO_FAMILY = "no pool it may use has addresses of the wanted family"
    SINGLE_STACK = "a Service with two cluster addresses needs ipFamilyPolicy PreferDualStack or RequireDualStack"
    EXHAUSTED = "every pool it may use is full"
    OVER_QUOTA = "the namespace holds as many addresses as it may"


class Skip(Enum):
    """Why one pool gave nothing."""

    FULL = "full"
    NO_FAMILY = "has no addresses of a wanted family"
    NO_AUTO_ASSIGN = "is used on request only"
    NOT_ADMITTED = "does not admit the Service"


@dataclass(frozen=True, slots=True)
class Tried:
    """A pool, why it gave nothing, and how full it is over both families; reserved = kept free for somebody."""

    pool: str
    why: Skip
    assigned: int
    capacity: int
    reserved: int = 0
    resting: int = 0

    def __str__(self) -> str:
        reserved = f", {self.reserved} reserved" if self.reserved else ""
        resting = f", {self.resting} in quarantine" if self.resting else ""
        return f"{self.pool} {self.why.value} ({self.assigned} of {self.capacity} given{reserved}{resting})"


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
