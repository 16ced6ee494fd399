"""A lab's life: started whole or not at all, looked at, taken down without a trace."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from appliance.api.yaml import dump_documents
from appliance.lab import namespace, network, site, supervise
from appliance.lab.place import LabError, Place, clear, read_state, require_state, write, write_state
from appliance.lab.program import (
    AGENT,
    FORWARDER,
    Running,
    is_missing,
    is_running,
    programs,
    read_running,
    read_wanted,
    with_wanted,
    write_wanted,
)
from appliance.lab.router import configurations
from appliance.lab.topology import LAN_INTERFACE, LabHost, Topology, plan

START_SECONDS = 180.0
STOP_SECONDS = 60.0  # above what a program takes to leave
_POLL_SECONDS = 0.02

_PACKAGES = {"bird": "bird2", "birdc": "bird2", "nft": "nftables", "nsenter": "util-linux", "setsid": "util-linux"}

Say = Callable[[str], None]
MakeCluster = Callable[[Place, Topology], site.Cluster]


@dataclass(frozen=True, slots=True)
class ProgramStatus:
    """One program of a machine; `pid` None = it does not run at the moment."""

    name: str
    pid: int | None
    restarts: int
    wanted: bool


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """One machine of the site; `plugged` None for those with no cable to pull."""

    name: str
    namespace: str
    plugged: bool | None
    programs: tuple[ProgramStatus, ...]


@dataclass(frozen=True, slots=True)
class LabStatus:
    """What a lab consists of at the moment."""

    name: str
    directory: str
    supervisor: int | None
    unready: tuple[str, ...]
    machines: tuple[MachineStatus, ...]


def require_system() -> None:
    """Raise LabError saying what is missing: root, or a Debian package."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces, which only root may; run it as root")
    missing = sorted({package for word, package in _PACKAGES.items() if is_missing(word)})
    if missing:
        raise LabError(f"a tool is missing; install it with: apt-get install {' '.join(missing)}")


async def up(place: Place, hosts: int, say: Say, make_cluster: MakeCluster = site.FolderCluster) -> Topology:
    """Start a lab; one that cannot be started whole leaves nothing behind."""
    require_system()
    topology = _plan(hosts)
    if read_state(place) is not None:
        raise LabError(f"lab {place.name!r} is up, or was left behind by a crash; take it down with: pierhead lab down")
    names = tuple(place.namespace(machine) for machine in topology.machines)
    if taken := namespace.existing(names):
        raise LabError(f"not made by this lab, and in its way: namespace {', '.join(taken)}; see `up --name`")
    write_state(place, hosts, names)
    async with AsyncExitStack() as undo:
        undo.push_async_callback(down, place)
        cluster = make_cluster(place, topology)
        undo.callback(cluster.close)
        await _start(place, topology, cluster, say)
        undo.pop_all()
    return topology


def _plan(hosts: int) -> Topology:
    try:
        return plan(hosts)
    except ValueError as error:
        raise LabError(str(error)) from error


async def _start(place: Place, topology: Topology, cluster: site.Cluster, say: Say) -> None:
    say(f"making {len(topology.machines)} machines and {len(topology.cables)} cables")
    await network.build(place, topology)
    cluster.prepare()
    for machine, text in configurations(topology).items():
        write(place.machine(machine) / "bird.conf", text)
    for host in topology.hosts:
        write(place.machine(host.name) / "agent.yaml", agent_settings(place, host, cluster.host_store(host.name)))
    place.log.mkdir(parents=True, exist_ok=True)
    everything = programs(place, topology, cluster.allocator_store)
    say(f"starting {len(everything)} programs; their logs are in {place.log}")
    write_wanted(place.directory, everything)
    supervise.ensure(place.directory)
    await wait_for(
        lambda: len(read_running(place.directory)) == len(everything), START_SECONDS, "every program to be started"
    )


def agent_settings(place: Place, host: LabHost, store: str) -> str:
    """The settings file that a host's agent and forwarder read."""
    own = place.machine(host.name)
    settings: dict[str, object] = {
        "host": host.name,
        "store": store,
        "runDirectory": str(own / "run"),
        "cacheDirectory": str(own / "cache"),
        "interfaces": [LAN_INTERFACE],
        "routerId": str(host.ipv4.ip),
        "bird": {"socket": str(own / "bird.ctl"), "config": str(own / "bird.conf")},
        "metrics": ":7472",
        "forwarderMetrics": ":7473",
    }
    return dump_documents([settings])


async def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until a condition holds; raises LabError when it is not met in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds:.0f} s in vain for {what}")
        await asyncio.sleep(_POLL_SECONDS)


