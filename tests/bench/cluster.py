"""The allocator on a real API server: how soon Services have addresses, what that asks of the server, who follows whom.

usage: python -m tests.bench.cluster [--services N]... [--hosts N]...

Everything runs on this machine and shares its cores: server, etcd, allocators and this client. So the server's own rate
of writes is measured beside, by 16 patches at a time before and after in the same run, and the allocator's is told as a
share of it, in writes a second and in processor time of all that takes part (which a busy machine changes less).
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from appliance.api.kind import Kind
from appliance.api.pierhead import HOSTS_NAMESPACE, VirtualIP
from appliance.control.event import Events
from appliance.daemon.cache import FeedCache
from appliance.daemon.feed import FeedChange, FeedSource, SiteFeed
from appliance.daemon.settings import HostSettings
from appliance.daemon.token import open_host_store
from appliance.desired.feed import FEED_KINDS
from appliance.lab.program import pierhead
from appliance.store.open import open_store
from appliance.store.protocol import StoreError
from appliance.store.scope import Scope
from tests.bench.figure import machine, summary
from tests.cluster import crd
from tests.cluster.allocators import (
    LAYER2,
    LEASE,
    POOLS,
    VIPS,
    AllocatorProgram,
    addresses_of,
    advertisement,
    allocator,
    namespace,
    pool,
    service,
    slice_of,
    until,
)
from tests.cluster.api import Api, ApiError, Content, api_of, many
from tests.cluster.control_plane import ControlPlane
from tests.cluster.programs import ETCD, KUBERNETES, prepare
from tests.cluster.site import MANIFESTS

SERVICES = (1_000, 10_000)
HOSTS = (3, 100)
UNDER_WAY = 16
PATCHES = 1_000
PROBES = 100
REST_SECONDS = 20.0
PATIENCE_SECONDS = 900.0
SLICES = "/apis/discovery.k8s.io/v1/namespaces/many/endpointslices"
BACKENDS = "/apis/pierhead.io/v1alpha1/backends"
HOST = "bench-host"
FEED = frozenset({Kind.VIRTUAL_IP, Kind.BACKENDS, Kind.BGP_SESSION, Kind.HOST})


@dataclass
class Seen:
    """When the Services of a namespace were first seen to have an address, and a VirtualIP."""

    told: dict[str, float] = field(default_factory=dict)
    published: dict[str, float] = field(default_factory=dict)
    heard: dict[str, float] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, api: Api, path: str, version: str, note: Callable[[Content], None]) -> None:
        """Note every change of a collection; a server that has only just heard of its kind is asked again."""
        while True:
            try:
                async for kind, content in api.watch(path, version):
                    if kind in ("ADDED", "MODIFIED"):
                        note(content)
                        self.news.set()
            except ApiError as error:
                if error.code != 429:
                    raise
            await asyncio.sleep(0.1)

    def note_service(self, content: Content) -> None:
        """A Service changed."""
        if addresses_of(content):
            self.told.setdefault(content["metadata"]["name"], time.perf_counter())

    def note_vip(self, content: Content) -> None:
        """A VirtualIP changed."""
        for entry in content["spec"].get("services", ()):
            self.published.setdefault(entry["name"], time.perf_counter())

    def note_feed(self, change: FeedChange) -> None:
        """A host's feed changed."""
        for manifest in change.changed:
            if isinstance(manifest, VirtualIP):
                for entry in manifest.spec.services:
                    self.heard.setdefault(entry.name, time.perf_counter())
        self.news.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something is seen."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                self.news.clear()
                await self.news.wait()

    async def until_served(self, name: str) -> None:
        """Wait until a Service has an address, and a host has heard of it."""
        await self.until(lambda: name in self.told and name in self.published and name in self.heard)


@asynccontextmanager
async def watching(api: Api, path: str) -> AsyncIterator[Seen]:
    """Watch Services and VirtualIPs from now on."""
    seen = Seen()
    version = (await api.get(f"{path}?limit=1"))["metadata"]["resourceVersion"]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(seen.follow(api, path, version, seen.note_service), name="services"),
            group.create_task(seen.follow(api, VIPS, version, seen.note_vip), name="vips"),
        ]
        try:
            yield seen
        finally:
            for task in tasks:
                task.cancel()


