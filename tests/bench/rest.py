"""What a site costs while nothing happens: processor time of each host's programs, in per cent of one core.

usage, as root: python -m tests.bench.rest [--seconds N]
"""

import argparse
import asyncio
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from appliance.control.client import read_status
from appliance.control.error import ControlError
from appliance.control.message import AgentStatus, ForwarderStatus
from appliance.lab import lifecycle, site
from appliance.lab.place import Place
from appliance.lab.program import AGENT, ALLOCATOR, BIRD, FORWARDER, read_running
from appliance.lab.topology import CONTROL, Topology
from tests.bench.figure import Figures, machine, summary

VIPS = (2, 2000)
HOST_PROGRAMS = (AGENT, FORWARDER, BIRD)
SETTLE_SECONDS = 10.0
ANNOUNCED_SECONDS = 600.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

_POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: many, namespace: metallb-system}
spec: {addresses: [10.200.0.0/20]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: many, namespace: metallb-system}
"""
_SERVICE = """---
apiVersion: v1
kind: Service
metadata: {{name: many-{number}}}
spec: {{type: LoadBalancer, selector: {{app: echo}}, ports: [{{port: 80, targetPort: 5678}}]}}
"""


async def measure(seconds: float) -> dict[str, object]:
    """Every number of VIPs in one lab, the smaller first."""
    place = Place("rest")
    topology = await lifecycle.up(place, 3, _say)
    measured: dict[str, object] = {}
    try:
        for vips in VIPS:
            _say(f"{vips} VIPs: applying")
            with TemporaryDirectory() as folder:
                path = Path(folder) / "many.yaml"
                path.write_text(_POOL + "".join(_SERVICE.format(number=number) for number in range(vips)))
                site.FolderCluster(place, topology).apply((path,))
            await _carried(place, topology, vips)
            await asyncio.sleep(SETTLE_SECONDS)
            _say(f"{vips} VIPs: measuring {seconds:.0f} s of rest")
            figures = await _resting(place, topology, seconds)
            measured[f"{vips}_vips"] = {name: summary(seen) for name, seen in figures.items()}
    finally:
        await lifecycle.down(place)
    return {"machine": machine(), "seconds": seconds, "figures": measured}


async def _carried(place: Place, topology: Topology, vips: int) -> None:
    """Wait until every host's agent and forwarder know every VIP."""
    deadline = asyncio.get_running_loop().time() + ANNOUNCED_SECONDS
    for host in topology.hosts:
        run = place.machine(host.name) / "run"
        while True:
            try:
                known = len((await read_status(run / "agent.sock", AgentStatus)).vips)
                forwarded = len((await read_status(run / "forwarder.sock", ForwarderStatus)).vips)
            except ControlError:
                known = forwarded = 0  # it has just been started
            if min(known, forwarded) >= vips:
                break
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{host.name}: {known} VIPs in the agent, {forwarded} forwarded")
            await asyncio.sleep(1.0)


async def _resting(place: Place, topology: Topology, seconds: float) -> Figures:
    """Per cent of a core by program, one figure a host, and the resident megabytes."""
    wanted = {f"{host.name}/{name}": name for host in topology.hosts for name in HOST_PROGRAMS}
    wanted[f"{CONTROL}/{ALLOCATOR}"] = ALLOCATOR
    running = {key: entry.pid for key, entry in read_running(place.directory).items() if key in wanted}
    before = {key: _cpu_seconds(pid) for key, pid in running.items()}
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(seconds)
    passed = asyncio.get_running_loop().time() - began
    figures: Figures = defaultdict(list)
    for key, pid in running.items():
        figures[f"{wanted[key]}_per_cent"].append((_cpu_seconds(pid) - before[key]) / passed * 100)
        figures[f"{wanted[key]}_resident_megabytes"].append(_resident_megabytes(pid))
    return figures


def _cpu_seconds(pid: int) -> float:
    """Processor time of a process and of the children it waited for (proc(5), stat fields 14 to 17)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS_PER_SECOND


def _resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    print(json.dumps(asyncio.run(measure(parser.parse_args().seconds)), indent=2))
