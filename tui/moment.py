"""How long ago something was, as short as it can be said."""

from datetime import UTC, datetime

AGE_CELLS = 7
_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s"))


def age(moment: str, now: datetime) -> str:
    """The time since a moment (RFC 3339), in its two greatest units; the text itself where it is no moment."""
    seconds = seconds_since(moment, now)
    return moment if seconds is None else span(seconds)


def span(seconds: float) -> str:
    """A time in its two greatest units."""
    whole = max(0, int(seconds))
    for unit, name, part, part_name in _UNITS:
        if whole >= unit:
            rest = whole % unit // part
            return f"{whole // unit}{name}{rest:02}{part_name}"
    return f"{whole}s"


def seconds_since(moment: str, now: datetime) -> float | None:
    """How many seconds ago a moment (RFC 3339) was; None for a text that is none."""
    then = moment_of(moment)
    return None if then is None else (now - then).total_seconds()


def moment_of(text: str) -> datetime | None:
    """A moment (RFC 3339), in UTC where it names no zone; None for a text that is none."""
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        return None
    return then if then.tzinfo else then.replace(tzinfo=UTC)
