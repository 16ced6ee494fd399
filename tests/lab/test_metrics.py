"""What a site tells Prometheus while things happen to it."""

import asyncio
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from appliance.agent.metric import AGENT_METRICS
from appliance.control.metric import Metric
from appliance.daemon.metric import FEED_METRICS, PROGRAM_METRICS
from appliance.forwarder.metric import FORWARDER_METRICS
from appliance.lab import lifecycle, namespace, network
from appliance.lab.observe import observing
from appliance.lab.place import LabError, Place
from appliance.lab.program import AGENT
from appliance.lab.site import FolderCluster
from appliance.lab.stage import Stage, StepFailedError, run, until
from appliance.lab.topology import CLIENT, LAN_INTERFACE, ROUTER, Topology, plan

DEADLINE_SECONDS = 60.0
AGENT_PORT, FORWARDER_PORT = 7472, 7473
HOLD = f"""
import socket
with socket.create_server(("0.0.0.0", {AGENT_PORT})):
    print("held", flush=True)
    input()
"""
_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A lab of three hosts with one VIP on layer 2 and BGP sessions to the router."""
    try:
        lifecycle.require_system()
    except LabError as error:
        pytest.skip(str(error))
    made = Place(f"m{tmp_path_factory.getbasetemp().name[-4:]}")
    try:
        asyncio.run(lifecycle.up(made, 3, lambda _text: None))
        yield made
    finally:
        asyncio.run(lifecycle.down(made))


@pytest.fixture
async def stage(place: Place) -> AsyncIterator[Stage]:
    """The lab with its Services, whole."""
    topology: Topology = plan(3)
    async with observing(place, topology) as observer:
        seen = Stage(place, topology, observer, FolderCluster(place, topology))
        seen.apply("echo-service.yaml", "lab-l2.yaml", "production-bgp.yaml", "production-bfd.yaml")
        await seen.sessions_up()
        await seen.owner(await seen.given("echo"))
        await seen.acquainted()
        yield seen


async def scrape(stage: Stage, host: str, port: int = AGENT_PORT) -> str:
    """What a program of a host answers, asked on the host over TCP."""
    asking = namespace.entering(stage.place.namespace(host))
    code, text = await run(*asking, "curl", "-sS", "--max-time", "10", f"http://127.0.0.1:{port}/metrics")
    assert code == 0, text
    return text


def values(text: str, name: str) -> dict[str, float]:
    """A metric's samples, by their labels as they are written."""
    found = (_SAMPLE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))
    return {sample[2] or "": float(sample[3]) for sample in found if sample and sample[1] == name}


async def until_told(stage: Stage, host: str, name: str, labels: str, expected: float) -> None:
    """Wait until a host tells a number."""
    told: list[dict[str, float]] = []

    async def holds() -> bool:
        told.append(values(await scrape(stage, host), name))
        return told[-1].get(labels) == expected

    try:
        await until(holds, f"{host} to tell {name}{{{labels}}} {expected:g}", DEADLINE_SECONDS)
    except StepFailedError as error:
        raise AssertionError(f"{error}; it told {told[-1]}") from None


async def test_questions_and_answers_are_counted_where_the_owner_is(stage: Stage) -> None:
    """Five questions of a client are five requests and five answers more, on the owner alone."""
    address = await stage.given("echo")
    owner, label = await stage.owner(address), f'ip="{address}"'
    before = {host: await scrape(stage, host) for host in stage.hosts}
    asking = namespace.entering(stage.place.namespace(CLIENT))
    await run(*asking, "arping", "-c", "5", "-w", "15", "-I", LAN_INTERFACE, str(address))
    for host in stage.hosts:
        after = await scrape(stage, host)
        for name in ("metallb_layer2_requests_received", "metallb_layer2_responses_sent"):
            more = values(after, name).get(label, 0) - values(before[host], name).get(label, 0)
            assert (more >= 5) is (host == owner), (host, name, more)


async def test_a_session_is_down_while_the_routers_cable_is_pulled(stage: Stage) -> None:
    """0 soon after, with BFD as well; 1 again when it is back."""
    host = sorted(stage.hosts)[0]
    (labels,) = (
        label
        for label in values(await scrape(stage, host), "metallb_bgp_session_up")
        if stage.topology.address_of(ROUTER, 4) in label
    )
    await until_told(stage, host, "metallb_bgp_session_up", labels, 1)
    await until_told(stage, host, "pierhead_bgp_session_bfd_up", labels, 1)
    await network.plug(stage.place, ROUTER, False)
    try:
        await until_told(stage, host, "metallb_bgp_session_up", labels, 0)
        await until_told(stage, host, "pierhead_bgp_session_bfd_up", labels, 0)
    finally:
        await network.plug(stage.place, ROUTER, True)
    await until_told(stage, host, "metallb_bgp_session_up", labels, 1)


