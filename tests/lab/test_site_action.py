"""Actions of an operator on a running lab, with clients at work: nobody notices."""

import json

from appliance.api.address import IPAddress
from appliance.lab import lifecycle
from appliance.lab.observe import observing
from appliance.lab.probe import PATIENT_SECONDS
from appliance.lab.program import pierhead
from appliance.lab.site import FolderCluster
from appliance.lab.stage import ClientLoad, Stage, all_settled, load, run, until
from appliance.lab.topology import CLIENT
from tests.lab.conftest import MakePlace


async def asked(stage: Stage, *words: str) -> tuple[int, str]:
    """A command's exit status and what it said."""
    return await run(pierhead(), *words)


def socket(stage: Stage, host: str) -> str:
    """A host's control socket."""
    return str(stage.place.machine(host) / "run" / "agent.sock")


def failures(loads: tuple[ClientLoad, ...]) -> list[object]:
    """Requests that failed and connections that ended."""
    return [failure for entry in loads for failure in (*entry.prober.failures(), *entry.connections.lost())]


async def test_what_operators_do_is_not_noticed(make_place: MakePlace) -> None:
    """One VIP is moved, to a named host and to the next; a host is drained through the store and comes back."""
    place = make_place("x")
    topology = await lifecycle.up(place, 3, lambda _text: None)
    cluster = FolderCluster(place, topology)
    async with observing(place, topology) as observer:
        stage = Stage(place, topology, observer, cluster)
        stage.apply("echo-service.yaml", "echo-service-ipv6.yaml", "lab-l2.yaml", "lab-l2-ipv6.yaml")
        for service in ("echo", "echo6"):
            address = await stage.given(service)
            await stage.answered(CLIENT, address)
            await moves(stage, address)
        await drains(stage, await stage.given("echo"), cluster.allocator_store)


async def moves(stage: Stage, address: IPAddress) -> None:
    """The owner is asked twice; the client's neighbour table follows, and the one that is not the owner refuses."""
    owner = await stage.owner(address)
    last, other = sorted(stage.hosts - {owner})[::-1]
    async with load([stage.target(CLIENT, address)], PATIENT_SECONDS) as loads:
        code, said = await asked(stage, "move", str(address), "--to", last, "--socket", socket(stage, owner))
        assert (code, said.splitlines()[-1]) == (0, f"{address} was moved.")
        assert await stage.owner(address, other_than=owner) == last
        code, said = await asked(stage, "move", str(address), "--to", owner, "--socket", socket(stage, other))
        assert (code, "only its owner can hand it over" in said) == (2, True)
        code, said = await asked(stage, "move", str(address), "--json", "--socket", socket(stage, last))
        (move,) = json.loads(said)["preview"]["moves"]
        assert await stage.owner(address, other_than=last) == move["successor"]
        await all_settled(loads)
    assert failures(loads) == []


async def drains(stage: Stage, address: IPAddress, store: str) -> None:
    """From a machine that has the store alone: the preview says where the VIP goes, and there it goes."""
    owner = await stage.owner(address)

    async def is_recorded() -> bool:
        _, said = await asked(stage, "drain", owner, "--dry-run", "--json", "--store", store)
        return any(move["address"] == str(address) for move in json.loads(said)["moves"])

    await until(is_recorded, "the store to know the owner")
    _, said = await asked(stage, "drain", owner, "--dry-run", "--json", "--store", store)
    (successor,) = (move["successor"] for move in json.loads(said)["moves"] if move["address"] == str(address))
    async with load([stage.target(CLIENT, address)], PATIENT_SECONDS) as loads:
        code, said = await asked(stage, "drain", owner, "--wait", "--store", store)
        assert (code, said.splitlines()[-1]) == (0, f"{owner} is drained: it answers for no VIP and announces none.")
        assert await stage.owner(address, other_than=owner) == successor
        code, said = await asked(stage, "undrain", owner, "--wait", "--store", store)
        assert (code, said.splitlines()[-1]) == (0, f"{owner} takes VIPs again.")
        await all_settled(loads)
    assert failures(loads) == []
