"""This host's BIRD: one configuration file, what BIRD makes of it, and the sessions BIRD reports."""

import asyncio
import contextlib
import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import ParamSpec

from appliance.bird.moment import is_same_moment
from appliance.bird.reply import Configured, ConfigureOutcome, DaemonState, Status, configured, status
from appliance.bird.session import BfdSession, BgpSession, bfd_sessions, bgp_sessions
from appliance.host.birdcl import BirdClient, BirdError

P = ParamSpec("P")

_MODE = 0o640
_INCLUDE = re.compile(r'^[ \t]*include[ \t]+"([^"\n]*)"', re.MULTILINE)
_FIRST_LOOK_SECONDS = 0.01
_ACCEPTED = (ConfigureOutcome.CONFIGURED, ConfigureOutcome.IN_PROGRESS, ConfigureOutcome.QUEUED)


class ApplyOutcome(StrEnum):
    """What became of a text; CHECKED = BIRD is not running, and will be able to read it when it starts."""

    UNCHANGED = "unchanged"
    CONFIGURED = "configured"
    CHECKED = "checked"
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
class _Taken:
    """The text that was taken and, where BIRD runs, which BIRD took it and when."""

    text: str
    client: int | None
    reconfigured: str


@dataclass(frozen=True, slots=True)
class _Saved:
    """The text on disk, and the file that holds it."""

    text: str
    file: tuple[int, int, int] | None


