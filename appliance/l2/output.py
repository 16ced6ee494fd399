"""What one `handle` leaves behind: commands, notes from one part of the core to another, and counts."""

from collections import Counter
from dataclasses import dataclass

from appliance.api.address import IPAddress
from appliance.l2.event import Command, CounterName, SendFrame
from appliance.l2.frame import Ignored
from appliance.wire.drop import Drop


@dataclass(frozen=True, slots=True)
class EligibilityChanged:
    """Another host failed, or is one that can be given VIPs again."""

    host: str


@dataclass(frozen=True, slots=True)
class HostReturned:
    """A host that had failed answers again: it has not heard who answers for what."""

    host: str


@dataclass(frozen=True, slots=True)
class VipsUnanswered:
    """A living agent did not answer for some VIPs that it is held to own."""

    host: str
    addresses: tuple[IPAddress, ...]


@dataclass(frozen=True, slots=True)
class ContactMade:
    """A link on which nobody answered, lately or ever, has an answer."""

    link: int


@dataclass(frozen=True, slots=True)
class ContactLost:
    """Nobody on a link answers any more."""

    link: int


@dataclass(frozen=True, slots=True)
class QuietEnded:
    """A link was silent for as long as is to be waited for."""

    link: int


Note = EligibilityChanged | HostReturned | VipsUnanswered | ContactMade | ContactLost | QuietEnded


class Output:
    """Commands and notes to be taken away, and counts since the start."""

    def __init__(self) -> None:
        self.counts: Counter[CounterName] = Counter()
        self.drops: Counter[Drop | Ignored] = Counter()
        self._commands: list[Command] = []
        self._notes: list[Note] = []

    def send(self, link: int, frame: bytes, count: CounterName) -> None:
        """Have a frame sent, and count it."""
        self._commands.append(SendFrame(link, frame))
        self.counts[count] += 1

    def tell(self, command: Command) -> None:
        """Tell the shell what changed."""
        self._commands.append(command)

    def note(self, note: Note) -> None:
        """Tell the rest of the core."""
        self._notes.append(note)

    def take_commands(self) -> list[Command]:
        """The commands since the last call."""
        commands, self._commands = self._commands, []
        return commands

    def take_notes(self) -> list[Note]:
        """The notes since the last call."""
        notes, self._notes = self._notes, []
        return notes
