"""Our own kinds, group `pierhead.io/v1alpha1`, all cluster-scoped."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from appliance.api.address import Address, Family, HardwareAddress, InterfaceAddress, Network
from appliance.api.community import CommunityValue
from appliance.api.core import ObjectReference, PortNumber, Protocol, SessionAffinity, TrafficPolicy
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata
from appliance.api.metallb import ASN, DynamicASN, EmptyStatus, Uint32
from appliance.api.text import (
    FreeText,
    HostName,
    InterfaceName,
    ObjectName,
    OptionalInterfaceName,
    OptionalName,
    clean_text,
)
from appliance.api.value import Boolean, Integer, value

CANDIDATES_MAX = 5
SYSTEM_NAMESPACE = "pierhead-system"
HOSTS_NAMESPACE = "pierhead-hosts"
DRAINED = "Drained"
SESSION_PASSWORDS = "pierhead.io/session-passwords"


@value
class Port:
    """A port of a VIP."""

    protocol: Protocol = Protocol.TCP
    port: PortNumber


@value
class VirtualIPService:
    """A Service that holds the VIP."""

    namespace: ObjectName
    name: ObjectName
    ports: tuple[Port, ...] = ()
    external_traffic_policy: TrafficPolicy = TrafficPolicy.CLUSTER

    @property
    def reference(self) -> ObjectReference:
        """The Service this entry names."""
        return ObjectReference(namespace=self.namespace, name=self.name)


@value
class InterfaceRule:
    """The interfaces that hosts some selectors admit answer on; no interface = all, no selector = every host."""

    interfaces: tuple[InterfaceName, ...] = ()
    node_selectors: tuple[LabelSelector, ...] = ()


@value
class Layer2:
    """Who answers ARP/NDP: the first living candidate, then any host `node_selectors` admit; no interface = all.

    `interface_rules` stand only where hosts differ: a host answers on the interfaces of all rules that admit it.
    """

    interfaces: tuple[InterfaceName, ...] = ()
    interface_rules: tuple[InterfaceRule, ...] = ()
    candidates: Annotated[tuple[HostName, ...], Field(max_length=CANDIDATES_MAX)] = ()
    node_selectors: tuple[LabelSelector, ...] = ()


@value
class Route:
    """One BGP route; `peers` empty = all, `hosts` absent = every host the selectors admit (empty = all)."""

    prefix: Network
    local_preference: Uint32 = 0
    communities: tuple[CommunityValue, ...] = ()
    peers: tuple[ObjectName, ...] = ()
    node_selectors: tuple[LabelSelector, ...] = ()
    hosts: tuple[HostName, ...] | None = None


@value
class Freed:
    """When the last holder of an address gave it back (RFC 3339 text), and which Service that was."""

    at: FreeText
    by: ObjectReference


class Mode(StrEnum):
    """How a VIP is announced."""

    NONE = "None"
    LAYER2 = "Layer2"
    BGP = "BGP"
    BOTH = "Layer2,BGP"


@value
class Overview:
    """What `kubectl get virtualips` shows of the rest of a spec and cannot work out itself."""

    service: FreeText
    mode: Mode


@value
class VirtualIPSpec:
    """What hosts need to know of a VIP; neither `layer2` nor `bgp` = given, but announced nowhere.

    Marks of the claim protocol, which hosts pass over: `renewed_for` is the version (`namespace/name@version`) of the
    Service its listing was last renewed for, `freed` stands while an address that nobody holds is kept back.
    """

    address: Address
    pool: OptionalName
    services: tuple[VirtualIPService, ...] = ()
    layer2: Layer2 | None = None
    bgp: tuple[Route, ...] = ()
    overview: Overview | None = None
    renewed_for: FreeText = ""
    freed: Freed | None = None


def overview_of(services: Iterable[VirtualIPService], layer2: Layer2 | None, bgp: Iterable[Route]) -> Overview:
    """What stands in the columns of a VIP: its Services as `namespace/name`, one after the other, and its mode."""
    modes = [mode for mode, is_used in ((Mode.LAYER2, layer2 is not None), (Mode.BGP, any(bgp))) if is_used]
    listed = ",".join(str(service.reference) for service in services)
    return Overview(service=str(clean_text(listed)), mode=Mode(",".join(modes) or Mode.NONE))


@value
class Owner:
    """The host that answers for a VIP, since when (RFC 3339 text), and a number that grows with every new owner."""

    host: HostName
    since: FreeText = ""
    epoch: Annotated[Integer, Field(ge=0, lt=2**63)] = 0


@value
class Condition:
    """A Kubernetes condition; `status` is True, False or Unknown."""

    type: FreeText
    status: FreeText
    reason: FreeText = ""
    message: FreeText = ""
    last_transition_time: FreeText = ""


@value
class VirtualIPStatus:
    """What the owner says of a VIP, and nobody else."""

    owner: Owner | None = None


@value
class VirtualIP:
    """The unit of the feed, named by its address."""

    metadata: Metadata
    spec: VirtualIPSpec
    status: VirtualIPStatus = field(default_factory=VirtualIPStatus)


@value
class Backend:
    """One endpoint behind a port; one that terminates or does not serve keeps its connections and gets no new ones.

    Where no endpoint is ready, one that terminates and serves still gets new ones, as kube-proxy has it.
    """

    address: Address
    port: PortNumber
    host: HostName
    serving: Boolean = True
    terminating: Boolean = False


@value
class BackendPort:
    """A port of the VIP and what stands behind it."""

    protocol: Protocol = Protocol.TCP
    port: PortNumber
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
class BFDOptions:
    """The BFD session beside a BGP session."""

    receive_milliseconds: Annotated[Integer, Field(ge=10, le=60000)] = 300
    transmit_milliseconds: Annotated[Integer, Field(ge=10, le=60000)] = 300
    multiplier: Annotated[Integer, Field(ge=2, le=255)] = 3
    passive: Boolean = False


class PasswordFault(StrEnum):
    """Why the password that a session is to have is not known, or is the last good one.

    Of the first four the allocator speaks: they are about the Secret that a BGPPeer names. PASSWORD_MISSING is a host's
    word: the allocator has given it none for this session.
    """

    SECRET_MISSING = "secret-missing"
    SECRET_OF_OTHER_TYPE = "secret-of-other-type"
    SECRET_WITHOUT_PASSWORD = "secret-without-password"
    PASSWORD_UNUSABLE = "password-unusable"
    PASSWORD_MISSING = "password-missing"


@value
class BGPSessionSpec:
    """What the hosts that `node_selectors` admit (empty = all) need to know of a BGP peer.

    No `neighbor` = unnumbered, on `interface`; `peer_asn` 0 = learnt, as `dynamic_asn` allows; seconds absent = left to
    the daemon. The password itself stands under the session's name in the Secret of each of those hosts, which is named
    as the host, in HOSTS_NAMESPACE and of type SESSION_PASSWORDS.
    """

    neighbor: Address | None = None
    interface: OptionalInterfaceName = ""
    peer_asn: Annotated[Uint32, Field(alias="peerASN")] = 0
    dynamic_asn: Annotated[DynamicASN | None, Field(alias="dynamicASN")] = None
    local_asn: Annotated[ASN, Field(alias="localASN")]
    port: PortNumber = 179
    source_address: Address | None = None
    router_id: Annotated[Address | None, Field(alias="routerID")] = None
    hold_seconds: Annotated[Integer | None, Field(ge=0, le=65535)] = None
    keepalive_seconds: Annotated[Integer | None, Field(ge=0, le=65535)] = None
    connect_seconds: Annotated[Integer | None, Field(ge=1, le=65535)] = None
    has_password: Boolean = False
    password_fault: PasswordFault | None = None
    bfd: BFDOptions | None = None
    multihop: Boolean = False
    graceful_restart: Boolean = False
    families: tuple[Family, ...] = ()
    vrf: OptionalInterfaceName = ""
    node_selectors: tuple[LabelSelector, ...] = ()


@value
class BGPSession:
    """The allocator's reading of the BGPPeer of the same name and of its BFDProfile: all that hosts act upon."""

    metadata: Metadata
    spec: BGPSessionSpec
    status: EmptyStatus = field(default_factory=EmptyStatus)


