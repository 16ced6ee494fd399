"""What the story's steps act and look with: hands in the lab, eyes outside the hosts, and waits with a deadline."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from appliance.api.address import IPAddress
from appliance.l2.event import Reachability
from appliance.lab import lifecycle, namespace
from appliance.lab.connection import Connections
from appliance.lab.http import Answer, HttpTarget, NoAnswerError, get
from appliance.lab.observe import Observer
from appliance.lab.place import Place
from appliance.lab.probe import Outage, Prober
from appliance.lab.program import ALLOCATOR, pierhead
from appliance.lab.router import control_socket
from appliance.lab.site import Cluster, example
from appliance.lab.topology import CONTROL, ROUTER, Topology

HELD_CONNECTIONS = 100
PATIENCE_SECONDS = 60.0

_POLL_SECONDS = 0.01
_REQUEST_SECONDS = 5.0
_COMMAND_SECONDS = 60.0
_BFD_UP = re.compile(r"\bUp\b")
_ESTABLISHED = re.compile(r"\bEstablished\b")


class StepFailedError(Exception):
    """A step of the story did not hold; the text says what was seen instead."""


def expect(held: bool, text: str) -> None:
    """Raise StepFailedError with a text unless something held."""
    if not held:
        raise StepFailedError(text)


async def until(holds: Callable[[], Awaitable[bool]], what: str, seconds: float = PATIENCE_SECONDS) -> int:
    """Poll until something holds and return after how many milliseconds; raises StepFailedError in the end."""
    clock = asyncio.get_running_loop().time
    began = clock()
    while not await holds():
        expect(clock() - began < seconds, f"waited {seconds:g} s in vain for {what}")
        await asyncio.sleep(_POLL_SECONDS)
    return round((clock() - began) * 1000)


@dataclass(frozen=True, slots=True)
class ClientLoad:
    """A client at work on one address: it polls, and holds connections open."""

    prober: Prober
    connections: Connections

    def outage(self) -> Outage:
        """What the polling client noticed."""
        return self.prober.outage()


@asynccontextmanager
async def load(targets: Iterable[HttpTarget], timeout_seconds: float) -> AsyncIterator[tuple[ClientLoad, ...]]:
    """Clients at work while the block runs; it begins when all of them are answered."""
    loads = tuple(ClientLoad(Prober(target, timeout_seconds), Connections(target)) for target in targets)
    await _open(loads)
    failure: StepFailedError | None = None
    async with asyncio.TaskGroup() as group:
        for entry in loads:
            group.create_task(entry.prober.run(), name="prober")
            group.create_task(entry.connections.run(), name="connections")
        try:
            await all_well(loads)
            for entry in loads:
                entry.prober.forget()
            yield loads
        except StepFailedError as error:  # kept out of the group, which would wrap it
            failure = error
        finally:
            for entry in loads:
                entry.prober.stop()
                entry.connections.stop()
    if failure:
        raise failure


async def _open(loads: Iterable[ClientLoad]) -> None:
    try:
        for entry in loads:
            await entry.connections.open(HELD_CONNECTIONS)
    except ExceptionGroup as group:
        if group.subgroup(NoAnswerError) is None:
            raise
        raise StepFailedError(f"connections could not be opened: {group.exceptions[0]}") from group


async def all_well(loads: Iterable[ClientLoad], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until every request of late has been answered."""

    async def holds() -> bool:
        return all(entry.prober.is_well() for entry in loads)

    await until(holds, "every request to be answered", seconds)


async def all_settled(loads: Iterable[ClientLoad]) -> None:
    """Wait until every connection has been answered once more, or has ended."""
    moment = asyncio.get_running_loop().time()

    async def holds() -> bool:
        return all(entry.connections.settled_since(moment) for entry in loads)

    await until(holds, "every connection to be answered or to end")


