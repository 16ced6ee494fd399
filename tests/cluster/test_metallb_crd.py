"""MetalLB's own definitions, installed first, serve as well: what we write there is taken, what stands there is read.

They are written here by hand, in the shape of those of MetalLB 0.16, as far as it matters for what Pierhead does.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from appliance.api.address import parse_range
from appliance.api.kind import Kind, Object, kind_of
from appliance.api.manifest import decode, encode
from appliance.api.meta import Metadata
from appliance.api.metallb import (
    COMPONENT_LABEL,
    NODE_LABEL,
    SERVICE_NAME_LABEL,
    SERVICE_NAMESPACE_LABEL,
    ConditionStatus,
    ConfigurationCondition,
    ConfigurationResult,
    ConfigurationState,
    ConfigurationStateStatus,
    InterfaceInfo,
    IPAddressPool,
    IPAddressPoolSpec,
    IPAddressPoolStatus,
    MetalLBServiceBGPStatus,
    MetalLBServiceL2Status,
    ServiceBGPStatus,
    ServiceL2Status,
)
from appliance.api.schema import custom_resource_definition
from tests.cluster.control_plane import MakeControlPlane
from tests.cluster.definitions import NAMESPACE, Api, Content, place

TEXT = {"type": "string"}
COUNT = {"type": "integer", "format": "int64"}
TEXTS = {"type": "array", "items": TEXT}
EXPRESSION = {
    "type": "object",
    "required": ["key", "operator"],
    "properties": {"key": TEXT, "operator": TEXT, "values": {**TEXTS, "x-kubernetes-list-type": "atomic"}},
}
SELECTOR = {
    "type": "object",
    "x-kubernetes-map-type": "atomic",
    "properties": {
        "matchLabels": {"type": "object", "additionalProperties": TEXT},
        "matchExpressions": {"type": "array", "items": EXPRESSION, "x-kubernetes-list-type": "atomic"},
    },
}
SELECTORS = {"type": "array", "items": SELECTOR}
FIXED = {**TEXT, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "Value is immutable"}]}
ASN = {"type": "integer", "format": "int64", "minimum": 0, "maximum": 4294967295}
FLAG = {"type": "boolean"}
CONDITION = {
    "type": "object",
    "required": ["lastTransitionTime", "message", "reason", "status", "type"],
    "properties": {
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "message": {"type": "string", "maxLength": 32768},
        "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
        "reason": {
            "type": "string",
            "minLength": 1,
            "maxLength": 1024,
            "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        },
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "type": {"type": "string", "maxLength": 316},
    },
}
OLD_PEER = {
    "type": "object",
    "required": ["myASN", "peerASN", "peerAddress"],
    "properties": {
        **{"myASN": ASN, "peerASN": ASN, "peerAddress": TEXT, "sourceAddress": TEXT, "holdTime": TEXT},
        **{"keepaliveTime": TEXT, "routerID": TEXT, "password": TEXT, "bfdProfile": TEXT, "ebgpMultiHop": FLAG},
        "peerPort": {"type": "integer", "minimum": 0, "maximum": 16384},
        "nodeSelectors": SELECTORS,
    },
}
PEER = {
    "type": "object",
    "required": ["myASN"],
    "properties": {
        **OLD_PEER["properties"],  # type: ignore[dict-item]  # a mapping, which mypy does not see in a plain dict
        "dynamicASN": {"type": "string", "enum": ["internal", "external"]},
        "localASN": {"type": "integer", "format": "int64", "minimum": 1, "maximum": 4294967295},
        "peerPort": {"type": "integer", "minimum": 1, "maximum": 16384, "default": 179},
        "connectTime": {**TEXT, "x-kubernetes-validations": [{"rule": "duration(self).getMilliseconds() % 1000 == 0"}]},
        "enableGracefulRestart": {**FLAG, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]},
        "passwordSecret": {
            "type": "object",
            "x-kubernetes-map-type": "atomic",
            "properties": {"name": TEXT, "namespace": TEXT},
        },
        **{"disableMP": {**FLAG, "default": False}, "dualStackAddressFamily": {**FLAG, "default": False}},
        **{"interface": TEXT, "vrf": TEXT},
    },
}
POOL = {
    "type": "object",
    "required": ["addresses"],
    "properties": {
        "addresses": TEXTS,
        "autoAssign": {**FLAG, "default": True},
        "avoidBuggyIPs": {**FLAG, "default": False},
        "serviceAllocation": {
            "type": "object",
            "properties": {
                "priority": {"type": "integer"},
                "namespaces": TEXTS,
                "namespaceSelectors": SELECTORS,
                "serviceSelectors": SELECTORS,
            },
        },
    },
}
COUNTS = dict.fromkeys(("assignedIPv4", "assignedIPv6", "availableIPv4", "availableIPv6"), COUNT)
OF_SERVICE: Content = {"node": FIXED, "serviceName": FIXED, "serviceNamespace": FIXED}
INTERFACES = {"type": "array", "items": {"type": "object", "properties": {"name": TEXT}}}
STATE: Content = {
    "result": {"type": "string", "enum": ["Valid", "Invalid", "Unknown"]},
    "errorSummary": TEXT,
    "conditions": {
        "type": "array",
        "items": CONDITION,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    },
}
WEBHOOK = {
    "strategy": "Webhook",
    "webhook": {
        "conversionReviewVersions": ["v1beta1", "v1beta2"],
        "clientConfig": {
            "service": {"name": "metallb-webhook-service", "namespace": "metallb-system", "path": "/convert"}
        },
    },
}


def their_version(name: str, spec: Content | None, status: Content, *, storage: bool = True) -> Content:
    """One version of one of MetalLB's definitions."""
    properties: Content = {"apiVersion": TEXT, "kind": TEXT, "metadata": {"type": "object"}, "status": status}
    schema = {"type": "object", "properties": properties | ({"spec": spec} if spec else {})}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }


