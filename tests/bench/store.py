"""What the stores cost: reading everything, hearing of one change among many, doing nothing, writing.

Times are in milliseconds; `cpu` is processor time of the whole process. The folder is on the disk that holds temporary
files, so that writes wait for it.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

from appliance.api.core import Service, ServicePort, ServiceSpec
from appliance.api.kind import Kind
from appliance.api.meta import Metadata
from appliance.store.directory.store import DirectoryStore
from appliance.store.memory import MemoryStore
from appliance.store.protocol import Changes, Store
from tests.bench.figure import machine, summary

OBJECTS = 10_000
CHANGES = 40
WRITES = 200
UNDER_WAY = 16
IDLE_SECONDS = 10.0
SERVICES = frozenset({Kind.SERVICE})
MANAGER = "bench"
TEXT = """\
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: bench, annotations: {team: blue}}
spec: {type: LoadBalancer, ports: [{port: %d}], selector: {app: %s}}
"""


class Clock:
    """Wall and processor time since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """Both, in milliseconds."""
        return (time.perf_counter() - self._wall) * 1000, (time.process_time() - self._cpu) * 1000

    def both(self) -> dict[str, float]:
        """Both, by name."""
        wall, cpu = self.read()
        return {"wall": round(wall, 1), "cpu": round(cpu, 1)}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=OBJECTS)
    objects = parser.parse_args().objects
    with tempfile.TemporaryDirectory(prefix="pierhead-bench-") as folder:
        figures = {
            "machine": machine(),
            "objects": objects,
            "memory": asyncio.run(memory(objects)),
            "directory": asyncio.run(directory(Path(folder), objects)),
        }
    json.dump(figures, sys.stdout, indent=2)


async def memory(objects: int) -> dict[str, object]:
    """The memory store with many Services."""
    store = MemoryStore(service(f"s{number}") for number in range(objects))
    clock = Clock()
    async with aclosing(store.watch(SERVICES)) as batches:
        await anext(batches)
        first = clock.both()
        return {
            "first_read": first,
            "one_change": await changes(batches, lambda n: store.apply(service("s7", 81 + n), "operator")),
        }


async def directory(folder: Path, objects: int) -> dict[str, object]:
    """The directory store with many Services, each in an operator's file of its own."""
    for number in range(objects):
        (folder / f"s{number}.yaml").write_text(TEXT % (f"s{number}", 80, f"s{number}"))

    async def edit(number: int) -> None:
        spare = folder / ".s7.yaml"
        spare.write_text(TEXT % ("s7", 81 + number, "s7"))
        spare.rename(folder / "s7.yaml")

    figures: dict[str, object] = {"first_read_ever": await first_read(DirectoryStore(folder))}
    store = DirectoryStore(folder)
    clock = Clock()
    async with aclosing(store.watch(SERVICES)) as batches:
        await anext(batches)
        figures["first_read_again"] = clock.both()
        figures["one_change"] = await changes(batches, edit)
        clock = Clock()
        await asyncio.sleep(IDLE_SECONDS)
        wall, cpu = clock.read()
        figures["idle_share_of_a_core"] = round(cpu / wall, 6)
    figures["one_write_after_the_other"] = await writes(store, "a", 1)
    figures[f"{UNDER_WAY}_writes_under_way"] = await writes(store, "b", UNDER_WAY)
    return figures


async def first_read(store: Store) -> dict[str, float]:
    """All that is there."""
    clock = Clock()
    await store.list(SERVICES)
    return clock.both()


async def changes(batches: AsyncIterator[Changes], change: Callable[[int], Awaitable[object]]) -> dict[str, object]:
    """Changes one after the other, each until a watch has told it."""
    seen = []
    for number in range(CHANGES):
        clock = Clock()
        await change(number)
        await anext(batches)
        seen.append(clock.read())
    return {"wall": summary([wall for wall, _ in seen]), "cpu": summary([cpu for _, cpu in seen])}


async def writes(store: Store, name: str, at_once: int) -> dict[str, float]:
    """New objects, some under way at once; times are of one write."""
    turns = asyncio.Semaphore(at_once)

    async def create(number: int) -> None:
        async with turns:
            await store.create(service(f"{name}{number}"), MANAGER)

    clock = Clock()
    async with asyncio.TaskGroup() as group:
        for number in range(WRITES):
            group.create_task(create(number), name="write")
    return {name: round(figure / WRITES, 2) for name, figure in clock.both().items()}


def service(name: str, port: int = 80) -> Service:
    """A Service."""
    spec = ServiceSpec(type="LoadBalancer", ports=(ServicePort(port=port),), selector={"app": name})
    return Service(metadata=Metadata(name=name, namespace="bench"), spec=spec)


if __name__ == "__main__":
    main()
