"""The story's steps in which something is lost: a host, a host for maintenance, the feed."""

import asyncio
from collections.abc import Iterable

from appliance.lab.announcing import LAYER2_SERVICES, ROUTED_SERVICES
from appliance.lab.http import HttpTarget
from appliance.lab.probe import HASTY_SECONDS, PATIENT_SECONDS
from appliance.lab.stage import ClientLoad, Stage, all_settled, all_well, expect, load, until
from appliance.lab.topology import CLIENT, REMOTE

_WATCHED_SECONDS = 1.0


async def host_is_lost(stage: Stage) -> str:
    """The owner's cable is pulled: another host takes over, and only connections to its backends end."""
    stage.apply("production-bfd.yaml")
    await stage.sessions_up()
    await is_whole(stage)
    seen: list[str] = []
    for layer2, routed in reversed(tuple(zip(LAYER2_SERVICES, ROUTED_SERVICES, strict=True))):
        if await stage.unplugged():
            await _heal_all(stage)
        seen.append(await _cut_owner(stage, layer2, routed))
    return "; ".join(reversed(seen))


async def is_whole(stage: Stage) -> None:
    """Wait until every host announces every route, and every address on the LAN has an owner."""
    for service in ROUTED_SERVICES:
        await stage.hops(await stage.given(service), stage.hosts)
    for service in LAYER2_SERVICES:
        await stage.owner(await stage.given(service))


async def _heal_all(stage: Stage) -> None:
    for host in await stage.unplugged():
        await stage.plug(host, True)
    await is_whole(stage)
    await stage.sessions_up()


async def _targets(stage: Stage, layer2: str, routed: str) -> tuple[HttpTarget, HttpTarget]:
    """What the clients ask; the router is given time to recover from what happened to it before."""
    await stage.sessions_up()
    await stage.hops(await stage.given(routed), stage.hosts.difference(await stage.unplugged()))
    return stage.target(CLIENT, await stage.given(layer2)), stage.target(REMOTE, await stage.given(routed))


async def _cut_owner(stage: Stage, layer2: str, routed: str) -> str:
    targets = await _targets(stage, layer2, routed)
    owner = await stage.owner(targets[0].address)
    async with load(targets, HASTY_SECONDS) as loads:
        await stage.plug(owner, False)
        await asyncio.sleep(0)
        await _noticed(loads)
        await all_well(loads)
        await all_settled(loads)
    for target, entry in zip(targets, loads, strict=True):
        elsewhere = sorted({held.host for held in entry.connections.lost_elsewhere(owner)})
        expect(not elsewhere, f"{target.address}: connections with backends on {', '.join(elsewhere)} ended too")
    await stage.owner(targets[0].address, other_than=owner)
    return f"without {owner}: " + ", ".join(
        f"{target.address} {_outage_text(entry)}" for target, entry in zip(targets, loads, strict=True)
    )


async def _noticed(loads: Iterable[ClientLoad]) -> None:
    """Wait until the clients have felt it: a cable may be pulled between two requests."""

    async def holds() -> bool:
        return all(entry.outage().failed for entry in loads)

    await until(holds, "the cut to be noticed")


def _outage_text(entry: ClientLoad) -> str:
    outage, connections = entry.outage(), entry.connections
    ended = f"{len(connections.lost())} of {len(connections.held)} connections ended, all of its own backends"
    return f"outage {outage.seconds * 1000:.0f} ms, {ended}"


async def host_returns(stage: Stage) -> str:
    """The host comes back: no request fails, no connection ends."""
    hosts = await stage.unplugged()
    expect(len(hosts) == 1, "no host is cut off")
    targets = await _targets(stage, "echo", "echo-bgp")
    async with load(targets, PATIENT_SECONDS) as loads:
        moment = asyncio.get_running_loop().time()
        await stage.plug(hosts[0], True)
        for service in ROUTED_SERVICES:
            await stage.hops(await stage.given(service), stage.hosts)
        served = await _serves_again(loads, hosts[0], moment)
        await all_settled(loads)
    _expect_unharmed(targets, loads)
    return f"{hosts[0]} announces and serves again after {served} ms; {_unharmed_text(loads)}"