def theirs(kind: Kind, *versions: Content, conversion: Content | None = None) -> Content:
    """One of MetalLB's definitions: its names and scope are those of ours, or clients would not find the kind."""
    definition = custom_resource_definition(kind)
    names = {name: text for name, text in definition["spec"]["names"].items() if name != "categories"}
    spec = {"group": "metallb.io", "names": names, "scope": "Namespaced", "versions": list(versions)}
    return {**definition, "spec": spec | ({"conversion": conversion} if conversion else {})}


def _status(properties: Content, *required: str) -> Content:
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


DEFINITIONS = (
    theirs(Kind.IP_ADDRESS_POOL, their_version("v1beta1", POOL, _status(COUNTS, *COUNTS))),
    theirs(Kind.SERVICE_L2_STATUS, their_version("v1beta1", None, _status(OF_SERVICE | {"interfaces": INTERFACES}))),
    theirs(Kind.SERVICE_BGP_STATUS, their_version("v1beta1", None, _status(OF_SERVICE | {"peers": TEXTS}))),
    theirs(Kind.CONFIGURATION_STATE, their_version("v1beta1", None, _status(STATE))),
    theirs(
        Kind.BGP_PEER,
        their_version("v1beta1", OLD_PEER, _status({}), storage=False),
        their_version("v1beta2", PEER, _status({})),
        conversion=WEBHOOK,
    ),
)


@pytest.fixture(scope="module")
def api(make_control_plane: MakeControlPlane) -> Iterator[Api]:
    """A control plane that MetalLB's definitions were installed in, and no program of MetalLB's runs."""
    control_plane = make_control_plane()
    api = Api(control_plane)
    api.install(DEFINITIONS[:-1])
    # Where a webhook is named nobody answers a list of the other version.
    api.create_definition(DEFINITIONS[-1], "v1beta2")
    yield api
    api.close()
    control_plane.stop()