@asynccontextmanager
async def hearing(seen: Seen, kubeconfig: Path, folder: Path) -> AsyncIterator[None]:
    """A host's feed as its agent has it, with the host's own credentials and its cache on the disk."""
    settings = HostSettings(host=HOST, store=f"kubernetes:{kubeconfig}", cache_directory=folder)
    store, _ = open_host_store(settings, {Kind.SECRET: Scope((HOSTS_NAMESPACE,), HOST)})
    feed = SiteFeed(FEED_KINDS, FeedCache(folder / "feed.db"), Events(), on_change=seen.note_feed)
    feed.load()

    async def is_live() -> bool:
        return feed.source is FeedSource.LIVE

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(feed.follow(store), name="feed"),
            group.create_task(feed.save_for_ever(), name="cache"),
        ]
        try:
            await until(is_live, PATIENCE_SECONDS)
            yield
        finally:
            for task in tasks:
                task.cancel()


@dataclass(frozen=True, slots=True)
class Cost:
    """What so many writes took: seconds, and milliseconds of processor time of each process for each of them."""

    count: int
    seconds: float
    processor_ms: dict[str, float]

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.count / self.seconds

    def told(self) -> dict[str, object]:
        """As it is printed."""
        return {"a_second": round(self.rate, 1), "processor_ms_each": self.processor_ms}


class Stopwatch:
    """Time, and processor time of some processes, from now on."""

    def __init__(self, processes: dict[str, int]) -> None:
        self._processes = processes
        self._begun = time.perf_counter()
        self._used = {name: processor_seconds(pid) for name, pid in processes.items()}

    def cost(self, count: int, seconds: float = 0.0) -> Cost:
        """What it was for each of so many."""
        used = {name: processor_seconds(pid) - self._used[name] for name, pid in self._processes.items()}
        each = {name: round(1000 * spent / count, 3) for name, spent in used.items()}
        return Cost(count, seconds or time.perf_counter() - self._begun, each)


