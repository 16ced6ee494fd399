"""A host as advertisements see it: what its agent and its Node together say of it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from appliance.api.address import IPAddress, IPNetwork
from appliance.api.core import Node
from appliance.api.label import EXCLUDE_LABEL, HOSTNAME_LABEL
from appliance.api.pierhead import Host, HostInterface
from appliance.config.machine import labels_by_host


@dataclass(frozen=True, slots=True)
class Machine:
    """A host; `labels` are its Node's and its own, `own_labels` what its agent knows; no interface = not yet told."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    own_labels: Mapping[str, str] = field(default_factory=dict)
    draining: bool = False
    network_unavailable: bool = False
    excluded: bool = False
    networks: Mapping[str, tuple[IPNetwork, ...]] = field(default_factory=dict)

    def has_interface(self, names: Collection[str]) -> bool:
        """Whether it has one of some interfaces; yes for no name, and where its interfaces are not known."""
        return not names or not self.networks or any(name in self.networks for name in names)

    def is_on_link(self, address: IPAddress, names: Collection[str]) -> bool:
        """Whether an address belongs to the subnet of one of some interfaces, of any for no name."""
        for interface, networks in self.networks.items():
            if (not names or interface in names) and any(address in network for network in networks):
                return True
        return False


def machines_of(hosts: Iterable[Host], nodes: Iterable[Node], ignore_exclude_label: bool = False) -> dict[str, Machine]:
    """Every host that has an agent, by name in name order."""
    own = {host.metadata.name: host for host in hosts}
    known = {node.metadata.name: node for node in nodes}
    united = labels_by_host(own.values(), known.values())
    return {
        name: Machine(
            name=name,
            labels=united[name],
            own_labels={HOSTNAME_LABEL: name, **own[name].metadata.labels},
            draining=own[name].spec.drain,
            network_unavailable=name in known and _is_cut_off(known[name]),
            excluded=EXCLUDE_LABEL in united[name] and not ignore_exclude_label,
            networks={interface.name: _networks(interface) for interface in own[name].status.interfaces},
        )
        for name in sorted(own)
    }


def _is_cut_off(node: Node) -> bool:
    return any(entry.type == "NetworkUnavailable" and entry.status == "True" for entry in node.status.conditions)


def _networks(interface: HostInterface) -> tuple[IPNetwork, ...]:
    return tuple(address.network for address in interface.addresses if not address.is_link_local)
