"""BGP and BFD sessions as BIRD reports them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from appliance.bird.reply import Line, lines

_ROW = 1002
_DETAIL = 1006
_BFD = 1020
_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?|\S+"
_PROTOCOL = re.compile(rf"(\S+)\s+(\S+)\s+\S+\s+(\S+)\s+({_TIME})\s*(.*)")
_BFD_SESSION = re.compile(rf"(\S+)\s+(\S+)\s+(Up|Down|Init|AdminDown)\s+({_TIME})\s+([\d.]+)\s+([\d.]+).*")
_COUNT = re.compile(r"(\d+) (\w+)")


@dataclass(frozen=True, slots=True)
class Channel:
    """One address family of a BGP session and how many routes passed."""

    name: str
    state: str
    imported: int
    exported: int


@dataclass(frozen=True, slots=True)
class BgpSession:
    """A BGP session; `name` is the peer's, `protocol` BIRD's own; `since` trembles (see `is_same_moment`)."""

    name: str
    protocol: str
    state: str
    since: str
    neighbor: str
    neighbor_asn: int
    last_error: str
    channels: tuple[Channel, ...]
    transitions: int | None

    @property
    def is_established(self) -> bool:
        """Whether routes can pass."""
        return self.state == "Established"


@dataclass(frozen=True, slots=True)
class BfdSession:
    """A BFD session; `timeout_seconds` is its present detection time."""

    address: str
    interface: str
    state: str
    since: str
    interval_seconds: float
    timeout_seconds: float

    @property
    def is_up(self) -> bool:
        """Whether the neighbour is reached."""
        return self.state == "Up"


def bgp_sessions(text: str) -> tuple[BgpSession, ...]:
    """The BGP sessions in a reply to `show protocols all`, by name; other protocols are passed over."""
    found: list[BgpSession] = []
    for row, details in _blocks(text):
        heading = _PROTOCOL.fullmatch(row.text.rstrip())
        if heading and heading[2] == "BGP":
            found.append(_bgp_session(heading, details))
    return tuple(sorted(found, key=lambda session: (session.name, session.protocol)))


def bfd_sessions(text: str) -> tuple[BfdSession, ...]:
    """The BFD sessions in a reply to `show bfd sessions`, by address."""
    rows = (_BFD_SESSION.fullmatch(line.text.strip()) for line in lines(text) if line.code == _BFD)
    found = (BfdSession(row[1], row[2], row[3], row[4], float(row[5]), float(row[6])) for row in rows if row)
    return tuple(sorted(found, key=lambda session: (session.address, session.interface)))


def _blocks(text: str) -> Iterator[tuple[Line, list[str]]]:
    row: Line | None = None
    details: list[str] = []
    for line in lines(text):
        if line.code == _ROW:
            if row is not None:
                yield row, details
            row, details = line, []
        elif line.code == _DETAIL:
            details.append(line.text)
    if row is not None:
        yield row, details


def _bgp_session(heading: re.Match[str], details: list[str]) -> BgpSession:
    labels = _labels(details)
    transitions = labels.get("Established transitions", labels.get("Established count", ""))
    return BgpSession(
        name=labels.get("Description", heading[1]),
        protocol=heading[1],
        state=labels.get("BGP state", heading[3]),
        since=heading[4],
        neighbor=labels.get("Neighbor address", labels.get("Neighbor range", "")),
        neighbor_asn=int(labels.get("Neighbor AS", "0")),
        last_error=labels.get("Last error", ""),
        channels=tuple(_channels(details)),
        transitions=int(transitions) if transitions.isdigit() else None,
    )


def _labels(details: list[str]) -> Mapping[str, str]:
    """Every `label: value` before the first channel, the first of a label."""
    found: dict[str, str] = {}
    for detail in details:
        label, colon, written = detail.strip().partition(":")
        if label.startswith("Channel "):
            break
        if colon:
            found.setdefault(label, written.strip())
    return found


def _channels(details: list[str]) -> Iterator[Channel]:
    starts = [index for index, detail in enumerate(details) if detail.strip().startswith("Channel ")]
    for start, end in zip(starts, [*starts[1:], len(details)], strict=True):
        labels = _labels(details[start + 1 : end])
        counts = {name: int(count) for count, name in _COUNT.findall(labels.get("Routes", ""))}
        name = details[start].strip().removeprefix("Channel ")
        yield Channel(name, labels.get("State", ""), counts.get("imported", 0), counts.get("exported", 0))
