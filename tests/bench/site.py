"""What clients of a lab's site feel: outages by cause, the time a change takes, requests and connections lost.

usage, as root: python -m tests.bench.site [--rounds N]
"""

import argparse
import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from appliance.api.address import IPAddress
from appliance.lab import lifecycle
from appliance.lab.failing import is_whole
from appliance.lab.observe import observing
from appliance.lab.place import Place
from appliance.lab.site import FolderCluster, example
from appliance.lab.stage import ClientLoad, Stage, all_settled, all_well, load, until
from appliance.lab.topology import CLIENT, REMOTE
from tests.bench.figure import Figures, machine, summary

MANIFESTS = (
    "lab-l2.yaml",
    "lab-l2-ipv6.yaml",
    "production-bgp.yaml",
    "production-bgp-ipv6.yaml",
    "production-bfd.yaml",
    "echo-service.yaml",
    "echo-service-ipv6.yaml",
    "production-services.yaml",
    "production-services-ipv6.yaml",
)
LAYER2, ROUTED = "echo", "echo-bgp"
HASTY_SECONDS = 0.25
SETTLE_SECONDS = 1.0
PROGRAMS = ("agent", "forwarder", "bird")

Measure = Callable[[Stage, Figures], Awaitable[None]]


async def change_to_announced(stage: Stage, figures: Figures) -> None:
    """One Service is applied to a site at rest: until the client resolves its address, until the router has every hop.

    The address is the one it had, the first of its pool: nobody has to ask the store for it meanwhile.
    """
    clock = asyncio.get_running_loop().time
    layer2, routed = await stage.given(LAYER2), await stage.given(ROUTED)
    stage.delete("echo-service.yaml", "production-services.yaml")
    await until(partial(_is_silent, stage, layer2), f"{layer2} to fall silent")
    await stage.hops(routed, frozenset())
    await asyncio.sleep(SETTLE_SECONDS)
    began = clock()
    stage.apply("echo-service.yaml")
    await stage.owner(layer2)
    figures["change_to_answered_arp_milliseconds"].append((clock() - began) * 1000)
    await asyncio.sleep(SETTLE_SECONDS)
    with TemporaryDirectory() as folder:
        alone = Path(folder) / "echo-bgp.yaml"
        alone.write_text(example("production-services.yaml").read_text().partition("---\n")[0])
        began = clock()
        FolderCluster(stage.place, stage.topology).apply((alone,))
        await stage.hops(routed, stage.hosts)
        figures["change_to_route_milliseconds"].append((clock() - began) * 1000)
    stage.apply("production-services.yaml")
    await is_whole(stage)


async def _is_silent(stage: Stage, address: IPAddress) -> bool:
    return await stage.observer.resolve(address) is None


async def owner_is_cut(stage: Stage, figures: Figures) -> None:
    """The layer-2 owner's cable is pulled, and put back."""
    targets = (stage.target(CLIENT, await stage.given(LAYER2)), stage.target(REMOTE, await stage.given(ROUTED)))
    owner = await stage.owner(targets[0].address)
    async with load(targets, HASTY_SECONDS) as loads:
        await stage.plug(owner, False)
        await asyncio.sleep(SETTLE_SECONDS)
        await all_well(loads)
        await all_settled(loads)
    for name, entry in zip(("layer2_owner_cut", "bgp_host_cut"), loads, strict=True):
        _record(figures, name, entry)
        figures[f"{name}_connections_lost_of_other_hosts"].append(len(entry.connections.lost_elsewhere(owner)))
    async with load(targets, HASTY_SECONDS) as loads:
        await stage.plug(owner, True)
        await is_whole(stage)
        await stage.sessions_up()
        await all_settled(loads)
    for name, entry in zip(("layer2_host_returns", "bgp_host_returns"), loads, strict=True):
        _record(figures, name, entry)
        figures[f"{name}_connections_lost"].append(len(entry.connections.lost()))


async def program_is_killed(stage: Stage, figures: Figures) -> None:
    """One program after the other of the layer-2 owner is killed, and started again by the lab."""
    targets = (stage.target(CLIENT, await stage.given(LAYER2)), stage.target(REMOTE, await stage.given(ROUTED)))
    for program in PROGRAMS:
        owner = await stage.owner(targets[0].address)
        async with load(targets, HASTY_SECONDS) as loads:
            lifecycle.kill_program(stage.place, owner, program)
            await asyncio.sleep(SETTLE_SECONDS)
            await is_whole(stage)
            await all_settled(loads)
        for name, entry in zip(("layer2", "bgp"), loads, strict=True):
            _record(figures, f"{name}_{program}_killed", entry)
            figures[f"{name}_{program}_killed_connections_lost"].append(len(entry.connections.lost()))


async def host_is_drained(stage: Stage, figures: Figures) -> None:
    """The layer-2 owner is drained until it has left the route, and serves again."""
    targets = (stage.target(CLIENT, await stage.given(LAYER2)), stage.target(REMOTE, await stage.given(ROUTED)))
    owner = await stage.owner(targets[0].address)
    async with load(targets, HASTY_SECONDS) as loads:
        await stage.drain(owner, True)
        await stage.hops(targets[1].address, stage.hosts - {owner})
        await stage.owner(targets[0].address, other_than=owner)
        await all_settled(loads)
    await stage.drain(owner, False)
    await is_whole(stage)
    for name, entry in zip(("layer2", "bgp"), loads, strict=True):
        figures[f"{name}_drain_requests_failed"].append(entry.outage().failed)
        figures[f"{name}_drain_connections_lost"].append(len(entry.connections.lost()))


def _record(figures: Figures, name: str, entry: ClientLoad) -> None:
    seen = entry.outage()
    figures[f"{name}_outage_milliseconds"].append(seen.seconds * 1000)
    figures[f"{name}_requests_failed"].append(seen.failed)


MEASURES: tuple[Measure, ...] = (change_to_announced, owner_is_cut, program_is_killed, host_is_drained)


async def measure(rounds: int) -> dict[str, object]:
    """Every measure so many times, in one lab."""
    place = Place("bench")
    topology = await lifecycle.up(place, 3, _say)
    figures: Figures = defaultdict(list)
    try:
        async with observing(place, topology) as observer:
            stage = Stage(place, topology, observer, FolderCluster(place, topology))
            stage.apply(*MANIFESTS)
            await is_whole(stage)
            await stage.sessions_up()
            for taken in MEASURES:
                for number in range(rounds):
                    _say(f"{taken.__name__} {number + 1}/{rounds}")
                    await taken(stage, figures)
    finally:
        await lifecycle.down(place)
    return {"machine": machine(), "rounds": rounds, "figures": {name: summary(seen) for name, seen in figures.items()}}


def _say(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    print(json.dumps(asyncio.run(measure(parser.parse_args().rounds)), indent=2))
