"""One fellow on one link: what was asked of it, what was heard of it, what to hold of it."""

from dataclasses import dataclass, field
from enum import Enum, auto

from appliance.api.address import IPAddress
from appliance.l2.verdict import HostState

NEVER = float("-inf")


class Phase(Enum):
    """What a watch is busy with."""

    WATCHING = auto()
    CONVICTING = auto()
    AWAITING_AGENT = auto()
    HELD = auto()  # silent, but so is the whole link


class Finding(Enum):
    """What the silence or the answers of a suspect mean."""

    INNOCENT = auto()
    AGENT_SILENT = auto()
    SILENT = auto()


@dataclass(slots=True)
class Watch:
    """A fellow on a link; `addresses` are its kernel's on the link's subnets, `pending` VIPs it was asked for."""

    fellow: str
    interface: str
    addresses: tuple[IPAddress, ...]
    state: HostState = HostState.UNKNOWN
    phase: Phase = Phase.WATCHING
    rounds: int = 0
    unanswered: int = 0
    suspected_at: float = NEVER
    grace_ends: float | None = None
    kernel_heard_at: float = NEVER
    agent_heard_at: float = NEVER
    pending: dict[IPAddress, None] = field(default_factory=dict)

    @property
    def is_convicted(self) -> bool:
        """Whether the fellow serves nobody on this link."""
        return self.state in (HostState.DEAD, HostState.AGENT_DOWN)

    @property
    def counts_as_up(self) -> bool:
        """Whether the fellow was heard once and is not known to be dead."""
        return self.kernel_heard_at > NEVER and self.state is not HostState.DEAD

    def own_address(self) -> IPAddress | None:
        """The address of the fellow's kernel to ask for next, each in turn."""
        return self.addresses[self.rounds % len(self.addresses)] if self.addresses else None

    def suspect(self, sample: tuple[IPAddress, ...], now: float) -> None:
        """Begin to convict, with some VIPs that its agent has to answer."""
        self.state, self.phase = HostState.SUSPECT, Phase.CONVICTING
        self.suspected_at, self.rounds, self.unanswered = now, 0, 0
        self.pending = dict.fromkeys(sample)

    def settle(self, state: HostState) -> None:
        """Hold something of the fellow, and go back to watching."""
        self.state, self.phase = state, Phase.WATCHING
        self.rounds, self.unanswered, self.grace_ends = 0, 0, None
        self.pending = {}

    def find(self) -> Finding:
        """What the answers since the suspicion mean."""
        if self.agent_heard_at >= self.suspected_at:
            return Finding.INNOCENT
        if self.kernel_heard_at < self.suspected_at:
            return Finding.SILENT
        return Finding.AGENT_SILENT if self.pending else Finding.INNOCENT

    @property
    def is_cleared(self) -> bool:
        """Whether every question was answered, so that there is nothing to wait for."""
        kernel_heard = self.kernel_heard_at >= self.suspected_at or not self.addresses
        return kernel_heard and not self.pending and self.find() is Finding.INNOCENT
