"""What an allocator is told, and what it tells."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog

from appliance.api.address import IPNetwork
from appliance.ipam.event import Event, EventType

MANAGER = "pierhead-allocator"

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Settings:
    """Which Services are ours, whether an API server gives them cluster addresses, of which networks, and the time."""

    load_balancer_class: str | None = None
    cluster_ips_known: bool = False
    clock: Clock = utc_now
    service_networks: tuple[IPNetwork, ...] = ()


class EventSink(Protocol):
    """Where the owners of Services are told of events."""

    def emit(self, service: str, event: Event) -> None:
        """Tell of one event of a Service (`namespace/name`)."""


class LoggedEvents:
    """Events as log lines."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()

    def emit(self, service: str, event: Event) -> None:
        """Log one event."""
        tell = self._log.warning if event.reason.event_type is EventType.WARNING else self._log.info
        tell("service_event", service=service, reason=event.reason.text, message=event.message)
