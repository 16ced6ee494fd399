"""CustomResourceDefinitions (apiextensions.k8s.io/v1) of our kinds and MetalLB's, made from the types.

A schema is structural (Kubernetes documentation, "Extend the Kubernetes API with CustomResourceDefinitions"): each part
stands where it is used, no field may be null, and what no type names is pruned.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from appliance.api.kind import Kind
from appliance.api.manifest import adapter
from appliance.api.rule import OBJECT_RULES, TEXT_RULES, UNCHANGED_FIELDS, UNCHANGED_RULE, Rule
from appliance.api.yaml import dump_documents

Schema = dict[str, Any]

GROUPS = ("metallb.io", "pierhead.io")
_INTEGER_MAX = 2**63 - 1
_METADATA: Schema = {"type": "object"}
_NAMED_METADATA: Schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; one of priority 1 is shown by `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_SERVICE_COLUMNS = (
    Column("Service Name", ".status.serviceName"),
    Column("Service Namespace", ".status.serviceNamespace"),
)
_AD_COLUMNS = (
    Column("IPAddressPools", ".spec.ipAddressPools"),
    Column("IPAddressPool Selectors", ".spec.ipAddressPoolSelectors"),
)
_NODE_SELECTORS = Column("Node Selectors", ".spec.nodeSelectors", priority=10)


def _condition(name: str, condition: str) -> Column:
    return Column(name, f'.status.conditions[?(@.type=="{condition}")].status', priority=1)


# MetalLB's kinds have the columns they have there; further ones stand after those.
_COLUMNS: Mapping[Kind, Sequence[Column]] = {
    Kind.IP_ADDRESS_POOL: (
        Column("Auto Assign", ".spec.autoAssign", "boolean"),
        Column("Avoid Buggy IPs", ".spec.avoidBuggyIPs", "boolean"),
        Column("Addresses", ".spec.addresses"),
        Column("Assigned IPv4", ".status.assignedIPv4", "integer"),
        Column("Available IPv4", ".status.availableIPv4", "integer"),
        Column("Assigned IPv6", ".status.assignedIPv6", "integer", priority=1),
        Column("Available IPv6", ".status.availableIPv6", "integer", priority=1),
    ),
    Kind.L2_ADVERTISEMENT: (*_AD_COLUMNS, Column("Interfaces", ".spec.interfaces"), _NODE_SELECTORS),
    Kind.BGP_ADVERTISEMENT: (*_AD_COLUMNS, Column("Peers", ".spec.peers"), _NODE_SELECTORS),
    Kind.BGP_PEER: (
        Column("Address", ".spec.peerAddress"),
        Column("ASN", ".spec.peerASN"),
        Column("BFD Profile", ".spec.bfdProfile"),
        Column("Multi Hops", ".spec.ebgpMultiHop"),
    ),
    Kind.BFD_PROFILE: (
        Column("Passive Mode", ".spec.passiveMode", "boolean"),
        Column("Transmit Interval", ".spec.transmitInterval", "integer"),
        Column("Receive Interval", ".spec.receiveInterval", "integer"),
        Column("Multiplier", ".spec.detectMultiplier", "integer"),
    ),
    Kind.SERVICE_L2_STATUS: (Column("Allocated Node", ".status.node"), *_SERVICE_COLUMNS),
    Kind.SERVICE_BGP_STATUS: (Column("Node", ".status.node"), *_SERVICE_COLUMNS),
    Kind.CONFIGURATION_STATE: (
        Column("Result", ".status.result"),
        Column("ErrorSummary", ".status.errorSummary"),
        _AGE,
    ),
    Kind.VIRTUAL_IP: (
        Column("Address", ".spec.address"),
        Column("Service", ".spec.overview.service"),
        Column("Pool", ".spec.pool"),
        Column("Owner", ".status.owner.host"),
        Column("Mode", ".spec.overview.mode"),
        Column("Candidates", ".spec.layer2.candidates", priority=1),
        Column("Since", ".status.owner.since", priority=1),
        Column("Epoch", ".status.owner.epoch", "integer", priority=1),
        _AGE,
    ),
    Kind.BACKENDS: (Column("Address", ".spec.address"), _AGE),
    Kind.BGP_SESSION: (
        Column("Neighbor", ".spec.neighbor"),
        Column("Peer ASN", ".spec.peerASN", "integer"),
        Column("Local ASN", ".spec.localASN", "integer"),
        Column("Interface", ".spec.interface", priority=1),
        Column("VRF", ".spec.vrf", priority=1),
        _AGE,
    ),
    Kind.HOST: (
        Column("Drain", ".spec.drain", "boolean"),
        Column("Owned", ".status.owned", "integer"),
        Column("Announced", ".status.announced", "integer"),
        _condition("BIRD", "BirdReachable"),
        _condition("Accepted", "ConfigurationAccepted"),
        _condition("Delivering", "Delivering"),
        Column("Version", ".status.version"),
        _AGE,
    ),
}
_SHORT_NAMES: Mapping[Kind, Sequence[str]] = {Kind.VIRTUAL_IP: ("vip", "vips")}

# What the API server fills in: MetalLB's own defaults, keys of lists, and what a column or a rule reads.
_DEFAULTS: Mapping[str, Sequence[str]] = {
    "IPAddressPoolSpec": ("autoAssign", "avoidBuggyIPs"),
    "BGPAdvertisement": ("spec",),
    "BGPAdvertisementSpec": ("aggregationLength", "aggregationLengthV6"),
    "BGPPeerSpec": ("peerPort", "disableMP", "dualStackAddressFamily"),
    "BackendPort": ("protocol",),
    "Owner": ("epoch",),
    "Host": ("spec",),
    "HostSpec": ("drain",),
    "HostStatus": ("owned", "announced"),
}
_LIST_KEYS: Mapping[tuple[str, str], Sequence[str]] = {
    ("ConfigurationStateStatus", "conditions"): ("type",),
    ("HostStatus", "conditions"): ("type",),
    ("BackendsSpec", "ports"): ("protocol", "port"),
}
_ATOMIC = frozenset({"LabelSelector", "SecretReference", "ObjectReference"})


def served_kinds() -> tuple[Kind, ...]:
    """The kinds that have a CustomResourceDefinition, in the order of `Kind`."""
    return tuple(kind for kind in Kind if kind.group in GROUPS)


def crd_name(kind: Kind) -> str:
    """The name of a kind's CustomResourceDefinition."""
    return f"{kind.plural}.{kind.group}"


