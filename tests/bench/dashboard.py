"""What the dashboard costs whoever looks at it, as a process of its own on a terminal of its own.

An agent's control socket, served here, is its source; for the start a folder of manifests too. Times are from the key
that was sent, or the change that was published, to the bytes on the terminal that show it; a cost is processor time.
`key` is every key there is a figure of but Escape, which a terminal sends as the beginning of other keys too: Textual
waits 100 ms whether one comes. Where it may, it runs before whatever else the machine does (sched(7), SCHED_RR).

usage: python -m tests.bench.dashboard [--vips NUMBER] [--rounds NUMBER]
"""

import argparse
import asyncio
import fcntl
import json
import logging
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import structlog

from appliance.control.message import (
    AgentProgram,
    BGPStatus,
    BirdSession,
    FeedStatus,
    Layer2Status,
    NeighborStatus,
    SessionKind,
    VirtualIPVerdict,
)
from appliance.control.served import Routes
from appliance.control.server import ControlServer
from appliance.control.topic import Topic, TopicTable, single
from appliance.l2.event import Reachability, Role
from tests.bench.figure import Figures, machine, summary

COLUMNS, LINES = 160, 50
START_VIPS = 1_000
REST_SECONDS = 10.0
DEADLINE_SECONDS = 60.0
HOSTS = 10
FIRST = IPv4Address("10.0.0.1")
DOWN, ESCAPE = b"\x1b[B", b"\x1b"


class Agent:
    """An agent's control socket with so many VIPs, whose owners can be changed."""

    def __init__(self, path: Path, vips: int) -> None:
        self.addresses = [str(FIRST + number) for number in range(vips)]
        self.owners: dict[str, str] = {}
        hosts = [f"node-{number}" for number in range(HOSTS)]
        sessions = {
            session.key: session
            for number in range(4)
            for kind in SessionKind
            if (session := BirdSession(kind=kind, name=f"tor{number}", peer=f"192.0.2.{number}", state="Established"))
        }
        self.server = ControlServer(
            path,
            Routes(
                topics={
                    Topic.PROGRAM: single(lambda: AgentProgram(host="node-0", version="1")),
                    Topic.FEED: single(lambda: FeedStatus(source="live")),
                    Topic.HOSTS: TopicTable(
                        lambda: hosts, lambda key: NeighborStatus(name=key, state=Reachability.REACHABLE)
                    ),
                    Topic.SESSIONS: TopicTable(lambda: sessions, sessions.get),
                    Topic.VIPS: TopicTable(lambda: self.addresses, self._verdict),
                }
            ),
        )

    def _verdict(self, key: str) -> VirtualIPVerdict:
        return VirtualIPVerdict(
            address=ip_address(key),
            pool="production",
            services=(f"default/service-{int(ip_address(key)) & 0xFFFF}",),
            layer2=Layer2Status(role=Role.CANDIDATE, reason="stands by", owner=self.owners.get(key, "node-1")),
            bgp=BGPStatus(announced=True, reason="announced", prefixes=(f"{key}/32",), peers=("tor-a", "tor-b")),
        )

    def move(self, address: str, owner: str) -> None:
        """A VIP has another owner."""
        self.owners[address] = owner
        self.server.publish(Topic.VIPS, [address])


class Terminal:
    """The dashboard on a pseudo-terminal; what it writes is kept until it is asked for."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        os.set_blocking(self._ours, False)
        environment = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        command = [str(Path(sys.executable).with_name("pierhead")), "top", *arguments]
        self.began = time.perf_counter()
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self._written = b""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._ours, self._read)

    def _read(self) -> None:
        try:
            self._written += os.read(self._ours, 1 << 20)
        except OSError:
            asyncio.get_running_loop().remove_reader(self._ours)
        self._more.set()

    async def until(self, text: str, began: float) -> float:
        """Wait until a text is written; the milliseconds since `began`."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while text.encode() not in self._written:
                self._more.clear()
                await self._more.wait()
        return 1000 * (time.perf_counter() - began)

    async def press(self, key: bytes, text: str) -> float:
        """Press a key and wait until a text is written, in milliseconds."""
        self._written = b""
        began = time.perf_counter()
        os.write(self._ours, key)
        return await self.until(text, began)

    def forget(self) -> None:
        """What was written so far does not count."""
        self._written = b""

    def seconds(self) -> float:
        """Processor seconds the dashboard has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        """How much memory it holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def close(self) -> None:
        """End it."""
        asyncio.get_running_loop().remove_reader(self._ours)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._ours)


@contextmanager
def dashboard(*arguments: str) -> Iterator[Terminal]:
    """`pierhead top` with these arguments, for as long as the block runs."""
    terminal = Terminal(*arguments)
    try:
        yield terminal
    finally:
        terminal.close()


