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
from pathlib import Path

import pytest

from appliance.api.kind import Object, kind_of
from appliance.control.client import read_status
from appliance.control.error import ControlError
from appliance.control.message import ForwarderStatus, Neighbor, NeighborState
from appliance.control.server import ControlServer, Routes
from appliance.control.topic import Table, Topic
from appliance.host.nft import Nft
from appliance.store.directory.store import DirectoryStore
from appliance.store.protocol import StoreError
from tests.lab.forwarding import HOSTS, Site, build, name_of, remove

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root, network namespaces and nft"
)
ME = HOSTS[0]
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
    tables = Nft(("ip", "netns", "exec", name_of(ME), "nft"))
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
        process.wait(10)


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
    deadline = time.monotonic() + 15
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
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if await holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to hold")


async def test_rules_follow_the_feed(tmp_path: Path, nft: Nft) -> None:
    """What is in the store is in the kernel, and its digest in the status."""
    await publish(tmp_path, Site())
    with running(tmp_path):
        before = await status_when(tmp_path, lambda status: len(status.vips) == 2 and status.feed.source == "live")
        assert await nft.read() == before.program.revision
        await publish(tmp_path, replace(Site(), drained=frozenset({HOSTS[1]})))
        after = await status_when(tmp_path, lambda status: status.program.revision != before.program.revision)
        assert (await nft.read(), after.program.refused) == (after.program.revision, "")


async def test_rules_outlive_the_forwarder_and_its_feed(tmp_path: Path, nft: Nft) -> None:
    """They stay when it stops, and one that starts without the store keeps them by what the disk remembers."""
    await publish(tmp_path, Site())
    with running(tmp_path):
        revision = (await status_when(tmp_path, lambda status: len(status.vips) == 2)).program.revision

        async def is_saved() -> bool:
            return (tmp_path / "cache" / "forwarder.db").exists()

        await when(is_saved)
    assert await nft.read() == revision
    shutil.rmtree(tmp_path / "site")
    with running(tmp_path):
        restarted = await status_when(tmp_path, lambda status: bool(status.program.revision))
        assert (restarted.feed.source, restarted.program.revision) == ("cache", revision)
        await nft.clear()

        async def is_back() -> bool:
            return await nft.read() == revision

        await when(is_back)


async def test_forwarder_that_knows_nothing_touches_nothing(tmp_path: Path, nft: Nft) -> None:
    """Without a store and a memory it leaves the kernel alone."""
    with running(tmp_path):
        silent = await status_when(tmp_path, lambda status: status.feed.source == "none")
        assert (silent.program.revision, await nft.read()) == ("", None)


async def test_dead_hosts_come_from_the_agent(tmp_path: Path, nft: Nft) -> None:
    """A host the agent convicted leaves, and stays away when the agent is gone."""
    await publish(tmp_path, Site())
    with running(tmp_path):
        before = await status_when(tmp_path, lambda status: len(status.vips) == 2)
        told = {
            HOSTS[1]: Neighbor(name=HOSTS[1], state=NeighborState.REACHABLE),
            HOSTS[2]: Neighbor(name=HOSTS[2], state=NeighborState.FAILED),
        }
        agent = ControlServer(
            tmp_path / "run" / "agent.sock", Routes(topics={Topic.HOSTS: Table(lambda: tuple(told), told.get)})
        )
        async with agent.serving():
            after = await status_when(tmp_path, lambda status: status.program.dead_hosts == (HOSTS[2],))
        assert (
            await status_when(tmp_path, lambda status: status.program.revision != before.program.revision)
        ).program.dead_hosts == (HOSTS[2],)
        assert after.program.dead_hosts == (HOSTS[2],)


async def test_clear_removes_the_tables(tmp_path: Path, nft: Nft) -> None:
    """`--clear` takes away what a forwarder left."""
    await publish(tmp_path, Site())
    with running(tmp_path):
        await status_when(tmp_path, lambda status: bool(status.program.revision))
    command = ["ip", "netns", "exec", name_of(ME), sys.executable, "-c", PROGRAM, "--clear"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    assert (done.returncode, await nft.read()) == (0, None)
