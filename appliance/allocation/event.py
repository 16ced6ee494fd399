"""What an allocator hears, and what it asks for."""

from dataclasses import dataclass, field
from enum import Enum

from appliance.advertise.plan import CandidateOrder
from appliance.api.address import IPNetwork
from appliance.api.kind import Kind, Object
from appliance.api.meta import Ref
from appliance.api.pierhead import SYSTEM_NAMESPACE
from appliance.api.refusal import StoreRefusal
from appliance.ipam.event import ServiceEvent

WRITES_MAX = 16
# Where manifests written for MetalLB stand, and our own.
CONFIGURATION_NAMESPACES = frozenset({"metallb-system", SYSTEM_NAMESPACE})


@dataclass(frozen=True, slots=True)
class Settings:
    """Which Services are served, whether an API server gives them cluster addresses and of which networks, and how.

    `configuration_namespaces` are those metallb.io kinds are read from, None for all; `report_namespace` is where
    statuses for MetalLB's users are written, "" for none.
    """

    load_balancer_class: str | None = None
    cluster_ips_known: bool = False
    service_networks: tuple[IPNetwork, ...] = ()
    configuration_namespaces: frozenset[str] | None = None
    report_namespace: str = ""
    order: CandidateOrder = CandidateOrder.SPREAD
    ignores_exclude_label: bool = False
    writes_max: int = WRITES_MAX


class WriteOperation(Enum):
    """What a store is asked to do with one object."""

    CREATE = "create it under a name that nothing has"
    APPLY = "replace its spec"
    APPLY_STATUS = "replace its status"
    APPLY_METADATA = "replace the labels and annotations of ours"
    DELETE = "remove it"
    GET = "say what it is now"


@dataclass(frozen=True, slots=True)
class Write:
    """One thing a store is asked, to be refused where the object is not of the version that the manifest carries.

    DELETE has no manifest and names the version by itself. Labels and annotations are only those of ours, and of no
    account beside a status unless it is written `with_metadata`.
    """

    operation: WriteOperation
    ref: Ref
    manifest: Object | None = None
    version: str = ""
    with_metadata: bool = False


@dataclass(frozen=True, slots=True)
class Emit:
    """One thing the owner of a Service (`namespace/name`) is told."""

    service: str
    event: ServiceEvent


@dataclass(frozen=True, slots=True)
class ObjectsChanged:
    """A batch of a watch, as `store.protocol.Changes` means it.

    `is_first` begins a watch: what was known before and is not told again by the time its kind is listed is gone.
    """

    changed: tuple[Object, ...] = ()
    removed: tuple[Ref, ...] = ()
    listed: frozenset[Kind] = frozenset()
    unreadable: frozenset[Ref] | None = None
    is_complete: bool | None = None
    is_first: bool = False


@dataclass(frozen=True, slots=True)
class WriteDone:
    """A write succeeded; `stored` is the object as it is now, None for one that is not there."""

    write: Write
    stored: Object | None = None


@dataclass(frozen=True, slots=True)
class WriteRefused:
    """A write did not succeed, or nobody knows (UNAVAILABLE); `retry_seconds` is how long the store asks to wait."""

    write: Write
    refusal: StoreRefusal
    retry_seconds: float = field(default=0.0)


@dataclass(frozen=True, slots=True)
class TimePassed:
    """The deadline has come, or there is time to go on."""


Input = ObjectsChanged | WriteDone | WriteRefused | TimePassed
Command = Write | Emit
