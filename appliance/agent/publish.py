"""What this host says of itself and of the VIPs it owns, in the store."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NoReturn

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential_jitter

from appliance.api.kind import Object
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import Host, HostSpec, HostStatus, Owner, VirtualIP, VirtualIPStatus
from appliance.store.protocol import Refusal, Store, StoreError

log = structlog.get_logger()

MANAGER = "pierhead-agent"

_PACE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Report:
    """What is to stand in the store of this host, and of the VIPs it owns."""

    name: str
    labels: dict[str, str]
    status: HostStatus
    drain: bool | None = None
    registered: Host | None = None
    owned: tuple[VirtualIP, ...] = ()


class Publisher:
    """Brings the store to the latest report; a store that cannot be reached is asked again with back-off."""

    def __init__(self, store: Store, report: Callable[[], Report]) -> None:
        self._store = store
        self._report = report
        self._asked = asyncio.Event()
        self._labels: dict[str, str] | None = None

    def ask(self) -> None:
        """There is something new to say."""
        self._asked.set()

    async def publish_for_ever(self) -> NoReturn:
        """Publish when asked, at most ten times a second."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            retrying = AsyncRetrying(
                retry=retry_if_exception_type(StoreError),
                wait=wait_exponential_jitter(0.1, 5.0, jitter=0.1),
                before_sleep=_log_failure,
            )
            await retrying(self._publish)
            await asyncio.sleep(_PACE_SECONDS)

    async def _publish(self) -> None:
        report = self._report()
        await self._publish_host(report)
        for vip in _stale_vips(report):
            await self._write_status(vip)

    async def _publish_host(self, report: Report) -> None:
        host = report.registered or await self._register(report)
        own = replace(host, metadata=Metadata(name=report.name, labels=report.labels))
        # A label that left the settings is seen by nobody but the store, which knows who wrote it.
        if report.labels != self._labels or not report.labels.items() <= host.metadata.labels.items():
            host = _host(await self._store.apply_metadata(own, MANAGER))
            self._labels = report.labels
        if report.drain not in (None, host.spec.drain):
            host = await self._apply(replace(own, spec=HostSpec(drain=bool(report.drain)))) or host
        if host.status != report.status:
            await self._write_status(replace(host, status=report.status))

    async def _register(self, report: Report) -> Host:
        """This host's object as it is, made where there is none."""
        try:
            return _host(await self._store.get(Ref("Host", "", report.name)))
        except StoreError as error:
            if error.refusal is not Refusal.NOT_FOUND:
                raise
        log.info("host_registered", host=report.name)
        return _host(await self._store.create(Host(metadata=Metadata(name=report.name, labels=report.labels)), MANAGER))

    async def _apply(self, host: Host) -> Host | None:
        """Write this host's spec; None where an operator wrote it."""
        try:
            return _host(await self._store.apply(host, MANAGER))
        except StoreError as error:
            if error.refusal is not Refusal.READ_ONLY:
                raise
            log.warning("host_not_written", error=str(error))
            return None

    async def _write_status(self, manifest: Object) -> None:
        """The last word counts: nobody else writes this status but a host that owned the VIP before."""
        latest = replace(manifest, metadata=replace(manifest.metadata, resource_version=""))
        try:
            await self._store.apply_status(latest, MANAGER)
        except StoreError as error:
            if error.refusal is not Refusal.NOT_FOUND:
                raise


def _stale_vips(report: Report) -> Iterator[VirtualIP]:
    """The owned VIPs whose status names another owner, with the right one and the next epoch."""
    since = datetime.now(UTC).isoformat(timespec="milliseconds")
    for vip in report.owned:
        owner = vip.status.owner
        if owner is None or owner.host != report.name:
            epoch = owner.epoch + 1 if owner else 1
            yield replace(vip, status=VirtualIPStatus(owner=Owner(host=report.name, since=since, epoch=epoch)))


def _host(manifest: Object) -> Host:
    if not isinstance(manifest, Host):
        raise TypeError(f"a store returned {type(manifest).__name__} for a Host")
    return manifest


def _log_failure(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("status_not_published", attempt=state.attempt_number, error=str(error))
