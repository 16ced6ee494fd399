"""Agent and forwarder as units: what systemd hears of the programs themselves, and what they keep over a restart."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.host.packet import open_filtered
from appliance.lab.program import pierhead
from tests.lab.test_host import ip, namespace
from tests.unit.daemon.test_systemd import Systemd

__all__ = ["namespace"]

PATIENCE_SECONDS = 30.0
TAKING = """
import os, sys
given, *words = sys.argv[1:]
os.dup2(int(given), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES=words.pop(0))
os.execv(words[0], words)
"""


class Host:
    """A host whose programs are started as systemd starts them, in the test's namespace; without BIRD."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[subprocess.Popen[bytes]] = []
        self.settings = folder / "agent.yaml"
        (folder / "site").mkdir()
        self.write("")
        self.systemd = Systemd(folder / "notify")

    def write(self, more: str) -> None:
        """Put settings into the file."""
        self.settings.write_text(
            f"host: node-a\nstore: directory:{self._folder}/site\nrunDirectory: {self._folder}/run\n"
            f"cacheDirectory: {self._folder}/cache\nforwarder: false\nbird: {{socket: {self._folder}/bird.ctl, "
            f"config: {self._folder}/bird.conf}}\n{more}"
        )

    def start(self, program: str, *before: str, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        """Start a program of the host; `before` are words that start it."""
        settings = () if program == "allocator" else ("--config", str(self.settings))
        with (self._folder / f"{program}.log").open("ab") as log:
            child = subprocess.Popen(
                (*before, pierhead(), program, *settings),
                env={**os.environ, "NOTIFY_SOCKET": str(self.systemd.path), "WATCHDOG_USEC": "3000000"},
                pass_fds=pass_fds,
                stderr=log,
            )
        self._children.append(child)
        return child

    def log(self, program: str) -> str:
        """What a program said on standard error."""
        return (self._folder / f"{program}.log").read_text()

    def close(self) -> None:
        """End what still runs."""
        self.systemd.close()
        for child in self._children:
            child.kill()
            child.wait()


@pytest.fixture
def host(namespace: str, tmp_path: Path) -> Iterator[Host]:  # the fixture of the other module
    """A host that is gone in the end."""
    made = Host(tmp_path)
    yield made
    made.close()


async def ended(child: subprocess.Popen[bytes]) -> int:
    """The exit status of a program that ends."""
    return await asyncio.to_thread(child.wait, PATIENCE_SECONDS)


async def status_of(host: Host, line: str) -> str:
    """The status in the first message with a line."""
    (*_, heard) = await host.systemd.hear_until(line)
    return next(each.removeprefix("STATUS=") for each in heard if each.startswith("STATUS="))


async def test_an_agent_says_what_it_does(host: Host) -> None:
    """Ready, alive, a reload that is taken, one that is refused, and how it ends."""
    index = socket.if_nametoindex("near")
    agent = host.start("agent")
    heard = await host.systemd.hear_until("READY=1")
    assert ["FDSTORE=1", f"FDNAME=packet-{index}", "FDPOLL=0"] in heard
    assert "answers for 0 and announces 0 of 0 VIPs; BIRD does not answer" in "".join(heard[-1])
    await host.systemd.hear_until("WATCHDOG=1")
    host.write("interfaces: [other]\nmetrics: 127.0.0.1:7472\n")
    agent.send_signal(signal.SIGHUP)
    taken = await host.systemd.hear_until("READY=1")
    assert [each[0] for each in taken if each[0] in ("RELOADING=1", "FDSTOREREMOVE=1")] == [
        "RELOADING=1",
        "FDSTOREREMOVE=1",
    ]
    assert taken[-1][1].endswith("a restart will change metrics")
    host.write("interfaces: 7\nhosts: a\n")
    agent.send_signal(signal.SIGHUP)
    assert f"{host.settings} is not in force" in await status_of(host, "READY=1")
    assert host.log("agent").count("event=settings_refused") == 2
    agent.send_signal(signal.SIGTERM)
    assert await status_of(host, "STOPPING=1") == "hands its VIPs over and withdraws its routes"
    assert await ended(agent) == 0


async def test_a_socket_goes_on_from_one_run_to_the_next(host: Host) -> None:
    """An agent that is started with the socket of the run before opens none of its own."""
    index = socket.if_nametoindex("near")
    with open_filtered(index) as kept:
        words = (sys.executable, "-c", TAKING, str(kept.fileno()), f"packet-{index}")
        agent = host.start("agent", *words, pass_fds=(kept.fileno(),))
        heard = await host.systemd.hear_until("READY=1")
        assert [each for each in heard if each[0].startswith("FDSTORE")] == []
    agent.send_signal(signal.SIGUSR1)
    assert await status_of(host, "STOPPING=1") == "restarts, which moves nothing"
    assert await ended(agent) == 0


async def test_wrong_settings_end_a_start_as_no_restart_mends(host: Host) -> None:
    """`RestartPreventExitStatus=` of the units names the status; --check has its own."""
    host.write("hosts: a\n")
    assert await ended(host.start("agent")) == 78
    assert await ended(host.start("forwarder")) == 78
    host.write("")
    host.settings.write_text(host.settings.read_text().replace("store: directory:", "store: "))
    assert await ended(host.start("agent")) == 78
    assert await ended(host.start("forwarder")) == 78
    assert f"{host.settings}:1:store: is not a store's URL" in host.log("agent")
    assert await ended(host.start("allocator", "env", "PIERHEAD_STORE=/etc/pierhead/site")) == 2


async def test_a_forwarder_says_what_it_does(host: Host) -> None:
    """Without a feed it is ready, and says what it waits for."""
    ip("link", "set", "lo", "up")
    forwarder = host.start("forwarder")
    assert "0 VIPs" in await status_of(host, "READY=1")
    await host.systemd.hear_until("WATCHDOG=1")
    forwarder.send_signal(signal.SIGUSR1)
    assert await status_of(host, "STOPPING=1") == "ends; its rules stay in the kernel"
    assert await ended(forwarder) == 0


async def test_an_allocator_says_what_it_does(host: Host, tmp_path: Path) -> None:
    """Once it has read the site."""
    words = ("env", f"PIERHEAD_STORE=directory:{tmp_path}/site")
    allocator = host.start("allocator", *words)
    assert await status_of(host, "READY=1") == "gives addresses"
    await host.systemd.hear_until("WATCHDOG=1")
    allocator.send_signal(signal.SIGTERM)
    assert await status_of(host, "STOPPING=1") == "lets another lead; what is given stays as it is"
    assert await ended(allocator) == 0