def processor_seconds(pid: int) -> float:
    """What a process has used so far, by itself and for the kernel's work."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bench:
    """One server with so many Services."""

    def __init__(self, plane: ControlPlane, api: Api, folder: Path, path: str, services: int) -> None:
        self.plane = plane
        self.api = api
        self.folder = folder
        self.path = path
        self.services = services
        self.host_kubeconfig = folder / f"{HOST}.kubeconfig"
        self.started = 0

    def allocator(self) -> AllocatorProgram:
        """One more allocator."""
        self.started += 1
        return AllocatorProgram(self.plane.kubeconfig, self.folder / f"allocator-{self.started}.log")

    async def server_cost(self) -> Cost:
        """What writes of one annotation of a Service each cost, 16 at a time, while no allocator runs."""
        count = min(self.services, PATCHES)
        stamp = {"metadata": {"annotations": {"example.com/stamp": str(time.time())}}}
        watch = Stopwatch({**self._servers(), "client": os.getpid()})
        await many(count, UNDER_WAY, lambda number: self.api.patch(f"{self.path}/s{number}", stamp))
        return watch.cost(count)

    async def start(self) -> tuple[AllocatorProgram, dict[str, object]]:
        """An allocator begins while all Services wait; the server's own rate is taken before and after."""
        costs = [await self.server_cost()]
        before = await self.api.written()
        async with watching(self.api, self.path) as seen:
            begun = time.perf_counter()
            program = self.allocator()
            await seen.until(lambda: bool(seen.published))
            spent = Stopwatch({**self._servers(), "allocator": program.process.pid})
            await seen.until(lambda: len(seen.told) >= self.services)
            first, last = min(seen.published.values()), max(seen.told.values())
        writes = await self.api.written() - before
        cost = spent.cost(writes, last - first)
        program.send(signal.SIGSTOP)
        costs.append(await self.server_cost())
        program.send(signal.SIGCONT)
        await self.api.create(self.path, service("settled"))
        await until(self._is_told("settled"), PATIENCE_SECONDS)
        rate = sum(each.rate for each in costs) / len(costs)
        processor = sum(sum(each.processor_ms.values()) for each in costs) / len(costs)
        return program, {
            "server_patches": [each.told() for each in costs],
            "seconds_from_its_start_to_the_last_address": round(last - begun, 2),
            "seconds_from_the_first_to_the_last_address": round(last - first, 2),
            "writes_a_service": round(writes / self.services, 2),
            "writes": cost.told(),
            "writes_as_share_of_the_servers_rate": round(cost.rate / rate, 2),
            "the_same_by_processor_time": round(processor / sum(cost.processor_ms.values()), 2),
        }

    def _servers(self) -> dict[str, int]:
        return {"server": self.plane.pid(), "etcd": self.plane.pid("etcd")}

    async def one_more(self, prefix: str, after_deletion: bool) -> dict[str, object]:
        """From the request that creates a Service until its address, and its VirtualIP, are seen; milliseconds."""
        waits: list[float] = []
        hosts: list[float] = []
        heard: list[float] = []
        folder = self.folder / prefix
        async with watching(self.api, self.path) as seen, hearing(seen, self.host_kubeconfig, folder):
            for number in range(PROBES):
                name = f"{prefix}{number}"
                if after_deletion:
                    await self.api.delete(f"{self.path}/s{number}")
                begun = time.perf_counter()
                await self.api.create(self.path, service(name))
                await seen.until_served(name)
                waits.append((seen.told[name] - begun) * 1000)
                hosts.append((seen.published[name] - begun) * 1000)
                heard.append((seen.heard[name] - begun) * 1000)
        return {
            "until_its_address_ms": summary(waits),
            "until_hosts_are_told_ms": summary(hosts),
            "until_a_hosts_feed_has_it_ms": summary(heard),
        }

    async def one_less(self) -> int:
        """Writes for one deleted Service among many: all until nothing happens."""
        before = await self.api.written()
        await self.api.delete(f"{self.path}/s{self.services - 1}")
        await asyncio.sleep(REST_SECONDS / 4)
        return await self.api.written() - before - 1

    async def restart(self, program: AllocatorProgram) -> tuple[AllocatorProgram, dict[str, object]]:
        """It ends and begins again: writes, and the time until it serves."""
        program.stop()
        await self.api.create(self.path, service("restart"))
        before = await self.api.written()
        begun = time.perf_counter()
        program = self.allocator()
        await until(self._is_told("restart"), PATIENCE_SECONDS)
        seconds = time.perf_counter() - begun
        await asyncio.sleep(REST_SECONDS / 4)
        return program, {
            "seconds_until_it_serves": round(seconds, 2),
            "writes_besides_the_one_that_waited": await self.api.written() - before - 2,
        }

    async def endpoints(self, program: AllocatorProgram) -> dict[str, object]:
        """Three endpoints for each Service, and what the allocator then has in memory."""
        alone = program.resident_mebibytes()

        async def add(number: int) -> None:
            addresses = (f"10.{128 + host}.{number >> 8 & 255}.{number & 255}" for host in range(3))
            await self.api.create(SLICES, slice_of(f"s{number}", *addresses))

        count = self.services - PROBES - 1
        begun = time.perf_counter()
        await many(count, UNDER_WAY, lambda number: add(number + PROBES))

        async def are_published() -> bool:
            found = await self.api.get(f"{BACKENDS}?limit=1")
            return int(found["metadata"].get("remainingItemCount", 0)) + len(found["items"]) >= count

        await until(are_published, PATIENCE_SECONDS)
        return {
            "endpoints": 3 * count,
            "seconds_until_all_are_in_backends": round(time.perf_counter() - begun, 2),
            "mebibytes_without_endpoints": round(alone, 1),
            "mebibytes": round(program.resident_mebibytes(), 1),
        }

    async def failover(self, leader: AllocatorProgram) -> dict[str, object]:
        """From the end of the leader until another one leads, and a Service created then has its address; seconds."""
        found: dict[str, object] = {}
        for name, number in (("told_to_stop", signal.SIGTERM), ("killed", signal.SIGKILL)):
            follower = self.allocator()
            before = await self._leader()
            await until(follower.follows(before), PATIENCE_SECONDS)
            begun = time.perf_counter()
            leader.send(number)
            await self.api.create(self.path, service(f"failover-{number}"))

            async def is_another_one(before: str = before) -> bool:
                return await self._leader() not in ("", before)

            await until(is_another_one, PATIENCE_SECONDS)
            led = time.perf_counter() - begun
            await until(self._is_told(f"failover-{number}"), PATIENCE_SECONDS)
            served = time.perf_counter() - begun
            found[name] = {"until_another_leads": round(led, 2), "until_a_service_is_served": round(served, 2)}
            leader.stop(signal.SIGKILL)
            leader = follower
        leader.stop()
        return found

    async def at_rest(self, hosts: int) -> dict[str, float]:
        """Requests a second with one allocator and the watches of so many hosts."""
        async with AsyncExitStack() as stack:
            stack.enter_context(allocator(self.plane.kubeconfig, self.folder / "rest.log"))
            group = await stack.enter_async_context(asyncio.TaskGroup())
            listed: set[int] = set()
            all_listed = asyncio.Event()

            async def follow(host: int) -> None:
                told: frozenset[Kind] = frozenset()
                async for changes in open_store(f"kubernetes:{self.plane.kubeconfig}").watch(FEED):
                    told |= changes.listed
                    if told >= FEED:
                        listed.add(host)
                    if len(listed) == hosts:
                        all_listed.set()

            async def follow_for_ever(host: int) -> None:
                while True:
                    with contextlib.suppress(StoreError):
                        await follow(host)
                    await asyncio.sleep(1)

            tasks = [group.create_task(follow_for_ever(host), name=f"host {host}") for host in range(hosts)]
            async with asyncio.timeout(PATIENCE_SECONDS):
                await all_listed.wait()
            await asyncio.sleep(REST_SECONDS / 4)
            before = await self._requests()
            await asyncio.sleep(REST_SECONDS)
            after = await self._requests()
            for task in tasks:
                task.cancel()
        return {kind: round((after[kind] - before[kind]) / REST_SECONDS, 2) for kind in after}

    async def _requests(self) -> dict[str, int]:
        """The allocator's and the hosts' requests so far: to the Lease, and to everything else but what is our own."""
        writes = {"POST", "PUT", "PATCH", "APPLY", "DELETE"}
        counted = [
            (labels["resource"], labels["verb"], count)
            for labels, count in await self.api.counted()
            if labels["group"] in ("pierhead.io", "metallb.io", "coordination.k8s.io")
            or labels["resource"] in ("services", "endpointslices", "nodes", "namespaces", "events")
        ]
        leases = [entry for entry in counted if entry[0] == "leases"]
        others = [entry for entry in counted if entry[0] != "leases"]
        return {
            "of_the_lease": sum(count for _, _, count in leases),
            "writes_but_for_the_lease": sum(count for _, verb, count in others if verb in writes),
            "all_but_for_the_lease": sum(count for _, _, count in others),
        }

    def _is_told(self, name: str) -> Callable[[], Awaitable[bool]]:
        async def is_told() -> bool:
            return bool(addresses_of(await self.api.get(f"{self.path}/{name}")))

        return is_told

    async def _leader(self) -> str:
        return str((await self.api.get(LEASE))["spec"].get("holderIdentity") or "")


