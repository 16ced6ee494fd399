"""Our own kinds, group `pierhead.io/v1alpha1`, all cluster-scoped."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated

from pydantic import Field

from appliance.api.address import Address, Network
from appliance.api.core import ObjectReference, Protocol, SessionAffinity, TrafficPolicy
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata
from appliance.api.value import value

CANDIDATES_MAX = 5


@value
class Port:
    """A port of a VIP."""

    protocol: Protocol = Protocol.TCP
    port: Annotated[int, Field(ge=0, le=65535)]


@value
class VirtualIPService:
    """A Service that holds the VIP."""

    namespace: str
    name: str
    ports: tuple[Port, ...] = ()
    external_traffic_policy: TrafficPolicy = TrafficPolicy.CLUSTER

    @property
    def reference(self) -> ObjectReference:
        """The Service this entry names."""
        return ObjectReference(namespace=self.namespace, name=self.name)


@value
class Layer2:
    """Who answers ARP/NDP: the first living candidate, then any host `node_selectors` admit; no interface = all."""

    interfaces: tuple[str, ...] = ()
    candidates: Annotated[tuple[str, ...], Field(max_length=CANDIDATES_MAX)] = ()
    node_selectors: tuple[LabelSelector, ...] = ()


@value
class Route:
    """One BGP route; `peers` empty = all, `hosts` None = every host the selectors admit (empty = all)."""

    prefix: Network
    local_preference: int = 0
    communities: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    node_selectors: tuple[LabelSelector, ...] = ()
    hosts: tuple[str, ...] | None = None


@value
class VirtualIPSpec:
    """What hosts need to know of a VIP; neither `layer2` nor `bgp` = given, but announced nowhere."""

    address: Address
    pool: str
    services: tuple[VirtualIPService, ...] = ()
    layer2: Layer2 | None = None
    bgp: tuple[Route, ...] = ()


@value
class Owner:
    """The host that answers for a VIP; `since` is RFC 3339 text."""

    host: str
    since: str = ""


@value
class Conflict:
    """Somebody else answers for the address: a hardware address seen on a host's interface."""

    hardware_address: str
    host: str
    interface: str
    seen: str = ""


@value
class Condition:
    """A Kubernetes condition; `status` is True, False or Unknown."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""


@value
class VirtualIPStatus:
    """What hosts report of a VIP."""

    owner: Owner | None = None
    conflict: Conflict | None = None
    conditions: tuple[Condition, ...] = ()


@value
class VirtualIP:
    """The unit of the feed, named by its address."""

    metadata: Metadata
    spec: VirtualIPSpec
    status: VirtualIPStatus = field(default_factory=VirtualIPStatus)


@value
class Backend:
    """One endpoint behind a port; a terminating one keeps its connections and gets no new ones."""

    address: Address
    port: Annotated[int, Field(ge=1, le=65535)]
    host: str
    terminating: bool = False


@value
class BackendPort:
    """A port of the VIP and what stands behind it."""

    protocol: Protocol = Protocol.TCP
    port: Annotated[int, Field(ge=1, le=65535)]
    external_traffic_policy: TrafficPolicy = TrafficPolicy.CLUSTER
    session_affinity: SessionAffinity = SessionAffinity.NONE
    backends: tuple[Backend, ...] = ()


@value
class BackendsSpec:
    """BackendsSpec."""

    address: Address
    ports: tuple[BackendPort, ...] = ()


@value
class Backends:
    """The endpoints behind each port of the VIP of the same name."""

    metadata: Metadata
    spec: BackendsSpec
    status: Mapping[str, str] = field(default_factory=dict)


@value
class HostInterface:
    """A network interface of a host; addresses with their prefix length, such as 192.0.2.1/24."""

    name: str
    hardware_address: str = ""
    addresses: tuple[str, ...] = ()
    up: bool = True


@value
class SessionStatus:
    """A BGP or BFD session as the host's BIRD tells it; `since` is RFC 3339 text."""

    name: str
    peer: str
    state: str
    since: str = ""
    message: str = ""


@value
class HostSpec:
    """What operators ask of a host; `drain` moves everything away from it."""

    drain: bool = False


@value
class HostStatus:
    """What a host's agent reports of it; ages in seconds."""

    version: str = ""
    interfaces: tuple[HostInterface, ...] = ()
    conditions: tuple[Condition, ...] = ()
    bgp_sessions: tuple[SessionStatus, ...] = ()
    bfd_sessions: tuple[SessionStatus, ...] = ()
    owned: tuple[str, ...] = ()
    announced: int = 0
    feed_revision: str = ""


@value
class Host:
    """A bare-metal machine that runs the agent, registered by that agent."""

    metadata: Metadata
    spec: HostSpec = field(default_factory=HostSpec)
    status: HostStatus = field(default_factory=HostStatus)
