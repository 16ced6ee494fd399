"""What a conversion gives, and how the legacy configuration of MetalLB 0.7 to 0.12 is written."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field

from appliance.api.address import Address, Range
from appliance.api.duration import Duration
from appliance.api.kind import Object
from appliance.api.label import Operator
from appliance.api.metallb import ASN, Uint32
from appliance.api.problem import Problem, Source
from appliance.api.value import value

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unconverted:
    """Something the foreign configuration says that the manifests do not: where, what, and why."""

    place: str
    subject: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}: {self.subject}: {self.why}"


@dataclass(frozen=True, slots=True)
class Conversion:
    """Manifests in the order to write them; not to be used where there are problems."""

    manifests: tuple[Object, ...] = ()
    problems: tuple[Problem, ...] = ()
    left_out: tuple[Unconverted, ...] = ()


def place_of(source: Source) -> str:
    """A document's place as text."""
    return f"{source.file}:{source.document}"


class PoolProtocol(StrEnum):
    """How the addresses of a pool are announced."""

    LAYER2 = "layer2"
    BGP = "bgp"


@dataclass_transform(frozen_default=True, kw_only_default=True)
def legacy_value(cls: type[T]) -> type[T]:
    """Declare a part of the legacy configuration: kebab-case keys, an unknown one is refused."""
    cls.__pydantic_config__ = ConfigDict(  # type: ignore[attr-defined]  # the hook pydantic documents for dataclasses
        alias_generator=lambda name: name.replace("_", "-"), extra="forbid"
    )
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


@legacy_value
class LegacyRequirement:
    """One row of `match-expressions`."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()


@legacy_value
class LegacySelector:
    """One entry of `node-selectors`."""

    match_labels: Mapping[str, str] = field(default_factory=dict)
    match_expressions: tuple[LegacyRequirement, ...] = ()


@legacy_value
class LegacyPeer:
    """One entry of `peers`."""

    my_asn: ASN
    peer_asn: Annotated[int, Field(ge=1, le=0xFFFFFFFF)]
    peer_address: Address
    peer_port: Annotated[int, Field(ge=1, le=16384)] = 179
    source_address: Address | None = None
    hold_time: Duration | None = None
    keepalive_time: Duration | None = None
    router_id: Address | None = None
    password: Annotated[str, Field(repr=False)] = ""
    node_selectors: tuple[LegacySelector, ...] = ()
    bfd_profile: str = ""
    ebgp_multihop: bool = False


@legacy_value
class LegacyAdvertisement:
    """One entry of a pool's `bgp-advertisements`."""

    aggregation_length: Annotated[int, Field(ge=1, le=32)] = 32
    aggregation_length_v6: Annotated[int, Field(ge=1, le=128)] = 128
    localpref: Uint32 = 0
    communities: tuple[str, ...] = ()


@legacy_value
class LegacyPool:
    """One entry of `address-pools`."""

    name: Annotated[str, Field(min_length=1)]
    protocol: PoolProtocol
    addresses: Annotated[tuple[Range, ...], Field(min_length=1)]
    avoid_buggy_ips: bool = False
    auto_assign: bool = True
    bgp_advertisements: tuple[LegacyAdvertisement, ...] = ()


_Milliseconds = Annotated[int | None, Field(ge=10, le=60000)]


@legacy_value
class LegacyProfile:
    """One entry of `bfd-profiles`."""

    name: Annotated[str, Field(min_length=1)]
    receive_interval: _Milliseconds = None
    transmit_interval: _Milliseconds = None
    detect_multiplier: Annotated[int | None, Field(ge=2, le=255)] = None
    echo_interval: _Milliseconds = None
    echo_mode: bool = False
    passive_mode: bool = False
    minimum_ttl: Annotated[int | None, Field(ge=1, le=254)] = None


@legacy_value
class LegacyConfig:
    """All of the legacy configuration."""

    peers: tuple[LegacyPeer, ...] = ()
    bgp_communities: Mapping[str, str] = field(default_factory=dict)
    address_pools: tuple[LegacyPool, ...] = ()
    bfd_profiles: tuple[LegacyProfile, ...] = ()


@value
class InterimAdvertisement:
    """One entry of an interim AddressPool's `bgpAdvertisements`."""

    aggregation_length: Annotated[int, Field(ge=1, le=32)] = 32
    aggregation_length_v6: Annotated[int, Field(ge=1, le=128, alias="aggregationLengthV6")] = 128
    local_pref: Uint32 = 0
    communities: tuple[str, ...] = ()


@value
class InterimPoolSpec:
    """The spec of the AddressPool kind that MetalLB 0.13 served for a while."""

    protocol: PoolProtocol
    addresses: Annotated[tuple[Range, ...], Field(min_length=1)]
    auto_assign: bool = True
    bgp_advertisements: tuple[InterimAdvertisement, ...] = ()
