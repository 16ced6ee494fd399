"""What `birdcl -v` prints on a pipe, cut into replies and the log lines that come between them."""

from dataclasses import dataclass

_PROMPT = b"bird> "
_ECHOED_LOG = b">>> "
_BYTES_MAX = 8 * 1024 * 1024
_COMMAND_BYTES_MAX = 1000  # BIRD's client takes lines of 2,048 bytes


class ConsoleError(Exception):
    """The client prints what cannot be a reply."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The lines of one reply, with their codes; `0000` is not among them, the client keeps it."""

    text: str


@dataclass(frozen=True, slots=True)
class Logged:
    """A line of BIRD's log, sent because `echo` is on."""

    text: str


class Console:
    """The client's output as it comes, in pieces of any size.

    The client prints a prompt when it can take a command, then the command it took, then the reply: so a reply lies
    between a line that is the command and the next prompt. The greeting is the reply to no command.
    """

    def __init__(self, bytes_max: int = _BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._unread = b""
        self._command: bytes | None = None
        self._reply: list[bytes] | None = []
        self._reply_bytes = 0
        self._last = b""

    @property
    def last_line(self) -> str:
        """The last line that was no log line: where the client ends, it says there why."""
        return _text(self._unread or self._last).strip()

    def send(self, command: str) -> bytes:
        """What to write for a command; raises ConsoleError for one the client would not take as one line."""
        line = command.encode()
        if not command.isprintable() or len(line) > _COMMAND_BYTES_MAX:
            raise ConsoleError(f"not a command: {command!r}")
        self._command = line
        return line + b"\n"

    def feed(self, printed: bytes) -> list[Reply | Logged]:
        """What is complete by now; raises ConsoleError where a reply grows without bounds."""
        found: list[Reply | Logged] = []
        unread = self._unread + printed
        start = 0
        while True:
            if unread.startswith(_PROMPT, start):
                start += len(_PROMPT)
                if self._reply is not None:
                    found.append(Reply(_text(b"\n".join(self._reply))))
                    self._reply, self._reply_bytes = None, 0
                continue
            end = unread.find(b"\n", start)
            if end < 0:
                break
            line, start = unread[start:end], end + 1
            if line.startswith(_ECHOED_LOG):
                found.append(Logged(_text(line.removeprefix(_ECHOED_LOG))))
            else:
                self._take(line)
        self._unread = unread[start:]
        if len(self._unread) + self._reply_bytes > self._bytes_max:
            raise ConsoleError(f"a reply of more than {self._bytes_max} bytes")
        return found

    def _take(self, line: bytes) -> None:
        self._last = line
        if self._reply is not None:
            self._reply.append(line)
            self._reply_bytes += len(line) + 1
        elif line == self._command:
            self._command, self._reply = None, []


def _text(written: bytes) -> str:
    return written.decode(errors="replace")
