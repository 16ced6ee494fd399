"""What this host says in the store: its own Host, and of each VIP it answers for that it does."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from appliance.api.address import IPAddress
from appliance.api.kind import Object
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import (
    DRAINED,
    Condition,
    Host,
    HostInterface,
    HostSpec,
    HostStatus,
    Owner,
    VirtualIP,
    VirtualIPStatus,
)
from appliance.api.refusal import StoreRefusal
from appliance.control.message import BirdStatus
from appliance.desired.interface import can_carry
from appliance.host.link import Link
from appliance.store.protocol import Store, StoreError

log = structlog.get_logger()

MANAGER = "pierhead-agent"
SETTLE_SECONDS = 1.2

_HOST_PACE_SECONDS = 1.0
_HOST_WAIT_SECONDS = 0.25
_SLICE = 200
_WRITES_MAX = 8
_REPEAT_SECONDS_FIRST = 1.0
_REPEAT_SECONDS_LONGEST = 60.0
_RETRY_SECONDS_FIRST = 0.1
_RETRY_SECONDS_LONGEST = 5.0
_TRANSIENT = (StoreRefusal.UNAVAILABLE, StoreRefusal.THROTTLED)
_NOT_OURS = (StoreRefusal.READ_ONLY, StoreRefusal.FORBIDDEN, StoreRefusal.INVALID)
_OUTDATED = (StoreRefusal.CONFLICT, StoreRefusal.NOT_FOUND)


@dataclass(frozen=True, slots=True)
class HostReport:
    """What is to stand in this host's own Host; `drain` is a request made here that the site has not recorded yet."""

    labels: Mapping[str, str]
    status: HostStatus
    drain: bool | None = None


@dataclass(frozen=True, slots=True)
class _Said:
    """When the owner of a VIP was last written, and how long to wait before it may be written again."""

    moment: float
    wait_seconds: float


