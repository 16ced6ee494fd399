"""BGP and BFD sessions as BIRD reports them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from appliance.bird.moment import is_same_moment
from appliance.bird.reply import Line, lines

_ROW = 1002
_DETAIL = 1006
_BFD = 1020
_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?|\S+"
_PROTOCOL = re.compile(rf"(\S+)\s+(\S+)\s+\S+\s+(\S+)\s+({_TIME})\s*(.*)")
_BFD_SESSION = re.compile(rf"(\S+)\s+(\S+)\s+(Up|Down|Init|AdminDown)\s+({_TIME})\s+(\d+\.?\d*)\s+(\d+\.?\d*).*")
_COUNT = re.compile(r"(\d+) (\w+)")
_TEXT_MAX = 200
_TRYING = ("Connect", "Active", "OpenSent", "OpenConfirm")


@dataclass(frozen=True, slots=True)
class Channel:
    """One address family of a BGP session and how many routes passed; `told` counts updates to the peer.

    `heard` counts updates from the peer, whether or not any of it was accepted.
    """

    name: str
    state: str
    imported: int
    exported: int
    told: int = 0
    heard: int = 0


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

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all others: of an unnumbered peer there are as many as call."""
        return self.name, self.neighbor

    @property
    def address(self) -> str:
        """The neighbor's address without the interface, as its BFD session has it."""
        return self.neighbor.partition("%")[0]


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


def steady_bgp(sessions: Iterable[BgpSession], before: Iterable[BgpSession]) -> tuple[BgpSession, ...]:
    """The same sessions as they were told before where they mean the same.

    BIRD's times tremble, and a session that tries goes round Connect, Active and OpenSent every few seconds.
    """
    known = {session.protocol: session for session in before}
    return tuple(_steady(session, known.get(session.protocol)) for session in sessions)


def _steady(session: BgpSession, before: BgpSession | None) -> BgpSession:
    if before is None or not is_same_moment(before.since, session.since):
        return session
    is_trying = session.state in _TRYING and before.state in _TRYING
    return replace(session, since=before.since, state=before.state if is_trying else session.state)


def steady_bfd(sessions: Iterable[BfdSession], before: Iterable[BfdSession]) -> tuple[BfdSession, ...]:
    """The same sessions with the times told before where they mean the same: BIRD's tremble."""
    known = {(session.address, session.interface): session.since for session in before}
    return tuple(
        replace(session, since=since) if is_same_moment(since, session.since) else session
        for session in sessions
        for since in [known.get((session.address, session.interface), "")]
    )


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
    asn = labels.get("Neighbor AS", "")
    transitions = labels.get("Established transitions", labels.get("Established count", ""))
    return BgpSession(
        name=labels.get("Description", heading[1]),
        protocol=heading[1],
        state=labels.get("BGP state", heading[3]),
        since=heading[4],
        neighbor=labels.get("Neighbor address", labels.get("Neighbor range", "")),
        neighbor_asn=int(asn) if asn.isdecimal() else 0,
        last_error=labels.get("Last error", ""),
        channels=tuple(_channels(details)),
        transitions=int(transitions) if transitions.isdecimal() else None,
    )


def _labels(details: list[str]) -> Mapping[str, str]:
    """Every `label: value` before the first channel, the first of a label."""
    found: dict[str, str] = {}
    for detail in details:
        label, colon, written = detail.strip().partition(":")
        if label.startswith("Channel "):
            break
        if colon:
            found.setdefault(label, _clean(written))
    return found


def _clean(written: str) -> str:
    """A value fit to be shown: some of it is the peer's own text."""
    return "".join(letter if letter.isprintable() else " " for letter in written[:_TEXT_MAX]).strip()


def _channels(details: list[str]) -> Iterator[Channel]:
    starts = [index for index, detail in enumerate(details) if detail.strip().startswith("Channel ")]
    for start, end in pairwise([*starts, len(details)]):
        labels = _labels(details[start + 1 : end])
        counts = {name: int(count) for count, name in _COUNT.findall(labels.get("Routes", ""))}
        name = details[start].strip().removeprefix("Channel ")
        told = sum(_accepted(labels.get(label, "")) for label in ("Export updates", "Export withdraws"))
        heard = _received(labels.get("Import updates", ""))
        yield Channel(name, labels.get("State", ""), counts.get("imported", 0), counts.get("exported", 0), told, heard)


def _received(statistics: str) -> int:
    """The first column of a line of `Route change stats`."""
    columns = statistics.split()
    return int(columns[0]) if columns and columns[0].isdecimal() else 0


def _accepted(statistics: str) -> int:
    """The last column of a line of `Route change stats`."""
    columns = statistics.split()
    return int(columns[-1]) if columns and columns[-1].isdecimal() else 0
