"""Pools, Services and requests in few words."""

from appliance.api.address import IPAddress, parse_address, parse_range
from appliance.api.core import FamilyName, FamilyPolicy, Service, ServicePort, ServiceSpec, TrafficPolicy
from appliance.api.label import LabelSelector
from appliance.api.meta import Metadata, Ref
from appliance.config.model import Pool
from appliance.ipam.ledger import Ledger
from appliance.ipam.reconcile import Decision, reconcile
from appliance.ipam.request import read_request

GOLD = LabelSelector(match_labels={"tier": "gold"})
DUAL = (FamilyName.IPV4, FamilyName.IPV6)


def pool(
    name: str,
    *ranges: str,
    auto_assign: bool = True,
    avoid_buggy_ips: bool = False,
    pinned: bool = False,
    priority: int = 0,
    namespaces: frozenset[str] | None = None,
    service_selectors: tuple[LabelSelector, ...] = (),
) -> Pool:
    """A pool as the configuration holds it."""
    return Pool(
        ref=Ref("IPAddressPool", "metallb-system", name),
        ranges=tuple(parse_range(text) for text in ranges),
        auto_assign=auto_assign,
        avoid_buggy_ips=avoid_buggy_ips,
        pinned=pinned or namespaces is not None or bool(service_selectors) or priority != 0,
        priority=priority,
        namespaces=namespaces,
        service_selectors=service_selectors,
    )


def service(
    name: str,
    *,
    ip: str = "",
    wanted: str = "",
    pool_name: str = "",
    key: str = "",
    ports: tuple[int, ...] = (80,),
    local: bool = False,
    app: str = "echo",
    cluster_ips: tuple[str, ...] = ("10.96.0.1",),
    policy: FamilyPolicy | None = None,
    families: tuple[FamilyName, ...] = (),
    labels: dict[str, str] | None = None,
    namespace: str = "default",
    service_type: str = "LoadBalancer",
    service_class: str | None = None,
    prefix: str = "metallb.io/",
) -> Service:
    """A Service that asks for something."""
    texts = {"loadBalancerIPs": wanted, "address-pool": pool_name, "allow-shared-ip": key}
    annotations = {prefix + name: text for name, text in texts.items() if text}
    return Service(
        metadata=Metadata(name=name, namespace=namespace, labels=labels or {}, annotations=annotations),
        spec=ServiceSpec(
            type=service_type,
            ports=tuple(ServicePort(port=port, name=str(port)) for port in ports),
            selector={"app": app} if app else {},
            cluster_ips=cluster_ips,
            ip_family_policy=policy,
            ip_families=families,
            external_traffic_policy=TrafficPolicy.LOCAL if local else TrafficPolicy.CLUSTER,
            load_balancer_ip=ip,
            load_balancer_class=service_class,
        ),
    )


def serve(ledger: Ledger, wanted: Service, held: str | None = "") -> Decision:
    """Decide for a Service that holds some addresses; None for a status that cannot be read."""
    path = f"{wanted.metadata.namespace}/{wanted.metadata.name}"
    return reconcile(
        path, read_request(wanted, cluster_ips_known=True), None if held is None else addresses(held), ledger
    )


def addresses(texts: str) -> tuple[IPAddress, ...]:
    """Addresses from a text with blanks between."""
    return tuple(parse_address(text) for text in texts.split())


def texts(found: tuple[IPAddress, ...]) -> str:
    """The text of some addresses."""
    return " ".join(map(str, found))


def reasons(decision: Decision) -> list[str]:
    """The reason strings of what is to be told."""
    return [event.reason.text for event in (*decision.happened, *filter(None, [decision.complaint]))]
