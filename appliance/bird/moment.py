"""Times as BIRD writes them."""

from datetime import datetime

_TOLERANCE_SECONDS = 0.1


def is_same_moment(one: str, other: str, tolerance_seconds: float = _TOLERANCE_SECONDS) -> bool:
    """Whether two times mean the same event: BIRD works them out anew for each reply, so they tremble."""
    try:
        apart = datetime.fromisoformat(one) - datetime.fromisoformat(other)
    except ValueError:
        return one == other
    return abs(apart.total_seconds()) <= tolerance_seconds