class Publisher:
    """Brings the store to what this host says; the cost is that of what changed.

    The owner of a VIP is written when this host claims it. Where two hosts hold that they own one, each says so ever
    more rarely: the one that goes on has the last word, and there is no exchange without end.
    """

    def __init__(
        self,
        store: Store,
        name: str,
        report: Callable[[], HostReport],
        owned: Callable[[IPAddress], VirtualIP | None],
    ) -> None:
        """`owned` returns a VIP as it was read last, if this host answers for it and knows of nobody else who does."""
        self._store = store
        self._name = name
        self._report = report
        self._owned = owned
        self._asked = asyncio.Event()
        self._is_told = asyncio.Event()
        self._read: Host | None = None
        self._host: Host | None = None
        self._host_due: float | None = None
        self._host_written = float("-inf")
        self._labels: Mapping[str, str] | None = None
        self._refusals = 0
        self._refused: dict[str, tuple[object, float]] = {}
        self._vips_due: dict[IPAddress, float] = {}
        self._said: dict[IPAddress, _Said] = {}

    def take_host(self, host: Host | None) -> None:
        """Hear what the store says of this host now."""
        if host is not self._read:
            self._read = self._host = host
            self.ask()

    def ask(self, at_once: bool = False) -> None:
        """There may be something new to say of this host; most of it can wait a moment for more."""
        now = asyncio.get_running_loop().time()
        wait = 0.0 if self._host is None else _HOST_WAIT_SECONDS
        due = now if at_once else max(now + wait, self._host_written + _HOST_PACE_SECONDS)
        self._host_due = due if self._host_due is None else min(due, self._host_due)
        self._is_told.clear()
        self._asked.set()

    def ask_for(self, addresses: Iterable[IPAddress]) -> None:
        """The owner of some VIPs may be another than the store says."""
        now = asyncio.get_running_loop().time()
        for address in addresses:
            said = self._said.get(address)
            self._vips_due[address] = now if said is None else max(now, said.moment + said.wait_seconds)
        self._asked.set()

    async def finish(self, seconds: float) -> None:
        """Say of this host what is to be said now, before its agent ends; in bounded time."""
        self.ask(at_once=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_told.wait()

    async def run(self) -> None:
        """Publish what is asked for until cancelled; a store that cannot be reached is asked again with back-off."""
        failures = 0
        while True:
            dues = (*self._vips_due.values(), *(() if self._host_due is None else (self._host_due,)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(dues, default=None)):
                    await self._asked.wait()
            self._asked.clear()
            try:
                await self._publish()
                failures = 0
            except StoreError as error:
                failures += 1
                longest = min(_RETRY_SECONDS_FIRST * 2**failures, _RETRY_SECONDS_LONGEST)
                log.warning("status_not_published", attempt=failures, error=str(error))
                # Not all hosts at once: the store may have come back this moment.
                await asyncio.sleep(max(random.uniform(longest / 2, longest), error.retry_seconds))

    async def _publish(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._host_due is not None and self._host_due <= now:
            self._host_due = None
            try:
                await self._publish_host()
            except StoreError as error:
                if error.refusal in _TRANSIENT:
                    self.ask(at_once=True)
                    raise
                log.warning("host_not_written", error=str(error))
                # A server that has just started knows nobody's rights for a moment.
                self._refusals += 1
                self._host_due = now + min(_REPEAT_SECONDS_FIRST * 2.0**self._refusals, _REPEAT_SECONDS_LONGEST)
            else:
                self._refusals = 0
        if self._host_due is None:
            self._is_told.set()
        due = [address for address, moment in self._vips_due.items() if moment <= now]
        for start in range(0, len(due), _SLICE):
            stale = [vip for address in due[start : start + _SLICE] if (vip := self._stale(address))]
            for first in range(0, len(stale), _WRITES_MAX):
                async with asyncio.TaskGroup() as group:
                    chunk = stale[first : first + _WRITES_MAX]
                    writes = [group.create_task(self._write_owner(vip), name="owner") for vip in chunk]
                for failed in filter(None, (write.result() for write in writes)):
                    self.ask_for(vip.spec.address for vip in stale[first:])
                    raise failed
            await asyncio.sleep(0)  # frames come first, however many VIPs there are to look at

    def _stale(self, address: IPAddress) -> VirtualIP | None:
        """A VIP that this host owns while another host, or none, is on record for it."""
        del self._vips_due[address]
        vip = self._owned(address)
        if vip is None:
            self._said.pop(address, None)
            return None
        return vip if vip.status.owner is None or vip.status.owner.host != self._name else None

    async def _write_owner(self, vip: VirtualIP) -> StoreError | None:
        """Write this host as the owner of a VIP; returns the failure where that is to be tried again."""
        epoch = vip.status.owner.epoch + 1 if vip.status.owner else 1
        owner = Owner(host=self._name, since=datetime.now(UTC).isoformat(timespec="milliseconds"), epoch=epoch)
        try:
            # With the version that was read: whoever wrote meanwhile is read first, and the epoch grows from there.
            await self._store.apply_status(replace(vip, status=VirtualIPStatus(owner=owner)), MANAGER)
        except StoreError as error:
            if error.refusal in _TRANSIENT:
                return error
            self._note_said(vip.spec.address)
            if error.refusal not in _OUTDATED:
                log.warning("owner_not_written", address=str(vip.spec.address), error=str(error))
                self.ask_for((vip.spec.address,))
        else:
            self._note_said(vip.spec.address)
        return None

    def _note_said(self, address: IPAddress) -> None:
        now, said = asyncio.get_running_loop().time(), self._said.get(address)
        wait = _REPEAT_SECONDS_FIRST
        if said is not None and now < said.moment + 2 * said.wait_seconds:
            wait = min(2 * said.wait_seconds, _REPEAT_SECONDS_LONGEST)
        self._said[address] = _Said(now, wait)

    async def _publish_host(self) -> None:
        report = self._report()
        host = self._host or await self._register()
        # A label that left the settings is seen by nobody but the store, which knows who wrote it.
        are_there = report.labels == self._labels and report.labels.items() <= host.metadata.labels.items()
        if not are_there and not self._is_refused("labels", report.labels):
            host = await self._record_labels(host, report.labels)
        if report.drain not in (None, host.spec.drain) and not self._is_refused("drain", report.drain):
            host = await self._record_drain(host, bool(report.drain))
        if host.status != report.status:
            latest = replace(host, metadata=Metadata(name=self._name), status=report.status)
            host = _host(await self._store.apply_status(latest, MANAGER))
            self._host_written = asyncio.get_running_loop().time()
        self._host = host

    async def _register(self) -> Host:
        """This host's object as it is, made where there is none."""
        try:
            return _host(await self._store.get(Ref("Host", "", self._name)))
        except StoreError as error:
            if error.refusal is not StoreRefusal.NOT_FOUND:
                raise
        log.info("host_registered", host=self._name)
        # Labels follow: one that the site keeps for itself must not keep the host out.
        return _host(await self._store.create(Host(metadata=Metadata(name=self._name)), MANAGER))

    async def _record_labels(self, host: Host, labels: Mapping[str, str]) -> Host:
        """Write this host's own labels; some the site may keep for itself, which is no reason to say nothing else."""
        own = replace(host, metadata=Metadata(name=self._name, labels=labels))
        try:
            host = _host(await self._store.apply_metadata(own, MANAGER))
        except StoreError as error:
            if error.refusal not in _NOT_OURS:
                raise
            log.warning("labels_not_recorded", error=str(error))
            self._note_refused("labels", labels)
        else:
            self._labels = labels
        return host

    def _is_refused(self, part: str, wanted: object) -> bool:
        """Whether the site did not take this lately."""
        refused, until = self._refused.get(part, (None, float("-inf")))
        return refused == wanted and asyncio.get_running_loop().time() < until

    def _note_refused(self, part: str, wanted: object) -> None:
        self._refused[part] = (wanted, asyncio.get_running_loop().time() + _REPEAT_SECONDS_LONGEST)

    async def _record_drain(self, host: Host, drain: bool) -> Host:
        """Write what was asked here; where only operators may, they ask there, and what was asked here holds here."""
        metadata = Metadata(name=self._name, labels=self._labels or {})
        try:
            return _host(await self._store.apply(replace(host, metadata=metadata, spec=HostSpec(drain=drain)), MANAGER))
        except StoreError as error:
            if error.refusal not in _NOT_OURS:
                raise
            log.warning("drain_not_recorded", error=str(error))
            self._note_refused("drain", drain)
            return host


def _host(manifest: Object) -> Host:
    if not isinstance(manifest, Host):
        raise TypeError(f"a store returned {type(manifest).__name__} for a Host")
    return manifest


class LinkSettling:
    """Since when each link is up: other hosts are told late that one came up.

    For a moment after a cable is back the kernel may still be failing to resolve what it asked for while the link was
    down (three tries, one second apart: what waits is then answered by "host unreachable"). Links that were up at the
    start have settled.
    """

    def __init__(self) -> None:
        self._since: dict[int, float] | None = None

    def update(self, links: Iterable[Link], now: float) -> bool:
        """Take the links as they are; True where one came up, and will have settled after SETTLE_SECONDS."""
        before = self._since
        first = float("-inf") if before is None else now
        self._since = {link.index: (before or {}).get(link.index, first) for link in links if link.up}
        return before is not None and bool(self._since.keys() - before.keys())

    def told(self, links: Iterable[Link], now: float) -> tuple[Link, ...]:
        """The links as other hosts are to see them: one that has not settled is still down."""
        since = self._since or {}
        settled = {index for index, moment in since.items() if moment + SETTLE_SECONDS <= now}
        return tuple(replace(link, up=link.up and link.index in settled) for link in links)


def interfaces_of(links: Iterable[Link], chosen: tuple[str, ...]) -> Iterator[HostInterface]:
    """The interfaces that carry VIPs, as other hosts read them."""
    for link in links:
        if can_carry(link.name, link.resolves, link.enslaved, chosen):
            addresses = tuple(address for address in link.addresses if not address.is_link_local)
            yield HostInterface(name=link.name, hardware_address=link.hardware_address, addresses=addresses, up=link.up)


def conditions_of(bird: BirdStatus, drained: bool, awaits_forwarder: bool) -> Iterator[Condition]:
    """What operators look at first."""
    answer = "BIRD answers" if bird.reachable else "BIRD's control socket does not answer"
    rules = "the forwarder has not said that it has rules" if awaits_forwarder else ""
    yield Condition(type="BirdReachable", status=_status(bird.reachable), message=answer)
    yield Condition(type="ConfigurationAccepted", status=_status(not bird.refused), message=bird.refused)
    yield Condition(type="Delivering", status=_status(not awaits_forwarder), message=rules)
    yield Condition(type=DRAINED, status=_status(drained))


def _status(holds: bool) -> str:
    return "True" if holds else "False"
