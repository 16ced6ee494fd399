"""A site read and followed: from its store, from an agent's socket, or from both."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from appliance.api.kind import Kind, Object
from appliance.control.client import TopicChange, read_status, watch
from appliance.control.error import ControlError
from appliance.control.message import AgentProgram, AgentStatus
from appliance.control.topic import ONLY, Topic
from appliance.overview.agent import KINDS
from appliance.overview.site import Site, Touched
from appliance.store.open import open_store
from appliance.store.protocol import StoreError

SITE_KINDS = frozenset({Kind.VIRTUAL_IP, Kind.HOST, Kind.IP_ADDRESS_POOL, Kind.SERVICE})
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Source:
    """A store's URL and an agent's socket, "" and None for none."""

    store: str = ""
    socket: Path | None = None


class SourceError(Exception):
    """Nothing of a source can be asked; the text says why."""


async def read_site(source: Source, say: Callable[[str], None]) -> Site:
    """A site as it is now; `say` hears of a part that cannot be asked; raises SourceError where none can."""
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
        raise SourceError("; ".join(failures))
    for failure in failures:
        say(failure)
    return site


async def follow_site(source: Source, hear: Callable[[Site, Touched], None], say: Callable[[str, str], None]) -> None:
    """Hand on a site with what changed of it, first and after every change, until cancelled.

    `say` hears of each part of the source, `store` or `agent`, why it cannot be asked, and "" once it can again.
    """
    site = Site()
    async with asyncio.TaskGroup() as group:
        if source.store:
            group.create_task(_follow_store(source.store, site, hear, say), name="store")
        if source.socket is not None:
            group.create_task(_follow_agent(source.socket, site, hear, say), name="agent")


async def _follow_store(
    url: str, site: Site, hear: Callable[[Site, Touched], None], say: Callable[[str, str], None]
) -> None:
    while True:
        listed: list[Object] | None = []
        missing = SITE_KINDS
        try:
            async for batch in open_store(url).watch(SITE_KINDS):
                say("store", "")
                missing -= batch.listed
                if listed is None:
                    hear(site, site.absorb(batch.changed, batch.removed))
                    continue
                listed += batch.changed
                if not missing:
                    hear(site, site.begin(listed))
                    listed = None
        except StoreError as error:
            say("store", str(error))
        await asyncio.sleep(_RETRY_SECONDS)


async def _follow_agent(
    socket: Path, site: Site, hear: Callable[[Site, Touched], None], say: Callable[[str, str], None]
) -> None:
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
                            hear(site, site.hear(host, each))
                        waiting.clear()
                        say("agent", "")
        except ControlError as error:
            say("agent", str(error))
            hear(site, site.lose(host))
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