OF_ECHO = {NODE_LABEL: "node-a", SERVICE_NAME_LABEL: "echo", SERVICE_NAMESPACE_LABEL: "shop"}
CONDITIONS = tuple(
    ConfigurationCondition(
        type=f"{part}ReconcilerValid",
        status=status,
        reason=reason,
        message=message,
        last_transition_time="2026-01-01T00:00:00.123456+00:00",
    )
    for part, status, reason, message in (
        ("pool", ConditionStatus.TRUE, "Reconciled", ""),
        ("config", ConditionStatus.FALSE, "ConfigurationError", "peer tor: 0 is not a port"),
    )
)
WRITTEN: tuple[Object, ...] = (
    IPAddressPool(
        metadata=Metadata(name="lan", namespace=NAMESPACE),
        spec=IPAddressPoolSpec(addresses=(parse_range("192.0.2.0/24"),)),
        status=IPAddressPoolStatus(assigned_ipv4=0, assigned_ipv6=0, available_ipv4=256, available_ipv6=0),
    ),
    ServiceL2Status(
        metadata=Metadata(name="l2-echo", namespace=NAMESPACE, labels=OF_ECHO),
        status=MetalLBServiceL2Status(
            node="node-a", service_name="echo", service_namespace="shop", interfaces=(InterfaceInfo(name="eth0"),)
        ),
    ),
    ServiceBGPStatus(
        metadata=Metadata(name="bgp-echo", namespace=NAMESPACE, labels=OF_ECHO),
        status=MetalLBServiceBGPStatus(
            node="node-a", service_name="echo", service_namespace="shop", peers=("link", "tor")
        ),
    ),
    ConfigurationState(
        metadata=Metadata(name="controller", namespace=NAMESPACE, labels={COMPONENT_LABEL: "controller"}),
        status=ConfigurationStateStatus(
            result=ConfigurationResult.INVALID, error_summary="peer tor: 0 is not a port", conditions=CONDITIONS
        ),
    ),
)


@pytest.mark.parametrize("manifest", WRITTEN, ids=lambda manifest: kind_of(manifest).title)
def test_what_is_written_is_taken_and_kept(api: Api, manifest: Object) -> None:
    """Nothing is refused and nothing is pruned, and it is read back as it was."""
    kind, content = kind_of(manifest), encode(manifest)
    name = manifest.metadata.name
    created = api.create(kind, {part: entry for part, entry in content.items() if part != "status"})
    assert (created.status, created.warnings) == (201, ())
    written = api.apply(kind, {part: entry for part, entry in content.items() if part != "spec"}, "us", "/status")
    assert (written.status, written.warnings) == (200, ()), written.content
    stored = api.get(kind, name)
    assert stored["status"] == content["status"]
    assert getattr(decode(kind, stored, strict=False), "status") == getattr(manifest, "status")  # noqa: B009  # of any kind
    api.request("DELETE", place(kind, name))


WHOLE: Any = {
    **{"myASN": 64500, "peerASN": 64501, "peerAddress": "192.0.2.1", "sourceAddress": "192.0.2.2", "peerPort": 1179},
    **{"holdTime": "1m30s", "keepaliveTime": "30s", "connectTime": "10s", "routerID": "192.0.2.2", "vrf": "blue"},
    **{"bfdProfile": "fast", "enableGracefulRestart": True, "ebgpMultiHop": True, "localASN": 64499},
    "passwordSecret": {"name": "tor", "namespace": "metallb-system"},
    "nodeSelectors": [{"matchLabels": {"rack": "a"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}],
}
CONTENT: Content = {
    "apiVersion": "metallb.io/v1beta2",
    "kind": "BGPPeer",
    "metadata": {"name": "tor", "namespace": NAMESPACE},
    "spec": WHOLE,
}


def test_a_peer_is_read_without_the_webhook_and_its_definition_is_taken_over(api: Api) -> None:
    """MetalLB is gone and its conversion with it: what is stored as v1beta2 is read; v1beta1 needs our definition.

    `kubectl replace` puts it in place of theirs; an apply would leave the webhook beside it, which the server refuses.
    """
    assert api.create(Kind.BGP_PEER, CONTENT).status == 201
    before = decode(Kind.BGP_PEER, api.get(Kind.BGP_PEER, "tor"), strict=True)
    assert api.request("GET", place(Kind.BGP_PEER, "tor", "v1beta1")).status == 500
    ours = json.dumps(custom_resource_definition(Kind.BGP_PEER))
    api.control_plane.kubectl("replace", "-f", "-", text=ours)
    api.await_version(Kind.BGP_PEER, "v1beta1")
    old = api.request("GET", place(Kind.BGP_PEER, "tor", "v1beta1"))
    assert (old.status, old.content["spec"]["vrf"]) == (200, "blue")
    after = decode(Kind.BGP_PEER, api.get(Kind.BGP_PEER, "tor"), strict=True)
    assert getattr(after, "spec") == getattr(before, "spec")  # noqa: B009  # an Object has no common spec
