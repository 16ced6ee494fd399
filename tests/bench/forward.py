"""How long a change takes to be in the kernel: plan, render and apply for some numbers of VIPs, as JSON.

usage, as root: python -m tests.bench.forward [--runs N]
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

from appliance.api.address import vip_name
from appliance.api.meta import Metadata
from appliance.api.pierhead import (
    Backend,
    BackendPort,
    Backends,
    BackendsSpec,
    Host,
    HostInterface,
    HostSpec,
    HostStatus,
    VirtualIP,
    VirtualIPSpec,
)
from appliance.forward.plan import ForwardPlan, plan
from appliance.host.nft import Nft
from appliance.nft.ruleset import render

NAMESPACE = f"phfwd-bench-{os.getpid()}"
HOSTS = 10


@dataclass(frozen=True, slots=True)
class Shape:
    """How many VIPs, and how many different sets of hosts stand behind them."""

    vips: int
    host_sets: int


SHAPES = (Shape(1, 1), Shape(100, 1), Shape(1000, 1), Shape(100, 20), Shape(1000, 20))


def site(shape: Shape) -> tuple[list[VirtualIP], list[Backends]]:
    """The VIPs of a shape and what stands behind each: two backends on each of three hosts."""
    vips, backends = [], []
    for number in range(shape.vips):
        address = ip_address("10.0.100.0") + number
        metadata = Metadata(name=vip_name(address))
        chosen = [(number % shape.host_sets + step) % HOSTS for step in _steps(number % shape.host_sets)]
        behind = tuple(
            Backend(address=ip_address(f"10.244.{index}.{last}"), port=8080, host=f"node-{index}")
            for index in chosen
            for last in (2, 3)
        )
        port = BackendPort(port=80, backends=behind)
        vips.append(VirtualIP(metadata=metadata, spec=VirtualIPSpec(address=address, pool="bench")))
        backends.append(Backends(metadata=metadata, spec=BackendsSpec(address=address, ports=(port,))))
    return vips, backends


def _steps(number: int) -> tuple[int, int, int]:
    return (0, 1, 2) if number < HOSTS else (0, 2, 5)


def hosts(drained: int | None) -> list[Host]:
    """Ten hosts, one of them perhaps drained."""
    return [
        Host(
            metadata=Metadata(name=f"node-{index}"),
            spec=HostSpec(drain=index == drained),
            status=HostStatus(
                interfaces=(
                    HostInterface(
                        name="eth0",
                        hardware_address=bytes((2, 0, 0, 0, 0, index + 16)),
                        addresses=(ip_interface(f"192.168.1.{index + 11}/24"),),
                    ),
                )
            ),
        )
        for index in range(HOSTS)
    ]


def milliseconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


async def measure(shape: Shape, runs: int) -> dict[str, object]:
    """The figures of a shape; each run is a change of every ring, as a drain or its end is."""
    vips, backends = site(shape)
    nft = Nft(("ip", "netns", "exec", NAMESPACE, "nft"))

    def planned(drained: int | None) -> ForwardPlan:
        return plan("node-0", vips=vips, backends=backends, hosts=hosts(drained), dead=frozenset(), interfaces=["eth0"])

    figures: dict[str, list[float]] = {"plan": [], "render": [], "apply": []}
    for run in range(runs):
        drained = (None, 1)[run % 2]
        figures["plan"].append(milliseconds(lambda: planned(drained)))  # noqa: B023  # called in this turn
        decided = planned(drained)
        figures["render"].append(milliseconds(lambda: render(decided)))  # noqa: B023  # called in this turn
        ruleset = render(decided)
        start = time.perf_counter()
        await nft.apply(ruleset)
        figures["apply"].append((time.perf_counter() - start) * 1000)
    return {
        "vips": shape.vips,
        "host_sets": shape.host_sets,
        "bytes": len(ruleset.text),
        **{f"{name}_milliseconds": _summary(values) for name, values in figures.items()},
    }


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "first": round(values[0], 2),
        "median": round(statistics.median(values), 2),
        "worst": round(max(values), 2),
    }


async def main(runs: int) -> None:
    """Measure every shape and print one JSON document."""
    floor = [milliseconds(lambda: _ip("netns", "exec", NAMESPACE, "nft", "list", "tables")) for _ in range(runs)]
    shapes = [await measure(shape, runs) for shape in SHAPES]
    machine = {"kernel": platform.release(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    figures = {"machine": machine, "hosts": HOSTS, "runs": runs, "starting_nft_milliseconds": _summary(floor)}
    print(json.dumps({**figures, "shapes": shapes}, indent=2))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    wanted = parser.parse_args()
    try:
        _ip("netns", "add", NAMESPACE)
        _ip("-n", NAMESPACE, "link", "add", "eth0", "type", "veth", "peer", "name", "other")
        asyncio.run(main(wanted.runs))
    finally:
        _ip("netns", "delete", NAMESPACE)