def write_site(folder: Path, vips: int) -> None:
    """A folder of manifests with so many VIPs."""
    manifests = (
        json.dumps(
            {
                "apiVersion": "pierhead.io/v1alpha1",
                "kind": "VirtualIP",
                "metadata": {"name": str(FIRST + number)},
                "spec": {
                    "address": str(FIRST + number),
                    "pool": "production",
                    "services": [{"namespace": "default", "name": f"service-{number}"}],
                    "layer2": {"candidates": ["node-a"]},
                },
                "status": {"owner": {"host": "node-a", "since": "2026-01-01T00:00:00Z", "epoch": 1}},
            }
        )
        for number in range(vips)
    )
    (folder / "site.yaml").write_text("\n---\n".join(manifests))


async def measure(vips: int, rounds: int) -> dict[str, object]:
    """Every figure."""
    figures: Figures = defaultdict(list)
    rest: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "site").mkdir()
        write_site(folder / "site", START_VIPS)
        small, large = Agent(folder / "small.sock", START_VIPS), Agent(folder / "large.sock", vips)
        # The last row that there is certainly room for.
        low = str(FIRST + 24)
        async with small.server.serving(), large.server.serving():
            for _ in range(max(3, rounds // 10)):
                for source, option in (("socket", "small.sock"), ("directory", "site")):
                    value = f"directory:{folder / option}" if source == "directory" else str(folder / option)
                    with dashboard("--store" if source == "directory" else "--socket", value) as terminal:
                        figures[f"start_to_full_screen_{source}"].append(await terminal.until(low, terminal.began))
                        figures[f"start_cost_{source}"].append(1000 * terminal.seconds())
            with dashboard("--socket", str(folder / "large.sock")) as terminal:
                await terminal.until("VIPs " + f"{vips:,}", terminal.began)
                figures["start_to_all_vips_read"].append(1000 * (time.perf_counter() - terminal.began))
                await _keys(terminal, figures, vips, rounds)
                await _changes(terminal, large, figures, rounds)
                before, began = terminal.seconds(), time.perf_counter()
                await asyncio.sleep(REST_SECONDS)
                rest["cpu_at_rest_percent"] = 100 * (terminal.seconds() - before) / (time.perf_counter() - began)
                rest["memory_megabytes"] = terminal.megabytes()
    return {
        "milliseconds": {figure: summary(taken) for figure, taken in figures.items()},
        **{figure: round(value, 2) for figure, value in rest.items()},
    }


async def _keys(terminal: Terminal, figures: Figures, vips: int, rounds: int) -> None:
    """The cursor down, to the end and back, a filter typed and cleared, another order, another panel."""

    async def press(figure: str, key: bytes, text: str) -> None:
        taken = await terminal.press(key, text)
        figures[figure].append(taken)
        if key != ESCAPE:
            figures["key"].append(taken)

    before = terminal.seconds()
    for number in range(1, rounds + 1):
        await press("key_down", DOWN, str(FIRST + number))
    figures["key_down_cost"].append(1000 * (terminal.seconds() - before) / rounds)
    before = terminal.seconds()
    for _ in range(rounds):
        await press("key_end", b"G", str(FIRST + vips - 1))
        await press("key_home", b"g", str(FIRST))
    for number in range(rounds):
        wanted = f"7{number % 10}{number % 7}"
        await press("key_filter_opened", b"/", "words that stand")
        for length in range(1, len(wanted) + 1):
            await press("key_filter", wanted[length - 1 : length].encode(), f" of {vips:,}")
        await press("key_filter_cleared", ESCAPE, f"VIPs {vips:,}")
    figures["keys_with_filter_cost"].append(1000 * (terminal.seconds() - before) / (7 * rounds))
    for _ in range(rounds // 2):
        await press("key_panel", b"2", "Hosts ")
        await press("key_panel", b"1", f"VIPs {vips:,}")
    for _ in range(rounds // 4):
        await press("key_reversed", b"S", str(FIRST + vips - 1))
        await press("key_reversed", b"S", str(FIRST + 1))


async def _changes(terminal: Terminal, agent: Agent, figures: Figures, rounds: int) -> None:
    """From a change published by an agent to its row on the screen."""
    await terminal.press(b"g", str(FIRST))
    for number in range(rounds):
        owner = f"moved-{number}"
        terminal.forget()
        began = time.perf_counter()
        agent.move(str(FIRST + number % 20), owner)
        figures["event_to_screen"].append(await terminal.until(owner, began))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vips", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=100)
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        print("not allowed to run before other programs: what they do is measured too", file=sys.stderr)
    report = asyncio.run(measure(asked.vips, asked.rounds))
    scheduling = "SCHED_RR" if os.sched_getscheduler(0) == os.SCHED_RR else "SCHED_OTHER"
    told = {"machine": machine(), "scheduling": scheduling, "vips": asked.vips, "start_vips": START_VIPS}
    print(json.dumps({**told, **report}, indent=2))
