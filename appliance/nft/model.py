"""What the rules are rendered from: the fields this package reads of a plan, whoever made it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from appliance.api import core
from appliance.api.address import Family, IPAddress

Choice = tuple[str | None, ...]


class Key(Protocol):
    """One port of a VIP."""

    @property
    def address(self) -> IPAddress: ...
    @property
    def protocol(self) -> core.Protocol: ...
    @property
    def port(self) -> int: ...


class Target(Protocol):
    """A backend on this host."""

    @property
    def address(self) -> IPAddress: ...
    @property
    def port(self) -> int: ...


class Port(Protocol):
    """What happens to the packets of one port; a Choice names a host for each bucket, None leaves the packet here."""

    @property
    def key(self) -> Key: ...
    @property
    def by_address(self) -> bool: ...
    @property
    def first(self) -> Choice | None: ...
    @property
    def stateless(self) -> Choice | None: ...
    @property
    def unserved(self) -> Choice | None: ...
    @property
    def targets(self) -> Sequence[Target]: ...
    @property
    def kept(self) -> bool: ...


class NextHop(Protocol):
    """A neighbour on one of this host's interfaces."""

    @property
    def address(self) -> IPAddress: ...
    @property
    def device(self) -> str: ...


class Fellow(Protocol):
    """Another host."""

    @property
    def name(self) -> str: ...
    @property
    def hardware_addresses(self) -> Sequence[str]: ...
    @property
    def next_hops(self) -> Mapping[Family, NextHop]: ...


class Plan(Protocol):
    """Everything a host does."""

    @property
    def me(self) -> str: ...
    @property
    def devices(self) -> Sequence[str]: ...
    @property
    def fellows(self) -> Sequence[Fellow]: ...
    @property
    def addresses(self) -> Sequence[IPAddress]: ...
    @property
    def ports(self) -> Sequence[Port]: ...
