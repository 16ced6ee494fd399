"""This host's BIRD: one configuration file, its check and its swap, and the sessions BIRD reports."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from appliance.bird.moment import is_same_moment
from appliance.bird.reply import Configured, DaemonState, Outcome, Status, configured, status
from appliance.bird.session import BfdSession, BgpSession, bfd_sessions, bgp_sessions

_MODE = 0o640
_POLL_SECONDS = 0.05
_NOT_RUNNING = ("No such file or directory", "Connection refused")
_ACCEPTED = (Outcome.CONFIGURED, Outcome.IN_PROGRESS, Outcome.QUEUED)


class BirdError(Exception):
    """BIRD or its client does not do what it is asked."""


class ApplyOutcome(StrEnum):
    """What became of a text; WRITTEN = BIRD is not running and reads it when it starts."""

    UNCHANGED = "unchanged"
    CONFIGURED = "configured"
    WRITTEN = "written"
    REFUSED = "refused"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Applied:
    """The outcome and, where BIRD did not take the text, its own words."""

    outcome: ApplyOutcome
    message: str = ""


@dataclass(frozen=True, slots=True)
class BirdState:
    """What BIRD reports; no `status` = it is not running."""

    status: Status | None = None
    bgp: tuple[BgpSession, ...] = ()
    bfd: tuple[BfdSession, ...] = ()


@dataclass(frozen=True, slots=True)
class _Running:
    """The text BIRD took, and what it said of itself then."""

    text: str
    told: Status

    def still(self, text: str, told: Status) -> bool:
        """Whether that is this text, in the same BIRD, and BIRD took no other since."""
        return (
            self.text == text
            and is_same_moment(self.told.booted, told.booted)
            and is_same_moment(self.told.reconfigured, told.reconfigured)
        )


class Bird:
    """Writes BIRD's configuration and reads its state; a text that BIRD refuses never stays on disk."""

    def __init__(
        self,
        config: Path,
        socket: Path,
        *,
        bird: str = "bird",
        birdc: str = "birdc",
        command_seconds: float = 5.0,
        confirm_seconds: int = 10,
    ) -> None:
        self._config = config
        self._previous = config.with_name(f"{config.name}.previous")
        self._new = config.with_name(f".{config.name}.new")
        self._socket = socket
        self._bird = bird
        self._birdc = birdc
        self._command_seconds = command_seconds
        self._confirm_seconds = confirm_seconds
        self._running: _Running | None = None

    async def read(self) -> BirdState:
        """BIRD's status and sessions now; raises BirdError."""
        told = await self._status()
        if told is None:
            return BirdState()
        bgp, bfd = await self._ask("show", "protocols", "all"), await self._ask("show", "bfd", "sessions")
        return BirdState(told, bgp_sessions(bgp or ""), bfd_sessions(bfd or ""))

    async def apply(self, text: str) -> Applied:
        """Make `text` the configuration on disk and in BIRD, or leave both as they were; raises BirdError."""
        told = await self._status()
        if told is not None and self._holds(text, told):
            return Applied(ApplyOutcome.UNCHANGED)
        try:
            with _machine_failures():
                self._write_new(text)
            refusal = await self._check_new()
            if refusal:
                return Applied(ApplyOutcome.REFUSED, refusal)
            return await self._swap(text, is_running=told is not None)
        finally:
            self._new.unlink(missing_ok=True)

    async def _swap(self, text: str, *, is_running: bool) -> Applied:
        with _machine_failures():
            self._install()
        if not is_running:
            return Applied(ApplyOutcome.WRITTEN)
        try:
            applied = await self._configure()
        except (BirdError, asyncio.CancelledError):
            self._restore()  # BIRD takes an unconfirmed configuration back by itself
            raise
        if applied.outcome in (ApplyOutcome.REFUSED, ApplyOutcome.UNDONE):
            self._restore()
        if applied.outcome is ApplyOutcome.CONFIGURED:
            await self._remember(text)
        return applied

    async def _configure(self) -> Applied:
        reply = await self._ask("configure", "timeout", str(self._confirm_seconds))
        if reply is None:
            return Applied(ApplyOutcome.WRITTEN)
        told = configured(reply)
        if told.outcome not in _ACCEPTED:
            return Applied(ApplyOutcome.REFUSED, told.text)
        if not await self._settles():
            return await self._undo(told)
        confirmed = configured(await self._ask("configure", "confirm") or "")
        if confirmed.outcome is not Outcome.CONFIRMED:
            return Applied(ApplyOutcome.UNDONE, confirmed.text)
        return Applied(ApplyOutcome.CONFIGURED)

    async def _settles(self) -> bool:
        """Whether BIRD finishes the change while there is still time to confirm it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._confirm_seconds / 2):
                while True:
                    told = await self._status()
                    if told is None or told.state is DaemonState.SHUTTING_DOWN:
                        return False
                    if told.state is not DaemonState.RECONFIGURING:
                        return True
                    await asyncio.sleep(_POLL_SECONDS)
        return False

    async def _undo(self, told: Configured) -> Applied:
        await self._ask("configure", "undo")
        return Applied(ApplyOutcome.UNDONE, told.text)

    async def _remember(self, text: str) -> None:
        told = await self._status()
        self._running = None if told is None else _Running(text, told)

    def _holds(self, text: str, told: Status) -> bool:
        if self._running is None or not self._running.still(text, told):
            return False
        with _machine_failures():
            return self._config.exists() and self._config.read_text("utf-8") == text

    async def _status(self) -> Status | None:
        reply = await self._ask("show", "status")
        if reply is None:
            self._running = None
            return None
        told = status(reply)
        if told is None:
            raise BirdError(f"not a status: {reply.strip()}")
        return told

    async def _check_new(self) -> str:
        code, output = await self._run(self._bird, "-p", "-c", str(self._new))
        return output.strip().replace(str(self._new), str(self._config)) if code else ""

    def _write_new(self, text: str) -> None:
        self._new.unlink(missing_ok=True)
        group = self._config.parent.stat().st_gid
        with os.fdopen(os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), _MODE)
            if os.fstat(file.fileno()).st_gid != group:
                os.fchown(file.fileno(), -1, group)
            file.write(text)

    def _install(self) -> None:
        self._previous.unlink(missing_ok=True)
        if self._config.exists():
            self._previous.hardlink_to(self._config)
        self._new.replace(self._config)

    def _restore(self) -> None:
        with _machine_failures():
            if self._previous.exists():
                self._previous.replace(self._config)
            else:
                self._config.unlink(missing_ok=True)

    async def _ask(self, *command: str) -> str | None:
        """BIRD's reply; None if no BIRD listens."""
        code, output = await self._run(self._birdc, "-v", "-s", str(self._socket), *command)
        if "Unable to connect" in output:
            if any(reason in output for reason in _NOT_RUNNING):
                return None
            raise BirdError(output.strip())
        if not output and code:
            raise BirdError(f"{self._birdc} ended with code {code}")
        return output

    async def _run(self, *command: str) -> tuple[int, str]:
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        try:
            child = await asyncio.create_subprocess_exec(
                *command, stdin=null, stdout=pipe, stderr=asyncio.subprocess.STDOUT
            )
        except OSError as error:
            raise BirdError(f"{command[0]}: {error.strerror}") from error
        try:
            async with asyncio.timeout(self._command_seconds):
                output, _ = await child.communicate()
        except TimeoutError:
            raise BirdError(f"{command[0]} did not answer within {self._command_seconds:g} s") from None
        finally:
            await _end(child)
        return child.returncode or 0, output.decode(errors="replace")


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


@contextlib.contextmanager
def _machine_failures() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BirdError(f"{error.filename}: {error.strerror}") from error
