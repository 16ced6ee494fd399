"""The forwarder: wait until any input changed, plan, render, apply, publish what is in force."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import NoReturn, TypeVar

import structlog

from appliance.api.address import IPAddress
from appliance.api.kind import Kind
from appliance.api.pierhead import Backends, Host, VirtualIP
from appliance.control.client import TopicChange, watch_topic
from appliance.control.error import ControlError
from appliance.control.event import EventKind
from appliance.control.message import FeedStatus, ForwardedVirtualIP, ForwarderProgram, Neighbor, NeighborState
from appliance.control.server import ControlServer, Routes
from appliance.control.topic import Table, Topic, changed_keys, single
from appliance.daemon.cache import FeedCache
from appliance.daemon.feed import FeedChange, FeedSource, SiteFeed
from appliance.daemon.follow import follow
from appliance.daemon.readiness import Need, Readiness
from appliance.daemon.settings import Settings
from appliance.daemon.signals import run_until_ended
from appliance.desired.interface import can_carry
from appliance.forward.plan import ForwardPlan, plan
from appliance.host.link import LinkError, Links, LinkTable
from appliance.host.nft import Nft, NftError
from appliance.nft.ruleset import render
from appliance.store.open import open_store

log = structlog.get_logger()
T = TypeVar("T", VirtualIP, Backends, Host)

FEED_KINDS = frozenset((Kind.VIRTUAL_IP, Kind.BACKENDS, Kind.HOST))
_VERIFY_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class InForce:
    """What the kernel was last given, and what it refused since."""

    addresses: Mapping[str, IPAddress] = field(default_factory=dict)
    rings: int = 0
    revision: str = ""
    refused: str = ""


class Forwarder:
    """One host's forwarder: inputs are kept as they came, the rules are made anew from all of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = open_store(settings.store)
        self._nft = Nft()
        self._version = version("pierhead")
        self._interfaces: frozenset[str] | None = None
        self._neighbors: dict[str, Neighbor] = {}
        self._dead: frozenset[str] = frozenset()
        self._in_force = InForce()
        self._left_out: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._server = ControlServer(settings.run_directory / "forwarder.sock", self._routes())
        self._readiness = Readiness(frozenset(Need), lambda: self._server.publish(Topic.PROGRAM))
        self._site = SiteFeed(
            FEED_KINDS,
            FeedCache(settings.cache_directory / "forwarder.db"),
            self._server.events,
            on_change=self._take_feed,
            on_status=lambda: self._server.publish(Topic.FEED),
        )

    async def run(self) -> None:
        """Run until cancelled; the rules stay in the kernel, and with them every connection."""
        self._site.load()
        self._changed.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_links(), name="links")
            tasks.create_task(self._follow_agent(), name="agent")
            tasks.create_task(self._site.follow(self._store), name="store")
            tasks.create_task(self._apply_for_ever(), name="apply")
            tasks.create_task(self._site.save_for_ever(), name="cache")
            tasks.create_task(self._server.run(), name="control")

    def _routes(self) -> Routes:
        """What the control socket tells; of VIPs nothing until the kernel was given the first rules."""
        return Routes(
            topics={
                Topic.PROGRAM: single(self._program),
                Topic.FEED: single(self._feed_status),
                Topic.VIPS: Table(self._addresses, self._forwarded),
            }
        )

    def _program(self) -> ForwarderProgram:
        return ForwarderProgram(
            host=self._settings.host,
            version=self._version,
            waits_for=self._readiness.waits_for,
            rings=self._in_force.rings,
            revision=self._in_force.revision,
            refused=self._in_force.refused,
            dead_hosts=tuple(sorted(self._dead)),
        )

    def _feed_status(self) -> FeedStatus:
        return self._site.status()

    def _addresses(self) -> Iterable[str] | None:
        return tuple(self._in_force.addresses) if self._in_force.revision else None

    def _forwarded(self, key: str) -> ForwardedVirtualIP | None:
        address = self._in_force.addresses.get(key)
        return ForwardedVirtualIP(address=address) if address else None

    async def _follow_links(self) -> NoReturn:
        await follow("links", Links().watch, self._take_links, LinkError)

    async def _follow_agent(self) -> NoReturn:
        socket = self._settings.run_directory / "agent.sock"
        await follow("agent", lambda: watch_topic(socket, Topic.HOSTS, Neighbor), self._take_neighbors, ControlError)

    def _take_links(self, links: LinkTable) -> None:
        self._readiness.meet(Need.LINKS)
        chosen = self._settings.interfaces
        interfaces = frozenset(
            link.name for link in links.links if can_carry(link.name, link.resolves, link.enslaved, chosen)
        )
        if interfaces != self._interfaces:
            self._interfaces = interfaces
            self._changed.set()

    def _take_neighbors(self, change: TopicChange[Neighbor]) -> None:
        """Hear who is dead; a dead host of which nothing is known any more stays dead."""
        change.fold(self._neighbors)
        states = {name: neighbor.state for name, neighbor in self._neighbors.items()}
        dead = frozenset(name for name, state in states.items() if state is NeighborState.FAILED)
        dead |= frozenset(name for name in self._dead if states.get(name) is NeighborState.UNKNOWN)
        if dead != self._dead:
            for host in sorted(dead ^ self._dead):
                self._server.events.record(EventKind.HOST_CHANGED, host, "dead" if host in dead else "not dead")
            self._dead = dead
            self._changed.set()
            self._server.publish(Topic.PROGRAM)

    def _take_feed(self, _: FeedChange) -> None:
        self._readiness.meet(Need.FEED)
        self._changed.set()

    async def _apply_for_ever(self) -> NoReturn:
        """Somebody may flush the kernel's rules, so they are also looked at when nothing changed."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_VERIFY_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            if self._site.source is not FeedSource.NONE and self._interfaces is not None:
                await self._apply(self._plan(self._interfaces))

    def _plan(self, interfaces: frozenset[str]) -> ForwardPlan:
        return plan(
            self._settings.host,
            vips=self._of(VirtualIP),
            backends=self._of(Backends),
            hosts=self._of(Host),
            dead=self._dead,
            interfaces=interfaces,
        )

    def _of(self, kind: type[T]) -> Iterator[T]:
        return (manifest for manifest in self._site.objects.values() if isinstance(manifest, kind))

    async def _apply(self, planned: ForwardPlan) -> None:
        ruleset = render(planned)
        before = self._in_force
        try:
            changed = await self._nft.apply(ruleset)
        except NftError as error:
            self._in_force = replace(before, refused=str(error))
            if str(error) != before.refused:
                self._server.events.record(EventKind.CONFIGURATION_REFUSED, ruleset.digest, str(error))
        else:
            rings = len(set(planned.rings.values()))
            self._in_force = InForce(_served(planned), rings, ruleset.digest)
            self._readiness.meet(Need.RULES)
            if changed:
                vips = str(len(planned.addresses))
                self._server.events.record(EventKind.CONFIGURATION_APPLIED, ruleset.digest, vips=vips, rings=str(rings))
        self._report(planned)
        if self._in_force != before:
            self._server.publish(Topic.PROGRAM)
            self._server.publish(Topic.VIPS, changed_keys(before.addresses, self._in_force.addresses))

    def _report(self, planned: ForwardPlan) -> None:
        """Say once who is left out, and why."""
        left_out = frozenset(f"{one.host} IPv{one.family}: {one.reason.value}" for one in planned.left_out)
        if left_out != self._left_out:
            log.info("hosts_left_out", hosts=sorted(left_out))
            self._left_out = left_out


def _served(planned: ForwardPlan) -> dict[str, IPAddress]:
    """The VIPs that have a port to deliver to."""
    with_ports = {port.key.address for port in planned.ports}
    return {str(address): address for address in planned.addresses if address in with_ports}


async def run(settings: Settings) -> None:
    """Run a forwarder until a signal ends it."""
    log.info("forwarder_started", host=settings.host, store=settings.store)
    await run_until_ended(Forwarder(settings).run())
    log.info("forwarder_stopped", host=settings.host)


async def clear() -> None:
    """Remove the rules; raises NftError."""
    await Nft().clear()
