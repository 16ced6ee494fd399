"""The feed: the objects a host acts upon, sorted by kind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from appliance.api.address import IPAddress
from appliance.api.core import Secret
from appliance.api.kind import Kind, Object
from appliance.api.metallb import BFDProfile, BGPPeer
from appliance.api.pierhead import Host, VirtualIP

V = TypeVar("V")

FEED_KINDS = frozenset({Kind.VIRTUAL_IP, Kind.BGP_PEER, Kind.BFD_PROFILE, Kind.HOST, Kind.SECRET})


@dataclass(frozen=True, slots=True)
class Feed:
    """What the site says; hosts, profiles and peers by name, secrets by (namespace, name)."""

    vips: Mapping[IPAddress, VirtualIP] = field(default_factory=dict)
    peers: Mapping[str, BGPPeer] = field(default_factory=dict)
    profiles: Mapping[str, BFDProfile] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    secrets: Mapping[tuple[str, str], Secret] = field(default_factory=dict)


def feed_of(objects: Iterable[Object]) -> Feed:
    """Sort objects by kind, each by its key in the order of keys; kinds a host has no use for are passed over."""
    vips: dict[IPAddress, VirtualIP] = {}
    peers: dict[str, BGPPeer] = {}
    profiles: dict[str, BFDProfile] = {}
    hosts: dict[str, Host] = {}
    secrets: dict[tuple[str, str], Secret] = {}
    for manifest in objects:
        match manifest:
            case VirtualIP():
                vips[manifest.spec.address] = manifest
            case BGPPeer():
                peers[manifest.metadata.name] = manifest
            case BFDProfile():
                profiles[manifest.metadata.name] = manifest
            case Host():
                hosts[manifest.metadata.name] = manifest
            case Secret():
                secrets[manifest.metadata.namespace, manifest.metadata.name] = manifest
            case _:
                continue
    return Feed(_by_address(vips), _sorted(peers), _sorted(profiles), _sorted(hosts), secrets)


def _by_address(vips: dict[IPAddress, VirtualIP]) -> dict[IPAddress, VirtualIP]:
    return dict(sorted(vips.items(), key=lambda entry: (entry[0].version, int(entry[0]))))


def _sorted(named: dict[str, V]) -> dict[str, V]:
    return dict(sorted(named.items()))