@value
class HostInterface:
    """A network interface of a host; no hardware address where it is no Ethernet interface."""

    name: InterfaceName
    hardware_address: HardwareAddress | None = None
    addresses: tuple[InterfaceAddress, ...] = ()
    up: Boolean = True


@value
class SessionStatus:
    """A BGP or BFD session as the host's BIRD tells it; `since` is RFC 3339 text."""

    name: FreeText
    peer: FreeText
    state: FreeText
    since: FreeText = ""
    message: FreeText = ""


@value
class AddressConflict:
    """Somebody else answers for a VIP: the hardware address seen, on which interface, since when (RFC 3339 text)."""

    address: Address
    hardware_address: HardwareAddress
    interface: InterfaceName
    since: FreeText = ""


@value
class HostSpec:
    """What operators ask of a host; `drain` moves everything away from it."""

    drain: Boolean = False


@value
class HostStatus:
    """What a host's agent reports of it; ages in seconds."""

    version: FreeText = ""
    interfaces: tuple[HostInterface, ...] = ()
    conditions: tuple[Condition, ...] = ()
    bgp_sessions: tuple[SessionStatus, ...] = ()
    bfd_sessions: tuple[SessionStatus, ...] = ()
    conflicts: tuple[AddressConflict, ...] = ()
    owned: Annotated[Integer, Field(ge=0, lt=2**63)] = 0
    announced: Annotated[Integer, Field(ge=0, lt=2**63)] = 0


@value
class Host:
    """A bare-metal machine that runs the agent, registered by that agent."""

    metadata: Metadata
    spec: HostSpec = field(default_factory=HostSpec)
    status: HostStatus = field(default_factory=HostStatus)

    @property
    def is_draining(self) -> bool:
        """Whether others are to leave it: an operator says so in the store, or its agent was told so on the host."""
        return self.spec.drain or any(
            condition.type == DRAINED and condition.status == "True" for condition in self.status.conditions
        )
