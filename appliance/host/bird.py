"""This host's BIRD: one configuration file, what BIRD makes of it, and the sessions BIRD reports."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from appliance.bird.moment import is_same_moment
from appliance.bird.reply import Configured, DaemonState, Outcome, Status, configured, status
from appliance.bird.session import BfdSession, BgpSession, bfd_sessions, bgp_sessions
from appliance.host.birdcl import BirdClient, BirdError

_MODE = 0o640
_FIRST_LOOK_SECONDS = 0.01
_ACCEPTED = (Outcome.CONFIGURED, Outcome.IN_PROGRESS, Outcome.QUEUED)


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
    """What BIRD reports; no `status` = it is not running; `is_as_applied` = it and the file are as they were left."""

    status: Status | None = None
    bgp: tuple[BgpSession, ...] = ()
    bfd: tuple[BfdSession, ...] = ()
    is_as_applied: bool = False


@dataclass(frozen=True, slots=True)
class _Left:
    """What `apply` left: the text, the file that holds it and, where BIRD took it, which BIRD did and when."""

    text: str
    file: tuple[int, int, int] | None
    client: int | None
    reconfigured: str


class Bird:
    """Configures BIRD and reads its state.

    A text becomes the file once BIRD has taken and confirmed it, so that nothing BIRD refused or undid is what it reads
    when it starts again. Only where no BIRD runs is the text checked by `bird -p` instead.
    """

    def __init__(
        self,
        config: Path,
        socket: Path,
        *,
        bird: str = "bird",
        birdcl: str = "birdcl",
        command_seconds: float = 5.0,
        confirm_seconds: int = 10,
    ) -> None:
        self._config = config
        self._new = config.with_name(f".{config.name}.new")
        self._bird = bird
        self._client = BirdClient(socket, birdcl, command_seconds)
        self._command_seconds = command_seconds
        self._confirm_seconds = confirm_seconds
        self._left: _Left | None = None

    def listen(self, on_news: Callable[[], None]) -> None:
        """Call `on_news` whenever BIRD says something of its own accord, or ends."""
        self._client.on_news = on_news

    async def close(self) -> None:
        """Let go of BIRD, which goes on as it is."""
        await self._client.close()

    async def read(self) -> BirdState:
        """BIRD's status and sessions now; raises BirdError."""
        told = await self._status()
        if told is None:
            return BirdState(is_as_applied=self._is_as_left(told))
        protocols, bfd = (
            await self._client.ask("show protocols all") or "",
            await self._client.ask("show bfd sessions") or "",
        )
        bgp = await asyncio.to_thread(bgp_sessions, protocols)
        return BirdState(told, bgp, bfd_sessions(bfd), self._is_as_left(told))

    async def apply(self, text: str) -> Applied:
        """Make `text` the configuration in BIRD and on disk, or leave both as they were; raises BirdError."""
        if self._left is not None and self._left.text == text and self._is_as_left(await self._status()):
            return Applied(ApplyOutcome.UNCHANGED)
        try:
            with _machine_failures():
                await asyncio.to_thread(self._write_new, text)
            applied = await self._configure() or await self._check()
            if applied.outcome in (ApplyOutcome.CONFIGURED, ApplyOutcome.WRITTEN):
                client = self._client.started if applied.outcome is ApplyOutcome.CONFIGURED else None
                self._left = None
                with _machine_failures():
                    await asyncio.to_thread(self._install)
                told = None if client is None else await self._status()
                self._left = _Left(text, _identity(self._config), client, told.reconfigured if told else "")
            return applied
        finally:
            with contextlib.suppress(OSError):
                self._new.unlink(missing_ok=True)

    async def _configure(self) -> Applied | None:
        """Have BIRD take the new file for good; a text it refuses changes nothing in it. None where no BIRD runs."""
        answer = await self._client.ask(f'configure "{self._new}" timeout {self._confirm_seconds}')
        if answer is None:
            return None
        reply = configured(answer)
        if reply.outcome is Outcome.SHUTTING_DOWN:
            raise BirdError(reply.text)
        if reply.outcome not in _ACCEPTED:
            return Applied(ApplyOutcome.REFUSED, reply.text.replace(str(self._new), str(self._config)))
        if reply.outcome is not Outcome.CONFIGURED and not await self._settles():
            return await self._undo(reply)
        confirmed = configured(await self._client.ask("configure confirm") or "")
        if confirmed.outcome is not Outcome.CONFIRMED:
            return Applied(ApplyOutcome.UNDONE, confirmed.text)
        return Applied(ApplyOutcome.CONFIGURED)

    async def _settles(self) -> bool:
        """Whether BIRD finishes the change while there is still time to confirm it."""
        pause = _FIRST_LOOK_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._confirm_seconds / 2):
                while True:
                    told = await self._status()
                    if told is None or told.state is DaemonState.SHUTTING_DOWN:
                        return False
                    if told.state is not DaemonState.RECONFIGURING:
                        return True
                    await asyncio.sleep(pause)
                    pause *= 2
        return False

    async def _undo(self, told: Configured) -> Applied:
        await self._client.ask("configure undo")
        return Applied(ApplyOutcome.UNDONE, told.text)

    def _is_as_left(self, told: Status | None) -> bool:
        """Whether the file is the one that was written, and BIRD the one that took it, with no other since."""
        left = self._left
        if left is None or _identity(self._config) != left.file:
            return False
        return told is None or (
            left.client == self._client.started and is_same_moment(left.reconfigured, told.reconfigured)
        )

    async def _status(self) -> Status | None:
        reply = await self._client.ask("show status")
        if reply is None:
            return None
        told = status(reply)
        if told is None:
            raise BirdError(f"not a status: {reply.strip()[:200]}")
        return told

    async def _check(self) -> Applied:
        """What BIRD's own parser says of the new file."""
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        command = (self._bird, "-p", "-c", str(self._new))
        try:
            child = await asyncio.create_subprocess_exec(
                *command, stdin=null, stdout=pipe, stderr=asyncio.subprocess.STDOUT
            )
        except OSError as error:
            raise BirdError(f"{self._bird}: {error.strerror}") from error
        try:
            async with asyncio.timeout(self._command_seconds):
                output, _ = await child.communicate()
        except TimeoutError:
            raise BirdError(f"{self._bird} did not end within {self._command_seconds:g} s") from None
        finally:
            await _end(child)
        if child.returncode:
            message = output.decode(errors="replace").strip().replace(str(self._new), str(self._config))
            return Applied(ApplyOutcome.REFUSED, message)
        return Applied(ApplyOutcome.WRITTEN)

    def _write_new(self, text: str) -> None:
        self._new.unlink(missing_ok=True)
        group = self._config.parent.stat().st_gid
        with os.fdopen(os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), _MODE)
            if os.fstat(file.fileno()).st_gid != group:
                os.fchown(file.fileno(), -1, group)
            file.write(text)

    def _install(self) -> None:
        """Make the new file the configuration: a crash leaves the old one or this one, whole."""
        _sync(self._new)
        self._new.replace(self._config)
        _sync(self._config.parent)


def _identity(file: Path) -> tuple[int, int, int] | None:
    """What differs once anybody has written a file."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _sync(path: Path) -> None:
    """Wait until a file or a folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
