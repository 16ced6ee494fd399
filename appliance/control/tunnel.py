"""A control socket of another host, over SSH: `ssh` forwards it to a socket here that only this user reaches."""

import asyncio
import os
import re
import shutil
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

from appliance.api.text import clean_text, shown
from appliance.control.error import ControlError, ControlFault

AGENT_SOCKET = "/run/pierhead/agent.sock"
_AGENT_NAME, _FORWARDER_NAME = "agent.sock", "forwarder.sock"
CONNECT_SECONDS = 10.0
_LOOK_SECONDS = 0.02
_END_SECONDS = 1.0
_WORD_SECONDS = 0.5
_LINES_KEPT = 5
_SILENT_SECONDS = 5
# What ssh would take for an option, and what it or a ProxyCommand would expand, is none of these.
_NODE = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}@)?(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|[0-9A-Fa-f:]{2,39})")
_PATH = re.compile(r"(?=.{2,100}\Z)(?:/[A-Za-z0-9_.-]+)+")
_NOT_OPENED = "open failed"
_OPTIONS = (
    "BatchMode=yes",
    f"ConnectTimeout={_SILENT_SECONDS}",
    f"ServerAliveInterval={_SILENT_SECONDS}",
    "ServerAliveCountMax=2",
    # A master that other programs share would keep what is forwarded after this program.
    "ControlMaster=no",
    "ControlPath=none",
    "ForwardAgent=no",
    "ForwardX11=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "StreamLocalBindMask=0177",
    "LogLevel=INFO",
)


@dataclass(frozen=True, slots=True)
class RemoteSocket:
    """A control socket on a `node` that ssh knows how to reach; `config` is ssh's own, None for the user's."""

    node: str
    path: str = AGENT_SOCKET
    config: Path | None = None

    def __str__(self) -> str:
        return self.node if self.path == AGENT_SOCKET else f"{self.node}:{self.path}"


def parse_remote_socket(text: str, config: Path | None = None) -> RemoteSocket:
    """Read `[USER@]NODE` or `[USER@]NODE:/PATH`; raises ValueError for what ssh might take for anything else."""
    node, colon, path = text.partition(":/")
    path = f"/{path}" if colon else AGENT_SOCKET
    if not _NODE.fullmatch(node):
        raise ValueError(f"{shown(node)} is not a host as ssh takes it: [USER@]NAME or an address")
    if not _PATH.fullmatch(path):
        raise ValueError(f"{shown(path)} is not the path of a control socket")
    return RemoteSocket(node, path, config)


def forwarder_socket(path: Path) -> Path | None:
    """Where a forwarder would answer whose agent answers at a path, here or forwarded; None for no path of an agent."""
    return path.with_name(_FORWARDER_NAME) if path.name == _AGENT_NAME else None


def beside(path: Path) -> Path | None:
    """The same where a forwarder is; None where there is none."""
    found = forwarder_socket(path)
    return found if found is not None and os.access(found, os.F_OK) else None


@asynccontextmanager
async def forwarded(remote: RemoteSocket) -> AsyncIterator[Path]:
    """A local path of a remote socket as long as the block runs; raises ControlError, also for what ssh says of it.

    With an agent's comes, `beside` it, its forwarder's, whether one runs there or not.
    """
    program = shutil.which("ssh")
    if program is None:
        raise ControlError(ControlFault.UNREACHABLE, str(remote), "ssh is not installed")
    with TemporaryDirectory(prefix="pierhead-") as folder:
        local = Path(folder) / Path(remote.path).name
        paths = {local.name: remote.path}
        if local.name == _AGENT_NAME:
            # Before the agent's: ssh listens in this order.
            paths = {_FORWARDER_NAME: str(Path(remote.path).with_name(_FORWARDER_NAME)), **paths}
        forwards = [word for name, path in paths.items() for word in ("-L", f"{folder}/{name}:{path}")]
        config = ("-F", str(remote.config)) if remote.config is not None else ()
        options = [word for option in _OPTIONS for word in ("-o", option)]
        command = (*_ending_with_us(), program, *config, "-N", "-T", *options, *forwards, "--", remote.node)
        ssh = _Ssh()
        null = asyncio.subprocess.DEVNULL
        await asyncio.get_running_loop().subprocess_exec(lambda: ssh, *command, stdin=null, stdout=null)
        try:
            await _listening(ssh, local, remote)
            yield local
        except ControlError as error:
            if error.subject != str(local):
                raise
            raise await _seen_from_here(error, ssh, remote) from error
        finally:
            await ssh.end()


def _ending_with_us() -> tuple[str, ...]:
    """What has the kernel end a command when this program is killed; nothing where util-linux' setpriv is not there."""
    found = shutil.which("setpriv")
    is_known = found is not None and Path(found).resolve().name == "setpriv"  # busybox' has no such option
    return (found, "--pdeathsig", "TERM", "--") if found and is_known else ()


async def _listening(ssh: "_Ssh", local: Path, remote: RemoteSocket) -> None:
    """Return once ssh has logged in and listens; raises ControlError."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            while not await _is_listened_at(local):
                if ssh.ended.done():
                    raise ControlError(ControlFault.UNREACHABLE, str(remote), f"ssh: {ssh.why() or 'it ended'}")
                await asyncio.sleep(_LOOK_SECONDS)
    except TimeoutError:
        raise ControlError(
            ControlFault.UNREACHABLE, str(remote), f"ssh: no connection within {CONNECT_SECONDS:.0f} s"
        ) from None


async def _is_listened_at(local: Path) -> bool:
    """Whether somebody takes connections there: ssh makes the file (bind) a moment before it does that (listen)."""
    if not local.exists():
        return False
    try:
        _, writer = await asyncio.open_unix_connection(str(local))
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def _seen_from_here(error: ControlError, ssh: "_Ssh", remote: RemoteSocket) -> ControlError:
    """The failure of a local path as one of the socket behind it: of a path that is not there only ssh knows."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_WORD_SECONDS):
            await ssh.spoke.wait()
    why = ssh.why()
    if _NOT_OPENED in why:
        sentence = f"nobody answers at {remote.path} there; does the agent run, and may this user ask it?"
        return ControlError(ControlFault.NOT_RUNNING, str(remote), f"{sentence} (ssh: {why})")
    said = f" (ssh: {why})" if why else ""
    return ControlError(error.fault, str(remote), f"{error.detail or error.fault.value}{said}")


class _Ssh(asyncio.SubprocessProtocol):
    """One ssh process; of what it says the last lines are kept."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.SubprocessTransport | None = None
        self._said: deque[str] = deque(maxlen=_LINES_KEPT)
        self.spoke = asyncio.Event()

    def why(self) -> str:
        """The last line it said."""
        return self._said[-1] if self._said else ""

    async def end(self) -> None:
        """End the process, if it still runs, and wait until it is gone."""
        if self._transport is None:
            return
        if not self.ended.done():
            self._transport.terminate()
            _, running = await asyncio.wait((self.ended,), timeout=_END_SECONDS)
            if running:
                self._transport.kill()
                await self.ended
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process has been started."""
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, _fd: int, data: bytes) -> None:
        """It said something; some of that may be the other side's text."""
        for line in data.decode(errors="replace").splitlines():
            if clean := str(clean_text(line)).strip():
                self._said.append(clean)
                self.spoke.set()

    def process_exited(self) -> None:
        """The process is gone."""
        self.spoke.set()
        if not self.ended.done():
            self.ended.set_result(None)
