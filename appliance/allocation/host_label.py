"""The labels a Host has from its Node, which agents cannot read."""

from collections.abc import Mapping
from dataclasses import replace

from appliance.api.core import Node
from appliance.api.pierhead import Host

FROM_NODE = "pierhead.io/labels-from-node"


def with_node_labels(host: Host, node: Node) -> Host | None:
    """The Host with the labels of its Node that it has not by itself, and nothing else; None where it has them.

    An annotation tells which of a Host's labels are its Node's.
    """
    given = frozenset(filter(None, host.metadata.annotations.get(FROM_NODE, "").split(",")))
    own = {key for key in host.metadata.labels if key not in given}
    wanted = {key: text for key, text in node.metadata.labels.items() if key not in own}
    present: Mapping[str, str] = {key: text for key, text in host.metadata.labels.items() if key in given}
    if present == wanted and given == wanted.keys():
        return None
    annotations = {FROM_NODE: ",".join(sorted(wanted))} if wanted else {}
    return replace(host, metadata=replace(host.metadata, labels=wanted, annotations=annotations, resource_version=""))
