"""`pierhead lab`: the site on one machine, for trying Pierhead out and for its tests."""

import asyncio
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import ParamSpec

import click

from appliance.lab import demo, lifecycle, namespace, site
from appliance.lab.namespace import NamespaceError
from appliance.lab.network import NetworkError
from appliance.lab.place import DEFAULT_NAME, LabError, Place, require_state
from appliance.lab.topology import HOSTS_MAX

DEMO_NAME = "demo"

P = ParamSpec("P")

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def _say(text: str) -> None:
    click.echo(text, err=True)


def _place(_context: click.Context, _parameter: click.Parameter, name: str) -> Place:
    if not _NAME.fullmatch(name):
        raise click.BadParameter("a name has lower-case letters, digits and -")
    return Place(name)


def _name_option(default: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    return click.option(
        "--name", "place", default=default, show_default=True, callback=_place, help="Which lab; several can be up."
    )


def _guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn what a lab refuses into a message and exit status 1."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except site.SiteError as error:
            for problem in error.problems:
                _say(str(problem))
            raise click.exceptions.Exit(1) from error
        except (LabError, NamespaceError, NetworkError) as error:
            raise click.ClickException(str(error)) from error
        except PermissionError as error:
            raise click.ClickException(f"{error}; the lab needs root") from error

    return guarded


_named = _name_option(DEFAULT_NAME)
_json = click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
_hosts = click.option("--hosts", type=click.IntRange(1, HOSTS_MAX), default=3, show_default=True)
_files = click.option(
    "-f",
    "--filename",
    "paths",
    multiple=True,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)


def _done(as_json: bool, text: str, **fields: object) -> None:
    click.echo(json.dumps(fields) if as_json else text)


@click.group("lab")
def lab() -> None:
    """A whole site on this machine: hosts, router, clients, backends."""


@lab.command()
@_named
@_hosts
@_json
@_guarded
def up(place: Place, hosts: int, as_json: bool) -> None:
    """Start a lab."""
    topology = asyncio.run(lifecycle.up(place, hosts, _say))
    listed = [host.name for host in topology.hosts]
    text = f"lab {place.name} is up: hosts {', '.join(listed)}; apply manifests with: pierhead lab apply -f FILE"
    _done(as_json, text, name=place.name, hosts=listed, directory=str(place.directory))


@lab.command()
@_named
@_json
@_guarded
def down(place: Place, as_json: bool) -> None:
    """Remove a lab without a trace, also after a crash."""
    lifecycle.require_system()
    was_up = asyncio.run(lifecycle.down(place))
    _done(as_json, f"lab {place.name} is gone" if was_up else f"there was no lab {place.name}", removed=was_up)


@lab.command()
@_named
@_json
@_guarded
def status(place: Place, as_json: bool) -> None:
    """Say which machines and programs a lab has, and how they are."""
    found = asyncio.run(lifecycle.status(place))
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    supervisor = f"process {found.supervisor}" if found.supervisor else "NOT RUNNING"
    click.echo(f"lab {found.name} in {found.directory}, supervisor {supervisor}")
    for machine in found.machines:
        click.echo(_machine_line(machine))
    if found.unready:
        click.echo(f"backends not ready: {', '.join(found.unready)}")


def _machine_line(machine: lifecycle.MachineStatus) -> str:
    programs = [
        f"{program.name} {program.pid or ('DOWN' if program.wanted else 'stopped')}"
        + (f" (restarted {program.restarts} times)" if program.restarts else "")
        for program in machine.programs
    ]
    cut = "cut off" if machine.plugged is False else ""
    return f"  {machine.namespace:16} {', '.join(filter(None, (cut, *programs)))}".rstrip()


@lab.command("apply")
@_named
@_files
@_json
@_guarded
def apply_files(place: Place, paths: tuple[Path, ...], as_json: bool) -> None:
    """Add or replace the objects of some manifests; all of them, or none where there is a mistake."""
    _report(as_json, "applied", _cluster(place).apply(paths))


@lab.command("delete")
@_named
@_files
@_json
@_guarded
def delete_files(place: Place, paths: tuple[Path, ...], as_json: bool) -> None:
    """Remove the objects that some manifests name."""
    _report(as_json, "deleted", _cluster(place).delete(paths))


def _cluster(place: Place) -> site.FolderCluster:
    return site.FolderCluster(place, require_state(place).topology)


def _report(as_json: bool, verb: str, change: site.SiteChange) -> None:
    for warning in change.warnings:
        _say(f"warning: {warning}")
    for ref in change.passed_over:
        _say(f"passed over, it means nothing here: {ref}")
    refs = [str(ref) for ref in change.refs]
    _done(as_json, "\n".join(f"{verb} {ref}" for ref in refs) or f"nothing {verb}", **{verb: refs})


@lab.command("exec", context_settings={"allow_interspersed_args": False})
@_named
@click.argument("machine")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
@_json
@_guarded
def execute(place: Place, machine: str, words: tuple[str, ...], as_json: bool) -> None:
    """Run a command on a machine: pierhead lab exec client -- curl -s http://192.168.1.240/

    On a host, `pierhead status` and the like ask that host's agent and the lab's store. Exits as the command does.
    """
    if machine not in require_state(place).topology.machines:
        raise LabError(f"there is no machine {machine}")
    command = words[1:] if words[0] == "--" else words
    argv = (*namespace.entering(place.namespace(machine)), *command)
    environment = {**os.environ, **_environment(place, machine)}
    if not as_json:
        os.execvpe(argv[0], argv, environment)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    report = {"machine": machine, "status": done.returncode, "stdout": done.stdout, "stderr": done.stderr}
    click.echo(json.dumps(report))
    sys.exit(done.returncode)


def _environment(place: Place, machine: str) -> dict[str, str]:
    """What makes `pierhead` on a machine of the lab ask that machine's agent and the lab's store."""
    return {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
        "PIERHEAD_SOCKET": str(place.machine(machine) / "run" / "agent.sock"),
        "PIERHEAD_STORE": _cluster(place).allocator_store,
    }


@lab.command()
@_named
@click.argument("host")
@_json
@_guarded
def cut(place: Place, host: str, as_json: bool) -> None:
    """Pull a host's network cable."""
    asyncio.run(lifecycle.plug(place, host, False))
    _done(as_json, f"{host} is cut off", host=host, plugged=False)


@lab.command()
@_named
@click.argument("host")
@_json
@_guarded
def heal(place: Place, host: str, as_json: bool) -> None:
    """Put a host's network cable back."""
    asyncio.run(lifecycle.plug(place, host, True))
    _done(as_json, f"{host} is back on the network", host=host, plugged=True)


@lab.command()
@_named
@click.argument("machine")
@click.argument("program")
@_json
@_guarded
def kill(place: Place, machine: str, program: str, as_json: bool) -> None:
    """Send SIGKILL to a program (agent, bird, forwarder; router bird, control allocator); it is started again."""
    killed = lifecycle.kill_program(place, machine, program)
    _done(
        as_json,
        f"{program} of {machine}, process {killed.pid}, is killed",
        machine=machine,
        program=program,
        pid=killed.pid,
    )


@lab.command()
@_named
@click.argument("machine")
@click.argument("program")
@_json
@_guarded
def stop(place: Place, machine: str, program: str, as_json: bool) -> None:
    """Stop a program for good (SIGTERM) and wait until it has ended; it stays down."""
    asyncio.run(lifecycle.set_wanted(place, machine, program, False))
    _done(as_json, f"{program} of {machine} has stopped", machine=machine, program=program, running=False)


@lab.command()
@_named
@click.argument("machine")
@click.argument("program")
@_json
@_guarded
def start(place: Place, machine: str, program: str, as_json: bool) -> None:
    """Start a program that was stopped."""
    asyncio.run(lifecycle.set_wanted(place, machine, program, True))
    _done(as_json, f"{program} of {machine} runs", machine=machine, program=program, running=True)


@lab.command()
@_named
@click.argument("machine")
@click.argument("program")
@_json
@_guarded
def restart(place: Place, machine: str, program: str, as_json: bool) -> None:
    """Restart a program as an upgrade does (SIGUSR1 to agent and forwarder) and wait until it runs again."""
    pid = asyncio.run(lifecycle.restart_program(place, machine, program)).pid
    text = f"{program} of {machine} runs again, as process {pid}"
    _done(as_json, text, machine=machine, program=program, pid=pid)


@lab.command()
@_named
@click.argument("backend")
@click.option("--ready/--not-ready", required=True, help="What its EndpointSlices shall say.")
@_json
@_guarded
def backend(place: Place, backend: str, ready: bool, as_json: bool) -> None:
    """Say of a backend, such as node-a-1, whether it is ready."""
    _cluster(place).set_ready((backend,), ready)
    _done(as_json, f"{backend} is {'ready' if ready else 'not ready'}", backend=backend, ready=ready)


@lab.command("demo")
@_name_option(DEMO_NAME)
@_hosts
@_json
@_guarded
def demonstrate(place: Place, hosts: int, as_json: bool) -> None:
    """Start a lab, tell what Pierhead does step by step while it happens, and take the lab down."""
    if not asyncio.run(demo.run(place, hosts, _say, as_json=as_json)):
        raise click.exceptions.Exit(1)
