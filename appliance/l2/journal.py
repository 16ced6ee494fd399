"""What one `handle` leaves behind: commands, counts, and which VIPs changed."""

from collections import Counter
from enum import Enum

from appliance.api.address import IPAddress
from appliance.l2.command import Command, SendFrame
from appliance.l2.verdict import Count
from appliance.wire.drop import Drop


class Ignored(Enum):
    """Why a frame that was understood led to nothing."""

    INTERFACE = "from an interface that is not spoken on"
    DESTINATION = "for another hardware address"
    ECHO = "our own frame came back"
    SENDER = "the sender's hardware address is a group"
    NOT_ANSWERED = "asks for an address this host does not answer for"


class Journal:
    """Commands to be taken away, counts, and a version that moves with every visible change."""

    def __init__(self) -> None:
        self.version = 0
        self.counts: Counter[Count] = Counter()
        self.drops: Counter[Drop | Ignored] = Counter()
        self._commands: list[Command] = []
        self._changed: set[IPAddress] = set()

    def send(self, interface: str, frame: bytes, count: Count) -> None:
        """Have a frame sent, and count it."""
        self._commands.append(SendFrame(interface, frame))
        self.counts[count] += 1

    def take_commands(self) -> list[Command]:
        """The commands since the last call."""
        commands, self._commands = self._commands, []
        return commands

    def touch(self, address: IPAddress | None = None) -> None:
        """Note a visible change, of a VIP or of anything else."""
        self.version += 1
        if address is not None:
            self._changed.add(address)

    def take_changed(self) -> frozenset[IPAddress]:
        """The VIPs touched since the last call."""
        changed, self._changed = frozenset(self._changed), set()
        return changed
