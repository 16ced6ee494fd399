"""A control socket over SSH, by a real server."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.control.client import explain, read_status, watch_topic
from appliance.control.error import ControlError, ControlFault
from appliance.control.message import AgentProgram, AgentStatus
from appliance.control.served import Routes
from appliance.control.server import ControlServer
from appliance.control.topic import Topic
from appliance.control.tunnel import AGENT_SOCKET, RemoteSocket, forwarded, parse_remote_socket
from tests.unit.control.sample import STATUS, Served
from tests.unit.control.sshd import SshServer, ssh_server

DEADLINE_SECONDS = 60.0


@pytest.fixture
async def ssh(tmp_path: Path) -> AsyncIterator[SshServer]:
    """An SSH server."""
    async with ssh_server(tmp_path / "ssh") as server:
        yield server


@pytest.mark.parametrize(
    ("text", "node", "path"),
    [
        ("node-a", "node-a", AGENT_SOCKET),
        ("root@node-a.example.com", "root@node-a.example.com", AGENT_SOCKET),
        ("192.0.2.7:/run/pierhead/forwarder.sock", "192.0.2.7", "/run/pierhead/forwarder.sock"),
        ("2001:db8::7", "2001:db8::7", AGENT_SOCKET),
    ],
)
def test_a_host_is_read(text: str, node: str, path: str) -> None:
    """A name or an address as ssh takes it, and perhaps where the socket is; written, it is the same again."""
    assert parse_remote_socket(text) == RemoteSocket(node, path)
    assert str(parse_remote_socket(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-oProxyCommand=touch /tmp/x",
        "--",
        "a b",
        "a;reboot",
        "$(reboot)",
        "`reboot`",
        "node-a\n",
        "-l@node-a",
        "@node-a",
        "node-a@",
        "%h",
        "ssh://node-a",
        "node-a:22",
        "node-a:/run/${HOME}.sock",
        "node-a:/run/%d",
        "node-a:/x:/y",
        "node-a:/" + "x" * 200,
        "x" * 300,
        "nöde",
    ],
)
def test_what_ssh_might_take_for_anything_else_is_refused(text: str) -> None:
    """Options, commands, what ssh expands, and what is too long for a socket."""
    with pytest.raises(ValueError, match="not"):
        parse_remote_socket(text)


@given(st.text(max_size=80))
def test_whatever_is_read_begins_no_option_and_expands_to_nothing(text: str) -> None:
    """Of any text: it is refused, or stands for itself."""
    try:
        remote = parse_remote_socket(text)
    except ValueError:
        return
    assert not remote.node.startswith("-")
    assert not set(remote.node + remote.path) & set(" \t\n%$`;&|<>\"'\\(){}*?!#~=,")


async def test_an_agent_is_asked_and_followed_over_ssh(ssh: SshServer, tmp_path: Path) -> None:
    """One login carries as many questions as there are; the program's own refusal comes through unchanged."""
    path, served = tmp_path / "agent.sock", Served(STATUS)
    remote = RemoteSocket(ssh.node, str(path), ssh.config)
    async with asyncio.timeout(DEADLINE_SECONDS), ControlServer(path, Routes(topics=served.topics)).serving():
        async with forwarded(remote) as local:
            assert await read_status(local, AgentStatus) == STATUS
            assert local.parent.stat().st_mode & 0o077 == 0
            async with aclosing(watch_topic(local, Topic.PROGRAM, AgentProgram)) as changes:
                async for change in changes:
                    assert list(change.changed.values()) == [STATUS.program]
                    break
            with pytest.raises(ControlError) as refused:
                await explain(local, "not-an-address")
            assert refused.value.fault is ControlFault.INVALID
        assert not local.parent.exists()


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ("stranger", "Permission denied"),
        ("unknown", "Host key verification failed"),
        ("nobody", "Connection refused"),
        ("no-such-host.invalid", "resolve"),
    ],
)
async def test_a_host_that_cannot_be_logged_in_to_says_why(ssh: SshServer, node: str, says: str) -> None:
    """In ssh's own words, and nobody is asked for a password."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(ControlError) as error:
            async with forwarded(RemoteSocket(node, config=ssh.config)):
                pytest.fail("it was reached")
    assert (error.value.fault, says in str(error.value), node in str(error.value)) == (
        ControlFault.UNREACHABLE,
        True,
        True,
    ), str(error.value)


async def test_a_host_without_an_agent_says_so(ssh: SshServer, tmp_path: Path) -> None:
    """Logged in, and no socket there: the host is named, not the path of this side."""
    remote = RemoteSocket(ssh.node, str(tmp_path / "absent.sock"), ssh.config)
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(ControlError) as error:
            async with forwarded(remote) as local:
                await read_status(local, AgentStatus)
    assert (error.value.fault, error.value.subject) == (ControlFault.NOT_RUNNING, str(remote))


async def test_ssh_that_ended_meanwhile_is_an_error(ssh: SshServer, tmp_path: Path) -> None:
    """A connection that breaks is told of whoever asks next, and of whoever follows."""
    path, served = tmp_path / "agent.sock", Served(STATUS)
    remote = RemoteSocket(ssh.node, str(path), ssh.config)
    async with asyncio.timeout(DEADLINE_SECONDS), ControlServer(path, Routes(topics=served.topics)).serving():
        with pytest.raises(ControlError) as error:
            await follow_until_lost(remote, ssh)
    assert error.value.subject == str(remote)


async def follow_until_lost(remote: RemoteSocket, ssh: SshServer) -> None:
    """Follow an agent, and kill the SSH server's side of the connection once it was heard."""
    async with forwarded(remote) as local, aclosing(watch_topic(local, Topic.PROGRAM, AgentProgram)) as changes:
        async for _ in changes:
            cut(ssh)


