"""The columns of each table, made of the rows of an overview."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.overview.row import (
    LOW_PERCENT,
    Attention,
    Health,
    HostRow,
    PoolRow,
    ServiceRow,
    SessionHealth,
    SessionRow,
    Severity,
    Usage,
    VipRow,
)
from appliance.overview.timeline import EventRow
from tui.bar import TREND_MINUTES, bar, sparkline
from tui.table import Cell, Column

BAR_CELLS = 12
MARKS = {Severity.BAD: "!!", Severity.WAITING: " !", Severity.GOOD: "  ", Severity.QUIET: "  "}


@dataclass(frozen=True, slots=True)
class HostSessions:
    """The BGP sessions of a host, a row of the matrix."""

    host: str
    sessions: tuple[SessionRow, ...]


@dataclass(frozen=True, slots=True)
class PoolFill:
    """A pool, and how full it was in each of the last minutes."""

    pool: PoolRow
    trend: tuple[float, ...] = ()


def _health(health: Health) -> Cell:
    return Cell(health.text, health.severity, (-health.severity, health.text))


def _count(number: int | None, severity: Severity | None = None) -> Cell:
    return Cell("" if number is None else str(number), severity, -1 if number is None else number)


def _since(moment: str) -> Cell:
    return Cell("", None, moment, moment)


def _owner(row: VipRow) -> Cell:
    """Who answers for it; where nobody has to, how many hosts announce it, `+` where not all were asked."""
    if row.owner or not row.announcers:
        return Cell(row.owner)
    more = "+" if row.unasked else ""
    return Cell(f"{row.announcers}{more} host{'' if row.announcers == 1 and not more else 's'}")


def _last_move(row: VipRow) -> Cell:
    """From whom to whom; how long ago is drawn behind it."""
    move = row.last_move
    if move is None:
        return Cell("", None, "")
    return Cell(f"{move.origin or 'nobody'} → {move.target or 'nobody'}", None, move.time, move.time)


def _feed(row: HostRow) -> Cell:
    """Where its feed comes from, and its age where it is not live."""
    if not row.feed:
        return Cell("")
    if row.feed == "live":
        return Cell("live", Severity.GOOD)
    aged = "" if row.feed_age_seconds is None else f" {row.feed_age_seconds:.0f}s"
    return Cell(f"{row.feed}{aged}", Severity.WAITING)


VIPS: tuple[Column[VipRow], ...] = (
    Column("Address", lambda row: Cell(str(row.address), None, (row.address.version, int(row.address))), 13),
    Column("State", lambda row: _health(row.health), 9, 12),
    Column("Owner", _owner, 6, 24),
    Column("Service", lambda row: Cell(", ".join(row.services)), 16, 48, 1),
    Column("Since", lambda row: _since(row.since), 7, rank=2),
    Column("Mode", lambda row: Cell(row.mode.value), 4, rank=3),
    Column("Last move", _last_move, 9, 34, 5),
    Column("Pool", lambda row: Cell(row.pool), 4, 24, 4),
    Column("Routes", lambda row: _count(row.announcers), 6, rank=6),
)
HOSTS: tuple[Column[HostRow], ...] = (
    Column("Host", lambda row: Cell(row.name), 6, 32),
    Column("State", lambda row: _health(row.health), 9, 12),
    Column("Owns", lambda row: _count(row.owned), 4),
    Column("Routes", lambda row: _count(row.announced), 6, rank=1),
    Column("Drained", lambda row: Cell("yes", Severity.WAITING) if row.drained else Cell("no"), 7, rank=2),
    Column("Conflicts", lambda row: _count(row.conflicts, Severity.BAD if row.conflicts else None), 9, rank=3),
    Column("Feed", _feed, 4, 16, 4),
    Column("Agent", lambda row: Cell(row.version), 6, rank=5),
    Column("Why", lambda row: Cell(row.detail), 10, 80, 6),
)


SESSIONS: tuple[Column[SessionRow], ...] = (
    Column("Host", lambda row: Cell(row.host), 6, 32),
    Column("Peer", lambda row: Cell(row.name), 6, 24),
    Column("State", lambda row: _health(row.health), 6, 14),
    Column("Since", lambda row: _since(row.since), 7, rank=1),
    Column("BGP", lambda row: Cell(row.state), 11),
    Column("BFD", lambda row: Cell(row.bfd), 4),
    Column("Flaps", lambda row: _count(row.flaps, Severity.WAITING if row.flaps else None), 5, rank=2),
    Column("Sent", lambda row: _count(row.sent), 5, rank=3),
    Column("Accepted", lambda row: _count(row.accepted), 8, rank=4),
    Column("Address", lambda row: Cell(row.peer), 12, rank=5),
    Column("Message", lambda row: Cell(row.message), 8, 80, 2),
)


def matrix(names: Sequence[str]) -> tuple[Column[HostSessions], ...]:
    """A column for each session name there is on any host."""

    def column(name: str) -> Column[HostSessions]:
        return Column(name, lambda row: _session(row, name), 7, 18)

    return (Column("Host", lambda row: Cell(row.host), 6, 32), *map(column, names))


def _session(row: HostSessions, name: str) -> Cell:
    """How long a session is up, or the state that it is in."""
    for session in row.sessions:
        if session.name == name:
            health = session.health
            if health is SessionHealth.DOWN:
                return Cell("DOWN", health.severity, -health.severity, session.since)
            without = " no BFD" if health is SessionHealth.WITHOUT_BFD else ""
            return Cell(f"up{without}", health.severity, -health.severity, session.since)
    return Cell("", None, 0)


def _usage(row: PoolRow, version: int) -> Cell:
    usage: Usage | None = row.usage.get(version)
    if usage is None:
        return Cell("", None, 1.0)
    mark = "!" if usage.percent >= LOW_PERCENT else " "
    text = f"{bar(usage.percent, BAR_CELLS)} {usage.percent:3.0f}%{mark} {usage.assigned}/{usage.total}"
    return Cell(text, usage.severity, -usage.percent)


POOLS: tuple[Column[PoolFill], ...] = (
    Column("Pool", lambda row: Cell(row.pool.name, None, (-_fullest(row.pool), row.pool.name)), 6, 32),
    Column("IPv4 given", lambda row: _usage(row.pool, 4), 24, 40),
    Column("IPv6 given", lambda row: _usage(row.pool, 6), 24, 44, 1),
    Column("Trend", lambda row: Cell(sparkline(row.trend, 100.0)), 5, TREND_MINUTES, 3),
    Column("Auto", lambda row: Cell("yes" if row.pool.auto_assign else "no"), 4, rank=4),
    Column("Addresses", lambda row: Cell(", ".join(row.pool.addresses)), 9, 60, 2),
)


def _fullest(row: PoolRow) -> float:
    return max((usage.percent for usage in row.usage.values()), default=0.0)


SERVICES: tuple[Column[ServiceRow], ...] = (
    Column("Service", lambda row: Cell(row.name), 16, 48),
    Column("State", lambda row: _health(row.health), 8),
    Column("Addresses", lambda row: Cell(", ".join(row.addresses)), 12, 48),
    Column("Pool", lambda row: Cell(", ".join(row.pools)), 4, 24, 1),
)


def _happened(row: EventRow) -> Cell:
    """A sentence, coloured where it is more than everyday."""
    return Cell(row.text, row.severity if row.severity >= Severity.WAITING else None)


EVENTS: tuple[Column[EventRow], ...] = (
    Column("Time", lambda row: Cell(row.time[11:19], None, (row.moment, row.key)), 8),
    Column("Host", lambda row: Cell(row.host), 6, 24),
    Column("What happened", _happened, 15, 160),
    Column("Event", lambda row: Cell(row.kind.replace("_", " ")), 12, 24, is_optional=True, rank=1),
    Column("Of", lambda row: Cell(row.subject), 12, 40, is_optional=True, rank=2),
    Column("Date", lambda row: Cell(row.time[:10]), 10, is_optional=True, rank=3),
)


ATTENTION: tuple[Column[Attention], ...] = (
    Column("", lambda row: Cell(MARKS[row.severity], row.severity, (-row.severity, row.kind, row.name)), 2, 2),
    Column("What", lambda row: Cell(row.kind), 7, 10),
    Column("Name", lambda row: Cell(row.name), 12, 48),
    Column("Why", lambda row: Cell(row.sentence, row.severity), 12, 120),
)


# Those whose columns can be chosen; the matrix has a column for each peer.
CHOOSABLE: Mapping[str, tuple[Column[Any], ...]] = {
    "vips": VIPS,
    "hosts": HOSTS,
    "sessions": SESSIONS,
    "pools": POOLS,
    "services": SERVICES,
    "events": EVENTS,
}