async def down(place: Place) -> bool:
    """Remove everything a lab made, however it ended; False where there was nothing."""
    if not place.directory.exists():
        return False
    state = read_state(place)
    namespaces = state.namespaces if state else ()
    await _end_programs(place, namespaces)
    for name in namespaces:
        namespace.remove(name)
    clear(place)
    return True


async def _end_programs(place: Place, namespaces: tuple[str, ...]) -> None:
    """End the supervisor, its programs and all who live there; a process leaves its namespace before it is gone."""
    supervisor = supervise.find(place.directory)
    if supervisor is not None:
        namespace.kill(supervisor)
        await wait_for(lambda: supervise.find(place.directory) is None, STOP_SECONDS, "the supervisor to end")
    ending = {running.pid for running in read_running(place.directory).values() if running.is_alive()}
    for pid in ending:
        namespace.kill(pid)

    def are_over() -> bool:
        ending.update(namespace.kill_inhabitants(namespaces))
        return all(namespace.is_over(pid) for pid in ending)

    await wait_for(are_over, STOP_SECONDS, "the programs to end")


async def status(place: Place) -> LabStatus:
    """What a lab consists of; raises LabError where there is none."""
    topology = require_state(place).topology
    running = read_running(place.directory)
    by_machine: dict[str, list[ProgramStatus]] = {}
    for program in read_wanted(place.directory):
        entry = running.get(program.key)
        pid = entry.pid if entry and entry.is_alive() else None
        reported = ProgramStatus(program.name, pid, entry.restarts if entry else 0, program.wanted)
        by_machine.setdefault(program.machine, []).append(reported)
    plugged = {host.name: await network.is_plugged(place, host.name) for host in topology.hosts}
    return LabStatus(
        name=place.name,
        directory=str(place.directory),
        supervisor=supervise.find(place.directory),
        unready=tuple(sorted(site.unready(place))),
        machines=tuple(
            MachineStatus(machine, place.namespace(machine), plugged.get(machine), tuple(by_machine.get(machine, ())))
            for machine in topology.machines
        ),
    )


async def plug(place: Place, host: str, connected: bool) -> None:
    """Pull a host's cable, or put it back; raises LabError for a host that is not there."""
    hosts = tuple(member.name for member in require_state(place).topology.hosts)
    if host not in hosts:
        raise LabError(f"there is no host {host}; the hosts are {', '.join(hosts)}")
    await network.plug(place, host, connected)


def kill_program(place: Place, machine: str, program: str) -> Running:
    """Send SIGKILL to a program; the supervisor starts it again."""
    return _signalled(place, machine, program, signal.SIGKILL)


async def restart_program(place: Place, machine: str, program: str) -> Running:
    """Have a program end as for an upgrade, and wait until it runs again; raises LabError."""
    ends_for_restart = program in (AGENT, FORWARDER)
    before = _signalled(place, machine, program, signal.SIGUSR1 if ends_for_restart else signal.SIGTERM)
    found: list[Running] = []

    def is_back() -> bool:
        found[:] = [read_running(place.directory)[f"{machine}/{program}"]]
        return found[0].is_alive() and found[0] != before

    await wait_for(is_back, STOP_SECONDS, f"{program} of {machine} to be back")
    return found[0]


def _signalled(place: Place, machine: str, program: str, number: signal.Signals) -> Running:
    running = read_running(place.directory).get(_key(place, machine, program))
    if running is None or not running.is_alive() or not namespace.kill(running.pid, number):
        raise LabError(f"{program} of {machine} does not run at the moment")
    return running


def _key(place: Place, machine: str, program: str) -> str:
    """The key of a program; raises LabError for one that is not there."""
    require_state(place)
    known = {entry.key for entry in read_wanted(place.directory)}
    key = f"{machine}/{program}"
    if key not in known:
        here = sorted(entry.partition("/")[2] for entry in known if entry.startswith(f"{machine}/"))
        raise LabError(f"{machine} runs no {program}" + (f"; it runs {', '.join(here)}" if here else ""))
    return key


async def set_wanted(place: Place, machine: str, program: str, wanted: bool) -> None:
    """Have a program stop for good (SIGTERM), or run again, and wait until it does; raises LabError."""
    key = _key(place, machine, program)
    write_wanted(place.directory, with_wanted(read_wanted(place.directory), key, wanted))
    supervise.ensure(place.directory)
    what = f"{program} of {machine} to {'start' if wanted else 'stop'}"
    await wait_for(lambda: is_running(place.directory, key) == wanted, STOP_SECONDS, what)
