"""The names of BIRD's protocols and tables."""

import hashlib
import re
from collections.abc import Iterable, Mapping

from appliance.bird.model import Session

_LENGTH_MAX = 40  # BIRD's names end at 64 letters; prefixes and a dynamic session's number come on top


def symbols(sessions: Iterable[Session]) -> Mapping[str, str]:
    """A BIRD name for each session name, unique, and the same whatever the order of `sessions`."""
    taken: dict[str, str] = {}
    for name in sorted({session.name for session in sessions}):
        plain = re.sub(r"[^a-z0-9]", "_", name.lower())
        fits = len(plain) <= _LENGTH_MAX and plain not in taken
        taken[plain if fits else f"{plain[: _LENGTH_MAX - 9]}_{_digest(name)}"] = name
    return {name: symbol for symbol, name in taken.items()}


def protocol_name(symbol: str) -> str:
    """The name of a session's BGP protocol; a prefix keeps it from being one of BIRD's keywords."""
    return f"bgp_{symbol}"


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:8]
