"""A site read and followed: from its store, from its agents' sockets, or from both."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from appliance.api.kind import Kind, Object
from appliance.control.client import TopicChange, read_status, watch
from appliance.control.error import ControlError
from appliance.control.message import AgentProgram, AgentStatus
from appliance.control.topic import ONLY, Topic
from appliance.control.tunnel import RemoteSocket, forwarded
from appliance.overview.agent import KINDS
from appliance.overview.site import Site, Touched
from appliance.store.kubernetes.access import TokenSource
from appliance.store.open import open_store
from appliance.store.protocol import Changes, Store, StoreError

SITE_KINDS = frozenset({Kind.VIRTUAL_IP, Kind.HOST, Kind.IP_ADDRESS_POOL, Kind.SERVICE})
STORE = "store"
_RETRY_SECONDS = 1.0
_AT_ONCE = 16

T = TypeVar("T")

# Where an agent answers: a socket of this machine, or another host's by SSH.
AgentSocket = Path | RemoteSocket


@dataclass(frozen=True, slots=True)
class Source:
    """A store's URL, "" for none, what it is shown in place of its kubeconfig's token, and the sockets of agents."""

    store: str = ""
    agents: tuple[AgentSocket, ...] = ()
    tokens: TokenSource | None = field(default=None, compare=False)

    def opened(self) -> Store:
        """The store; raises StoreError."""
        return open_store(self.store, tokens=self.tokens)

    @property
    def parts(self) -> tuple[str, ...]:
        """What each part is called where it is said how it is."""
        return (*((STORE,) if self.store else ()), *map(str, self.agents))


class SourceError(Exception):
    """Nothing of a source can be asked; the text says why."""


@asynccontextmanager
async def reached(agent: AgentSocket) -> AsyncIterator[Path]:
    """The local path of an agent's socket as long as the block runs; raises ControlError."""
    match agent:
        case RemoteSocket():
            async with forwarded(agent) as path:
                yield path
        case path:
            yield path


async def ask_each(
    agents: tuple[AgentSocket, ...], ask: Callable[[Path], Awaitable[T]]
) -> tuple[tuple[AgentSocket, T | ControlError], ...]:
    """One question to each agent, several at once; the answers, or why there is none, in the agents' order."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def answer(agent: AgentSocket) -> T | ControlError:
        try:
            async with room, reached(agent) as path:
                return await ask(path)
        except ControlError as error:
            return error

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(answer(agent), name=str(agent)) for agent in agents]
    return tuple((agent, asked.result()) for agent, asked in zip(agents, asking, strict=True))


async def read_site(source: Source, say: Callable[[str], None]) -> Site:
    """A site as it is now; `say` hears of a part that cannot be asked; raises SourceError where none can.

    What BIRD counts is of this moment: each agent asks it.
    """
    site, failures = Site(), []
    try:
        if source.store:
            site.begin((await source.opened().list(SITE_KINDS)).objects.values())
    except StoreError as error:
        failures.append(str(error))
    for _, answer in await ask_each(source.agents, partial(read_status, kind=AgentStatus, fresh=True)):
        if isinstance(answer, ControlError):
            failures.append(str(answer))
        else:
            put_status(site, answer)
    if len(failures) == len(source.parts):
        raise SourceError("; ".join(failures))
    for failure in failures:
        say(failure)
    return site


async def follow_site(
    source: Source,
    hear: Callable[[Site, Touched], None],
    say: Callable[[str, str], None],
    *,
    kinds: frozenset[Kind] = SITE_KINDS,
    note: Callable[[Changes], None] = lambda _: None,
) -> None:
    """Hand on a site with what changed of it, first and after every change, until cancelled.

    `say` hears of each of the source's parts why it cannot be asked, and "" once it can again. A part that is not
    complained of was heard within the last ten seconds. `note` hears each batch of the store before the site does.
    """
    site, followers = Site(), _Followers(hear, say)
    async with asyncio.TaskGroup() as group:
        if source.store:
            group.create_task(_follow_store(source, site, hear, say, kinds=kinds, note=note), name=STORE)
        for agent in source.agents:
            group.create_task(followers.follow(agent, site), name=str(agent))


async def _follow_store(
    source: Source,
    site: Site,
    hear: Callable[[Site, Touched], None],
    say: Callable[[str, str], None],
    *,
    kinds: frozenset[Kind],
    note: Callable[[Changes], None],
) -> None:
    while True:
        listed: list[Object] | None = []
        missing = kinds
        try:
            async for batch in source.opened().watch(kinds):
                say(STORE, "")
                note(batch)
                missing -= batch.listed
                if listed is None:
                    hear(site, site.absorb(batch.changed, batch.removed))
                    continue
                listed += batch.changed
                if not missing:
                    hear(site, site.begin(listed))
                    listed = None
        except StoreError as error:
            say(STORE, str(error))
        await asyncio.sleep(_RETRY_SECONDS)


class _Followers:
    """Follows agents, each by its own socket; a host that is heard on one of two sockets is heard."""

    def __init__(self, hear: Callable[[Site, Touched], None], say: Callable[[str, str], None]) -> None:
        self._hear = hear
        self._say = say
        self._heard_on: defaultdict[str, set[AgentSocket]] = defaultdict(set)

    async def follow(self, agent: AgentSocket, site: Site) -> None:
        """Hand on what an agent tells, for ever."""
        while True:
            try:
                async with reached(agent) as path:
                    await self._take(agent, path, site)
            except ControlError as error:
                self._say(str(agent), str(error))
                for host, sockets in self._heard_on.items():
                    if agent in sockets:
                        sockets.discard(agent)
                        if not sockets:
                            self._hear(site, site.lose(host))
            await asyncio.sleep(_RETRY_SECONDS)

    async def _take(self, agent: AgentSocket, path: Path, site: Site) -> None:
        host = ""
        waiting: list[TopicChange[object]] = []
        async with aclosing(watch(path, KINDS)) as changes:
            async for change in changes:
                match change.changed.get(ONLY):
                    case AgentProgram() as program:
                        host = program.host
                waiting.append(change)
                if host:
                    self._heard_on[host].add(agent)
                    for each in waiting:
                        self._hear(site, site.hear(host, each))
                    waiting.clear()
                    self._say(str(agent), "")


def put_status(site: Site, status: AgentStatus) -> None:
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
