"""FRR as the router: what we render for BIRD, spoken to by somebody else's BGP and BFD."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from appliance.bird.model import BirdConfig, Session
from appliance.bird.render import render
from appliance.host.bird import Applied, ApplyOutcome
from tests.lab.birdsite import HOST_A, ONE, SESSION, SIX, Daemon, Lan, applied, daemons, lan, missing, run, until

FRR = Path("/usr/lib/frr")
REASON = missing() or ("" if (FRR / "bgpd").exists() else "FRR is not installed")
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON or "the lab can run")

HOLD_SECONDS = 9
PASSWORD = "frr's/own=1"
ROUTER = """
router bgp 64501
 bgp router-id 192.168.1.1
 no bgp ebgp-requires-policy
 timers bgp 3 9
 neighbor hosts peer-group
 neighbor hosts remote-as 64500
 neighbor hosts password {password}
 neighbor hosts timers connect 1
 {bfd}
 neighbor 192.168.1.11 peer-group hosts
 neighbor 192.168.1.12 peer-group hosts
 address-family ipv6 unicast
  neighbor hosts activate
 exit-address-family
"""
BFD = "neighbor hosts bfd 3 100 100"
WITH_BFD = replace(SESSION, password=PASSWORD, hold_seconds=HOLD_SECONDS)
RESTARTING = replace(SESSION, password=PASSWORD, bfd=None, graceful_restart=True)
A, B = "192.168.1.11", "192.168.1.12"
PREFIX, PREFIX6 = str(ONE.prefix), str(SIX.prefix)


class Router:
    """FRR in a namespace: its zebra, bgpd and bfdd, with sockets of their own."""

    def __init__(self, built: Lan, directory: Path) -> None:
        self._built = built
        self._directory = directory
        self._children: list[subprocess.Popen[bytes]] = []

    def start(self, password: str = PASSWORD, bfd: str = BFD) -> None:
        """Start with every host as a neighbor, and wait until it answers."""
        self._start("zebra", "")
        until((self._directory / "zserv.api").exists, "zebra answers")
        self._start("bfdd", "", "--bfdctl", str(self._directory / "bfdd.sock"))
        self._start("bgpd", ROUTER.format(password=password, bfd=bfd))
        until(lambda: self._is_answering("bgpd") and self._is_answering("bfdd"), "FRR answers")

    def _start(self, daemon: str, config: str, *options: str) -> None:
        file = self._directory / f"{daemon}.conf"
        file.write_text(config)
        files = (
            "-f",
            str(file),
            "-i",
            str(self._directory / f"{daemon}.pid"),
            "-z",
            str(self._directory / "zserv.api"),
        )
        options = ("--vty_socket", str(self._directory), "-P", "0", *options)
        command = ("ip", "netns", "exec", self._built.namespace("r"), str(FRR / daemon), *files, *options)
        with (self._directory / f"{daemon}.log").open("wb") as log:
            self._children.append(subprocess.Popen(command, stdout=log, stderr=log))

    def stop(self) -> None:
        """Stop all of it."""
        for child in reversed(self._children):
            child.terminate()
        for child in self._children:
            child.wait(timeout=60)

    def ask(self, daemon: str, command: str) -> Any:  # what JSON says
        """What a daemon says as JSON."""
        return json.loads(run("vtysh", "--vty_socket", str(self._directory), "-d", daemon, "-c", f"{command} json"))

    def _is_answering(self, daemon: str) -> bool:
        words = ("vtysh", "--vty_socket", str(self._directory), "-d", daemon, "-c", "show version")
        return subprocess.run(words, capture_output=True, check=False, timeout=60).returncode == 0

    def state(self, host: str) -> str:
        """The state of the session with a host."""
        return str(self.ask("bgpd", "show bgp summary")["ipv4Unicast"]["peers"].get(host, {}).get("state"))

    def next_hops(self, prefix: str) -> set[str]:
        """The next hops that packets to a prefix are spread over."""
        family = "ipv6" if ":" in prefix else "ipv4"
        paths = self.ask("bgpd", f"show bgp {family} unicast {prefix}").get("paths", ())
        chosen = [path for path in paths if path.get("multipath") or path.get("bestpath", {}).get("overall")]
        return {hop["ip"] for path in chosen for hop in path["nexthops"] if hop.get("scope", "global") == "global"}

    def has_bfd(self, host: str) -> bool:
        """Whether BFD reaches a host."""
        peers = self.ask("bfdd", "show bfd peers")
        return any(peer["peer"] == host and peer["status"] == "up" for peer in peers)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[tuple[Lan, Router, dict[str, Daemon]]]:
    """Two hosts with a BIRD each, started empty, and the router, not started yet."""
    with lan() as built, routed(built) as router:
        async with daemons(built, tmp_path) as birds:
            yield built, router, birds


@contextmanager
def routed(built: Lan) -> Iterator[Router]:
    """A router whose sockets have short names, stopped afterwards."""
    with tempfile.TemporaryDirectory(prefix="phfrr-") as directory:
        shutil.chown(directory, "frr", "frr")  # who they run as
        router = Router(built, Path(directory))
        try:
            yield router
        finally:
            router.stop()


def started(birds: Mapping[str, Daemon], **configs: BirdConfig) -> None:
    """Start BIRDs with what is rendered for them."""
    for name, config in configs.items():
        birds[name].config.write_text(render(config))
        birds[name].start()


def config(number: int, session: Session = WITH_BFD) -> BirdConfig:
    """What a host renders that announces the same VIPs as its fellow."""
    return replace(HOST_A, router_id=IPv4Address(f"192.168.1.{number}"), sessions=(session,))


def reaches(router: Router, prefix: str, *hops: str) -> Callable[[], bool]:
    """Whether packets to a prefix are spread over exactly these."""
    return lambda: router.next_hops(prefix) == set(hops)


async def test_routes_are_spread_and_a_cut_host_leaves(site: tuple[Lan, Router, dict[str, Daemon]]) -> None:
    """Both families over one session; BFD takes a host out long before the hold time does, and it returns."""
    built, router, birds = site
    router.start()
    started(birds, a=config(11), b=config(12))
    until(reaches(router, PREFIX, A, B), "both hosts are next hops")
    until(reaches(router, PREFIX6, "2001:db8:1::11", "2001:db8:1::12"), "both are for IPv6")
    until(lambda: router.has_bfd(A) and router.has_bfd(B), "BFD reaches both")

    built.plug("a", connected=False)
    assert until(reaches(router, PREFIX, B), "the cut host leaves") < HOLD_SECONDS / 2
    assert router.state(B) == "Established"
    built.plug("a", connected=True)
    until(reaches(router, PREFIX, A, B), "it is back")


async def test_another_password_is_no_session(site: tuple[Lan, Router, dict[str, Daemon]]) -> None:
    """A router with another password hears nothing, and the right one is all that was missing."""
    _, router, birds = site
    router.start()
    wrong = replace(WITH_BFD, password="something else")
    started(birds, a=config(11, wrong), b=config(12))
    until(reaches(router, PREFIX, B), "the host with the right one is a next hop")
    assert router.state(A) != "Established"
    assert await applied(birds["a"].client(), render(config(11))) == Applied(ApplyOutcome.CONFIGURED)
    until(reaches(router, PREFIX, A, B), "both are")


async def test_what_is_withdrawn_goes_and_the_session_stays(site: tuple[Lan, Router, dict[str, Daemon]]) -> None:
    """A configuration with other routes reaches the router as a change."""
    _, router, birds = site
    router.start()
    started(birds, a=config(11), b=config(12))
    until(reaches(router, PREFIX, A, B), "both are next hops")
    opened = router.ask("bgpd", "show bgp summary")["ipv4Unicast"]["peers"][A]["connectionsEstablished"]
    assert await applied(birds["a"].client(), render(replace(config(11), announcements=()))) == Applied(
        ApplyOutcome.CONFIGURED
    )
    until(reaches(router, PREFIX, B), "it goes")
    peer = router.ask("bgpd", "show bgp summary")["ipv4Unicast"]["peers"][A]
    assert (peer["state"], peer["connectionsEstablished"]) == ("Established", opened)


async def test_routes_of_a_killed_bird_stay_for_its_return(site: tuple[Lan, Router, dict[str, Daemon]]) -> None:
    """Graceful restart (RFC 4724): without BFD, which tells FRR of a dead BIRD as of a dead link, no route goes."""
    _, router, birds = site
    router.start(bfd="")
    started(birds, a=config(11, RESTARTING), b=config(12, RESTARTING))
    until(reaches(router, PREFIX, A, B), "both are next hops")
    birds["a"].kill()
    until(lambda: router.state(A) != "Established", "the router knows")
    assert router.next_hops(PREFIX) == {A, B}
    birds["a"].start()
    until(lambda: router.state(A) == "Established", "the session is back")
    until(reaches(router, PREFIX, A, B), "its routes are anew")
