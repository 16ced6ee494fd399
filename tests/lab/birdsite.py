"""Two hosts and a router on one bridge, each in its own network namespace, with a real BIRD in each."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path
from time import monotonic, sleep

from appliance.api.address import Family
from appliance.api.community import CommunityNumber
from appliance.api.pierhead import BFDOptions
from appliance.bird.model import AnnouncedRoute, BirdConfig, Session, Watch
from appliance.bird.render import render
from appliance.host.bird import Applied, ApplyOutcome, Bird

PROGRAMS = ("bird", "birdc", "birdcl", "ip")
ADDRESSES = {"a": 11, "b": 12, "r": 1}
DEADLINE_SECONDS = 60.0
PASSWORD = "a'b\\c#d;/*"
ROUTER = f"""
router id 192.168.1.1;
log stderr {{ fatal, bug }};
protocol device {{ }}
protocol bfd {{ interface "*" {{ interval 100 ms; multiplier 3; }}; }}
protocol bgp host_a {{
  local 192.168.1.1 as 64501;
  neighbor 192.168.1.11 as 64500;
  connect delay time 1; connect retry time 1; error wait time 1, 1;
  password "{PASSWORD}";
  bfd on;
  ipv4 {{ import all; export none; }};
  ipv6 {{ import all; export none; }};
}}
"""
SESSION = Session(
    name="tor-router",
    neighbor=ip_address("192.168.1.1"),
    peer_asn=64501,
    local_asn=64500,
    hold_seconds=9,
    password=PASSWORD,
    bfd=BFDOptions(receive_milliseconds=100, transmit_milliseconds=100),
    families=frozenset(Family),
)
ONE = AnnouncedRoute(ip_network("10.0.100.1/32"), 0, (CommunityNumber((64500, 100)), CommunityNumber((64500, 1, 2))))
KEPT_FROM_OTHERS = AnnouncedRoute(ip_network("10.0.100.2/32"), 0, (CommunityNumber((65535, 65282)),))
SIX = AnnouncedRoute(ip_network("2001:db8:100::1/128"))
HOST_A = BirdConfig(
    router_id=IPv4Address("192.168.1.11"), sessions=(SESSION,), announcements=(ONE, KEPT_FROM_OTHERS, SIX)
)
WATCH_B = (Watch("b", ip_address("192.168.1.12"), "eth0"), Watch("b", ip_address("2001:db8:1::12"), "eth0"))
WATCH_A = (Watch("a", ip_address("192.168.1.11"), "eth0"), Watch("a", ip_address("2001:db8:1::11"), "eth0"))


def missing() -> str:
    """Why this machine cannot run the lab; empty if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    return ", ".join(f"{name} is not installed" for name in PROGRAMS if shutil.which(name) is None)


