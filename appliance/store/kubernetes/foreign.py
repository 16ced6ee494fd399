"""What of other load balancers there is in a cluster; nothing of it is changed."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import cast

from appliance.api.refusal import StoreRefusal
from appliance.store.kubernetes.connection import Connection, Content, Verb
from appliance.store.kubernetes.resource import raw_metadata
from appliance.store.protocol import StoreError


@dataclass(frozen=True, slots=True)
class ForeignObject:
    """An object of another load balancer, and what has to be done about it before Pierhead serves."""

    product: str
    kind: str
    name: str
    advice: str


@dataclass(frozen=True, slots=True)
class _Trace:
    """How a product is known: by objects of a collection that have a label, or whose name begins in some way."""

    product: str
    kind: str
    path: str
    advice: str
    label: str = ""
    prefix: str = ""


_CONVERTED = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/bgppeers.metallb.io"
_REPLACE = (
    "its webhook converts BGPPeers, and nobody answers for it once MetalLB's controller is stopped; then put Pierhead's"
    " in its place: pierhead crds --group metallb.io | kubectl replace -f -"
)
_STORED_OLD = "; some may be stored as v1beta1, and until then no BGPPeer at all can be read"
_STOP = "stop it before Pierhead's allocator starts, or let each serve its own loadBalancerClass or pools"
_WORKLOADS = {"Deployment": "/apis/apps/v1/deployments", "DaemonSet": "/apis/apps/v1/daemonsets"}
_TRACES = (
    *(_Trace("MetalLB", kind, path, _STOP, "app.kubernetes.io/name=metallb") for kind, path in _WORKLOADS.items()),
    *(_Trace("MetalLB", kind, path, _STOP, "app=metallb") for kind, path in _WORKLOADS.items()),
    _Trace(
        "MetalLB",
        "ValidatingWebhookConfiguration",
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        "delete it once MetalLB's controller is stopped: until then no pool can be changed",
        prefix="metallb-webhook",
    ),
    _Trace(
        "frr-k8s",
        "FRRConfiguration",
        "/apis/frrk8s.metallb.io/v1beta1/frrconfigurations",
        "is not read: what it says of BGP belongs into BGPPeers",
    ),
    _Trace("kube-vip", "DaemonSet", _WORKLOADS["DaemonSet"], _STOP, prefix="kube-vip"),
    _Trace("k3s", "DaemonSet", _WORKLOADS["DaemonSet"], "start k3s with --disable=servicelb", prefix="svclb-"),
    _Trace(
        "Cilium",
        "CiliumLoadBalancerIPPool",
        "/apis/cilium.io/v2/ciliumloadbalancerippools",
        "delete it, or give it a serviceSelector that leaves Pierhead's Services out",
    ),
)


async def foreign_objects(connection: Connection) -> tuple[ForeignObject, ...]:
    """Everything known of other load balancers, each object once; raises StoreError."""
    found: dict[tuple[str, str, str], ForeignObject] = {}
    async with connection.held():
        for trace in _TRACES:
            query = {"labelSelector": trace.label} if trace.label else {}
            try:
                content = await connection.request(Verb.LIST, trace.path, query=query)
            except StoreError as error:
                if error.refusal is StoreRefusal.NOT_FOUND:
                    continue
                raise
            for name in _names(content, trace.prefix):
                key = (trace.product, trace.kind, name)
                found.setdefault(key, ForeignObject(*key, trace.advice))
        async for each in _converted_by_webhook(connection):
            found[each.product, each.kind, each.name] = each
    return tuple(found[key] for key in sorted(found))


async def _converted_by_webhook(connection: Connection) -> AsyncIterator[ForeignObject]:
    """MetalLB's definition of BGPPeers, where it needs MetalLB to be read in its other version."""
    try:
        definition = await connection.request(Verb.GET, _CONVERTED)
    except StoreError as error:
        if error.refusal is StoreRefusal.NOT_FOUND:
            return
        raise
    spec, status = (cast(Content, definition.get(part) or {}) for part in ("spec", "status"))
    if cast(Content, spec.get("conversion") or {}).get("strategy") == "Webhook":
        stored = cast(list[str], status.get("storedVersions") or [])
        advice = _REPLACE + (_STORED_OLD if "v1beta1" in stored else "")
        yield ForeignObject("MetalLB", "CustomResourceDefinition", "bgppeers.metallb.io", advice)


def _names(content: Content, prefix: str) -> Iterator[str]:
    for item in cast(list[Content], content.get("items") or []):
        metadata = raw_metadata(item)
        name, namespace = str(metadata.get("name", "")), str(metadata.get("namespace", ""))
        if name.startswith(prefix) and not _is_scaled_to_nothing(item):
            yield f"{namespace}/{name}" if namespace else name


def _is_scaled_to_nothing(item: Content) -> bool:
    return cast(Content, item.get("spec") or {}).get("replicas") == 0
