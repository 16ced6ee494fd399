"""Agents of a running site that stop, restart, boot and disagree, as clients and the store see it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.api.kind import Kind
from appliance.api.meta import Ref
from appliance.api.pierhead import Host
from appliance.lab import lifecycle, namespace
from appliance.lab.announcing import LAYER2_SERVICES, ROUTED_SERVICES
from appliance.lab.failing import is_whole
from appliance.lab.observe import observing
from appliance.lab.probe import PATIENT_SECONDS
from appliance.lab.program import AGENT, BIRD, FORWARDER, pierhead
from appliance.lab.router import configurations
from appliance.lab.site import FolderCluster
from appliance.lab.stage import ClientLoad, Stage, all_settled, expect, load, run, until
from appliance.lab.topology import CLIENT, LAN_INTERFACE, REMOTE
from appliance.store.open import open_store
from appliance.store.protocol import Store
from tests.lab.conftest import MakePlace

WATCHED_SECONDS = 5.0
MANIFESTS = (
    "lab-l2.yaml",
    "lab-l2-ipv6.yaml",
    "echo-service.yaml",
    "echo-service-ipv6.yaml",
    "production-bgp.yaml",
    "production-bgp-ipv6.yaml",
    "production-services.yaml",
    "production-services-ipv6.yaml",
    "production-bfd.yaml",
)


@pytest.fixture
async def stage(make_place: MakePlace) -> AsyncIterator[Stage]:
    """A site with an address of each family on layer 2 and over BGP, answered by every host."""
    place = make_place("a")
    topology = await lifecycle.up(place, 3, lambda _text: None)
    async with observing(place, topology) as observer:
        stage = Stage(place, topology, observer, FolderCluster(place, topology))
        for name in MANIFESTS:
            stage.apply(name)
        await is_whole(stage)
        await stage.sessions_up()
        yield stage


@asynccontextmanager
async def clients(stage: Stage) -> AsyncIterator[tuple[ClientLoad, ...]]:
    """Clients that ask every 10 ms and hold connections, on layer 2 and over BGP, in both families."""
    asked = [(CLIENT, service) for service in LAYER2_SERVICES] + [(REMOTE, service) for service in ROUTED_SERVICES]
    targets = [stage.target(machine, await stage.given(service)) for machine, service in asked]
    async with load(targets, PATIENT_SECONDS) as loads:
        yield loads
        await all_settled(loads)
    failures = [f"{entry.outage().failed} requests failed: {entry.prober.errors()}" for entry in loads]
    lost = [len(entry.connections.lost()) for entry in loads]
    assert [text for text in failures if not text.startswith("0 ")] == []
    assert lost == [0] * len(loads)


async def owners(stage: Stage) -> list[str | None]:
    """Where the client's neighbour table leads for each address on the LAN, nothing being asked anew."""
    return [(await stage.observer.neighbour(await stage.given(service)))[1] for service in LAYER2_SERVICES]


async def agent_of(stage: Stage, host: str) -> str:
    """What an agent says of itself; empty while it does not answer."""
    socket = stage.place.machine(host) / "run" / "agent.sock"
    code, output = await run(pierhead(), "status", "--socket", str(socket))
    return output if code == 0 else ""


async def test_a_stopped_agent_hands_over(stage: Stage) -> None:
    """Its VIPs are answered by others and its routes withdrawn before it ends: no request fails, no connection ends."""
    (owner, *_) = await owners(stage)
    assert owner is not None
    async with clients(stage):
        await lifecycle.set_wanted(stage.place, owner, AGENT, False)
        for service in ROUTED_SERVICES:
            await stage.hops(await stage.given(service), stage.hosts - {owner})
        assert owner not in await owners(stage)
        told = await open_store(f"directory:{stage.place.site}").get(Ref("Host", "", owner))
        assert isinstance(told, Host)
        assert (told.status.owned, told.status.announced) == (0, 0)
    async with clients(stage):
        await lifecycle.set_wanted(stage.place, owner, AGENT, True)
        for service in ROUTED_SERVICES:
            await stage.hops(await stage.given(service), stage.hosts)


async def test_a_restarted_agent_moves_nothing(stage: Stage) -> None:
    """Owners and routes stay, and no client notices."""
    before = await owners(stage)
    async with clients(stage):
        for host in sorted(stage.hosts):
            owned = (await agent_of(stage, host)).count("owner")
            await lifecycle.restart_program(stage.place, host, AGENT)

            async def holds(host: str = host, owned: int = owned) -> bool:
                hops = [await stage.observer.next_hops(await stage.given(service)) for service in ROUTED_SERVICES]
                assert hops == [stage.hosts] * len(hops)
                return (await agent_of(stage, host)).count("owner") == owned

            await until(holds, f"{host} to own what it owned")
    await is_whole(stage)
    assert await owners(stage) == before


