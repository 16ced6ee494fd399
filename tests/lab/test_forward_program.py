"""The forwarder as a process of its own: what it does with the feed, without it, and after its own death."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from appliance.api.kind import Object, kind_of
from appliance.control.client import read_status
from appliance.control.error import ControlError
from appliance.control.message import ForwarderStatus, NeighborStatus
from appliance.control.served import Routes
from appliance.control.server import ControlServer
from appliance.control.topic import Topic, TopicTable
from appliance.forward.change import revision_of
from appliance.forward.listing import KernelTables
from appliance.forward.structure import FAMILIES
from appliance.host.nft import Nft
from appliance.l2.event import Reachability
from appliance.lab.namespace import enter
from appliance.store.directory.store import DirectoryStore
from appliance.store.protocol import StoreError
from tests.lab.forwarding import HOSTS, VIP4, Site, build, name_of, remove, run

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root, network namespaces and nft"
)
ME = HOSTS[0]
DEADLINE_SECONDS = 120.0
AT_ONCE_SECONDS = 20.0  # what listing and applying rules takes on a loaded machine; nothing looks at them regularly
PROGRAM = "from appliance.forwarder.command import forwarder; forwarder()"


@pytest.fixture(scope="module", autouse=True)
def _machines() -> Iterator[None]:
    try:
        build()
        yield
    finally:
        remove()


@pytest.fixture
async def nft() -> AsyncIterator[Nft]:
    """The tables of the host, gone afterwards."""
    tables = Nft(partial(enter, name_of(ME)))
    yield tables
    await tables.clear()


def settings_file(folder: Path) -> Path:
    """Settings for a forwarder that lives in a folder."""
    file = folder / "agent.yaml"
    file.write_text(
        f"host: {ME}\nstore: 'directory:{folder}/site'\nrunDirectory: {folder}/run\n"
        f"cacheDirectory: {folder}/cache\ninterfaces: [eth0]\n"
    )
    return file


@contextlib.contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A forwarder in its host's namespace; ended by SIGTERM."""
    arguments = [sys.executable, "-c", PROGRAM, "--config", str(settings_file(folder))]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(["ip", "netns", "exec", name_of(ME), *arguments], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_SECONDS)


async def put(store: DirectoryStore, manifest: Object) -> None:
    """Write an object, new or not."""
    try:
        await store.create(manifest, "operator")
    except StoreError:
        await store.apply(manifest, "operator")
    if kind_of(manifest).title == "Host":
        await store.apply_status(manifest, "operator")


async def publish(folder: Path, site: Site) -> None:
    """Write a whole site."""
    (folder / "site").mkdir(exist_ok=True)
    store = DirectoryStore(folder / "site")
    manifests: list[Object] = [*site.hosts(), *site.vips(), *site.backends()]
    for manifest in manifests:
        await put(store, manifest)


async def status_when(folder: Path, holds: Callable[[ForwarderStatus], bool]) -> ForwarderStatus:
    """The forwarder's status as soon as it satisfies a condition."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    seen: ForwarderStatus | None = None
    while time.monotonic() < deadline:
        with contextlib.suppress(ControlError):
            seen = await read_status(folder / "run" / "forwarder.sock", ForwarderStatus)
            if holds(seen):
                return seen
        await asyncio.sleep(0.02)
    raise AssertionError(f"last seen: {seen}; {(folder / 'log').read_text()}")


async def when(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if await holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to hold")


async def settled(folder: Path, nft: Nft) -> tuple[ForwarderStatus, KernelTables]:
    """The status and the tables once both VIPs are in force and both are of one revision for a while."""
    agreed = 0
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        status = await status_when(folder, lambda status: len(status.vips) == 2)
        listing = await nft.read()
        agreed = agreed + 1 if listing.revision == status.program.revision else 0
        if agreed == 3:
            return status, listing
        await asyncio.sleep(0.1)
    raise AssertionError((folder / "log").read_text())


def content(listing: KernelTables) -> tuple[object, object]:
    """Everything in the tables but marks, and but what is asked only for a while."""
    chains = {name: rules for name, rules in listing.chains.items() if revision_of(name.name) is None}
    return chains, {one for one in listing.elements if not one.collection.startswith("gained_")}


def transactions(folder: Path) -> int:
    """How many changes the forwarder's log tells of."""
    return (folder / "log").read_text().count("configuration_applied")


async def test_rules_follow_the_feed(tmp_path: Path, nft: Nft) -> None:
    """What is in the store is in the kernel, and its revision in the status."""
    await publish(tmp_path, Site())
    with running(tmp_path):
        before, listing = await settled(tmp_path, nft)
        await publish(tmp_path, replace(Site(), drained=frozenset({HOSTS[1]})))
        await status_when(tmp_path, lambda status: status.program.revision != before.program.revision)
        after, changed = await settled(tmp_path, nft)
        assert after.program.refused == ""
        assert content(changed) != content(listing)
        await publish(tmp_path, Site())
        await status_when(tmp_path, lambda status: status.program.revision != after.program.revision)
        assert content((await settled(tmp_path, nft))[1]) == content(listing)


