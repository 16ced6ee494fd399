"""Where commands read what they show: a store, agents here or on other hosts, found as the programs find them."""

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from appliance.cli.failure import Failure
from appliance.cli.option import DEFAULT_SOCKET, ending_of
from appliance.control.error import ControlError
from appliance.control.tunnel import parse_remote_socket
from appliance.daemon.settings import DEFAULT_PATH, SettingsError, load_settings
from appliance.daemon.token import host_token
from appliance.overview.source import AgentSocket, Source, ask_each, reached
from appliance.store.open import FORMS

T = TypeVar("T")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def store_option(command: Decorated) -> Decorated:
    """`--store`, optional: what it leaves out is found by `find_source`."""
    return click.option(
        "--store",
        envvar="PIERHEAD_STORE",
        show_envvar=True,
        metavar="URL",
        help=f"The site's store: {FORMS}. Default: that of {DEFAULT_PATH}, else the current kubeconfig's.",
    )(command)


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--store`, `--host` and `--socket`, all optional; the command is given the `source` that `find_source` finds."""

    @functools.wraps(command)
    def with_source(*args: object, store: str | None, **options: object) -> object:
        return command(*args, source=find_source(store, taken_agents(options)), **options)

    return store_option(_agent_options(with_source))


def agents_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--host` and `--socket`, both optional; the command is given `agents`, this host's where none are named."""

    @functools.wraps(command)
    def with_agents(*args: object, **options: object) -> object:
        return command(*args, agents=taken_agents(options) or (DEFAULT_SOCKET,), **options)

    return _agent_options(with_agents)


def _agent_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--ssh-config",
            type=click.Path(path_type=Path, dir_okay=False, exists=True, resolve_path=True),
            envvar="PIERHEAD_SSH_CONFIG",
            show_envvar=True,
            help="What ssh is to read instead of your own configuration, for --host.",
        ),
        click.option(
            "--host",
            "node",
            multiple=True,
            envvar="PIERHEAD_HOSTS",
            show_envvar=True,
            metavar="[USER@]NODE[:SOCKET]",
            help="Ask the agent of this host over SSH, without a password asked for. May be given several times.",
        ),
        click.option(
            "--socket",
            type=click.Path(path_type=Path),
            multiple=True,
            envvar="PIERHEAD_SOCKET",
            show_envvar=True,
            help=f"Ask the agent at this control socket. May be given several times. Default: {DEFAULT_SOCKET}.",
        ),
    ):
        command = option(command)
    return command


def taken_agents(options: dict[str, Any]) -> tuple[AgentSocket, ...]:
    """Take the agents that were named out of a command's options; a usage error for a host that is none."""
    sockets, hosts, config = options.pop("socket"), options.pop("node"), options.pop("ssh_config")
    try:
        remote = [parse_remote_socket(text, config) for text in hosts]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--host'") from None
    return tuple(dict.fromkeys((*sockets, *remote)))


def answers(agents: tuple[AgentSocket, ...], ask: Callable[[Path], Awaitable[T]]) -> tuple[tuple[AgentSocket, T], ...]:
    """What each agent answers; who does not is complained of on stderr, and nobody at all ends the command."""
    answered: list[tuple[AgentSocket, T]] = []
    errors: list[ControlError] = []
    for agent, answer in asyncio.run(ask_each(agents, ask)):
        if isinstance(answer, ControlError):
            errors.append(answer)
        else:
            answered.append((agent, answer))
    if not answered:
        for error in errors[:-1]:
            click.echo(f"Error: {error}", err=True)
        raise ending_of(errors[-1])
    for error in errors:
        click.echo(f"Error: {error}", err=True)
    return tuple(answered)


async def follow_each(agents: tuple[AgentSocket, ...], follow: Callable[[AgentSocket, Path], Awaitable[None]]) -> None:
    """Follow every agent until one of them ends; raises ControlError then."""

    async def begin(agent: AgentSocket) -> None:
        async with reached(agent) as path:
            await follow(agent, path)

    try:
        async with asyncio.TaskGroup() as group:
            for agent in agents:
                group.create_task(begin(agent), name=str(agent))
    except* ControlError as lost:
        first = lost.exceptions[0]
    raise first


def may_be_there(path: Path) -> bool:
    """Whether a file is there, or this user cannot find out, as whoever then reads it is told."""
    try:
        return path.exists()
    except OSError:
        return True


def find_source(store: str | None, agents: tuple[AgentSocket, ...] = (), settings: Path = DEFAULT_PATH) -> Source:
    """The source asked for; where one is asked for, only that; else this host's; a Failure where there is none."""
    if store or agents:
        return Source(store or "", agents)
    if may_be_there(settings):
        try:
            found = load_settings(settings)
        except SettingsError as error:
            raise Failure(str(error)) from error
        own = found.run_directory / "agent.sock"
        # What its kubeconfig holds ends within a day; the agent keeps the token it was given since.
        return Source(found.store, (own,) if may_be_there(own) else (), host_token(found))
    if may_be_there(DEFAULT_SOCKET):
        return Source(agents=(DEFAULT_SOCKET,))
    kubeconfigs = os.environ.get("KUBECONFIG", "") or "~/.kube/config"
    named = [os.path.expanduser(path) for path in kubeconfigs.split(os.pathsep) if path]  # noqa: PTH111  # never raises
    if any(may_be_there(Path(path)) for path in named) or "KUBERNETES_SERVICE_HOST" in os.environ:
        return Source("kubernetes:")
    raise Failure(f"there is no store to ask; name one with --store or PIERHEAD_STORE: {FORMS}")
