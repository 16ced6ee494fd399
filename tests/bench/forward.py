"""How long a change takes to be in the kernel: decide and apply for some numbers of VIPs, as JSON.

usage, as root: python -m tests.bench.forward [--runs N]
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address, ip_interface

from appliance.api.address import parse_hardware_address, vip_name
from appliance.api.kind import Object, ref_of
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
from appliance.forward.listing import KernelTables
from appliance.forward.machine import (
    Change,
    Device,
    DevicesChanged,
    Event,
    FailedHostsChanged,
    Forwarding,
    ObjectsChanged,
)
from appliance.host.nft import Nft
from appliance.lab.namespace import enter
from tests.bench.figure import machine, summary

NAMESPACE = f"phfwd-bench-{os.getpid()}"
HOSTS = 10


@dataclass(frozen=True, slots=True)
class Shape:
    """How many VIPs, and how many different sets of hosts stand behind them."""

    vips: int
    host_sets: int


SHAPES = (Shape(1, 1), Shape(1000, 1), Shape(1000, 20), Shape(10000, 1), Shape(10000, 20))


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


def host(index: int, drain: bool = False) -> Host:
    """One of ten hosts."""
    interface = HostInterface(
        name="eth0",
        hardware_address=parse_hardware_address(f"02:00:00:00:00:{index + 16:02x}"),
        addresses=(ip_interface(f"192.168.1.{index + 11}/24"),),
    )
    return Host(
        metadata=Metadata(name=f"node-{index}"),
        spec=HostSpec(drain=drain),
        status=HostStatus(interfaces=(interface,)),
    )


def events(vips: list[VirtualIP], backends: list[Backends]) -> Iterator[tuple[str, Event, Event]]:
    """Changes by name, each with what undoes it."""
    address = ip_address("10.0.99.1")
    metadata = Metadata(name=vip_name(address))
    one = replace(vips[0], metadata=metadata, spec=replace(vips[0].spec, address=address))
    behind = replace(backends[0], metadata=metadata, spec=replace(backends[0].spec, address=address))
    refs = [ref_of(one), ref_of(behind)]
    yield "vip", ObjectsChanged((one, behind)), ObjectsChanged((), refs)
    (port,) = backends[0].spec.ports
    fewer = replace(backends[0].spec, ports=(replace(port, backends=port.backends[1:]),))
    yield "backend", ObjectsChanged((replace(backends[0], spec=fewer),)), ObjectsChanged((backends[0],))
    yield "host_failed", FailedHostsChanged(frozenset({"node-1"})), FailedHostsChanged(frozenset())
    yield "host_drained", ObjectsChanged((host(1, drain=True),)), ObjectsChanged((host(1),))


def milliseconds(action: Callable[[], object]) -> float:
    """How long an action takes."""
    start = time.perf_counter()
    action()
    return (time.perf_counter() - start) * 1000


class Bench:
    """A host with some VIPs in its kernel."""

    def __init__(self, shape: Shape) -> None:
        self.vips, self.backends = site(shape)
        self.core = Forwarding("node-0")
        self.nft = Nft(partial(enter, NAMESPACE))
        self.now = 0.0

    async def begin(self) -> dict[str, object]:
        """Give the empty kernel everything, then start again on what is there."""
        await self.nft.clear()
        objects: list[Object] = [*map(host, range(HOSTS)), *self.vips, *self.backends]
        first = await self._start(self.core, objects, KernelTables())
        began = time.perf_counter()
        listing = await self.nft.read()
        listed = (time.perf_counter() - began) * 1000
        again = await self._start(Forwarding("node-0"), objects, listing)
        return {"first_start": first, "start_again": again | {"list": round(listed, 1)}}

    async def _start(self, core: Forwarding, objects: list[Object], listing: KernelTables) -> dict[str, object]:
        change: list[Change] = []
        core.handle(ObjectsChanged(objects))
        core.handle(DevicesChanged((Device("eth0", 2),)))
        decide = milliseconds(lambda: change.append(core.take_over(listing, 0.0)))
        return {"decide": round(decide, 1), "apply": await self._apply(change[0]), "bytes": len(change[0].text)}

    async def _apply(self, change: Change | None) -> float:
        began = time.perf_counter()
        if change and change.text:
            await self.nft.apply(change.text, change.revision)
        return round((time.perf_counter() - began) * 1000, 2)

    async def change(self, event: Event) -> tuple[float, float, int]:
        """Decide and apply one event; milliseconds each, and the bytes of its text."""
        change: list[Change | None] = []
        self.now += 1

        def decide() -> None:
            self.core.handle(event)
            change.append(self.core.change(self.now))

        took = milliseconds(decide)
        return took, await self._apply(change[0]), len(change[0].text) if change[0] else 0


async def measure(shape: Shape, runs: int) -> dict[str, object]:
    """The figures of a shape."""
    bench = Bench(shape)
    figures: dict[str, object] = {"vips": shape.vips, "host_sets": shape.host_sets, **await bench.begin()}
    for name, there, back in events(bench.vips, bench.backends):
        taken = [await bench.change(event) for _ in range(runs) for event in (there, back)]
        figures[name] = {
            "decide_milliseconds": summary([one[0] for one in taken]),
            "apply_milliseconds": summary([one[1] for one in taken]),
            "bytes": max(one[2] for one in taken),
        }
    figures["nothing_milliseconds"] = summary(
        [(await bench.change(ObjectsChanged((bench.vips[0],))))[0] for _ in range(runs)]
    )
    figures["resident_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return figures


async def main(runs: int) -> None:
    """Measure every shape and print one JSON document."""
    shapes = [await measure(shape, runs) for shape in SHAPES]
    figures = {"machine": machine(), "hosts": HOSTS, "runs": runs}
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
