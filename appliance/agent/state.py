"""What an agent remembers over a restart beside its feed: its router id, its drain, whether its forwarder had rules."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

from appliance.api.address import IPAddress
from appliance.api.value import value
from appliance.bird.model import Drain
from appliance.desired.drain import drain_deadline, drain_stage
from appliance.host.file import replace_file

log = structlog.get_logger()


@value
class AgentState:
    """The state itself; `drain_asked` is a request that the site has not recorded yet.

    `forwarded_in_boot` is the boot in which the forwarder last said that its rules are in the kernel.
    """

    host: str
    router_id: IPv4Address | None = None
    drain_asked: bool | None = None
    is_drain_complete: bool = False
    forwarded_in_boot: str = ""


_ADAPTER = TypeAdapter(AgentState)


class StateFile:
    """The state on disk: `now` is what is true, and `save` brings the disk to it."""

    def __init__(self, path: Path, host: str) -> None:
        self._path = path
        self._saved = _read(path, host)
        self.now = self._saved
        self._writing = asyncio.Lock()  # two writers may ask at once, and the last to ask has to be the last to write

    async def save(self) -> None:
        """Write what changed, durably and beside the loop; raises OSError."""
        async with self._writing:
            wanted = self.now
            if wanted != self._saved:
                await asyncio.to_thread(replace_file, self._path, _ADAPTER.dump_json(wanted).decode())
                self._saved = wanted


def _read(path: Path, host: str) -> AgentState:
    """The state of this host; a fresh one where there is none, or another machine's whose disk was copied."""
    try:
        read = _ADAPTER.validate_json(path.read_bytes())
    except FileNotFoundError:
        return AgentState(host=host)
    except (OSError, ValidationError) as error:
        log.warning("state_not_read", path=str(path), error=str(error))
        return AgentState(host=host)
    return read if read.host == host else AgentState(host=host)


def forwarded_at_start(
    expected: bool, state: AgentState, boot: str, vips: Iterable[IPAddress]
) -> frozenset[IPAddress] | None:
    """The VIPs that can be delivered until the forwarder speaks, `vips` being those of the feed on disk.

    Rules last as long as the kernel, whichever program restarts, so they are taken to be there in the same boot, and
    not to be in another one. None where no forwarder is expected.
    """
    if not expected:
        return None
    return frozenset(vips) if state.forwarded_in_boot == boot else frozenset()


class DrainState:
    """How far this host's drain has come; one that was complete before a restart is complete at once."""

    def __init__(self, state: StateFile) -> None:
        self._state = state
        self._since: float | None = None

    def settle(self, recorded: bool) -> None:
        """Forget what was asked here where the site has recorded it."""
        if self._state.now.drain_asked == recorded:
            self._state.now = replace(self._state.now, drain_asked=None)

    def update(self, recorded: bool, now: float) -> Drain:
        """The stage of the drain, given what the site has recorded; a request made here wins."""
        state = self._state.now
        draining = recorded if state.drain_asked is None else state.drain_asked
        if not draining:
            self._since = None
        elif state.is_drain_complete:
            self._since = float("-inf")
        elif self._since is None:
            self._since = now
        stage = drain_stage(self._since, now)
        self._state.now = replace(state, is_drain_complete=stage is Drain.WITHDRAWN)
        return stage

    def deadline(self, now: float) -> float | None:
        """When the stage changes by itself."""
        return drain_deadline(self._since, now)
