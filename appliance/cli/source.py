"""Where commands that show a site read it: a store, an agent's socket, or both, found as the programs find them."""

import asyncio
import os
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from appliance.api.kind import Kind
from appliance.cli.failure import Failure
from appliance.cli.option import DEFAULT_SOCKET
from appliance.control.client import TopicChange, read_status, watch
from appliance.control.error import ControlError
from appliance.control.message import AgentProgram, AgentStatus
from appliance.control.topic import ONLY, Topic
from appliance.daemon.settings import DEFAULT_PATH, SettingsError, load_settings
from appliance.overview.agent import KINDS
from appliance.overview.site import Site
from appliance.store.open import FORMS, open_store
from appliance.store.protocol import StoreError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_RETRY_SECONDS = 1.0
SITE_KINDS = frozenset({Kind.VIRTUAL_IP, Kind.HOST, Kind.IP_ADDRESS_POOL, Kind.SERVICE})


@dataclass(frozen=True, slots=True)
class Source:
    """A store's URL and an agent's socket, "" and None for none."""

    store: str = ""
    socket: Path | None = None


def store_option(command: Decorated) -> Decorated:
    """`--store`, optional: what it leaves out is found by `find_source`."""
    return click.option(
        "--store",
        envvar="PIERHEAD_STORE",
        show_envvar=True,
        metavar="URL",
        help=f"The site's store: {FORMS}. Default: that of {DEFAULT_PATH}, else the current kubeconfig's.",
    )(command)


def source_options(command: Decorated) -> Decorated:
    """`--store` and `--socket`, both optional: what they leave out is found by `find_source`."""
    socket = click.option(
        "--socket",
        type=click.Path(path_type=Path),
        envvar="PIERHEAD_SOCKET",
        show_envvar=True,
        help="An agent's control socket. Default: this host's, where an agent runs here.",
    )
    return store_option(socket(command))


def find_source(store: str | None, socket: Path | None, settings: Path = DEFAULT_PATH) -> Source:
    """The source asked for; where one is asked for, only that; else this host's; a Failure where there is none."""
    if store or socket:
        return Source(store or "", socket)
    if settings.exists():
        try:
            found = load_settings(settings)
        except SettingsError as error:
            raise Failure(str(error)) from error
        own = found.run_directory / "agent.sock"
        return Source(found.store, own if own.exists() else None)
    if DEFAULT_SOCKET.exists():
        return Source(socket=DEFAULT_SOCKET)
    kubeconfig = os.environ.get("KUBECONFIG", "") or str(Path("~/.kube/config").expanduser())
    if Path(kubeconfig.partition(os.pathsep)[0]).exists() or "KUBERNETES_SERVICE_HOST" in os.environ:
        return Source("kubernetes:")
    raise Failure(f"there is no store to ask; name one with --store or PIERHEAD_STORE: {FORMS}")


def require_store(store: str | None) -> str:
    """The store asked for, or found; a Failure where there is none."""
    found = find_source(store, None).store
    if not found:
        raise Failure(f"there is no store to ask; name one with --store or PIERHEAD_STORE: {FORMS}")
    return found


async def read_site(source: Source, say: Callable[[str], None]) -> Site:
    """A site as it is now; `say` hears of a part that cannot be asked, and a Failure ends where none can."""
    site, failures = Site(), []
    try:
        if source.store:
            site.begin((await open_store(source.store).list(SITE_KINDS)).objects.values())
    except StoreError as error:
        failures.append(str(error))
    try:
        if source.socket is not None:
            _put_status(site, await read_status(source.socket, AgentStatus))
    except ControlError as error:
        failures.append(str(error))
    parts = bool(source.store) + (source.socket is not None)
    if len(failures) == parts:
        raise Failure("; ".join(failures))
    for failure in failures:
        say(failure)
    return site


async def follow_site(source: Source, show: Callable[[Site], None], say: Callable[[str], None]) -> None:
    """Show a site as it is now and again after every change, until cancelled; `say` hears what cannot be asked."""
    site, changed = Site(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        if source.store:
            group.create_task(_follow_store(source.store, site, changed, say), name="store")
        if source.socket is not None:
            group.create_task(_follow_agent(source.socket, site, changed, say), name="agent")
        while True:
            await changed.wait()
            changed.clear()
            show(site)


async def _follow_store(url: str, site: Site, changed: asyncio.Event, say: Callable[[str], None]) -> None:
    while True:
        first = True
        try:
            async for batch in open_store(url).watch(SITE_KINDS):
                if first:
                    site.begin(())
                first = False
                site.absorb(batch.changed, batch.removed)
                changed.set()
        except StoreError as error:
            say(str(error))
        await asyncio.sleep(_RETRY_SECONDS)


async def _follow_agent(socket: Path, site: Site, changed: asyncio.Event, say: Callable[[str], None]) -> None:
    while True:
        host = ""
        waiting: list[TopicChange[object]] = []
        try:
            async with aclosing(watch(socket, KINDS)) as changes:
                async for change in changes:
                    match change.changed.get(ONLY):
                        case AgentProgram() as program:
                            host = program.host
                    waiting.append(change)
                    if host:
                        for each in waiting:
                            site.hear(host, each)
                        waiting.clear()
                        changed.set()
        except ControlError as error:
            say(str(error))
            site.lose(host)
            changed.set()
        await asyncio.sleep(_RETRY_SECONDS)


def _put_status(site: Site, status: AgentStatus) -> None:
    """An agent's whole status as the topics it is made of."""
    topics: dict[Topic, dict[str, object]] = {
        Topic.PROGRAM: {ONLY: status.program},
        Topic.FEED: {ONLY: status.feed},
        Topic.HOSTS: {entry.name: entry for entry in status.hosts},
        Topic.SESSIONS: {entry.key: entry for entry in status.sessions},
        Topic.VIPS: {str(entry.address): entry for entry in status.vips},
    }
    for topic, entries in topics.items():
        site.hear(status.program.host, TopicChange(topic, entries, is_listing=True))
