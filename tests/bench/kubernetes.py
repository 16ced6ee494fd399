"""What the Kubernetes store costs, on a real API server: reading all, hearing of one change, writing, doing nothing.

Times are in milliseconds; `cpu` is processor time of this process alone. `longest_stall` is the most of it that was
spent before the loop could do anything else. The peer is the same server asked for the same bytes without decoding.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import cast

from appliance.api.core import Service
from appliance.api.kind import Kind
from appliance.api.manifest import encode
from appliance.store.kubernetes.connection import Connection, Verb
from appliance.store.kubernetes.resource import collection_path
from appliance.store.kubernetes.selection import Selection, pages
from appliance.store.kubernetes.store import KubernetesStore
from appliance.store.open import open_store
from tests.bench.figure import machine, summary
from tests.bench.store import MANAGER, SERVICES, UNDER_WAY, Clock, service
from tests.cluster.control_plane import ControlPlane
from tests.contract.sample import addressed, noted

OBJECTS = 10_000
CHANGES = 100
CHANGED = 7
IDLE_SECONDS = 5.0
TICK_SECONDS = 0.001


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=OBJECTS)
    objects = parser.parse_args().objects
    with tempfile.TemporaryDirectory(prefix="pierhead-bench-") as folder:
        control_plane = ControlPlane(Path(folder))
        try:
            control_plane.start()
            control_plane.kubectl("create", "namespace", "bench")
            store = cast(KubernetesStore, open_store(f"kubernetes:{control_plane.kubeconfig}"))
            figures = asyncio.run(measure(store, objects))
        finally:
            control_plane.stop()
    json.dump({"machine": machine(), "objects": objects, **figures}, sys.stdout, indent=2)


async def measure(store: KubernetesStore, objects: int) -> dict[str, object]:
    """All figures, with one session."""
    async with store.connection.held():
        figures: dict[str, object] = {f"create_{UNDER_WAY}_under_way": await created(store, objects)}
        before = resident()
        async with aclosing(store.watch(SERVICES)) as batches:
            async with stalls() as seen:
                clock = Clock()
                held = [each async for each in until_listed(batches)]
                figures["first_read_of_a_watch"] = {**clock.both(), "longest_stall": max(seen)}
            figures["resident_kibibytes_an_object"] = round((resident() - before) / len(held), 2)
            figures["one_change"] = await one_change(store, batches)
            requests = sum(store.connection.requests.values())
            clock = Clock()
            await asyncio.sleep(IDLE_SECONDS)
            wall, cpu = clock.read()
            figures["idle"] = {
                "requests": sum(store.connection.requests.values()) - requests,
                "share_of_a_core": round(cpu / wall, 6),
            }
        clock = Clock()
        await undecoded(store.connection)
        figures["list_undecoded"] = clock.both()
        async with stalls() as seen:
            clock = Clock()
            await store.list(SERVICES)
            figures["list"] = {**clock.both(), "longest_stall": max(seen)}
    return figures


async def created(store: KubernetesStore, objects: int) -> dict[str, float]:
    """New objects, some under way at once; times are of one."""
    turns = asyncio.Semaphore(UNDER_WAY)

    async def create(number: int) -> None:
        async with turns:
            body = encode(service(f"s{number}"))
            if number != CHANGED:
                # Addresses and ports, which reading does not need, are given out by the server one after the other.
                body["spec"] = {**cast(dict[str, object], body["spec"]), "type": "ClusterIP", "clusterIP": "None"}
            path = collection_path(Kind.SERVICE, "bench")
            await store.connection.request(Verb.CREATE, path, query={"fieldManager": MANAGER}, body=body)

    clock = Clock()
    async with asyncio.TaskGroup() as group:
        for number in range(objects):
            group.create_task(create(number), name="write")
    return {name: round(figure / objects, 2) for name, figure in clock.both().items()}


async def undecoded(connection: Connection) -> None:
    """Every page, parsed as JSON and thrown away."""
    async for _ in pages(connection, Selection(Kind.SERVICE)):
        continue


async def until_listed(batches: AsyncIterator[object]) -> AsyncIterator[object]:
    """The objects of a watch's first listing."""
    async for batch in batches:
        for each in getattr(batch, "changed", ()):
            yield each
        if getattr(batch, "listed", None):
            return


async def one_change(store: KubernetesStore, batches: AsyncIterator[object]) -> dict[str, object]:
    """A status with its annotation, from the request to its answer and to the watch that tells it."""
    answered, told = [], []
    for number in range(CHANGES):
        wanted = addressed(noted(service(f"s{CHANGED}"), turn=str(number)), f"10.0.0.{number + 1}")
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(_next(batches), name="told")
            stored = cast(Service, await store.apply_status(wanted, MANAGER, with_metadata=True))
            answered.append((time.perf_counter() - began) * 1000)
            await telling
        told.append((time.perf_counter() - began) * 1000)
        assert stored.status == wanted.status
    return {"answered": summary(answered), "told": summary(told)}


async def _next(batches: AsyncIterator[object]) -> object:
    return await anext(batches)


@asynccontextmanager
async def stalls() -> AsyncIterator[list[float]]:
    """The processor time of each turn of the loop within the block, in milliseconds."""
    seen: list[float] = [0.0]

    async def tick() -> None:
        while True:
            began = time.process_time()
            await asyncio.sleep(TICK_SECONDS)
            seen.append(round((time.process_time() - began) * 1000, 1))

    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(tick(), name="tick")
        yield seen
        ticking.cancel()


def resident() -> int:
    """Resident memory of this process in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


if __name__ == "__main__":
    main()