async def test_rules_outlive_the_forwarder_and_its_feed(tmp_path: Path, nft: Nft) -> None:
    """They stay when it stops; one that starts without the store finds them right by what the disk remembers."""
    await publish(tmp_path, Site())
    with running(tmp_path):
        _, listing = await settled(tmp_path, nft)

        async def is_saved() -> bool:
            return (tmp_path / "cache" / "forwarder.db").exists()

        await when(is_saved)
    assert (await nft.read()).revision == listing.revision
    shutil.rmtree(tmp_path / "site")
    before = transactions(tmp_path)
    with running(tmp_path):
        restarted = await status_when(tmp_path, lambda status: bool(status.program.revision))
        assert (restarted.feed.source, restarted.program.revision) == ("cache", listing.revision)
        assert transactions(tmp_path) == before


async def test_what_others_do_to_the_rules_is_undone(tmp_path: Path, nft: Nft) -> None:
    """Tables that are flushed are back at once, as is one element; others' tables are not looked at."""
    await publish(tmp_path, Site())
    with running(tmp_path):
        _, listing = await settled(tmp_path, nft)
        for harm in (
            "flush ruleset",
            f"delete element ip pierhead addresses {{ {VIP4} }}",
            "flush chain ip pierhead serve",
            "add element ip pierhead stateless { 192.0.2.99 . tcp . 80 : accept }",
        ):
            began = time.monotonic()
            run("ip", "netns", "exec", name_of(ME), "nft", harm)

            async def is_back() -> bool:
                return content(await nft.read()) == content(listing)

            await when(is_back)
            assert time.monotonic() - began < AT_ONCE_SECONDS
        status, _ = await settled(tmp_path, nft)
        run("ip", "netns", "exec", name_of(ME), "nft", "add table ip of_somebody_else")
        assert (await settled(tmp_path, nft))[0].program.revision == status.program.revision


async def test_rules_of_another_version_are_replaced(tmp_path: Path, nft: Nft) -> None:
    """A structure that is not this version's goes in the transaction that brings this one's."""
    text = "".join(f"table {family} pierhead {{ chain old {{ }}; }}\n" for family in FAMILIES)
    run("ip", "netns", "exec", name_of(ME), "nft", "-f", "-", text=text)
    await publish(tmp_path, Site())
    with running(tmp_path):
        _, listing = await settled(tmp_path, nft)
        assert not [name for name in listing.chains if name.name == "old"]


async def test_forwarder_that_knows_nothing_touches_nothing(tmp_path: Path, nft: Nft) -> None:
    """Without a store and a memory it leaves the kernel alone."""
    with running(tmp_path):
        silent = await status_when(tmp_path, lambda status: status.feed.source == "none")
        assert (silent.program.revision, (await nft.read()).chains) == ("", {})


async def test_failed_hosts_come_from_the_agent(tmp_path: Path, nft: Nft) -> None:
    """A host that failed leaves the rings, and is back once it is reachable: not because nobody knows any more."""
    await publish(tmp_path, Site())
    third = HOSTS[2]
    told = {
        HOSTS[1]: NeighborStatus(name=HOSTS[1], state=Reachability.REACHABLE),
        third: NeighborStatus(name=third, state=Reachability.FAILED),
    }

    def agent() -> ControlServer:
        return ControlServer(
            tmp_path / "run" / "agent.sock", Routes(topics={Topic.HOSTS: TopicTable(lambda: tuple(told), told.get)})
        )

    def buckets(listing: KernelTables) -> int:
        return sum(one.value == f"goto to_{third}" for one in listing.elements)

    with running(tmp_path):
        async with agent().serving():
            await status_when(tmp_path, lambda status: status.program.failed_hosts == (third,))
            assert buckets((await settled(tmp_path, nft))[1]) == 0
        assert buckets((await settled(tmp_path, nft))[1]) == 0
    with running(tmp_path):
        assert buckets((await settled(tmp_path, nft))[1]) == 0
        for state in (Reachability.UNKNOWN, Reachability.PROBE, Reachability.AGENT_DOWN):
            told[third] = NeighborStatus(name=third, state=state)
            told[HOSTS[1]] = NeighborStatus(name=HOSTS[1], state=Reachability.FAILED)
            async with agent().serving():
                await status_when(tmp_path, lambda status: len(status.program.failed_hosts) == 2)
            told[HOSTS[1]] = NeighborStatus(name=HOSTS[1], state=Reachability.REACHABLE)
            async with agent().serving():
                await status_when(tmp_path, lambda status: status.program.failed_hosts == (third,))
        told[third] = NeighborStatus(name=third, state=Reachability.REACHABLE)
        async with agent().serving():
            await status_when(tmp_path, lambda status: status.program.failed_hosts == ())

            async def is_back() -> bool:
                return buckets(await nft.read()) > 0

            await when(is_back)


async def test_clear_removes_the_tables(tmp_path: Path, nft: Nft) -> None:
    """`--clear` takes away what a forwarder left."""
    await publish(tmp_path, Site())
    with running(tmp_path):
        await status_when(tmp_path, lambda status: bool(status.program.revision))
    command = ["ip", "netns", "exec", name_of(ME), sys.executable, "-c", PROGRAM, "--clear"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert (done.returncode, (await nft.read()).chains) == (0, {})
