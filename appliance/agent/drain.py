"""This host's drain: what the site says, or what was asked here and the site does not know yet."""

from pathlib import Path

import structlog

from appliance.bird.model import Drain
from appliance.desired.drain import drain_deadline, drain_stage
from appliance.host.cache import replace_file

log = structlog.get_logger()


class DrainState:
    """A request made here holds until the site has it, also across a restart with the store gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.pending = _read(path)
        self._since: float | None = None

    def ask(self, drain: bool) -> None:
        """Take an operator's request; raises OSError where it cannot be kept."""
        replace_file(self._path, "drain\n" if drain else "serve\n")
        self.pending = drain
        log.info("drain_asked", drain=drain)

    def is_settled_by(self, recorded: bool) -> bool:
        """Whether the site has recorded what was asked here."""
        return self.pending is not None and self.pending == recorded

    def settle(self) -> None:
        """Forget the request: the site knows, and so does what a restart begins with."""
        self.pending = None
        self._path.unlink(missing_ok=True)

    def update(self, recorded: bool, now: float) -> Drain:
        """The stage of the drain, given what the site has recorded."""
        draining = recorded if self.pending is None else self.pending
        if not draining:
            self._since = None
        elif self._since is None:
            self._since = now
        return drain_stage(self._since, now)

    def deadline(self, now: float) -> float | None:
        """When the stage changes by itself."""
        return drain_deadline(self._since, now)


def _read(path: Path) -> bool | None:
    try:
        return path.read_text().strip() == "drain"
    except FileNotFoundError:
        return None