async def measure(services: int, hosts: tuple[int, ...]) -> dict[str, object]:
    """Everything for one number of Services, on a server of its own; at rest only with some hosts."""
    with TemporaryDirectory() as name:
        plane = ControlPlane(Path(name) / "control-plane")
        await asyncio.to_thread(plane.start)
        try:
            plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "metallb-system"}})
            plane.kubectl("apply", "--server-side", "-f", str(MANIFESTS))
            crd.wait_until_served(plane)
            async with api_of(plane.kubeconfig) as api:
                return await _measured(plane, api, Path(name), services, hosts)
        finally:
            await asyncio.to_thread(plane.stop)


async def _measured(
    plane: ControlPlane, api: Api, folder: Path, services: int, hosts: tuple[int, ...]
) -> dict[str, object]:
    path = await namespace(api, "many")
    words = (pierhead(), "host-credentials", HOST, f"--store=kubernetes:{plane.kubeconfig}", f"--directory={folder}")
    subprocess.run(words, check=True, stdout=sys.stderr)
    bench = Bench(plane, api, folder, path, services)
    await api.create(POOLS, pool("many", "10.100.0.0/15"))
    await api.create(LAYER2, advertisement("many"))
    _say(f"{services} Services: creating")
    await many(services, UNDER_WAY, lambda number: api.create(path, service(f"s{number}")))
    found: dict[str, object] = {}
    _say(f"{services} Services: an allocator begins")
    program, found["all_pending_at_the_start"] = await bench.start()
    try:
        _say(f"{services} Services: {json.dumps(found['all_pending_at_the_start'])}")
        found["one_more"] = await bench.one_more("p", after_deletion=False)
        found["one_more_right_after_a_deletion"] = await bench.one_more("q", after_deletion=True)
        found["writes_for_one_less"] = await bench.one_less()
        program, found["restart"] = await bench.restart(program)
        _say(f"{services} Services: endpoints")
        found["memory"] = await bench.endpoints(program)
        found["failover_seconds"] = await bench.failover(program)
        if hosts:
            found["requests_a_second_at_rest"] = {f"{count}_hosts": await bench.at_rest(count) for count in hosts}
    finally:
        program.stop(signal.SIGKILL)
    found["load_average"] = round(os.getloadavg()[0], 2)
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def main() -> None:
    """Measure, and print figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, action="append", metavar="N", help=f"default: {SERVICES}")
    parser.add_argument("--hosts", type=int, action="append", metavar="N", help=f"watches at rest; default: {HOSTS}")
    given = parser.parse_args()
    if min(given.services or SERVICES) < 2 * PROBES:
        parser.error(f"{2 * PROBES} Services at least")
    prepare(ETCD, KUBERNETES)
    numbers = sorted(given.services or SERVICES)
    hosts = tuple(given.hosts or HOSTS)
    found = {
        f"{services}_services": asyncio.run(measure(services, hosts if services == numbers[0] else ()))
        for services in numbers
    }
    print(json.dumps({"machine": machine(), **found}, indent=2))


if __name__ == "__main__":
    main()