def cut(ssh: SshServer) -> None:
    """Kill the SSH server's side of every connection."""
    for child in _children(ssh.pid):
        with contextlib.suppress(ProcessLookupError):  # it ended by itself, as it does when its own child is killed
            os.kill(child, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    """The processes that a process started, as far as they are there still."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    found = [int(child) for child in listed]
    return [each for child in found for each in (*_children(child), child)]


SLOW = """\
#!{python}
import socket, sys, threading, time
here, _, there = sys.argv[sys.argv.index("-L") + 1].partition(":")
listening = socket.socket(socket.AF_UNIX)
listening.bind(here)
time.sleep(0.5)
listening.listen()

def carry(source, target):
    while part := source.recv(65536):
        target.sendall(part)
    target.shutdown(socket.SHUT_WR)

while True:
    near, _ = listening.accept()
    far = socket.socket(socket.AF_UNIX)
    far.connect(there)
    for ends in ((near, far), (far, near)):
        threading.Thread(target=carry, args=ends, daemon=True).start()
"""


async def test_a_socket_is_used_once_somebody_listens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file is there before ssh takes connections, by long on a loaded machine."""
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(SLOW.format(python=sys.executable))
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(ssh.parent))
    path = tmp_path / "one.sock"
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        ControlServer(path, Routes(topics=Served(STATUS).topics)).serving(),
        forwarded(RemoteSocket("node-a", str(path))) as local,
    ):
        assert await read_status(local, AgentStatus) == STATUS


KILLED = """
import asyncio, sys
from pathlib import Path
from appliance.control.tunnel import RemoteSocket, forwarded

async def main():
    async with forwarded(RemoteSocket(sys.argv[1], sys.argv[2], Path(sys.argv[3]))):
        print("forwarded", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv of util-linux is not installed")
async def test_ssh_does_not_outlive_a_command_that_is_killed(ssh: SshServer, tmp_path: Path) -> None:
    """A command that can clean up nothing leaves no connection behind."""
    command = (sys.executable, "-c", KILLED, ssh.node, str(tmp_path / "agent.sock"), str(ssh.config))
    async with asyncio.timeout(DEADLINE_SECONDS):
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"forwarded\n"
        (connection,) = _children(process.pid)
        ended, watched = asyncio.Event(), os.pidfd_open(connection)
        asyncio.get_running_loop().add_reader(watched, ended.set)
        process.kill()
        await process.wait()
        await ended.wait()
        asyncio.get_running_loop().remove_reader(watched)
        os.close(watched)


async def test_without_ssh_there_is_nothing_to_try(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A sentence, not a traceback."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ControlError, match="ssh is not installed"):
        async with forwarded(RemoteSocket("node-a")):
            pytest.fail("it was reached")