def custom_resource_definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition of a kind."""
    names: Schema = {
        "kind": kind.title,
        "listKind": f"{kind.title}List",
        "plural": kind.plural,
        "singular": kind.title.lower(),
    }
    if kind.group == "pierhead.io":
        names["categories"] = ["pierhead"]
    if kind in _SHORT_NAMES:
        names["shortNames"] = list(_SHORT_NAMES[kind])
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": crd_name(kind)},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            # All versions have one schema, so nothing has to be converted but the name of the version.
            "conversion": {"strategy": "None"},
            "versions": [_version(kind, version) for version in sorted(kind.versions)],
        },
    }


def definition_text(kind: Kind) -> str:
    """The CustomResourceDefinition of a kind as YAML."""
    return dump_documents([custom_resource_definition(kind)])


def _version(kind: Kind, api_version: str) -> Schema:
    version = api_version.partition("/")[2]
    found: Schema = {"name": version, "served": True, "storage": api_version == kind.api_version}
    if api_version != kind.api_version:
        found["deprecated"] = True
        found["deprecationWarning"] = f"{api_version} {kind.title} is deprecated; write {kind.api_version}"
    found["schema"] = {"openAPIV3Schema": object_schema(kind)}
    found["subresources"] = {"status": {}}
    if kind in _COLUMNS:
        found["additionalPrinterColumns"] = [_written(column) for column in _COLUMNS[kind]]
    return found


def _written(column: Column) -> Schema:
    written: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**written, "priority": column.priority} if column.priority else written


def object_schema(kind: Kind) -> Schema:
    """The structural schema of a kind; keys sorted, so that the same types give the same bytes."""
    generated = adapter(kind).json_schema()
    schema = _Structure(generated.get("$defs", {})).of(generated, is_bounded=True)
    properties = schema["properties"]
    metadata = _NAMED_METADATA if any("self.metadata" in rule.holds for rule in _rules(kind.title)) else _METADATA
    properties.update(apiVersion={"type": "string"}, kind={"type": "string"}, metadata=metadata)
    schema["required"] = [name for name in schema.get("required", ()) if name != "metadata"]
    if not schema["required"]:
        del schema["required"]
    found: Schema = _sorted(schema)
    return found


def _rules(title: str) -> Sequence[Rule]:
    return OBJECT_RULES.get(title, ())


class _Structure:
    """Turns pydantic's JSON schema of a type into a structural one.

    `is_bounded` says whether every list on the way down has an end. A rule stands only there: elsewhere the API server
    could not bound its cost, and refuses the whole definition.
    """

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def of(self, node: Mapping[str, Any], *, is_bounded: bool) -> Schema:
        """The structural schema of one node."""
        if "$ref" in node:
            return self.of(self._definitions[node["$ref"].rpartition("/")[2]], is_bounded=is_bounded)
        if "anyOf" in node:
            choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
            if len(choices) != 1:
                raise ValueError(f"a structural schema has one type, not {choices}")
            return self.of(choices[0], is_bounded=is_bounded)
        match node["type"]:
            case "object":
                return self._object(node, is_bounded)
            case "array":
                return self._array(node, is_bounded)
            case "string":
                return _text(node, is_bounded)
            case "integer":
                return _integer(node)
            case _:
                return {"type": node["type"]}

    def _object(self, node: Mapping[str, Any], is_bounded: bool) -> Schema:
        title, properties = node.get("title", ""), node.get("properties", {})
        found: Schema = {"type": "object"}
        if "description" in node:
            found["description"] = _description(node)
        if isinstance(node.get("additionalProperties"), Mapping):
            found["additionalProperties"] = self.of(node["additionalProperties"], is_bounded=False)
        if properties:
            found["properties"] = {
                name: self._property(title, name, entry, is_bounded) for name, entry in properties.items()
            }
        if node.get("required"):
            found["required"] = sorted(node["required"])
        if title in _ATOMIC:
            found["x-kubernetes-map-type"] = "atomic"
        rules = _rules(title)
        if rules and is_bounded:
            found["x-kubernetes-validations"] = [rule.written() for rule in rules]
        return found

    def _property(self, title: str, name: str, node: Mapping[str, Any], is_bounded: bool) -> Schema:
        found = self.of(node, is_bounded=is_bounded)
        if name in _DEFAULTS.get(title, ()):
            found["default"] = node.get("default", {})
        if keys := _LIST_KEYS.get((title, name)):
            found.update({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)})
        if name in UNCHANGED_FIELDS.get(title, ()):
            found["x-kubernetes-validations"] = [UNCHANGED_RULE.written()]
        return found

    def _array(self, node: Mapping[str, Any], is_bounded: bool) -> Schema:
        is_bounded = is_bounded and "maxItems" in node
        bounds = {name: node[name] for name in ("minItems", "maxItems") if name in node}
        return {"type": "array", "items": self.of(node["items"], is_bounded=is_bounded), **bounds}


def _text(node: Mapping[str, Any], is_bounded: bool) -> Schema:
    kept = {name: node[name] for name in ("enum", "minLength", "maxLength", "pattern") if name in node}
    found: Schema = {"type": "string", **kept}
    rules = TEXT_RULES.get(node.get("format", ""))
    if rules is None and "format" in node:
        found["format"] = node["format"]
    if rules and is_bounded:
        found["x-kubernetes-validations"] = [rule.written() for rule in rules]
    return found


def _integer(node: Mapping[str, Any]) -> Schema:
    found: Schema = {"type": "integer", "format": "int64"}
    if "enum" in node:
        found["enum"] = list(node["enum"])
    if "minimum" in node:
        found["minimum"] = node["minimum"]
    maximum = node.get("maximum", node.get("exclusiveMaximum", _INTEGER_MAX + 1) - 1)
    if maximum < _INTEGER_MAX:
        found["maximum"] = maximum
    return found


def _description(node: Mapping[str, Any]) -> str:
    """What a type's docstring says, with fields called as manifests call them."""
    names = {name.casefold(): name for name in node.get("properties", {})}

    def called(match: re.Match[str]) -> str:
        name = names.get(match[1].replace("_", "").casefold())
        return f"`{name}`" if name else match[0]

    return re.sub(r"`(\w+)`", called, " ".join(node["description"].split()))


def _sorted(node: Any) -> Any:
    """The same with the keys of every map in order."""
    match node:
        case Mapping():
            return {key: _sorted(node[key]) for key in sorted(node)}
        case list():
            return [_sorted(entry) for entry in node]
        case _:
            return node
