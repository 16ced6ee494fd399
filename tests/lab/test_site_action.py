"""Actions of an operator on a running lab, with clients at work: nobody notices."""

import json
from collections import Counter
from pathlib import Path

from appliance.api.address import IPAddress
from appliance.lab import lifecycle
from appliance.lab.observe import observing
from appliance.lab.probe import PATIENT_SECONDS
from appliance.lab.program import pierhead
from appliance.lab.site import Cluster, FolderCluster
from appliance.lab.stage import ClientLoad, Stage, all_settled, load, run, until
from appliance.lab.topology import BACKEND_PORT, CLIENT
from tests.lab.conftest import MakePlace

SERVICES = 6
SERVICE = """---
apiVersion: v1
kind: Service
metadata: {{name: even-{number}}}
spec: {{type: LoadBalancer, selector: {{app: echo}}, ports: [{{port: 80, targetPort: {port}}}]}}
"""


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


async def test_hosts_carry_evenly_again(make_place: MakePlace, tmp_path: Path) -> None:
    """A host that was drained carries nothing when it is back, until VIPs are planned anew."""
    place = make_place("r")
    topology = await lifecycle.up(place, 3, lambda _text: None)
    cluster = FolderCluster(place, topology)
    async with observing(place, topology) as observer:
        await replans(Stage(place, topology, observer, cluster), cluster, tmp_path)


async def replans(stage: Stage, cluster: Cluster, folder: Path) -> None:
    """What would move is said, who cannot ask the owners is told so, and then each moves without a failed request."""
    path, store = folder / "services.yaml", cluster.allocator_store
    path.write_text("".join(SERVICE.format(number=number, port=BACKEND_PORT) for number in range(SERVICES)))
    stage.apply("lab-l2.yaml")
    cluster.apply((path,))
    addresses = [await stage.given(f"even-{number}") for number in range(SERVICES)]
    for address in addresses:
        await stage.answered(CLIENT, address)
    (emptied, *_) = sorted(stage.hosts)
    sockets = [word for host in sorted(stage.hosts) for word in ("--socket", socket(stage, host))]
    for action in ("drain", "undrain"):
        code, said = await asked(stage, action, emptied, "--wait", "--yes", "--store", store, *sockets)
        assert code == 0, said

    async def is_uneven() -> bool:
        # The store is told of owners a moment later than their agents know it.
        code, said = await asked(stage, "replan", "--dry-run", "--json", "--store", store)
        return code == 0 and len(json.loads(said)["moves"]) >= 2

    await until(is_uneven, "the store to know who owns what")
    code, said = await asked(stage, "replan", *sockets)
    assert (code, "name the site's store" in said) == (2, True)
    code, said = await asked(stage, "replan", "--store", store)
    assert (code, "VIPs were moved, then: " in said, "only its owner can hand it over" in said) == (2, True, True)
    code, said = await asked(stage, "replan", "--dry-run", "--json", "--store", store, *sockets)
    planned = {move["address"]: move["successor"] for move in json.loads(said)["moves"]}
    assert (code, emptied in planned.values()) == (0, True)
    async with load([stage.target(CLIENT, address) for address in addresses[:2]], PATIENT_SECONDS) as loads:
        code, said = await asked(stage, "replan", "--store", store, *sockets)
        assert (code, said.splitlines()[-1]) == (0, f"{len(planned)} VIPs were moved.")
        for address in addresses:
            expected = planned.get(str(address))
            assert expected is None or await stage.owner(address) == expected
        await all_settled(loads)
    assert failures(loads) == []
    carried = Counter([await stage.owner(address) for address in addresses])
    assert dict(carried) == dict.fromkeys(stage.hosts, SERVICES // len(stage.hosts))
    code, said = await asked(stage, "replan", "--json", "--store", store, *sockets)
    assert (code, json.loads(said)) == (0, {"moves": [], "isDone": True})