class Stage:
    """One running lab, as the story uses it."""

    def __init__(self, place: Place, topology: Topology, observer: Observer, cluster: Cluster) -> None:
        self.topology = topology
        self.observer = observer
        self.hosts = frozenset(host.name for host in topology.hosts)
        self.place = place
        self._cluster = cluster

    def apply(self, *names: str) -> None:
        """Apply manifests that come with the lab."""
        self._cluster.apply([example(name) for name in names])

    def delete(self, *names: str) -> None:
        """Delete what manifests that come with the lab name."""
        self._cluster.delete([example(name) for name in names])

    def set_ready(self, host: str, ready: bool) -> None:
        """Say of all backends of a host whether they are ready."""
        names = [backend.name for backend in self.topology.backends if backend.host == host]
        self._cluster.set_ready(names, ready)

    async def plug(self, host: str, connected: bool) -> None:
        """Pull a host's cable, or put it back."""
        await lifecycle.plug(self.place, host, connected)

    async def unplugged(self) -> tuple[str, ...]:
        """The hosts whose cables are pulled."""
        status = await lifecycle.status(self.place)
        return tuple(machine.name for machine in status.machines if machine.plugged is False)

    async def address(self, service: str) -> IPAddress | None:
        """The address in a Service's status."""
        addresses = await self._cluster.addresses(service)
        return ip_address(addresses[0]) if addresses else None

    async def given(self, service: str) -> IPAddress:
        """The address of a Service, waited for."""

        async def holds() -> bool:
            return await self.address(service) is not None

        await until(holds, f"an address for {service}")
        address = await self.address(service)
        if address is None:
            raise StepFailedError(f"{service} lost its address")
        return address

    async def owner(self, address: IPAddress, other_than: str | None = None) -> str:
        """The host an address resolves to, waited for."""
        found: list[str] = []

        async def holds() -> bool:
            host = await self.observer.resolve(address)
            found.append(host or "nobody")
            return host in self.hosts and host != other_than

        await until(holds, f"{address} to resolve to a host" + (f" other than {other_than}" if other_than else ""))
        return found[-1]

    async def holder(self, address: IPAddress) -> str | None:
        """The host an address resolves to now, asked once more before that is nobody: a loaded machine answers late."""
        return await self.observer.resolve(address) or await self.observer.resolve(address)

    async def hops(self, address: IPAddress, hosts: frozenset[str]) -> int:
        """Wait until the router's route to an address has these next hops."""

        async def holds() -> bool:
            return await self.observer.next_hops(address) == hosts

        listed = ", ".join(sorted(hosts)) or "nobody"
        return await until(holds, f"the router's route to {address} to lead to {listed}")

    async def answered(self, machine: str, address: IPAddress) -> Answer:
        """An answer over HTTP, waited for."""
        found: list[Answer] = []

        async def holds() -> bool:
            try:
                found.append(await get(self.target(machine, address), _REQUEST_SECONDS))
            except NoAnswerError:
                return False
            return True

        await until(holds, f"{address} to answer {machine}")
        return found[-1]

    def target(self, machine: str, address: IPAddress) -> HttpTarget:
        """What a machine asks, when it asks an address."""
        return HttpTarget(self.place.namespace(machine), address)

    async def sessions_up(self) -> int:
        """Wait until the router has its sessions with every host on the network: BGP and BFD, in both families."""

        async def holds() -> bool:
            wanted = 2 * (len(self.hosts) - len(await self.unplugged()))
            protocols, bfd = await self._ask_router("protocols"), await self._ask_router("bfd", "sessions")
            return len(_ESTABLISHED.findall(protocols)) >= wanted and len(_BFD_UP.findall(bfd)) >= wanted

        return await until(holds, "the router's sessions with every host")

    async def _ask_router(self, *what: str) -> str:
        socket = control_socket(self.place.machine(ROUTER))
        return (await run("birdc", "-s", str(socket), "show", *what))[1]

    async def acquainted(self) -> None:
        """Wait until every agent holds every other host to be reachable: one that never met a host misses none."""

        async def holds() -> bool:
            return all([await self._reachable_from(host) == self.hosts - {host} for host in sorted(self.hosts)])

        await until(holds, "every host to know the others")

    async def _reachable_from(self, host: str) -> frozenset[str]:
        socket = str(self.place.machine(host) / "run" / "agent.sock")
        code, output = await run(pierhead(), "status", "--json", "--socket", socket)
        neighbors = json.loads(output)["hosts"] if code == 0 else ()
        return frozenset(each["name"] for each in neighbors if each["state"] == Reachability.REACHABLE)

    async def explain(self, service: str) -> str:
        """What `pierhead explain` says of a Service."""
        words = (pierhead(), "explain", "service", f"default/{service}", "--store", self._cluster.allocator_store)
        return (await run(*namespace.entering(self.place.namespace(CONTROL)), *words))[1]

    async def drain(self, host: str, drained: bool) -> None:
        """Drain a host with the command an operator would use, or end that."""
        socket = str(self.place.machine(host) / "run" / "agent.sock")
        command = "drain" if drained else "undrain"
        code, output = await run(pierhead(), command, "--socket", socket)
        expect(code == 0, f"pierhead {command} said: {output.strip()}")

    @asynccontextmanager
    async def without_feed(self) -> AsyncIterator[None]:
        """Take the store and the allocator away while the block runs."""
        await lifecycle.set_wanted(self.place, CONTROL, ALLOCATOR, False)
        self._cluster.take_away()
        try:
            yield
        finally:
            self._cluster.bring_back()
            await lifecycle.set_wanted(self.place, CONTROL, ALLOCATOR, True)


async def run(*words: str) -> tuple[int, str]:
    """Run a command and return its exit status and what it said; raises StepFailedError when it does not end."""
    started = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_COMMAND_SECONDS):
            output, _ = await started.communicate()
    except TimeoutError:
        started.kill()
        await started.wait()
        raise StepFailedError(f"{' '.join(words)} did not end") from None
    return started.returncode or 0, output.decode(errors="replace")
