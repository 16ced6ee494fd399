"""What a Service's owner is told: MetalLB's reason strings, each on a transition only."""

from dataclasses import dataclass
from enum import Enum, StrEnum


class EventType(StrEnum):
    """The type of a Kubernetes Event."""

    NORMAL = "Normal"
    WARNING = "Warning"


class EventReason(Enum):
    """The reason strings, with their type."""

    def __init__(self, text: str, event_type: EventType) -> None:
        self.text = text
        self.event_type = event_type

    IP_ALLOCATED = ("IPAllocated", EventType.NORMAL)
    ALLOCATION_FAILED = ("AllocationFailed", EventType.WARNING)
    CLEAR_ASSIGNMENT = ("ClearAssignment", EventType.NORMAL)
    LOAD_BALANCER_FAILED = ("LoadBalancerFailed", EventType.WARNING)
    NOT_ENOUGH_CLUSTER_IPS = ("not enough clusterips", EventType.WARNING)
    NO_LOAD_BALANCER_FAMILY = ("nolbIPsIPFamily", EventType.WARNING)
    NO_CLUSTER_FAMILY = ("noclusterIPsIPFamily", EventType.WARNING)
    ADDITIONAL_ASSIGN_FAILED = ("AdditionalAssignFailed", EventType.NORMAL)
    INTERNAL_ERROR = ("InternalError", EventType.WARNING)
    NODE_ASSIGNED = ("nodeAssigned", EventType.NORMAL)
    ANNOUNCE_FAILED = ("announceFailed", EventType.WARNING)
    DEPRECATED_ANNOTATION = ("deprecatedAnnotation", EventType.WARNING)


@dataclass(frozen=True, slots=True)
class ServiceEvent:
    """One thing to tell."""

    reason: EventReason
    message: str
