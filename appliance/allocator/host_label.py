"""A Host with the labels of its Node."""

from collections.abc import Mapping
from dataclasses import replace

from appliance.api.core import Node
from appliance.api.pierhead import Host

FROM_NODE = "pierhead.io/labels-from-node"


def labelled(host: Host, node: Node) -> Host:
    """The Host with its own labels and those of its Node, its own first; an annotation tells which are the Node's."""
    own = _own(host)
    taken = {key: text for key, text in node.metadata.labels.items() if key not in own}
    annotations = {key: text for key, text in host.metadata.annotations.items() if key != FROM_NODE}
    if taken:
        annotations[FROM_NODE] = ",".join(sorted(taken))
    metadata = replace(host.metadata, labels={**taken, **own}, annotations=annotations)
    return host if metadata == host.metadata else replace(host, metadata=metadata)


def node_labels(host: Host) -> Host:
    """Of a labelled Host what the allocator writes."""
    names = host.metadata.annotations.get(FROM_NODE, "")
    labels = {name: host.metadata.labels[name] for name in names.split(",") if name}
    annotations = {FROM_NODE: names} if names else {}
    return replace(host, metadata=replace(host.metadata, labels=labels, annotations=annotations))


def _own(host: Host) -> Mapping[str, str]:
    """The labels the agent gave its Host."""
    taken = set(host.metadata.annotations.get(FROM_NODE, "").split(","))
    return {key: text for key, text in host.metadata.labels.items() if key not in taken}
