"""The feed: the objects a host acts upon, by kind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from appliance.api.address import IPAddress
from appliance.api.core import Secret
from appliance.api.kind import Kind, Object
from appliance.api.pierhead import HOSTS_NAMESPACE, BGPSession, Host, VirtualIP

K = TypeVar("K")
V = TypeVar("V")

FEED_KINDS = frozenset({Kind.VIRTUAL_IP, Kind.BGP_SESSION, Kind.HOST, Kind.SECRET})


@dataclass(frozen=True, slots=True)
class Feed:
    """What the site says; hosts and sessions by name, `passwords` the Secrets of hosts by the host's name."""

    vips: Mapping[IPAddress, VirtualIP] = field(default_factory=dict)
    sessions: Mapping[str, BGPSession] = field(default_factory=dict)
    hosts: Mapping[str, Host] = field(default_factory=dict)
    passwords: Mapping[str, Secret] = field(default_factory=dict)


def updated(feed: Feed, changed: Iterable[Object], removed: Iterable[Object]) -> Feed:
    """The feed with some objects new or other than before, and without those removed.

    A mapping that nothing of this concerns is the same Python object as before.
    """
    vips: dict[IPAddress, VirtualIP | None] = {}
    sessions: dict[str, BGPSession | None] = {}
    hosts: dict[str, Host | None] = {}
    passwords: dict[str, Secret | None] = {}
    for manifest, is_there in (*((each, False) for each in removed), *((each, True) for each in changed)):
        match manifest:
            case VirtualIP():
                vips[manifest.spec.address] = manifest if is_there else None
            case BGPSession():
                sessions[manifest.metadata.name] = manifest if is_there else None
            case Host():
                hosts[manifest.metadata.name] = manifest if is_there else None
            case Secret() if manifest.metadata.namespace == HOSTS_NAMESPACE:
                passwords[manifest.metadata.name] = manifest if is_there else None
            case _:
                continue
    return Feed(
        _with(feed.vips, vips),
        _by_name(_with(feed.sessions, sessions), feed.sessions),
        _by_name(_with(feed.hosts, hosts), feed.hosts),
        _with(feed.passwords, passwords),
    )


def _with(before: Mapping[K, V], changes: Mapping[K, V | None]) -> Mapping[K, V]:
    if not changes:
        return before
    now = dict(before)
    for key, manifest in changes.items():
        if manifest is None:
            now.pop(key, None)
        else:
            now[key] = manifest
    return now


def _by_name(now: Mapping[str, V], before: Mapping[str, V]) -> Mapping[str, V]:
    return before if now is before else dict(sorted(now.items()))
