"""A takeover in a running site, asked about afterwards: each side tells its part, over restarts of both agents."""

import asyncio
import json

from appliance.control.event import EventKind
from appliance.l2.event import RoleReason
from appliance.lab import lifecycle
from appliance.lab.observe import observing
from appliance.lab.place import Place
from appliance.lab.program import AGENT, is_running, pierhead, read_running
from appliance.lab.site import FolderCluster
from appliance.lab.stage import Stage, run, until
from tests.lab.conftest import MakePlace

STARTED = EventKind.PROGRAM_STARTED.value


async def history(stage: Stage, *words: str) -> list[dict[str, str]]:
    """What the history of all hosts says, row by row; nothing while one of them does not answer."""
    sockets = [
        word for host in sorted(stage.hosts) for word in ("--socket", str(stage.place.machine(host) / "run/agent.sock"))
    ]
    code, output = await run(pierhead(), "history", *words, "--json", *sockets)
    return list(json.loads(output)) if code == 0 and output.startswith("[") else []


async def test_why_a_vip_moved_is_answered_after_both_agents_restarted(make_place: MakePlace) -> None:
    """From and to, the reason, and what was heard, from the old owner's side and from the new one's."""
    place = make_place("h")
    topology = await lifecycle.up(place, 3, lambda _text: None)
    async with observing(place, topology) as observer:
        stage = Stage(place, topology, observer, FolderCluster(place, topology))
        for name in ("lab-l2.yaml", "echo-service.yaml"):
            stage.apply(name)
        address = await stage.given("echo")
        old = await stage.owner(address)
        await stage.acquainted()
        await stage.plug(old, False)
        await stage.owner(address, other_than=old)

        async def holds() -> bool:
            return bool(await taken(stage, str(address), old))

        await until(holds, "the new owner to tell of it")
        await stage.plug(old, True)
        new = (await taken(stage, str(address), old))[-1]["host"]
        await lifecycle.restart_program(place, old, AGENT)
        await lifecycle.restart_program(place, new, AGENT)

        async def are_told() -> bool:
            return len(await starts(stage, old)) == 2 and len(await starts(stage, new)) == 2

        await until(are_told, "both agents to tell what was before they were restarted")
        await killed(place, old)

        async def is_told() -> bool:
            return len(await starts(stage, old)) == 3

        await until(is_told, f"{old} to tell what was before it was killed")
        lost = [row["text"] for row in await moves(stage, str(address)) if row["host"] == old]
        assert f"VIP {address} went from {old} to nobody: {RoleReason.LINK_DOWN.value}" in lost
        took = [row["text"] for row in await taken(stage, str(address), old) if row["host"] == new]
        assert f"VIP {address} went from {old} to {new}: {RoleReason.TOOK_OVER.value}; heard: {old}: " in took[-1]
        assert "it is silent while others on its link answer (for " in took[-1]
        assert (await starts(stage, old))[-1].endswith("the run before ended without a word: it was killed")


async def taken(stage: Stage, address: str, old: str) -> list[dict[str, str]]:
    """What is told of a VIP by hosts that took it over from one that was found dead."""
    rows = await moves(stage, address)
    return [row for row in rows if row["host"] != old and row["reason"] == RoleReason.TOOK_OVER.value]


async def moves(stage: Stage, address: str) -> list[dict[str, str]]:
    """What is told of a VIP."""
    return [row for row in await history(stage, "vip", address) if row["kind"] == EventKind.VIP_MOVED]


async def starts(stage: Stage, host: str) -> list[str]:
    """How often a host's agent started, and what is told of it."""
    told = await history(stage, "host", host)
    return [row["text"] for row in told if (row["host"], row["kind"], row["subject"]) == (host, STARTED, AGENT)]


async def killed(place: Place, host: str) -> None:
    """Kill an agent, and wait until its supervisor has started it again."""
    key, before = f"{host}/{AGENT}", lifecycle.kill_program(place, host, AGENT)
    async with asyncio.timeout(60):
        while True:
            if is_running(place.directory, key) and read_running(place.directory)[key].pid != before.pid:
                return
            await asyncio.sleep(0.05)