async def test_the_last_host_ends_in_bounded_time(stage: Stage) -> None:
    """Nobody takes over from it, and it does not wait for that for ever."""
    for host in sorted(stage.hosts):
        await lifecycle.set_wanted(stage.place, host, AGENT, False)
    for service in ROUTED_SERVICES:
        await stage.hops(await stage.given(service), frozenset())


async def test_a_host_that_boots_announces_nothing_before_it_has_rules(stage: Stage) -> None:
    """Agent, BIRD and an empty kernel: routers and neighbours are led here once the forwarder has spoken."""
    host = sorted(stage.hosts)[0]
    others = stage.hosts - {host}
    for program in (FORWARDER, AGENT, BIRD):
        await lifecycle.set_wanted(stage.place, host, program, False)
    own = stage.place.machine(host)
    where = str(namespace.path_of(stage.place.namespace(host)))
    expect((await run("nsenter", f"--net={where}", pierhead(), "forwarder", "--clear"))[0] == 0, "rules are gone")
    (own / "bird.conf").write_text(configurations(stage.topology)[host])
    _boot_anew(own / "cache" / "agent.json")
    for program in (BIRD, AGENT):
        await lifecycle.set_wanted(stage.place, host, program, True)

    async def holds() -> bool:
        return "has no rules for it yet" in await agent_of(stage, host)

    await until(holds, "the agent to wait for its forwarder")
    for service in ROUTED_SERVICES:
        hops = await stage.observer.next_hops(await stage.given(service))
        expect(hops == others, f"{service} leads to {', '.join(sorted(hops))}")
    await lifecycle.set_wanted(stage.place, host, FORWARDER, True)
    await is_whole(stage)


def _boot_anew(state: Path) -> None:
    """Have an agent take its next start for the first after a boot of the machine."""
    state.write_text(json.dumps({**json.loads(state.read_text()), "forwardedInBoot": "another boot"}))


async def test_a_foreign_answer_is_said_once(stage: Stage) -> None:
    """Somebody else has an address of ours: its owner says so in its own Host, and nobody writes on and on."""
    address = (await stage.given("echo")).exploded
    where = str(namespace.path_of(stage.place.namespace(CLIENT)))
    store = open_store(f"directory:{stage.place.site}")
    expect(
        (await run("nsenter", f"--net={where}", "ip", "address", "add", f"{address}/32", "dev", LAN_INTERFACE))[0] == 0,
        "ip",
    )
    expect(
        (await run("nsenter", f"--net={where}", "arping", "-U", "-c", "3", "-I", LAN_INTERFACE, address))[0] == 0,
        "arping",
    )

    async def holds() -> bool:
        hosts = (await store.list(frozenset({Kind.HOST}))).objects.values()
        return any(
            str(seen.address) == address for host in hosts if isinstance(host, Host) for seen in host.status.conflicts
        )

    await until(holds, "the conflict to be told")
    assert await _writes(store) <= 5


async def _writes(store: Store) -> int:
    """How often somebody writes of hosts and VIPs in some seconds."""
    writes = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WATCHED_SECONDS):
            async for changes in store.watch(frozenset({Kind.HOST, Kind.VIRTUAL_IP})):
                writes += 0 if changes.listed else len(changes.changed)
    return writes


async def test_a_host_tells_whether_its_forwarder_runs(make_place: MakePlace) -> None:
    """`pierhead status` asks it beside the agent: --check counts one that does not answer, until it does again."""
    place = make_place("f")
    await lifecycle.up(place, 1, lambda _text: None)
    socket = str(place.machine("node-a") / "run" / "agent.sock")

    async def told() -> tuple[int, Any]:
        code, output = await run(pierhead(), "status", "--check", "--json", "--socket", socket)
        return code, json.loads(output)["forwarder"] if output.startswith("{") else None

    async def carries() -> bool:
        code, forwarder = await told()
        return code == 0 and forwarder["answers"] and bool(forwarder["program"]["revision"])

    async def is_silent() -> bool:
        code, forwarder = await told()
        return code == 1 and forwarder is not None and not forwarder["answers"]

    await until(carries, "the forwarder to have rules in the kernel")
    await lifecycle.set_wanted(place, "node-a", FORWARDER, False)
    await until(is_silent, "nobody to answer for the forwarder")
    await lifecycle.set_wanted(place, "node-a", FORWARDER, True)
    await until(carries, "the forwarder to be back")
