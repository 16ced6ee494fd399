"""The feed: the objects a host acts upon, sorted by kind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from appliance.api.address import IPAddress
from appliance.api.core import Secret
from appliance.api.kind import Kind, Object
from appliance.api.pierhead import BGPSession, Host, VirtualIP

V = TypeVar("V")

FEED_KINDS = frozenset({Kind.VIRTUAL_IP, Kind.BGP_SESSION, Kind.HOST, Kind.SECRET})


@dataclass(frozen=True, slots=True)
class Feed:
    """What the site says; hosts and sessions by name, secrets by (namespace, name)."""

    vips: Mapping[IPAddress, VirtualIP] = field(default_factory=dict)
    sessions: Mapping[str, BGPSession] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    secrets: Mapping[tuple[str, str], Secret] = field(default_factory=dict)


def feed_of(objects: Iterable[Object]) -> Feed:
    """Sort objects by kind, each by its key in the order of keys; kinds a host has no use for are passed over."""
    vips: dict[IPAddress, VirtualIP] = {}
    sessions: dict[str, BGPSession] = {}
    hosts: dict[str, Host] = {}
    secrets: dict[tuple[str, str], Secret] = {}
    for manifest in objects:
        match manifest:
            case VirtualIP():
                vips[manifest.spec.address] = manifest
            case BGPSession():
                sessions[manifest.metadata.name] = manifest
            case Host():
                hosts[manifest.metadata.name] = manifest
            case Secret():
                secrets[manifest.metadata.namespace, manifest.metadata.name] = manifest
            case _:
                continue
    return Feed(_by_address(vips), _sorted(sessions), _sorted(hosts), secrets)


def _by_address(vips: dict[IPAddress, VirtualIP]) -> dict[IPAddress, VirtualIP]:
    return dict(sorted(vips.items(), key=lambda entry: (entry[0].version, int(entry[0]))))


def _sorted(named: dict[str, V]) -> dict[str, V]:
    return dict(sorted(named.items()))