class Bird:
    """Configures BIRD and reads its state.

    With `main`, an operator's configuration that includes the file, BIRD is given a copy of that in which the new text
    stands in the file's place; `main` itself is only read.

    A text becomes the file once BIRD has taken and confirmed it, so that nothing BIRD refused or undid is what it reads
    when it starts again. Only where no BIRD runs is the text checked by `bird -p` instead. `waits_for_disk` says that
    `apply` does.
    """

    def __init__(
        self,
        config: Path,
        socket: Path,
        *,
        main: Path | None = None,
        bird: str = "bird",
        birdcl: str = "birdcl",
        command_seconds: float = 5.0,
        confirm_seconds: int = 10,
    ) -> None:
        self._config = config
        self._main = main
        self._new = config.with_name(f".{config.name}.new")
        self._read_by_bird = main.with_name(f".{main.name}.new") if main else self._new
        self._whole = config.with_name(f".{config.name}.whole")
        self._bird = bird
        self._client = BirdClient(socket, birdcl, command_seconds)
        self._command_seconds = command_seconds
        self._confirm_seconds = confirm_seconds
        self._taken: _Taken | None = None
        self._saved: _Saved | None = None
        self.waits_for_disk = False

    @property
    def asked(self) -> int:
        """How many commands BIRD was given."""
        return self._client.asked

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
            return BirdState(is_as_applied=self._is_as_taken(told))
        protocols, bfd = (
            await self._client.ask("show protocols all") or "",
            await self._client.ask("show bfd sessions") or "",
        )
        bgp = await asyncio.to_thread(bgp_sessions, protocols)
        return BirdState(told, bgp, bfd_sessions(bfd), self._is_as_taken(told))

    async def apply(self, text: str) -> Applied:
        """Make `text` BIRD's configuration, or leave it as it was; `save` is to follow. Raises BirdError."""
        if self._taken is not None and self._taken.text == text and self._is_as_taken(await self._status()):
            return Applied(ApplyOutcome.UNCHANGED)
        try:
            self.waits_for_disk = True
            try:
                await _in_thread(self._write_new, text)
            finally:
                self.waits_for_disk = False
            applied = await self._configure() or await self._check()
        finally:
            with contextlib.suppress(OSError):
                self._new.unlink(missing_ok=True)
                self._read_by_bird.unlink(missing_ok=True)
        if applied.outcome is ApplyOutcome.CONFIGURED:
            client, told = self._client.started, await self._status()
            self._taken = _Taken(text, client, told.reconfigured if told else "")
        elif applied.outcome is ApplyOutcome.CHECKED:
            self._taken = _Taken(text, None, "")
        return applied

    async def save(self) -> None:
        """Make what was taken last the file BIRD starts with; it is on disk when this returns. Raises BirdError."""
        if self._taken is None or (self._saved and self._saved.text == self._taken.text and self._is_file_as_saved()):
            return
        text = self._taken.text
        await _in_thread(self._replace, text)
        self._saved = _Saved(text, _identity(self._config))

    async def _configure(self) -> Applied | None:
        """Have BIRD take the new file for good; a text it refuses changes nothing in it. None where no BIRD runs."""
        answer = await self._client.ask(f'configure "{self._read_by_bird}" timeout {self._confirm_seconds}')
        if answer is None:
            return None
        reply = configured(answer)
        if reply.outcome is ConfigureOutcome.SHUTTING_DOWN:
            raise BirdError(reply.text)
        if reply.outcome not in _ACCEPTED:
            return Applied(ApplyOutcome.REFUSED, self._named(reply.text))
        if reply.outcome is not ConfigureOutcome.CONFIGURED and not await self._settles():
            return await self._undo(reply)
        confirmed = configured(await self._client.ask("configure confirm") or "")
        if confirmed.outcome is not ConfigureOutcome.CONFIRMED:
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

    def _is_as_taken(self, told: Status | None) -> bool:
        """Whether BIRD is the one that took the last text, and none since, and the file, once saved, is still that."""
        taken, saved = self._taken, self._saved
        if taken is None or (saved is not None and saved.text == taken.text and not self._is_file_as_saved()):
            return False
        return told is None or (
            taken.client == self._client.started and is_same_moment(taken.reconfigured, told.reconfigured)
        )

    def _is_file_as_saved(self) -> bool:
        return self._saved is not None and _identity(self._config) == self._saved.file

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
        command = (self._bird, "-p", "-c", str(self._read_by_bird))
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
            return Applied(ApplyOutcome.REFUSED, self._named(output.decode(errors="replace").strip()))
        return Applied(ApplyOutcome.CHECKED)

    def _named(self, message: str) -> str:
        """What BIRD says of the new files, with the names that they have for an operator."""
        message = message.replace(str(self._new), str(self._config))
        return message.replace(str(self._read_by_bird), str(self._main)) if self._main else message

    def _write_new(self, text: str) -> None:
        self._write(self._new, text)
        if self._main is not None:
            self._write(self._read_by_bird, _with_part(self._main, self._config, self._new))

    def _write(self, path: Path, text: str) -> None:
        """Write a file anew, for its folder's group."""
        path.unlink(missing_ok=True)
        group = path.parent.stat().st_gid
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), _MODE)
            if os.fstat(file.fileno()).st_gid != group:
                os.fchown(file.fileno(), -1, group)
            file.write(text)

    def _replace(self, text: str) -> None:
        """Write the configuration: a crash leaves the old file or this one, whole."""
        self._write(self._whole, text)
        _sync(self._whole)
        self._whole.replace(self._config)
        _sync(self._config.parent)


def _with_part(main: Path, part: Path, other: Path) -> str:
    """A configuration with another file included in a part's place; raises OSError, also where it includes no part."""
    text = main.read_text()
    includes = [found for found in _INCLUDE.finditer(text) if main.parent / found[1] == part]
    if not includes:
        raise OSError(errno.EINVAL, f'does not have the line: include "{part}";', str(main))
    for found in reversed(includes):
        text = f"{text[: found.start(1)]}{other}{text[found.end(1) :]}"
    return text


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


async def _in_thread(write: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Do what may wait for the disk; raises BirdError."""
    try:
        await asyncio.to_thread(write, *args, **kwargs)
    except OSError as error:
        raise BirdError(f"{error.filename}: {error.strerror}") from error
