"""Which links have been up long enough for other hosts to send traffic here.

For a moment after a cable is back the kernel may still be failing to resolve what it asked for while the link was down
(three tries, one second apart: what waits is then answered by "host unreachable"), so fellow hosts are told late.
"""

from collections.abc import Iterable
from dataclasses import replace

from appliance.host.link import Link

SETTLE_SECONDS = 1.2


class Settling:
    """Since when each link is up; those that were up at the start have settled."""

    def __init__(self) -> None:
        self._since: dict[str, float] | None = None

    def update(self, links: Iterable[Link], now: float) -> bool:
        """Take the links as they are; True where one came up, and will have settled after SETTLE_SECONDS."""
        before = self._since
        first = float("-inf") if before is None else now
        self._since = {link.name: (before or {}).get(link.name, first) for link in links if link.up}
        return before is not None and bool(self._since.keys() - before.keys())

    def told(self, links: Iterable[Link], now: float) -> tuple[Link, ...]:
        """The links as fellow hosts are to see them: one that has not settled is still down."""
        since = self._since or {}
        settled = {name for name, moment in since.items() if moment + SETTLE_SECONDS <= now}
        return tuple(replace(link, up=link.up and link.name in settled) for link in links)
