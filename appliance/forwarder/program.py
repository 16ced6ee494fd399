"""The forwarder: wait until any input changed, plan, render, apply, publish what is in force."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import NoReturn, TypeVar

import structlog

from appliance.api.address import IPAddress
from appliance.api.kind import Kind
from appliance.api.pierhead import Backends, Host, VirtualIP
from appliance.control.client import watch_agent
from appliance.control.error import ControlError
from appliance.control.message import AgentStatus, FeedStatus, ForwarderStatus, HostState
from appliance.control.server import ControlServer, Routes
from appliance.daemon.follow import follow
from appliance.daemon.settings import Settings
from appliance.daemon.signals import run_until_ended
from appliance.desired.interface import can_carry
from appliance.forward.plan import ForwardPlan, plan
from appliance.host.cache import FeedCache
from appliance.host.intake import FeedSource, Intake
from appliance.host.link import LinkError, Links, LinkTable
from appliance.host.nft import Nft, NftError
from appliance.nft.ruleset import render
from appliance.store.open import open_store
from appliance.store.protocol import Snapshot, StoreError

log = structlog.get_logger()
T = TypeVar("T", VirtualIP, Backends, Host)

FEED_KINDS = frozenset((Kind.VIRTUAL_IP, Kind.BACKENDS, Kind.HOST))
_VERIFY_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class InForce:
    """What the kernel was last given, and what it refused since."""

    addresses: tuple[IPAddress, ...] = ()
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
        self._intake = Intake(FeedCache(settings.cache_directory / "forwarder.json"))
        self._interfaces: frozenset[str] | None = None
        self._dead: frozenset[str] = frozenset()
        self._in_force = InForce()
        self._left_out: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._server = ControlServer(settings.run_directory / "forwarder.sock", Routes(status=self.status))

    async def run(self) -> None:
        """Run until cancelled; the rules stay in the kernel, and with them every connection."""
        self._intake.load()
        self._changed.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_links(), name="links")
            tasks.create_task(self._follow_agent(), name="agent")
            tasks.create_task(self._follow_store(), name="store")
            tasks.create_task(self._apply_for_ever(), name="apply")
            tasks.create_task(self._intake.save_for_ever(), name="cache")
            tasks.create_task(self._server.run(), name="control")

    def status(self) -> ForwarderStatus:
        """What `pierhead status` shows."""
        return ForwarderStatus(
            host=self._settings.host,
            version=self._version,
            feed=FeedStatus(
                source=self._intake.source.value,
                revision=self._intake.revision,
                age_seconds=self._intake.age_seconds,
                problems=self._intake.problems,
            ),
            vips=len(self._in_force.addresses),
            rings=self._in_force.rings,
            revision=self._in_force.revision,
            addresses=self._in_force.addresses,
            refused=self._in_force.refused,
            dead_hosts=tuple(sorted(self._dead)),
        )

    async def _follow_links(self) -> NoReturn:
        await follow("links", Links().watch, self._take_links, LinkError)

    async def _follow_agent(self) -> NoReturn:
        socket = self._settings.run_directory / "agent.sock"
        await follow("agent", lambda: watch_agent(socket), self._take_agent, ControlError)

    async def _follow_store(self) -> NoReturn:
        await follow(
            "store", lambda: self._store.watch(FEED_KINDS), self._take_snapshot, StoreError, on_failure=self._lose_store
        )

    def _take_links(self, links: LinkTable) -> None:
        chosen = self._settings.interfaces
        interfaces = frozenset(
            link.name for link in links.links if can_carry(link.name, link.resolves, link.enslaved, chosen)
        )
        if interfaces != self._interfaces:
            self._interfaces = interfaces
            self._changed.set()

    def _take_agent(self, status: AgentStatus) -> None:
        """Hear who is dead; from a host that hears nobody that means nothing."""
        if status.isolated:
            return
        dead = frozenset(fellow.name for fellow in status.fellows if fellow.state is HostState.DEAD)
        if dead != self._dead:
            log.info("dead_hosts_changed", dead=sorted(dead))
            self._dead = dead
            self._changed.set()

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        problems = tuple(str(problem) for problem in snapshot.problems)
        self._intake.take(tuple(snapshot.objects.values()), snapshot.revision, problems)
        self._changed.set()

    def _lose_store(self) -> None:
        self._intake.lose()
        self._server.publish()

    async def _apply_for_ever(self) -> NoReturn:
        """Somebody may flush the kernel's rules, so they are also looked at when nothing changed."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_VERIFY_SECONDS):
                    await self._changed.wait()
            self._changed.clear()
            if self._intake.source is not FeedSource.NONE and self._interfaces is not None:
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
        return (manifest for manifest in self._intake.objects if isinstance(manifest, kind))

    async def _apply(self, planned: ForwardPlan) -> None:
        ruleset = render(planned)
        before = self._in_force
        try:
            changed = await self._nft.apply(ruleset)
        except NftError as error:
            self._in_force = replace(before, refused=str(error))
            if str(error) != before.refused:
                log.error("rules_refused", revision=ruleset.digest, error=str(error))
        else:
            rings = len(set(planned.rings.values()))
            self._in_force = InForce(_served(planned), rings, ruleset.digest)
            if changed:
                log.info("rules_applied", revision=ruleset.digest, vips=len(planned.addresses), rings=rings)
        self._report(planned)
        if self._in_force != before:
            self._server.publish()

    def _report(self, planned: ForwardPlan) -> None:
        """Say once who is left out, and why."""
        left_out = frozenset(f"{one.host} IPv{one.family}: {one.reason.value}" for one in planned.left_out)
        if left_out != self._left_out:
            log.info("hosts_left_out", hosts=sorted(left_out))
            self._left_out = left_out


def _served(planned: ForwardPlan) -> tuple[IPAddress, ...]:
    """The VIPs that have a port to deliver to."""
    with_ports = {port.key.address for port in planned.ports}
    return tuple(address for address in planned.addresses if address in with_ports)


async def run(settings: Settings) -> None:
    """Run a forwarder until a signal ends it."""
    log.info("forwarder_started", host=settings.host, store=settings.store)
    await run_until_ended(Forwarder(settings).run())
    log.info("forwarder_stopped", host=settings.host)


async def clear() -> None:
    """Remove the rules; raises NftError."""
    await Nft().clear()
