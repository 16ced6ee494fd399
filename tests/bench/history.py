"""What hosts' histories cost: to write, on disk, to read and merge those of many hosts, and while nothing happens.

Events are those of a bad night: VIPs that move, with what was heard, and sessions that flap. The hosts' programs are a
process of their own; milliseconds are of the clock where nothing else is said.

usage: python -m tests.bench.history [--hosts N] [--events N] [--seconds N]
"""

import argparse
import asyncio
import json
import logging
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog

from appliance.control.client import HostHistory, read_history
from appliance.control.error import ControlError
from appliance.control.event import EventKind, Events
from appliance.control.message import AgentProgram
from appliance.control.served import HistoryQuery, Routes
from appliance.control.server import ControlServer
from appliance.control.topic import Topic, single
from appliance.daemon.history import History
from appliance.overview.source import ask_each
from appliance.overview.timeline import merge
from tests.bench.figure import Figures, machine, summary

VIPS = 200
ROUNDS = 5
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_HEARD = "node-7: it is silent while others on its link answer (for 0.110 s)"


def fill(folder: Path, name: str, events: int) -> tuple[float, float, float]:
    """Have a host's history take some events and put them on disk; what the loop pays, what the disk takes, bytes."""
    path = folder / f"{name}.db"
    history = History(path, name)
    log = Events(history.note)
    began = time.thread_time()
    for number in range(events):
        address = f"192.0.2.{number % VIPS}"
        if number % 4:
            origin, target = f"node-{number % 20}", f"node-{(number + 1) % 20}"
            details = {"from": origin, "to": target, "heard": _HEARD}
            log.record(EventKind.VIP_MOVED, address, "the owner was found dead", **details)
        else:
            log.record(EventKind.SESSION_CHANGED, "tor", "Hold timer expired", state="Active")
    noted = time.thread_time() - began
    began = time.monotonic()
    history.close()
    return noted * 1e3, (time.monotonic() - began) * 1e3, path.stat().st_size


async def serve(folder: Path) -> None:
    """Be the programs of all hosts whose histories are in a folder, until killed."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        for path in sorted(folder.glob("*.db")):
            history = History(path, path.stem)
            topics = {Topic.PROGRAM: single(partial(AgentProgram, host=path.stem, version="1.0.0"))}
            server = ControlServer(path.with_suffix(".sock"), Routes(topics=topics, history=history))
            await stack.enter_async_context(server.serving())
            group.create_task(history.run(), name=path.stem)
        print("ready", flush=True)
        await asyncio.Event().wait()


async def ask(folder: Path, query: HistoryQuery, at_most: int, figures: Figures, name: str) -> None:
    """Read and merge what all hosts tell, as `pierhead history` does."""
    sockets = tuple(sorted(folder.glob("*.sock")))
    began, used = time.monotonic(), time.process_time()
    answers = await ask_each(sockets, partial(read_history, query=query, at_most=at_most))
    read = time.monotonic()
    histories: list[HostHistory] = []
    for _, answer in answers:
        if isinstance(answer, ControlError):
            raise answer
        histories.append(answer)
    rows = merge(histories)
    figures[f"{name}_read_milliseconds"].append((read - began) * 1e3)
    figures[f"{name}_merge_milliseconds"].append((time.monotonic() - read) * 1e3)
    figures[f"{name}_reader_processor_milliseconds"].append((time.process_time() - used) * 1e3)
    figures[f"{name}_rows"].append(len(rows))


def processor_seconds(pid: int) -> float:
    """Processor time of a process (proc(5), stat fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:13]) / _TICKS_PER_SECOND


def measure(hosts: int, events: int, seconds: float) -> dict[str, object]:
    """Every figure, the files in a folder that is removed."""
    figures: Figures = defaultdict(list)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(hosts):
            noted, written, size = fill(folder, f"node-{number}", events)
            figures["note_all_loop_processor_milliseconds"].append(noted)
            figures["write_all_milliseconds"].append(written)
            figures["file_megabytes"].append(size / 1e6)
        command = (sys.executable, "-m", "tests.bench.history", "--serve", name)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                server.stdout.readline()
                for _ in range(ROUNDS):
                    asyncio.run(ask(folder, HistoryQuery(about="192.0.2.7"), events, figures, "one_vip"))
                    asyncio.run(ask(folder, HistoryQuery(), 200, figures, "last_200_each"))
                asyncio.run(ask(folder, HistoryQuery(), events, figures, "everything"))
                figures["reader_peak_megabytes"].append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)
                before = processor_seconds(server.pid)
                time.sleep(seconds)
                used = (processor_seconds(server.pid) - before) / seconds * 100
                figures["rest_per_cent_of_all_hosts"].append(used)
            finally:
                server.kill()
    sums = {name: summary(seen) for name, seen in figures.items()}
    return {"machine": machine(), "hosts": hosts, "events": events, "figures": sums}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    if arguments.serve is not None:
        asyncio.run(serve(arguments.serve))
    else:
        print(json.dumps(measure(arguments.hosts, arguments.events, arguments.seconds), indent=2))
