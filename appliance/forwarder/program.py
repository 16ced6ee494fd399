"""The forwarder: wait until any input changed, make what differs so in the kernel, publish what is in force."""

import asyncio
import contextlib
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import structlog

from appliance.api.address import IPAddress, address_of
from appliance.api.kind import Kind, kind_of, ref_of
from appliance.api.text import parse_object_name
from appliance.control.client import TopicChange, watch_topic
from appliance.control.error import ControlError
from appliance.control.event import EventKind
from appliance.control.message import FeedStatus, ForwardedVirtualIP, ForwarderProgram, NeighborStatus
from appliance.control.metric import Reading
from appliance.control.served import Routes
from appliance.control.server import ControlServer
from appliance.control.topic import Topic, TopicTable, single
from appliance.daemon.cache import FeedCache
from appliance.daemon.feed import FeedChange, FeedSource, SiteFeed
from appliance.daemon.follow import follow
from appliance.daemon.history import History
from appliance.daemon.journal import say_host
from appliance.daemon.metric import feed_readings, program_readings
from appliance.daemon.readiness import Need, Readiness
from appliance.daemon.settings import HostSettings, LiveSettings
from appliance.daemon.signals import Ending, run_until_ended
from appliance.daemon.systemd import Unit, Work
from appliance.daemon.token import open_host_store
from appliance.desired.interface import can_carry
from appliance.forward.machine import Change, Device, DevicesChanged, FailedHostsChanged, Forwarding, ObjectsChanged
from appliance.forwarder.metric import ForwarderCounts, rule_readings
from appliance.host.boot import boot_id
from appliance.host.conntrack import Conntrack, ConntrackError, FlowEnd
from appliance.host.file import replace_file
from appliance.host.link import LinkError, LinkMonitor, LinkTable
from appliance.host.nft import Nft, NftError
from appliance.l2.event import Reachability

log = structlog.get_logger()

FEED_KINDS = frozenset((Kind.VIRTUAL_IP, Kind.BACKENDS, Kind.HOST))
# What of the settings takes effect at once, and what only the agent reads; for the rest a restart moves nothing.
_APPLIED = frozenset({"interfaces"})
_FOREIGN = frozenset({"forwarder", "labels", "router_id", "bird", "liveness", "metrics"})
_FIRST_RETRY_SECONDS = 0.2
_LONGEST_RETRY_SECONDS = 30.0


