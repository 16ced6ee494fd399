"""What BIRD's control socket answers, line by line, as `birdcl -v` prints it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

_CODED = re.compile(r"(\d{4})([ -])(.*)")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a reply under its code; continuation lines carry the code of the line they continue."""

    code: int
    text: str


class ConfigureOutcome(StrEnum):
    """How BIRD took a `configure` command."""

    CONFIGURED = "configured"
    IN_PROGRESS = "in-progress"
    QUEUED = "queued"
    SHUTTING_DOWN = "shutting-down"
    UNQUEUED = "unqueued"
    CONFIRMED = "confirmed"
    NOTHING_TO_DO = "nothing-to-do"
    REFUSED = "refused"
    DENIED = "denied"
    NOT_UNDERSTOOD = "not-understood"
    NO_ANSWER = "no-answer"


class DaemonState(StrEnum):
    """What BIRD is doing; UNCONFIRMED = running on a configuration it will take back unless confirmed."""

    RUNNING = "running"
    UNCONFIRMED = "unconfirmed"
    RECONFIGURING = "reconfiguring"
    SHUTTING_DOWN = "shutting-down"


@dataclass(frozen=True, slots=True)
class Configured:
    """The outcome of a `configure`; `text` is BIRD's last word, for a refusal file:line:column and what is wrong."""

    outcome: ConfigureOutcome
    text: str


@dataclass(frozen=True, slots=True)
class Status:
    """BIRD itself; when it started and when it last took a configuration, as BIRD writes it (see `is_same_moment`)."""

    version: str
    router_id: str
    booted: str
    reconfigured: str
    state: DaemonState
    text: str


_OUTCOMES = {
    3: ConfigureOutcome.CONFIGURED,
    4: ConfigureOutcome.IN_PROGRESS,
    5: ConfigureOutcome.QUEUED,
    6: ConfigureOutcome.SHUTTING_DOWN,
    17: ConfigureOutcome.UNQUEUED,
    18: ConfigureOutcome.CONFIRMED,
    19: ConfigureOutcome.NOTHING_TO_DO,
    16: ConfigureOutcome.DENIED,
    8002: ConfigureOutcome.REFUSED,
    8007: ConfigureOutcome.DENIED,
    9001: ConfigureOutcome.NOT_UNDERSTOOD,
}


def lines(text: str) -> Iterator[Line]:
    """The coded lines of a reply; what the client itself says is passed over.

    Only a line feed ends a line: a peer's text may hold anything else that Python takes for the end of one.
    """
    code: int | None = None
    for written in text.split("\n"):
        coded = _CODED.fullmatch(written)
        if coded:
            code = int(coded[1])
            yield Line(code, coded[3])
        elif written.startswith(" ") and code is not None:
            yield Line(code, written[1:])


def configured(text: str) -> Configured:
    """The outcome of `configure`, `configure confirm` or `configure undo`: the last code that names one."""
    last = Configured(ConfigureOutcome.NO_ANSWER, text.strip())
    for line in lines(text):
        if line.code in _OUTCOMES:
            last = Configured(_OUTCOMES[line.code], line.text.strip())
    return last


def status(text: str) -> Status | None:
    """What `show status` says; None if that is not a status."""
    version = router_id = booted = reconfigured = ""
    for line in lines(text):
        written = line.text.strip()
        match line.code:
            case 1000:
                version = written.removeprefix("BIRD ").removeprefix("v")
            case 1011:
                router_id = _after(written, "Router ID is ") or router_id
                booted = _after(written, "Last reboot on ") or booted
                reconfigured = _after(written, "Last reconfiguration on ") or reconfigured
            case 13:
                return Status(version, router_id, booted, reconfigured, _state(written), written)
    return None


def _after(text: str, label: str) -> str:
    return text.removeprefix(label) if text.startswith(label) else ""


def _state(text: str) -> DaemonState:
    told = text.lower()
    if "shutdown" in told or "shutting down" in told:
        return DaemonState.SHUTTING_DOWN
    if "unconfirmed" in told:
        return DaemonState.UNCONFIRMED
    return DaemonState.RECONFIGURING if "reconfiguration in progress" in told else DaemonState.RUNNING