async def test_a_takeover_is_counted_once_where_it_happened(stage: Stage) -> None:
    """The owner's cable is pulled: one host took over, once, and tells how long that took; nobody else announces."""
    address = await stage.given("echo")
    owner, label = await stage.owner(address), f'ip="{address}"'
    took_over = 'reason="took_over"'
    others = sorted(stage.hosts - {owner})
    before = {host: values(await scrape(stage, host), "pierhead_vip_claims_total")[took_over] for host in others}
    await stage.plug(owner, False)
    try:
        successor = await stage.owner(address, other_than=owner)
        for host in others:
            await until_told(stage, host, "pierhead_host_failed", f'host="{owner}"', 1)
            told = await scrape(stage, host)
            expected = 1 if host == successor else 0
            assert values(told, "pierhead_vip_claims_total")[took_over] - before[host] == expected, host
            assert values(told, "pierhead_takeover_seconds_count")[""] == before[host] + expected
            announced = [labels for labels in values(told, "metallb_speaker_announced") if label in labels]
            assert (len([labels for labels in announced if 'protocol="layer2"' in labels]) == 1) is bool(expected)

        async def is_let_go() -> bool:
            told = values(await scrape(stage, owner), "metallb_speaker_announced")
            return not [labels for labels in told if 'protocol="layer2"' in labels]

        await until(is_let_go, f"{owner}, which is cut off, to announce nothing", DEADLINE_SECONDS)
    finally:
        await stage.plug(owner, True)
    for host in others:
        await until_told(stage, host, "pierhead_host_failed", f'host="{owner}"', 0)


@pytest.mark.parametrize(
    ("port", "metrics"),
    [
        (AGENT_PORT, (*PROGRAM_METRICS, *FEED_METRICS, *AGENT_METRICS)),
        (FORWARDER_PORT, (*PROGRAM_METRICS, *FEED_METRICS, *FORWARDER_METRICS)),
    ],
    ids=["agent", "forwarder"],
)
async def test_programs_tell_what_they_declare(stage: Stage, port: int, metrics: tuple[Metric, ...]) -> None:
    """Each metric that is declared, by one host at least, and no other; promtool finds nothing wrong with ours."""
    texts = [await scrape(stage, host, port) for host in sorted(stage.hosts)]
    told = {tuple(line.split()[2:4]) for text in texts for line in text.splitlines() if line.startswith("# TYPE ")}
    # There are none in this lab, and no API server.
    absent = {"pierhead_vip_conflicts", "pierhead_bgp_session_faults", "pierhead_store_requests_total"}
    assert told == {(metric.name, metric.kind.value) for metric in metrics if metric.name not in absent}
    if shutil.which("promtool") is not None:
        for text in texts:
            assert await linted(text) == []


async def linted(text: str) -> list[str]:
    """What promtool says of an exposition, but for MetalLB's names."""
    checking = await asyncio.create_subprocess_exec(
        "promtool", "check", "metrics", stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, told = await checking.communicate(text.encode())
    return [line for line in told.decode().splitlines() if not line.startswith("metallb_")]


async def test_an_agent_whose_port_is_taken_does_its_work(stage: Stage) -> None:
    """It has its sessions, and tells its numbers on its control socket; on the port as soon as that is free."""
    host = sorted(stage.hosts)[0]
    socket = stage.place.machine(host) / "run" / "agent.sock"
    await lifecycle.set_wanted(stage.place, host, AGENT, False)
    holding = await asyncio.create_subprocess_exec(
        *namespace.entering(stage.place.namespace(host)),
        sys.executable,
        "-c",
        HOLD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert holding.stdout is not None
        await holding.stdout.readline()
        await lifecycle.set_wanted(stage.place, host, AGENT, True)

        async def holds() -> bool:
            _, told = await run("curl", "-s", "--max-time", "5", "--unix-socket", str(socket), "http://x/metrics")
            return values(told, "pierhead_ready") == {"": 1} and 1 in values(told, "metallb_bgp_session_up").values()

        await until(holds, "the agent to be ready and to have its session", DEADLINE_SECONDS)
        log = (stage.place.log / f"{host}.agent.log").read_text()
        assert "metrics_not_served" in log
        assert "setting=metrics" in log
    finally:
        holding.kill()
        await holding.communicate()

    async def is_served() -> bool:
        asking = namespace.entering(stage.place.namespace(host))
        code, told = await run(*asking, "curl", "-s", f"http://127.0.0.1:{AGENT_PORT}/metrics")
        return code == 0 and "pierhead_build_info" in told

    await until(is_served, "the agent to have its port", DEADLINE_SECONDS)
