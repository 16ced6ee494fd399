"""The columns of each table, made of the rows of an overview."""

from appliance.control.message import HostEvent
from appliance.overview.row import Health, HostRow, PoolRow, SessionRow, Severity, Usage, VipRow
from tui.table import Cell, Column

BAR_CELLS = 10


def _text(text: str) -> Cell:
    return Cell(text)


def _health(health: Health) -> Cell:
    return Cell(health.text, health.severity, (-health.severity, health.text))


def _count(number: int | None, severity: Severity | None = None) -> Cell:
    return Cell("" if number is None else str(number), severity, -1 if number is None else number)


def _moment(since: str) -> Cell:
    """Since when, to the second."""
    return Cell(since[:19].replace("T", " "))


VIPS: tuple[Column[VipRow], ...] = (
    Column("Address", lambda row: Cell(str(row.address), None, (row.address.version, int(row.address))), 15),
    Column("State", lambda row: _health(row.health), 11),
    Column("Owner", lambda row: _text(row.owner), 6, 24),
    Column("Mode", lambda row: _text(row.mode.value), 4, rank=3),
    Column("Routes", lambda row: _count(row.announcers), 6, rank=4),
    Column("Service", lambda row: _text(", ".join(row.services)), 8, 48, 1),
    Column("Pool", lambda row: _text(row.pool), 4, 24, 2),
    Column("Since", lambda row: _moment(row.since), 19, rank=5),
)
HOSTS: tuple[Column[HostRow], ...] = (
    Column("Host", lambda row: _text(row.name), 6, 32),
    Column("State", lambda row: _health(row.health), 10),
    Column("Owns", lambda row: _count(row.owned), 4),
    Column("Routes", lambda row: _count(row.announced), 6),
    Column("Drained", lambda row: Cell("yes", Severity.WAITING) if row.drained else Cell("no"), 7),
    Column("Conflicts", lambda row: _count(row.conflicts, Severity.BAD if row.conflicts else None), 9, rank=2),
    Column("Agent", lambda row: _text(row.version), 6, rank=3),
    Column("Detail", lambda row: _text(row.detail), 6, 60, 1),
)
SESSIONS: tuple[Column[SessionRow], ...] = (
    Column("Host", lambda row: _text(row.host), 6, 32),
    Column("Peer", lambda row: _text(row.name), 6, 24),
    Column("State", lambda row: _health(row.health), 8),
    Column("BGP", lambda row: _text(row.state), 11),
    Column("BFD", lambda row: _text(row.bfd), 4),
    Column("Address", lambda row: _text(row.peer), 12, rank=1),
    Column("Since", lambda row: _moment(row.since), 19, rank=2),
    Column("Message", lambda row: _text(row.message), 8, 60, 3),
)


def _usage(row: PoolRow, version: int) -> Cell:
    usage: Usage | None = row.usage.get(version)
    if usage is None:
        return Cell("", None, -1.0)
    filled = round(usage.percent / 100 * BAR_CELLS)
    bar = "#" * filled + "." * (BAR_CELLS - filled)
    return Cell(f"{bar} {usage.percent:3.0f}% {usage.assigned}/{usage.total}", usage.severity, usage.percent)


POOLS: tuple[Column[PoolRow], ...] = (
    Column("Pool", lambda row: _text(row.name), 6, 32),
    Column("IPv4", lambda row: _usage(row, 4), 24, 40),
    Column("IPv6", lambda row: _usage(row, 6), 24, 40),
    Column("Auto", lambda row: _text("yes" if row.auto_assign else "no"), 4, rank=2),
    Column("Addresses", lambda row: _text(", ".join(row.addresses)), 9, 60, 1),
)
EVENTS: tuple[Column[tuple[str, HostEvent]], ...] = (
    Column("Time", lambda row: _text(row[1].time[:23].replace("T", " ")), 23),
    Column("Host", lambda row: _text(row[0]), 6, 24),
    Column("Event", lambda row: _text(row[1].event), 12, 24),
    Column("Of", lambda row: _text(row[1].subject), 8, 32),
    Column("Why", lambda row: _text(row[1].reason), 8, 60, 1),
)
