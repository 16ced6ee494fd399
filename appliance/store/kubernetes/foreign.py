"""What of other load balancers there is in a cluster; nothing of it is changed."""

from collections.abc import Iterator
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
    return tuple(found[key] for key in sorted(found))


def _names(content: Content, prefix: str) -> Iterator[str]:
    for item in cast(list[Content], content.get("items") or []):
        metadata = raw_metadata(item)
        name, namespace = str(metadata.get("name", "")), str(metadata.get("namespace", ""))
        if name.startswith(prefix):
            yield f"{namespace}/{name}" if namespace else name
