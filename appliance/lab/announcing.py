"""The story's steps in which nothing fails: an address is asked for, given, announced, and taken back."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address

from appliance.api.address import IPAddress
from appliance.lab.stage import Stage, expect, until
from appliance.lab.topology import CLIENT, REMOTE

LAYER2_SERVICES = {"echo": ip_address("192.168.1.240"), "echo6": ip_address("2001:db8:1::f0")}
ROUTED_SERVICES = ("echo-bgp", "echo-bgp6")

_CONNECTIONS = 60
_SAMPLES = 12


async def stays_pending(stage: Stage) -> str:
    """A Service without a pool has no address, and `explain` says why."""
    stage.apply("echo-service.yaml", "echo-service-ipv6.yaml")
    told: list[str] = []

    async def holds() -> bool:
        told[:] = _sentences_about_pools(await stage.explain("echo"))
        return bool(told)

    await until(holds, "explain to name the missing pool")
    for service in LAYER2_SERVICES:
        address = await stage.address(service)
        expect(address is None, f"{service} has {address} although there is no pool")
    return f"no address; explain: {told[0]}"


def _sentences_about_pools(output: str) -> list[str]:
    return [line.strip() for line in output.splitlines() if "pool" in line.lower()]


async def answers_on_layer2(stage: Stage) -> str:
    """With a pool the Service gets its first address, the client resolves it to one host, HTTP answers."""
    stage.apply("lab-l2.yaml", "lab-l2-ipv6.yaml")
    seen: list[str] = []
    for service, first in LAYER2_SERVICES.items():
        address = await stage.given(service)
        expect(address == first, f"{service} got {address}, not {first}")
        owner = await stage.owner(address)
        answer = await stage.answered(CLIENT, address)
        seen.append(f"{address} is at {owner}, {answer.backend} answers")
    return "; ".join(seen)


async def answers_over_bgp(stage: Stage) -> str:
    """The router has a route of every host, and connections enter through more than one."""
    stage.apply("production-bgp.yaml", "production-bgp-ipv6.yaml")
    stage.apply("production-services.yaml", "production-services-ipv6.yaml")
    seen: list[str] = []
    for service in ROUTED_SERVICES:
        address = await stage.given(service)
        await stage.hops(address, stage.hosts)
        await stage.answered(REMOTE, address)
        async with stage.observer.ingress(address) as entered:
            await _ask_often(stage, REMOTE, address, _CONNECTIONS)
            await until(_counted(entered), f"{_CONNECTIONS} connections to pass the router")
        expect(len(entered) > 1, f"every connection to {address} entered through {', '.join(entered)}")
        spread = ", ".join(f"{host} {count}" for host, count in sorted(entered.items()))
        seen.append(f"{address} has {len(stage.hosts)} next hops, connections entered {spread}")
    return "; ".join(seen)


def _counted(entered: Counter[str]) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return entered.total() >= _CONNECTIONS

    return holds


async def _ask_often(stage: Stage, machine: str, address: IPAddress, count: int) -> frozenset[str]:
    """Ask on so many fresh connections at once, each until it is answered: what clients the backends saw."""
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(stage.answered(machine, address), name=f"ask {number}") for number in range(count)]
    return frozenset(task.result().client for task in asked)


async def follows_local_backends(stage: Stage) -> str:
    """Under `Local` only hosts with a ready backend announce; under both policies the client's address is seen."""
    stage.apply("echo-local-service.yaml")
    layer2, routed = await stage.given("echo-local"), await stage.given("echo-local-bgp")
    await stage.hops(routed, stage.hosts)
    owner = await stage.owner(layer2)
    for machine, service, address in _vantage_points(stage):
        await _sees_client(stage, machine, await stage.given(service), address)
    try:
        stage.set_ready(owner, False)
        withdrawn = await stage.hops(routed, stage.hosts - {owner})
        other = await stage.owner(layer2, other_than=owner)
    finally:
        stage.set_ready(owner, True)
    back = await stage.hops(routed, stage.hosts)
    return (
        f"without backends {owner} left the route after {withdrawn} ms and {layer2} to {other}, "
        f"with them it was back after {back} ms; backends saw the clients' own addresses"
    )


def _vantage_points(stage: Stage) -> Iterator[tuple[str, str, str]]:
    for machine, services in ((CLIENT, ("echo", "echo-local")), (REMOTE, ("echo-bgp", "echo-local-bgp"))):
        for service in services:
            yield machine, service, stage.topology.address_of(machine, 4)
    yield CLIENT, "echo6", stage.topology.address_of(CLIENT, 6)
    yield REMOTE, "echo-bgp6", stage.topology.address_of(REMOTE, 6)


async def _sees_client(stage: Stage, machine: str, address: IPAddress, expected: str) -> None:
    await stage.answered(machine, address)
    seen = await _ask_often(stage, machine, address, _SAMPLES)
    expect(seen == {expected}, f"behind {address} backends saw {', '.join(sorted(seen))}, not {expected}")


async def is_taken_back(stage: Stage) -> str:
    """A deleted Service's address falls silent, its route is withdrawn, and the address is given again."""
    routed = [await stage.given(service) for service in ROUTED_SERVICES]
    stage.delete("echo-service.yaml", "echo-service-ipv6.yaml")
    stage.delete("production-services.yaml", "production-services-ipv6.yaml")
    silent = [await _falls_silent(stage, address) for address in LAYER2_SERVICES.values()]
    withdrawn = [await stage.hops(address, frozenset()) for address in routed]
    stage.apply("echo-again-service.yaml")
    address = await stage.given("echo-again")
    expect(address == LAYER2_SERVICES["echo"], f"the next Service got {address}")
    return f"silent after {max(silent)} ms, withdrawn after {max(withdrawn)} ms more; the next Service got {address}"


async def _falls_silent(stage: Stage, address: IPAddress) -> int:
    async def holds() -> bool:
        return await stage.observer.resolve(address) is None

    return await until(holds, f"{address} to fall silent")
