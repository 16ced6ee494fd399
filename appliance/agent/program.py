"""The agent: wait until any input changed, decide, apply part by part, publish what was decided."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from ipaddress import IPv4Address
from pathlib import Path
from typing import NoReturn

import structlog

from appliance.agent.bgp import BgpShell
from appliance.agent.layer2 import Layer2Shell, carrying_links
from appliance.agent.metric import (
    DRAINED,
    TAKEOVER_SECONDS,
    TIMER_DELAY_SECONDS,
    announced_reading,
    bird_readings,
    layer2_readings,
    watch_readings,
)
from appliance.agent.publish import (
    SETTLE_SECONDS,
    HostReport,
    LinkSettling,
    Publisher,
    conditions_of,
    interfaces_of,
)
from appliance.agent.secret import own_passwords
from appliance.agent.state import DrainState, StateFile, forwarded_at_start
from appliance.agent.status import VipSeen, counted, interfaces, neighbor, sessions, verdict
from appliance.api.address import IPAddress, parse_address
from appliance.api.kind import Kind
from appliance.api.meta import Ref
from appliance.api.pierhead import HOSTS_NAMESPACE, Host, HostStatus, VirtualIP
from appliance.bird.model import KERNEL_TABLE, BirdConfig, Drain, Part, WatchTiming
from appliance.control.client import TopicChange, watch_topic
from appliance.control.error import ControlError, ControlFault
from appliance.control.event import EventKind
from appliance.control.message import (
    AgentProgram,
    BirdSession,
    FeedStatus,
    ForwardedVirtualIP,
    NeighborStatus,
    SessionKind,
    VirtualIPVerdict,
)
from appliance.control.metric import Reading, observed, one
from appliance.control.served import Counters, Routes
from appliance.control.server import ControlServer
from appliance.control.topic import Topic, TopicTable, changed_keys, single
from appliance.daemon.cache import FeedCache
from appliance.daemon.feed import FeedChange, FeedSource, SiteFeed
from appliance.daemon.follow import follow
from appliance.daemon.garbage import keep_what_is_there
from appliance.daemon.history import History
from appliance.daemon.journal import say_host
from appliance.daemon.metric import feed_readings, program_readings
from appliance.daemon.readiness import Need, Readiness
from appliance.daemon.settings import HostSettings, LiveSettings
from appliance.daemon.signals import Ending, run_until_ended
from appliance.daemon.systemd import Unit, Work
from appliance.daemon.token import open_host_store, renewal_of
from appliance.desired.decide import Desired, Here, decide
from appliance.desired.feed import FEED_KINDS, Feed, updated
from appliance.desired.interface import router_id_of
from appliance.host.bird import Bird
from appliance.host.boot import boot_id
from appliance.host.link import LinkError, LinkMonitor, LinkTable
from appliance.host.watch import WatchError, Watches
from appliance.l2.event import Interface, MoveRefusal, Role, RoleReason
from appliance.l2.machine import Layer2Machine
from appliance.store.scope import Scope

log = structlog.get_logger()

# What an agent that stops for good gives others: to claim its VIPs, to choose other routes, BIRD to withdraw its own,
# the store to take its last word.
_HAND_OVER_SECONDS = 5.0
_LAST_CHOICE_SECONDS = 1.0
_WITHDRAW_SECONDS = 2.0
_LAST_WORD_SECONDS = 1.0
_ALONE_SECONDS = 0.5
_REFRESH_SECONDS = 0.5

# What of the settings takes effect at once, and what only the forwarder reads; for the rest a restart moves nothing.
_APPLIED = frozenset({"interfaces", "labels", "router_id", "liveness"})
_FOREIGN = frozenset({"forwarder_metrics"})
_ENDINGS = {
    Ending.STOP: "hands its VIPs over and withdraws its routes",
    Ending.RESTART: "restarts, which moves nothing",
}

_NOT_ALONE = (RoleReason.LINK_ISOLATED, RoleReason.CONTESTED)


class Agent:
    """One host's agent: inputs are kept as they came, everything else is decided anew from them."""

    def __init__(self, live: LiveSettings, unit: Unit) -> None:
        self._live = live
        self._unit = unit
        settings = live.now
        self._store, token = open_host_store(settings, {Kind.SECRET: Scope((HOSTS_NAMESPACE,), settings.host)})
        self._links: LinkTable | None = None
        self._settling = LinkSettling()
        self._reached: frozenset[IPAddress] = frozenset()
        self._forwarded: frozenset[IPAddress] | None = None
        self._feed = Feed()
        self._touched: set[IPAddress] = set()
        self._state = StateFile(settings.cache_directory / "agent.json", settings.host)
        self._drain = DrainState(self._state)
        self._changed, self._decided, self._serves = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._decisions = 0
        self._waits_for_disk = False
        self._history = History(settings.cache_directory / "history.db", settings.host)
        self._server = ControlServer(settings.run_directory / "agent.sock", self._routes())
        self._readiness = Readiness(frozenset({Need.FEED, Need.LINKS}), self._program_changed)
        self._site = SiteFeed(
            FEED_KINDS,
            FeedCache(settings.cache_directory / "feed.db"),
            self._server.events,
            choose=own_passwords(settings.host, lambda: self._settings.labels),
            on_change=self._take_feed,
            on_status=self._feed_status_changed,
            on_saved=self._settle_drain,
        )
        self._renewal = renewal_of(self._store, token, self._site.take_token_problem)
        self._layer2 = Layer2Shell(
            Layer2Machine(),
            self._server.events,
            self._ownership_changed,
            unit,
            on_traffic=lambda: self._server.publish(Topic.PROGRAM),
        )
        bird = settings.bird
        self._bgp = BgpShell(
            Bird(bird.config, bird.socket, main=bird.main, bird=bird.bird, birdcl=bird.birdcl),
            self._server.events,
            self._bird_changed,
            self._sessions_counted,
            Part(bird.bfd) if bird.main else None,
        )
        self._sessions: dict[str, BirdSession] = {}
        self._publisher = Publisher(self._store, settings.host, self._report, self._owned)
        self._leaving = self._drained = Drain.NONE
        self._desired: Desired | None = None
        self._version = version("pierhead")
        self._boot = boot_id()
        self._ending: Ending | None = None

    @property
    def _settings(self) -> HostSettings:
        return self._live.now

    async def run(self) -> None:
        """Run until cancelled."""
        self._server.events.record(
            EventKind.PROGRAM_STARTED,
            "agent",
            host=self._settings.host,
            version=self._version,
            boot=self._boot,
            store=self._settings.store,
        )
        self._site.load()
        self._forwarded = forwarded_at_start(self._settings.forwarder, self._state.now, self._boot, self._feed.vips)
        self._changed.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_links(), name="links")
            tasks.create_task(self._follow_watches(), name="liveness")
            tasks.create_task(self._decide_for_ever(), name="decide")
            tasks.create_task(self._bgp.run(), name="bird")
            tasks.create_task(self._unit.run(self._settled(), self._describe, self._works), name="systemd")
            if self._site.source is not FeedSource.NONE:
                # A restarted agent is waited for by the network; what others want of it takes longer to be imported.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ALONE_SECONDS):
                        await self._decided.wait()
            if self._settings.forwarder:
                tasks.create_task(self._follow_forwarder(), name="forwarder")
            tasks.create_task(self._site.follow(self._store), name="store")
            tasks.create_task(self._publisher.run(), name="publish")
            tasks.create_task(self._site.save_for_ever(), name="cache")
            tasks.create_task(self._serve(), name="control")
            tasks.create_task(self._history.run(), name="history")
            if self._renewal is not None:
                tasks.create_task(self._renewal.run(), name="token")
            if self._settings.metrics is not None:
                from appliance.control.scrape import ScrapeServer

                scrapes = ScrapeServer(self._settings.metrics, "metrics", self._metrics)
                tasks.create_task(scrapes.run(), name="metrics")

    def close(self) -> None:
        """Have the last word on disk; blocks, and is for the end."""
        ending = "a failure of its own" if self._ending is None else f"told to {self._ending.value}"
        self._server.events.record(EventKind.PROGRAM_STOPPED, "agent", ending)
        self._history.close()

    async def leave(self) -> None:
        """Hand everything over before this agent ends for good; in bounded time, whoever does not answer."""
        if self._desired is None:
            return
        self._leaving = Drain.LAST_CHOICE
        self._changed.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._layer2.leave(_HAND_OVER_SECONDS), name="hand-over")
            tasks.create_task(self._withdraw(self._desired.bird), name="withdraw")
        await self._publisher.finish(_LAST_WORD_SECONDS)

    async def _withdraw(self, announced: BirdConfig) -> None:
        """Be the routers' last choice for as long as they take to choose others, then announce nothing."""
        if announced.announcements and announced.sessions:
            await asyncio.sleep(_LAST_CHOICE_SECONDS)
        if not await self._bgp.withdraw(_WITHDRAW_SECONDS):
            log.warning("routes_not_withdrawn")
        self._leaving = Drain.WITHDRAWN
        self._changed.set()

    def end(self, ending: Ending) -> None:
        """Hear that this run is about to end, and how."""
        self._ending = ending
        self._unit.stopping(_ENDINGS[ending])

    def reload(self) -> None:
        """Read the settings file again; what takes effect at once does."""
        self._unit.reloading()
        changed = self._live.read_again()
        if "labels" in changed:
            self._site.choose_again()
        if "interfaces" in changed and self._links is not None:
            self._take_links(self._links)
        if changed:
            self._changed.set()
        self._server.publish(Topic.PROGRAM)
        self._unit.ready(self._describe())

    async def _serve(self) -> NoReturn:
        async with self._server.serving():
            self._serves.set()
            await asyncio.Event().wait()
        raise AssertionError("an event that nobody sets was set")

    async def _settled(self) -> None:
        try:
            await self._serves.wait()
            await self._decided.wait()
        finally:
            # Where nothing was decided for want of a feed: each attempt to get one leaves garbage.
            keep_what_is_there(is_searched=False)

    def _describe(self) -> str:
        """One line for `systemctl status`: what waits, or what is done, and whatever an operator should know."""
        drained = ("drained",) if self._drained is not Drain.NONE else ()
        if self._readiness.waits_for:
            return "; ".join((*self._readiness.waits_for, *drained, *self._live.remarks()))
        announced = self._desired.announced if self._desired else 0
        done = f"answers for {len(self._layer2.owned)} and announces {announced} of {len(self._feed.vips)} VIPs"
        established = sum(session.is_established for session in self._bgp.state.bgp)
        bgp = (f"BGP {established} of {len(self._bgp.state.bgp)} up",) if self._bgp.state.bgp else ()
        bird = () if self._bgp.status.reachable else ("BIRD does not answer",)
        refused = ("BIRD refused its configuration",) if self._bgp.status.refused else ()
        feed = () if self._site.source is FeedSource.LIVE else ("the store cannot be asked",)
        isolated = tuple(f"nobody answers on {name}" for name in self._layer2.isolated_links())
        return "; ".join((done, *bgp, *bird, *refused, *feed, *isolated, *drained, *self._live.remarks()))

    def _works(self) -> tuple[Work, ...]:
        """What has to go on for this program to be alive; no store, BIRD or disk that is gone ends it."""
        waits = self._changed.is_set() and not self._waits_for_disk
        return (*self._layer2.works(), self._bgp.work(), Work("decisions", waits, self._decisions))

    def _program_changed(self) -> None:
        self._server.publish(Topic.PROGRAM)
        self._unit.look_again()

    def _feed_status_changed(self) -> None:
        self._server.publish(Topic.FEED)
        self._unit.look_again()

    def _routes(self) -> Routes:
        """What the control socket tells; of hosts and VIPs nothing until there was a first decision."""
        return Routes(
            topics={
                Topic.PROGRAM: single(self._program),
                Topic.FEED: single(self._feed_status),
                Topic.HOSTS: TopicTable(self._host_names, self._neighbor),
                Topic.SESSIONS: TopicTable(lambda: tuple(self._sessions), self._session),
                Topic.VIPS: TopicTable(self._addresses, self._verdict),
            },
            counters=self._counters,
            metrics=self._metrics,
            drain=self.ask_drain,
            history=self._history,
            refresh=self._refresh,
            move=self.ask_move,
        )

    def _program(self) -> AgentProgram:
        return AgentProgram(
            host=self._settings.host,
            version=self._version,
            waits_for=self._readiness.waits_for,
            drained=self._drained is not Drain.NONE,
            isolated_links=self._layer2.isolated_links(),
            interfaces=interfaces(interfaces_of(self._links.links if self._links else (), self._settings.interfaces)),
            bird=self._bgp.status,
            settings_problems=self._live.problems,
            awaiting_restart=self._live.awaiting_restart,
            frames=self._layer2.frames,
            forwarder=self._settings.forwarder,
        )

    def _feed_status(self) -> FeedStatus:
        return self._site.status()

    def _host_names(self) -> Iterable[str] | None:
        return sorted(self._desired.layer2.hosts) if self._desired else None

    def _neighbor(self, name: str) -> NeighborStatus | None:
        host = self._desired.layer2.hosts.get(name) if self._desired else None
        return neighbor(host, self._layer2.core.neighbor(name)) if host else None

    def _session(self, key: str) -> BirdSession | None:
        session = self._sessions.get(key)
        if session is None or session.kind is not SessionKind.BGP:
            return session
        named = (session.name, session.peer)
        told = next((each for each in self._bgp.state.bgp if each.key == named), None)
        return counted(session, told, self._bgp.flaps[named])

    def _sessions_counted(self) -> None:
        self._server.publish(Topic.SESSIONS, tuple(self._sessions))

    async def _refresh(self) -> None:
        await self._bgp.refresh(_REFRESH_SECONDS)

    def _addresses(self) -> Iterable[str] | None:
        return map(str, tuple(self._feed.vips)) if self._desired else None

    def _verdict(self, key: str) -> VirtualIPVerdict | None:
        address, core = parse_address(key), self._layer2.core
        vip = self._feed.vips.get(address)
        if vip is None:
            return None
        decided = self._desired.vips.get(address) if self._desired else None
        conflict = core.conflict(address)
        seen = VipSeen(
            _moment,
            conflict,
            self._layer2.moves.get(address),
            core.vip_traffic(address),
            core.conflict_evidence(address) if conflict else None,
        )
        return verdict(vip, core.vip(address), decided, seen)

    def _counters(self) -> Counters:
        core = self._layer2.core
        drops = {reason.name.lower(): number for reason, number in core.drops().items()}
        return {"layer2": {count.value: number for count, number in core.counters().items()}, "drops": drops}

    def _metrics(self) -> Iterator[Reading]:
        layer2, bgp = self._layer2, self._bgp
        is_refused = bool(bgp.status.refused)
        yield from program_readings(self._version, not self._readiness.waits_for, self._store)
        yield from feed_readings(self._site, is_refused=is_refused)
        yield one(DRAINED, self._drained is not Drain.NONE)
        isolated = layer2.isolated_links()
        links = {name: name in isolated for name in layer2.link_names()}
        yield from layer2_readings(layer2.core, layer2.owned, layer2.conflicts, links, layer2.packet_errors)
        yield observed(TAKEOVER_SECONDS, layer2.takeovers)
        yield observed(TIMER_DELAY_SECONDS, layer2.delays)
        yield from watch_readings(self._desired.watched if self._desired else {}, self._reached)
        faults = bgp.status.faults
        yield from bird_readings(bgp.wanted, bgp.state, bgp.outcomes, is_refused=is_refused, faults=faults)
        yield announced_reading(self._settings.host, self._feed.vips, self._desired, layer2.core)

    async def ask_drain(self, drain: bool) -> None:
        """Take an operator's request to drain this host, or to serve again; raises ControlError."""
        before, self._state.now = self._state.now, replace(self._state.now, drain_asked=drain)
        try:
            await self._state.save()
        except OSError as error:
            self._state.now = replace(self._state.now, drain_asked=before.drain_asked)
            raise ControlError(ControlFault.REFUSED, "drain", f"cannot be kept on disk: {error.strerror}") from error
        self._server.events.record(EventKind.DRAIN_ASKED, self._settings.host, "drain" if drain else "serve")
        self._settle_drain()
        self._changed.set()

    async def ask_move(self, address: IPAddress, to: str) -> str:
        """Hand a VIP over to another host, the first able one where none is named; raises ControlError."""
        successor = self._layer2.core.successor(address, to)
        if isinstance(successor, MoveRefusal):
            raise ControlError(ControlFault.REFUSED, str(address), successor.value)
        self._server.events.record(EventKind.MOVE_ASKED, str(address), to=successor)
        status = await self._layer2.move(address, successor)
        if status is None or status.role is Role.OWNER or status.owner is None:
            raise ControlError(ControlFault.REFUSED, str(address), f"{successor} did not take it, so it stays here")
        return status.owner

    async def _follow_links(self) -> NoReturn:
        await follow("links", LinkMonitor().watch, self._take_links, LinkError)

    async def _follow_watches(self) -> NoReturn:
        await follow("liveness", Watches(KERNEL_TABLE).watch, self._take_reached, WatchError)

    async def _follow_forwarder(self) -> NoReturn:
        socket = self._settings.run_directory / "forwarder.sock"
        await follow(
            "forwarder",
            lambda: watch_topic(socket, Topic.VIPS, ForwardedVirtualIP),
            self._take_forwarder,
            ControlError,
        )

    def _take_feed(self, change: FeedChange) -> None:
        self._feed = updated(self._feed, change.changed, change.removed)
        for manifest in (*change.changed, *change.removed):
            if isinstance(manifest, VirtualIP):
                self._touched.add(manifest.spec.address)
        self._readiness.meet(Need.FEED)
        self._changed.set()

    def _settle_drain(self) -> None:
        """A drain asked here is the site's word once a restart would begin with it."""
        own = self._site.saved(Ref(Kind.HOST.title, "", self._settings.host))
        if isinstance(own, Host):
            self._drain.settle(own.spec.drain)
            self._changed.set()

    def _take_forwarder(self, change: TopicChange[ForwardedVirtualIP]) -> None:
        """Hear which VIPs this host can deliver; a forwarder that has just begun lists none yet: its rules stayed."""
        before = self._forwarded or frozenset()
        told = frozenset(vip.address for vip in change.changed.values())
        gone = before - told if change.is_listing else frozenset(map(parse_address, change.removed))
        self._forwarded = (before - gone) | told
        self._touched |= self._forwarded ^ before
        self._state.now = replace(self._state.now, forwarded_in_boot=self._boot)
        self._changed.set()

    def _take_links(self, links: LinkTable) -> None:
        """A lost carrier is acted upon here and now; what else follows from links is decided in turn."""
        self._links = links
        self._readiness.meet(Need.LINKS)
        loop = asyncio.get_running_loop()
        if self._settling.update(links.links, loop.time()):
            loop.call_later(SETTLE_SECONDS, self._tell_of_links)
        self._tell_of_links()
        self._layer2.take_links(links.links, carrying_links(links.links, self._settings.interfaces, links.gateways))
        self._changed.set()

    def _take_reached(self, reached: frozenset[IPAddress]) -> None:
        if reached != self._reached:
            self._bgp.look()
        self._reached = reached
        if self._desired:
            watched = self._desired.watched
            self._layer2.take_reached(frozenset(watched[address] for address in reached if address in watched))

    def _tell_of_links(self) -> None:
        """Other hosts send traffic by what they read of links, so they hear of them at once."""
        if self._desired is not None:
            self._publisher.ask(at_once=True)

    def _ask_to_publish(self) -> None:
        if self._desired is not None:
            self._publisher.ask()

    def _ownership_changed(self, addresses: frozenset[IPAddress], hosts: frozenset[str]) -> None:
        self._ask_to_publish()
        self._publisher.ask_for(addresses)
        self._program_changed()
        self._server.publish(Topic.HOSTS, hosts)
        self._server.publish(Topic.VIPS, map(str, addresses))

    def _bird_changed(self) -> None:
        self._ask_to_publish()
        before = self._sessions
        bgp = sessions(SessionKind.BGP, self._bgp.bgp_sessions)
        bfd = sessions(SessionKind.BFD, self._bgp.bfd_sessions)
        self._sessions = {session.key: session for session in (*bgp, *bfd)}
        for key, session in self._sessions.items():
            if key not in before or before[key].state != session.state:
                self._server.events.record(EventKind.SESSION_CHANGED, key, session.message, state=session.state)
        self._program_changed()
        self._server.publish(Topic.SESSIONS, changed_keys(before, self._sessions))

    async def _decide_for_ever(self) -> NoReturn:
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._drain.deadline(loop.time())):
                    await self._changed.wait()
            self._changed.clear()
            self._decisions += 1
            # Before both are known there is nothing to decide from: BIRD keeps what it has.
            if self._links is not None and self._site.source is not FeedSource.NONE:
                self._decide(self._links, loop.time())
                await self._save_state()

    async def _save_state(self) -> None:
        self._waits_for_disk = True
        try:
            await self._state.save()
        except OSError as error:
            log.warning("state_not_written", error=str(error))
        finally:
            self._waits_for_disk = False

    def _router_id(self, links: tuple[Interface, ...], gateways: tuple[IPAddress, ...]) -> IPv4Address:
        """The one that was set, else the one chosen once: another one restarts every session."""
        if self._settings.router_id is not None:
            return self._settings.router_id
        state = self._state.now
        if state.router_id is not None:
            return state.router_id
        chosen = router_id_of({link.name: link.addresses for link in links}, gateways, self._settings.host)
        self._state.now = replace(state, router_id=chosen)
        log.info("router_id_chosen", router_id=str(chosen))
        return chosen

    def _decide(self, links: LinkTable, now: float) -> None:
        feed, settings = self._feed, self._settings
        registered = feed.hosts.get(settings.host)
        was_drained, self._drained = self._drained, self._drain.update(bool(registered and registered.spec.drain), now)
        if self._drained is not was_drained:
            self._server.events.record(EventKind.DRAIN_CHANGED, settings.host, self._drained.value)
        carrying = carrying_links(links.links, settings.interfaces, links.gateways)
        here = Here(
            name=settings.host,
            router_id=self._router_id(carrying, links.gateways),
            labels=settings.labels,
            timing=WatchTiming(settings.liveness.interval_milliseconds, settings.liveness.multiplier),
            links=carrying,
            drain=max(self._drained, self._leaving, key=list(Drain).index),
            forwarded=self._forwarded,
        )
        before = self._desired
        self._desired = decide(feed, here, before, self._touched)
        self._touched = set()
        changed = self._desired.vips.keys() if self._desired.changed is None else self._desired.changed
        self._layer2.take_plan(self._desired.layer2, self._desired.changed)
        self._take_reached(self._reached)
        self._bgp.take(self._desired.bird)
        self._publisher.take_host(registered)
        self._publisher.ask()
        self._publisher.ask_for(changed)
        self._program_changed()
        hosts = changed_keys(before.layer2.hosts if before else {}, self._desired.layer2.hosts)
        self._server.publish(Topic.HOSTS, hosts)
        self._server.publish(Topic.VIPS, map(str, changed))
        if before is None:
            self._decided.set()
            keep_what_is_there(is_searched=False)

    def _owned(self, address: IPAddress) -> VirtualIP | None:
        """A VIP that this host answers for, as far as it knows alone: on an isolated link it knows of nobody."""
        status = self._layer2.core.vip(address)
        is_owned = status is not None and status.role is Role.OWNER and status.reason not in _NOT_ALONE
        return self._feed.vips.get(address) if is_owned else None

    def _report(self) -> HostReport:
        links = self._settling.told(self._links.links if self._links else (), asyncio.get_running_loop().time())
        status = HostStatus(
            version=self._version,
            interfaces=tuple(interfaces_of(links, self._settings.interfaces)),
            conditions=tuple(
                conditions_of(
                    self._bgp.status,
                    drained=self._drained is not Drain.NONE,
                    awaits_forwarder=self._settings.forwarder and self._state.now.forwarded_in_boot != self._boot,
                )
            ),
            bgp_sessions=self._bgp.bgp_sessions,
            bfd_sessions=self._bgp.bfd_sessions,
            conflicts=tuple(
                self._layer2.conflicts[address] for address in sorted(self._layer2.conflicts, key=_in_order)
            ),
            owned=len(self._layer2.owned),
            announced=self._desired.announced if self._desired else 0,
        )
        return HostReport(dict(self._settings.labels), status, self._state.now.drain_asked)


def _moment(moment: float) -> str:
    """A moment of the loop's clock as RFC 3339 text."""
    ago = timedelta(seconds=asyncio.get_running_loop().time() - moment)
    return (datetime.now(UTC) - ago).isoformat(timespec="milliseconds")


def _in_order(address: IPAddress) -> tuple[int, int]:
    return address.version, int(address)


async def run(settings: HostSettings, path: Path) -> None:
    """Run an agent with settings that were read from a file until a signal ends it."""
    say_host(settings.host)
    live = LiveSettings(path, settings, applied=_APPLIED, foreign=_FOREIGN)
    agent = Agent(live, Unit())
    try:
        await run_until_ended(agent.run(), agent.leave, on_end=agent.end, reload=agent.reload)
    finally:
        agent.close()