def run(*command: str) -> str:
    """The output of a command that has to succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=DEADLINE_SECONDS).stdout


def until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> float:
    """Poll until the condition holds and return how long that took; fails at the deadline."""
    start = monotonic()
    while not condition():
        if monotonic() - start > seconds:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        sleep(0.02)
    return monotonic() - start


class Lan:
    """The namespaces and the bridge between them."""

    def __init__(self) -> None:
        self._prefix = f"phbird-{os.getpid()}-"

    def namespace(self, name: str) -> str:
        """The full name of a namespace."""
        return self._prefix + name

    def ip(self, name: str, *command: str) -> str:
        """`ip` in a namespace."""
        return run("ip", "-n", self.namespace(name), *command)

    def plug(self, name: str, *, connected: bool) -> None:
        """Connect or cut a host at the bridge; the other hosts' own links stay up."""
        self.ip("bridge", "link", "set", f"port-{name}", "up" if connected else "down")

    def build(self) -> None:
        """Create everything."""
        for name in ("bridge", *ADDRESSES):
            run("ip", "netns", "add", self.namespace(name))
            self.ip(name, "link", "set", "lo", "up")
        self.ip("bridge", "link", "add", "br0", "type", "bridge")
        self.ip("bridge", "link", "set", "br0", "up")
        for name, number in ADDRESSES.items():
            self._host(name, number)

    def _host(self, name: str, number: int) -> None:
        namespace = self.namespace(name)
        self.ip("bridge", "link", "add", f"port-{name}", "type", "veth", "peer", "name", "eth0", "netns", namespace)
        self.ip("bridge", "link", "set", f"port-{name}", "master", "br0", "up")
        run("ip", "netns", "exec", namespace, "sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
        self.ip(name, "addr", "add", f"192.168.1.{number}/24", "dev", "eth0")
        self.ip(name, "addr", "add", f"2001:db8:1::{number}/64", "dev", "eth0", "nodad")
        self.ip(name, "link", "set", "eth0", "up")

    def destroy(self) -> None:
        """Remove what `build` created, as far as it came."""
        for name in ("bridge", *ADDRESSES):
            subprocess.run(
                ["ip", "netns", "del", self.namespace(name)], capture_output=True, check=False, timeout=DEADLINE_SECONDS
            )


class Daemon:
    """A BIRD in a namespace, and where its files are."""

    def __init__(self, lan: Lan, name: str, directory: Path) -> None:
        self._namespace = lan.namespace(name)
        self.config = directory / f"{name}.conf"
        self.socket = directory / f"{name}.ctl"
        self._child: subprocess.Popen[bytes] | None = None
        self._clients: list[Bird] = []

    def client(
        self, *, birdcl: str = "birdcl", command_seconds: float = DEADLINE_SECONDS, confirm_seconds: int = 10
    ) -> Bird:
        """The thing under test, for this BIRD; `close` closes it."""
        made = Bird(
            self.config, self.socket, birdcl=birdcl, command_seconds=command_seconds, confirm_seconds=confirm_seconds
        )
        self._clients.append(made)
        return made

    async def close(self) -> None:
        """Close every client made."""
        for client in self._clients:
            await client.close()

    def ask(self, *command: str) -> str:
        """The reply to a command, without codes."""
        return run("birdc", "-s", str(self.socket), *command)

    def start(self) -> None:
        """Start BIRD and wait until its socket answers."""
        command = ["ip", "netns", "exec", self._namespace, "bird", "-f", "-c", str(self.config), "-s", str(self.socket)]
        self._child = subprocess.Popen(
            [*command, "-P", str(self.socket.with_suffix(".pid"))], stderr=subprocess.DEVNULL
        )
        until(lambda: "up and running" in self._status(), "BIRD starts")

    def stop(self) -> None:
        """Stop BIRD, if it runs."""
        if self._child is not None:
            self._child.terminate()
            self._child.wait(timeout=DEADLINE_SECONDS)
            self._child = None

    def kill(self) -> None:
        """Kill BIRD, which says goodbye to nobody."""
        if self._child is not None:
            pid = int(self.socket.with_suffix(".pid").read_text())
            os.kill(pid, signal.SIGKILL)
            self._child.wait(timeout=DEADLINE_SECONDS)
            self._child = None

    def _status(self) -> str:
        command = ["birdc", "-s", str(self.socket), "show", "status"]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS).stdout


@contextmanager
def lan() -> Iterator[Lan]:
    """A LAN that is gone afterwards."""
    built = Lan()
    try:
        built.build()
        yield built
    finally:
        built.destroy()


@asynccontextmanager
async def daemons(built: Lan, directory: Path) -> AsyncIterator[dict[str, Daemon]]:
    """The BIRDs of every host, not yet started; stopped afterwards."""
    async with AsyncExitStack() as stack:
        made = {name: Daemon(built, name, directory) for name in ADDRESSES}
        for daemon in made.values():
            stack.callback(daemon.stop)
            stack.push_async_callback(daemon.close)
        yield made


async def established_since(daemon: Daemon) -> str:
    """When the only BGP session came up; waits for it."""
    client, deadline = daemon.client(), monotonic() + DEADLINE_SECONDS
    while monotonic() < deadline:
        (session,) = (await client.read()).bgp
        if session.is_established:
            return session.since
        await asyncio.sleep(0.05)
    raise AssertionError("the session does not come up")


async def applied(client: Bird, text: str) -> Applied:
    """Have BIRD take a text, and the file too where it did."""
    outcome = await client.apply(text)
    await client.save()
    return outcome


async def up(birds: dict[str, Daemon]) -> str:
    """Bring up the router and host a's announcements."""
    birds["r"].start()
    assert await applied(birds["a"].client(), render(HOST_A)) == Applied(ApplyOutcome.CONFIGURED)
    since = await established_since(birds["a"])
    until(lambda: "10.0.100.1/32" in birds["r"].ask("show", "route"), "the route arrives")
    return since


def is_past(moment: str, seconds: float) -> bool:
    """Whether a moment of BIRD's is so long ago."""
    return datetime.now(UTC) - datetime.fromisoformat(moment).astimezone() > timedelta(seconds=seconds)
