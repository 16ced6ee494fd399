"""The labels a host goes by: its own, its Node's, and its name as Kubernetes writes it."""

from collections.abc import Iterable, Mapping

from appliance.api.core import Namespace, Node
from appliance.api.label import HOSTNAME_LABEL
from appliance.api.pierhead import Host

_NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def labels_by_host(hosts: Iterable[Host], nodes: Iterable[Node]) -> dict[str, Mapping[str, str]]:
    """Labels of every host and Node by name, in name order; a host's own labels win over its Node's."""
    labels: dict[str, dict[str, str]] = {}
    for metadata in (*(node.metadata for node in nodes), *(host.metadata for host in hosts)):
        name = metadata.name
        labels[name] = {HOSTNAME_LABEL: name, **labels.get(name, {}), **metadata.labels}
    return {name: labels[name] for name in sorted(labels)}


def labels_by_namespace(namespaces: Iterable[Namespace]) -> dict[str, Mapping[str, str]]:
    """Labels of every Namespace, with the name label that Kubernetes gives each."""
    return {
        entry.metadata.name: {_NAMESPACE_LABEL: entry.metadata.name, **entry.metadata.labels} for entry in namespaces
    }