async def _serves_again(loads: Iterable[ClientLoad], host: str, moment: float) -> int:
    async def holds() -> bool:
        return all(any(answer.host == host for answer in entry.prober.answered_since(moment)) for entry in loads)

    await until(holds, f"answers of {host}'s backends")
    return round((asyncio.get_running_loop().time() - moment) * 1000)


def _expect_unharmed(targets: Iterable[HttpTarget], loads: Iterable[ClientLoad]) -> None:
    for target, entry in zip(targets, loads, strict=True):
        failures, lost = entry.prober.failures(), entry.connections.lost()
        why = [f"first {failures[0]}, last {failures[-1]}"] if failures else []
        why += [held.lost or "" for held in lost[:1]]
        text = f"{target.address}: {len(failures)} requests failed, {len(lost)} connections ended"
        expect(not why, f"{text} ({'; '.join(why)})")


def _unharmed_text(loads: Iterable[ClientLoad]) -> str:
    listed = tuple(loads)
    requests = sum(entry.outage().requests for entry in listed)
    connections = sum(len(entry.connections.held) for entry in listed)
    stall = max(entry.connections.stall_seconds() for entry in listed)
    return f"0 of {requests} requests failed, 0 of {connections} connections ended, worst stall {stall * 1000:.0f} ms"


async def host_is_drained(stage: Stage) -> str:
    """One command moves everything away from a host: no request fails, no connection ends."""
    targets = await _targets(stage, "echo", "echo-bgp")
    owner = await stage.owner(targets[0].address)
    try:
        async with load(targets, PATIENT_SECONDS) as loads:
            own = sum(len(entry.connections.behind(owner)) for entry in loads)
            await stage.drain(owner, True)
            left = await stage.hops(targets[1].address, stage.hosts - {owner})
            moved = await until(lambda: _moved(stage, targets[0], owner), f"{targets[0].address} to leave {owner}")
            await all_settled(loads)
            await all_settled(loads)
    finally:
        await stage.drain(owner, False)
    _expect_unharmed(targets, loads)
    await is_whole(stage)
    return (
        f"{owner} left the route after {left} ms, ARP {moved} ms later; {_unharmed_text(loads)}, {own} of them its own"
    )


async def _moved(stage: Stage, target: HttpTarget, owner: str) -> bool:
    """Whether the client's neighbour table leads elsewhere, without it being asked anew."""
    _, host = await stage.observer.neighbour(target.address)
    return host in stage.hosts and host != owner


async def feed_is_lost(stage: Stage) -> str:
    """Without the store and the allocator everything stays announced, and a takeover still works."""
    targets = await _targets(stage, "echo", "echo-bgp")
    owner = await stage.owner(targets[0].address)
    try:
        async with stage.without_feed():
            await _stays_announced(stage, targets, owner)
            await stage.plug(owner, False)
            other = await stage.owner(targets[0].address, other_than=owner)
            took = await stage.hops(targets[1].address, stage.hosts - {owner})
            for machine, target in zip((CLIENT, REMOTE), targets, strict=True):
                await stage.answered(machine, target.address)
    finally:
        await _heal_all(stage)
    return f"all stayed announced; with {owner} cut off {other} took over, the route followed after {took} ms more"


async def _stays_announced(stage: Stage, targets: tuple[HttpTarget, HttpTarget], owner: str) -> None:
    """Look again and again for a second: nothing may move."""
    clock = asyncio.get_running_loop().time
    end = clock() + _WATCHED_SECONDS
    while clock() < end:
        found = await stage.holder(targets[0].address)
        expect(found == owner, f"without the feed {targets[0].address} went from {owner} to {found or 'nobody'}")
        hops = await stage.observer.next_hops(targets[1].address)
        expect(hops == stage.hosts, f"without the feed the route lost {', '.join(sorted(stage.hosts - hops))}")
        await asyncio.sleep(0.05)
