"""The kinds Pierhead knows: how each is called, where it lives and which type holds it."""

from enum import Enum

from appliance.api.core import EndpointSlice, Event, Lease, Namespace, Node, Secret, Service
from appliance.api.meta import Ref
from appliance.api.metallb import (
    BFDProfile,
    BGPAdvertisement,
    BGPPeer,
    Community,
    ConfigurationState,
    IPAddressPool,
    L2Advertisement,
    ServiceBGPStatus,
    ServiceL2Status,
)
from appliance.api.pierhead import Backends, BGPSession, Host, VirtualIP

Object = (
    Service
    | EndpointSlice
    | Node
    | Namespace
    | Secret
    | Lease
    | Event
    | IPAddressPool
    | L2Advertisement
    | BGPAdvertisement
    | BGPPeer
    | BFDProfile
    | Community
    | ServiceL2Status
    | ServiceBGPStatus
    | ConfigurationState
    | VirtualIP
    | Backends
    | BGPSession
    | Host
)


class Kind(Enum):
    """One kind: written apiVersion, further versions read, plural, namespaced or not, type; `title` is its name."""

    def __init__(
        self, api_version: str, also_read: tuple[str, ...], plural: str, namespaced: bool, cls: type[Object]
    ) -> None:
        self.api_version = api_version
        self.versions = frozenset((api_version, *also_read))
        self.plural = plural
        self.namespaced = namespaced
        self.cls = cls
        self.title = cls.__name__

    SERVICE = ("v1", (), "services", True, Service)
    ENDPOINT_SLICE = ("discovery.k8s.io/v1", (), "endpointslices", True, EndpointSlice)
    NODE = ("v1", (), "nodes", False, Node)
    NAMESPACE = ("v1", (), "namespaces", False, Namespace)
    SECRET = ("v1", (), "secrets", True, Secret)
    LEASE = ("coordination.k8s.io/v1", (), "leases", True, Lease)
    EVENT = ("v1", (), "events", True, Event)
    IP_ADDRESS_POOL = ("metallb.io/v1beta1", (), "ipaddresspools", True, IPAddressPool)
    L2_ADVERTISEMENT = ("metallb.io/v1beta1", (), "l2advertisements", True, L2Advertisement)
    BGP_ADVERTISEMENT = ("metallb.io/v1beta1", (), "bgpadvertisements", True, BGPAdvertisement)
    BGP_PEER = ("metallb.io/v1beta2", ("metallb.io/v1beta1",), "bgppeers", True, BGPPeer)
    BFD_PROFILE = ("metallb.io/v1beta1", (), "bfdprofiles", True, BFDProfile)
    COMMUNITY = ("metallb.io/v1beta1", (), "communities", True, Community)
    SERVICE_L2_STATUS = ("metallb.io/v1beta1", (), "servicel2statuses", True, ServiceL2Status)
    SERVICE_BGP_STATUS = ("metallb.io/v1beta1", (), "servicebgpstatuses", True, ServiceBGPStatus)
    CONFIGURATION_STATE = ("metallb.io/v1beta1", (), "configurationstates", True, ConfigurationState)
    VIRTUAL_IP = ("pierhead.io/v1alpha1", (), "virtualips", False, VirtualIP)
    BACKENDS = ("pierhead.io/v1alpha1", (), "backends", False, Backends)
    BGP_SESSION = ("pierhead.io/v1alpha1", (), "bgpsessions", False, BGPSession)
    HOST = ("pierhead.io/v1alpha1", (), "hosts", False, Host)

    @property
    def group(self) -> str:
        """The API group, such as metallb.io; "" for the core group."""
        return self.api_version.rpartition("/")[0]


REPORTS = frozenset({Kind.SERVICE_L2_STATUS, Kind.SERVICE_BGP_STATUS, Kind.CONFIGURATION_STATE})  # decide nothing
KINDS_BY_TITLE = {kind.title: kind for kind in Kind}
KINDS_BY_CLASS = {kind.cls: kind for kind in Kind}


def kind_of(manifest: Object) -> Kind:
    """The kind of an object."""
    return KINDS_BY_CLASS[type(manifest)]


def ref_of(manifest: Object) -> Ref:
    """The name of an object."""
    kind, metadata = KINDS_BY_CLASS[type(manifest)], manifest.metadata
    return Ref(kind.title, metadata.namespace if kind.namespaced else "", metadata.name)
