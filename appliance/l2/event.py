"""What can happen to a host's layer 2."""

from dataclasses import dataclass

from appliance.l2.plan import Interface, Plan


@dataclass(frozen=True, slots=True)
class PlanChanged:
    """The plan as a whole."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class LinksChanged:
    """All interfaces to speak on; one that is missing is down."""

    interfaces: tuple[Interface, ...]


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """A frame as the interface delivered it."""

    interface: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class RouteLost:
    """The BFD-checked route to a fellow host was deleted."""

    host: str


@dataclass(frozen=True, slots=True)
class RouteFound:
    """The BFD-checked route to a fellow host was added."""

    host: str


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The deadline has come."""


Event = PlanChanged | LinksChanged | FrameReceived | RouteLost | RouteFound | TimePassed
