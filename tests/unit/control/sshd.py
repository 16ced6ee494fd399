"""An SSH server on a loopback port: a plain process with a configuration and keys of its own."""

import asyncio
import getpass
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.port import free_port

SSHD = Path("/usr/sbin/sshd")
_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SshServer:
    """How a client reaches it: as `node`, with this configuration of ssh's; `pid` is that of the server."""

    node: str
    config: Path
    pid: int


@asynccontextmanager
async def ssh_server(folder: Path) -> AsyncIterator[SshServer]:
    """A server whose only user is this one, by a key that is made for it."""
    if not SSHD.exists() or shutil.which("ssh") is None:
        pytest.skip("no SSH server is installed (Debian: openssh-server)")
    folder.mkdir()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own folder, which its service would make
    for name in ("host", "user"):
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name), check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    port = free_port()
    kind, key = (folder / "host.pub").read_text().split()[:2]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    )
    config = folder / "ssh_config"
    config.write_text(
        f"Host node-*\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n  IdentitiesOnly yes\n"
        f"  IdentityFile {folder}/user\n  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking yes\n"
        f"Host stranger\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {folder}/host\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking yes\n"
        f"Host unknown\n  HostName 127.0.0.1\n  Port {port}\n"
        "  UserKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
        f"Host nobody\n  HostName 127.0.0.1\n  Port {free_port()}\n"
    )
    server = await asyncio.create_subprocess_exec(
        SSHD, "-D", "-e", "-f", folder / "sshd_config", stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _listens(port)
        yield SshServer("node-a", config, server.pid)
    finally:
        server.terminate()
        await server.wait()


async def _listens(port: int) -> None:
    """Return once somebody listens at a port."""
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return
