"""A host as advertisements see it: what its agent and its Node together say of it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from appliance.api.address import IPAddress, IPNetwork, parse_address
from appliance.api.core import Node, node_addresses
from appliance.api.label import EXCLUDE_LABEL, HOSTNAME_LABEL
from appliance.api.pierhead import Host
from appliance.config.hostlabel import labels_by_host
from appliance.config.model import Peer
from appliance.ipam.reason import Reason


@dataclass(frozen=True, slots=True)
class SiteHost:
    """A host; `labels` are its Node's and its own, `own_labels` what its agent knows; no interface = not yet told.

    `addresses` are its own, `subnet_ends` the network and broadcast addresses of its IPv4 subnets.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    own_labels: Mapping[str, str] = field(default_factory=dict)
    draining: bool = False
    network_unavailable: bool = False
    excluded: bool = False
    networks: Mapping[str, tuple[IPNetwork, ...]] = field(default_factory=dict)
    addresses: frozenset[IPAddress] = frozenset()
    subnet_ends: frozenset[IPAddress] = frozenset()

    def has_interface(self, names: Collection[str]) -> bool:
        """Whether it has one of some interfaces; yes for no name, and where its interfaces are not known."""
        return not names or not self.networks or any(name in self.networks for name in names)

    def networks_of(self, names: Collection[str]) -> Iterator[IPNetwork]:
        """The subnets it is on by some interfaces, by any for no name."""
        for interface, networks in self.networks.items():
            if not names or interface in names:
                yield from networks


def site_hosts(hosts: Iterable[Host], nodes: Iterable[Node], ignore_exclude_label: bool = False) -> dict[str, SiteHost]:
    """Every host that has an agent, by name in name order."""
    own = {host.metadata.name: host for host in hosts}
    known = {node.metadata.name: node for node in nodes}
    united = labels_by_host(own.values(), known.values())
    found = {}
    for name in sorted(own):
        interfaces = {
            interface.name: tuple(entry for entry in interface.addresses if not entry.is_link_local)
            for interface in own[name].status.interfaces
        }
        written = [entry for entries in interfaces.values() for entry in entries]
        found[name] = SiteHost(
            name=name,
            labels=united[name],
            own_labels={HOSTNAME_LABEL: name, **own[name].metadata.labels},
            draining=own[name].is_draining,
            network_unavailable=name in known and _is_cut_off(known[name]),
            excluded=EXCLUDE_LABEL in united[name] and not ignore_exclude_label,
            networks={
                interface: tuple(entry.network for entry in entries) for interface, entries in interfaces.items()
            },
            addresses=frozenset(entry.ip for entry in written),
            subnet_ends=frozenset(end for entry in written for end in _ends(entry.network)),
        )
    return found


def taken_addresses(hosts: Iterable[SiteHost], nodes: Iterable[Node], peers: Iterable[Peer]) -> dict[IPAddress, Reason]:
    """The addresses nobody could be reached at: those hosts and routers have themselves, and the ends of subnets."""
    listed = tuple(hosts)
    taken = {end: Reason.SUBNET_END for host in listed for end in host.subnet_ends}
    taken |= {peer.spec.peer_address: Reason.ROUTER_ADDRESS for peer in peers if peer.spec.peer_address is not None}
    taken |= dict.fromkeys(_addresses_of_nodes(nodes), Reason.HOST_ADDRESS)
    return taken | {address: Reason.HOST_ADDRESS for host in listed for address in host.addresses}


def _addresses_of_nodes(nodes: Iterable[Node]) -> Iterator[IPAddress]:
    for node in nodes:
        for written in node_addresses(node):
            try:
                yield parse_address(written)
            except ValueError:
                continue


def _is_cut_off(node: Node) -> bool:
    return any(entry.type == "NetworkUnavailable" and entry.status == "True" for entry in node.status.conditions)


def _ends(network: IPNetwork) -> Iterator[IPAddress]:
    if network.version == 4 and network.prefixlen < 31:
        yield network.network_address
        yield network.broadcast_address
