"""What a program still waits for before it does its work."""

from collections.abc import Callable
from enum import StrEnum

import structlog

log = structlog.get_logger()


class Need(StrEnum):
    """Something a program cannot work without, as whoever asks is told of it."""

    FEED = "there is no feed: the store cannot be asked, and the disk remembers nothing"
    LINKS = "the interfaces are not known"
    RULES = "the kernel has no rules of ours"


class Readiness:
    """The needs that are not met; `on_change` hears of each that is. What was met once stays met."""

    def __init__(self, needs: frozenset[Need], on_change: Callable[[], None]) -> None:
        self._unmet = needs
        self._on_change = on_change

    @property
    def waits_for(self) -> tuple[str, ...]:
        """One sentence a need; empty once the program does its work."""
        return tuple(need.value for need in Need if need in self._unmet)

    def meet(self, need: Need) -> None:
        """A need is met."""
        if need not in self._unmet:
            return
        self._unmet -= {need}
        if not self._unmet:
            log.info("ready")
        self._on_change()