class Forwarder:
    """One host's forwarder: events go to the core as they come, what they change goes to the kernel in one piece."""

    def __init__(self, live: LiveSettings, unit: Unit) -> None:
        self._live = live
        self._unit = unit
        settings = live.now
        self._store, _ = open_host_store(settings, {})
        self._nft = Nft()
        self._conntrack = Conntrack()
        self._version = version("pierhead")
        self._failed = FailedHosts(settings.cache_directory / "failed-hosts.json")
        self._core = Forwarding(settings.host)
        self._links: LinkTable | None = None
        self._must_list = True
        self._retry_seconds = 0.0
        self._stale_flows: dict[FlowEnd, frozenset[FlowEnd]] = {}
        self._served: dict[str, IPAddress] = {}
        self._revision = ""
        self._refused = ""
        self._left_out: frozenset[str] = frozenset()
        self._counts = ForwarderCounts()
        self._changed, self._serves, self._has_rules = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._is_applying = self._waits_for_disk = False
        self._steps = 0
        self._ending: Ending | None = None
        self._history = History(settings.cache_directory / "forwarder-history.db", settings.host, program="forwarder")
        self._server = ControlServer(settings.run_directory / "forwarder.sock", self._routes())
        self._readiness = Readiness(frozenset(Need), self._program_changed)
        self._site = SiteFeed(
            FEED_KINDS,
            FeedCache(settings.cache_directory / "forwarder.db"),
            self._server.events,
            on_change=self._take_feed,
            on_status=self._feed_status_changed,
        )

    @property
    def _settings(self) -> HostSettings:
        return self._live.now

    async def run(self) -> None:
        """Run until cancelled; the rules stay in the kernel, and with them every connection."""
        self._server.events.record(
            EventKind.PROGRAM_STARTED,
            "forwarder",
            host=self._settings.host,
            version=self._version,
            boot=boot_id(),
            store=self._settings.store,
        )
        self._failed.load()
        self._core.handle(FailedHostsChanged(self._failed.hosts))
        self._site.load()
        self._changed.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_links(), name="links")
            tasks.create_task(self._follow_agent(), name="agent")
            tasks.create_task(self._site.follow(self._store), name="store")
            tasks.create_task(self._follow_kernel(), name="kernel")
            tasks.create_task(self._apply_for_ever(), name="apply")
            tasks.create_task(self._site.save_for_ever(), name="cache")
            tasks.create_task(self._serve(), name="control")
            tasks.create_task(self._history.run(), name="history")
            tasks.create_task(self._unit.run(self._settled(), self._describe, self._works), name="systemd")
            if self._settings.forwarder_metrics is not None:
                from appliance.control.scrape import ScrapeServer

                scrapes = ScrapeServer(self._settings.forwarder_metrics, "forwarderMetrics", self._metrics)
                tasks.create_task(scrapes.run(), name="metrics")

    def close(self) -> None:
        """Have the last word on disk; blocks, and is for the end."""
        ending = "a failure of its own" if self._ending is None else f"told to {self._ending.value}"
        self._server.events.record(EventKind.PROGRAM_STOPPED, "forwarder", ending)
        self._history.close()

    def end(self, ending: Ending) -> None:
        """Hear that this run is about to end."""
        self._ending = ending
        self._unit.stopping("ends; its rules stay in the kernel")

    def reload(self) -> None:
        """Read the settings file again; what takes effect at once does."""
        self._unit.reloading()
        if self._live.read_again() and self._links is not None:
            self._take_links(self._links)
        self._server.publish(Topic.PROGRAM)
        self._unit.ready(self._describe())

    async def _serve(self) -> NoReturn:
        async with self._server.serving():
            self._serves.set()
            await asyncio.Event().wait()
        raise AssertionError("an event that nobody sets was set")

    async def _settled(self) -> None:
        await self._serves.wait()
        await self._has_rules.wait()

    def _describe(self) -> str:
        """One line for `systemctl status`: what waits, or what is done, and whatever an operator should know."""
        if self._readiness.waits_for:
            return "; ".join((*self._readiness.waits_for, *self._live.remarks()))
        done = f"carries connections to {len(self._served)} VIPs, {self._core.ring_count} rings"
        failed = (f"left out as failed: {', '.join(sorted(self._failed.hosts))}",) if self._failed.hosts else ()
        refused = (f"the kernel does not have the rules: {self._refused}",) if self._refused else ()
        feed = () if self._site.source is FeedSource.LIVE else ("the store cannot be asked",)
        return "; ".join((done, *failed, *refused, *feed, *self._live.remarks()))

    def _works(self) -> tuple[Work, ...]:
        """What has to go on for this program to be alive; no store, agent or disk that is gone ends it."""
        can_apply = self._site.source is not FeedSource.NONE and self._links is not None
        waits = self._is_applying or (self._changed.is_set() and can_apply)
        return (Work("rules", waits and not self._waits_for_disk, self._steps),)

    def _program_changed(self) -> None:
        self._server.publish(Topic.PROGRAM)
        self._unit.look_again()

    def _feed_status_changed(self) -> None:
        self._server.publish(Topic.FEED)
        self._unit.look_again()

    def _routes(self) -> Routes:
        """What the control socket tells; of VIPs nothing until the kernel was given the first rules."""
        return Routes(
            topics={
                Topic.PROGRAM: single(self._program),
                Topic.FEED: single(self._feed_status),
                Topic.VIPS: TopicTable(self._addresses, self._forwarded),
            },
            metrics=self._metrics,
            history=self._history,
        )

    def _program(self) -> ForwarderProgram:
        return ForwarderProgram(
            host=self._settings.host,
            version=self._version,
            waits_for=self._readiness.waits_for,
            rings=self._core.ring_count,
            revision=self._revision,
            refused=self._refused,
            failed_hosts=tuple(sorted(self._failed.hosts)),
            settings_problems=self._live.problems,
            awaiting_restart=self._live.awaiting_restart,
        )

    def _metrics(self) -> Iterator[Reading]:
        is_refused = bool(self._refused)
        yield from program_readings(self._version, not self._readiness.waits_for, self._store)
        yield from feed_readings(self._site, is_refused=is_refused)
        yield from rule_readings(
            self._counts,
            vips=len(self._served),
            rings=self._core.ring_count,
            failed_hosts=len(self._failed.hosts),
            is_refused=is_refused,
        )

    def _feed_status(self) -> FeedStatus:
        return self._site.status()

    def _addresses(self) -> Iterable[str] | None:
        return tuple(self._served) if self._revision else None

    def _forwarded(self, key: str) -> ForwardedVirtualIP | None:
        address = self._served.get(key)
        return ForwardedVirtualIP(address=address) if address else None

    async def _follow_links(self) -> NoReturn:
        await follow("links", LinkMonitor().watch, self._take_links, LinkError)

    async def _follow_agent(self) -> NoReturn:
        socket = self._settings.run_directory / "agent.sock"
        await follow(
            "agent", lambda: watch_topic(socket, Topic.HOSTS, NeighborStatus), self._take_neighbors, ControlError
        )

    async def _follow_kernel(self) -> NoReturn:
        await follow("nftables", self._nft.watch, self._doubt_kernel, NftError)

    def _doubt_kernel(self, _: None) -> None:
        """Somebody else may have changed the rules."""
        self._must_list = True
        self._changed.set()

    def _take_links(self, links: LinkTable) -> None:
        self._links = links
        chosen = self._settings.interfaces
        devices = tuple(
            Device(link.name, link.index)
            for link in links.links
            if can_carry(link.name, link.resolves, link.enslaved, chosen)
        )
        self._core.handle(DevicesChanged(devices))
        self._readiness.meet(Need.LINKS)
        self._changed.set()

    def _take_neighbors(self, change: TopicChange[NeighborStatus]) -> None:
        """Hear who failed; such a host is back once it is known to be reachable, and not before."""
        states = {name: neighbor.state for name, neighbor in change.changed.items()}
        failed = {name for name, state in states.items() if state is Reachability.FAILED}
        reachable = {name for name, state in states.items() if state is Reachability.REACHABLE}
        self._take_failed((self._failed.hosts | failed) - reachable)

    def _take_failed(self, hosts: frozenset[str]) -> None:
        if hosts == self._failed.hosts:
            return
        for host in sorted(hosts ^ self._failed.hosts):
            self._server.events.record(EventKind.HOST_CHANGED, host, "failed" if host in hosts else "reachable")
        self._failed.hosts = hosts
        self._core.handle(FailedHostsChanged(hosts))
        self._changed.set()
        self._program_changed()

    def _take_feed(self, change: FeedChange) -> None:
        self._readiness.meet(Need.FEED)
        self._core.handle(ObjectsChanged(change.changed, tuple(map(ref_of, change.removed))))
        gone = {manifest.metadata.name for manifest in change.removed if kind_of(manifest) is Kind.HOST}
        self._take_failed(self._failed.hosts - gone)
        self._changed.set()

    async def _apply_for_ever(self) -> NoReturn:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._idle_seconds()):
                    await self._changed.wait()
            self._changed.clear()
            if self._site.source is not FeedSource.NONE and self._links is not None:
                self._is_applying = True
                await self._apply()
                self._is_applying = False

    def _idle_seconds(self) -> float | None:
        """How long there is nothing to do without an event."""
        if self._retry_seconds:
            return self._retry_seconds
        deadline = self._core.deadline()
        return None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())

    async def _apply(self) -> None:
        """Bring the kernel up to date; where it refuses, look at what it has and try again, later each time."""
        try:
            await self._remember_failed()
            change = await self._next_change()
            self._steps += 1
            if change is not None:
                if change.text:
                    await self._nft.apply(change.text, change.revision)
                    self._counts.applied += 1
                    self._steps += 1
                self._take_change(change)
            await self._forget_flows()
            self._steps += 1
        except (NftError, ConntrackError) as error:
            if isinstance(error, NftError):
                self._must_list = True
                self._counts.failed += 1
            else:
                self._counts.conntrack_errors += 1
            self._retry_seconds = min(max(_FIRST_RETRY_SECONDS, 2 * self._retry_seconds), _LONGEST_RETRY_SECONDS)
            self._say_refused(str(error))
        else:
            self._retry_seconds = 0.0
            self._say_refused("")

    async def _next_change(self) -> Change | None:
        now = asyncio.get_running_loop().time()
        if not self._must_list:
            return self._core.change(now)
        # Before it is listed: what somebody changes meanwhile must be looked at again.
        self._must_list = False
        self._counts.listings += 1
        return self._core.take_over(await self._nft.read(), now)

    def _take_change(self, change: Change) -> None:
        """Publish what is in force now."""
        self._readiness.meet(Need.RULES)
        self._has_rules.set()
        self._revision = change.revision
        touched = []
        for name in change.vips:
            plan = self._core.plans.get(name)
            address = plan.address if plan else address_of(name)
            touched.append(str(address))
            if plan and plan.ports:
                self._served[str(address)] = address
            else:
                self._served.pop(str(address), None)
        for key, backends in change.flows.items():
            self._stale_flows[FlowEnd(key.address, key.port)] = frozenset(
                FlowEnd(backend.address, backend.port) for backend in backends
            )
        if change.text:
            self._server.events.record(
                EventKind.CONFIGURATION_APPLIED,
                change.revision,
                vips=str(len(self._served)),
                rings=str(self._core.ring_count),
            )
        self._program_changed()
        self._server.publish(Topic.VIPS, touched)
        self._report()

    async def _forget_flows(self) -> None:
        """UDP has no end by which a flow to a backend that is gone would be noticed."""
        flows, self._stale_flows = self._stale_flows, {}
        try:
            forgotten = await self._conntrack.keep(flows) if flows else 0
        except ConntrackError:
            self._stale_flows = flows | self._stale_flows
            raise
        self._counts.flows_forgotten += forgotten
        if forgotten:
            log.info("flows_forgotten", flows=forgotten)

    async def _remember_failed(self) -> None:
        if self._failed.is_saved:
            return
        self._waits_for_disk = True
        try:
            await asyncio.to_thread(self._failed.save)
        except OSError as error:
            log.warning("failed_hosts_not_written", error=str(error))
        finally:
            self._waits_for_disk = False

    def _say_refused(self, error: str) -> None:
        if error == self._refused:
            return
        self._refused = error
        if error:
            self._server.events.record(EventKind.CONFIGURATION_REFUSED, self._core.revision, error)
        self._program_changed()

    def _report(self) -> None:
        """Say once who is left out, and why."""
        left_out = frozenset(f"{one.host} IPv{one.family}: {one.reason.value}" for one in self._core.left_out)
        if left_out != self._left_out:
            log.info("hosts_left_out", hosts=sorted(left_out))
            self._left_out = left_out


class FailedHosts:
    """The hosts that failed and were not heard to be reachable since, remembered over a restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved: frozenset[str] = frozenset()
        self.hosts: frozenset[str] = frozenset()

    @property
    def is_saved(self) -> bool:
        """Whether the file says so."""
        return self.hosts == self._saved

    def load(self) -> None:
        """Read the file; one that cannot be read holds nobody."""
        try:
            self.hosts = self._saved = frozenset(map(parse_object_name, json.loads(self._path.read_text())))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError) as error:
            log.warning("failed_hosts_not_read", error=str(error))

    def save(self) -> None:
        """Write the file; blocks, raises OSError."""
        hosts = self.hosts
        replace_file(self._path, json.dumps(sorted(hosts)))
        self._saved = hosts


async def run(settings: HostSettings, path: Path) -> None:
    """Run a forwarder with settings that were read from a file until a signal ends it."""
    say_host(settings.host)
    program = Forwarder(LiveSettings(path, settings, applied=_APPLIED, foreign=_FOREIGN), Unit())
    try:
        await run_until_ended(program.run(), on_end=program.end, reload=program.reload)
    finally:
        program.close()


async def clear() -> None:
    """Remove the rules; raises NftError."""
    await Nft().clear()
