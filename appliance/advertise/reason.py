"""Why a Service is announced or not, and why a host may or may not do it."""

from enum import Enum


class ServiceReason(Enum):
    """What became of a Service on layer 2 or on BGP."""

    ANNOUNCED = "is announced"
    NO_ENDPOINTS = "has no endpoint that can serve"
    NO_ADVERTISEMENT = "has no advertisement for its pool"
    SERVICE_NOT_SELECTED = "has labels that no advertisement of its pool selects"
    SHARED_AND_SELECTED = "may share its address, and an advertisement with serviceSelectors is for its pool"
    CONFLICTING_ADVERTISEMENTS = "has advertisements with different local preferences"
    NO_HOST = "has no host: no agent has registered one"
    NO_ELIGIBLE_HOST = "has no eligible host"


class HostReason(Enum):
    """Whether a host may announce a Service, and if not why not."""

    ELIGIBLE = "is eligible"
    DRAINING = "is draining, so any other host is preferred"
    NOT_SELECTED = "is not selected by the advertisement's nodeSelectors"
    NETWORK_UNAVAILABLE = "has condition NetworkUnavailable"
    EXCLUDED = "has the label node.kubernetes.io/exclude-from-external-load-balancers"
    NO_LOCAL_ENDPOINT = "has no endpoint, and externalTrafficPolicy is Local"
    NO_INTERFACE = "has none of the advertisement's interfaces"
    SUBNET_END = "has a subnet of which the address is the network or broadcast address"
    CONFLICTING_ADVERTISEMENTS = "is selected by advertisements with different local preferences"

    @property
    def is_usable(self) -> bool:
        """Whether the host can announce, if only as a last resort."""
        return self in (HostReason.ELIGIBLE, HostReason.DRAINING)
