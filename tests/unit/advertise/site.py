"""Small sites for the tests of this package."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from appliance.advertise.endpoint import slices_by_service
from appliance.advertise.host import site_hosts
from appliance.advertise.vip import Announcement, HeldAddress, Planner, Site
from appliance.api.address import parse_address
from appliance.api.core import EndpointSlice, Node, Service
from appliance.api.manifest import parse
from appliance.api.pierhead import Host
from appliance.config.compile import compile_config

POOLS = """
{kind: IPAddressPool, apiVersion: metallb.io/v1beta1, metadata: {name: a, namespace: m},
 spec: {addresses: [10.0.0.0/24, 'fc00::/120']}}
---
"""
L2 = "{kind: L2Advertisement, apiVersion: metallb.io/v1beta1, metadata: {name: %s, namespace: m}, spec: {%s}}\n---\n"
BGP = "{kind: BGPAdvertisement, apiVersion: metallb.io/v1beta1, metadata: {name: %s, namespace: m}, spec: {%s}}\n---\n"
HOST = """
{kind: Host, apiVersion: pierhead.io/v1alpha1, metadata: {name: %s, labels: {%s}}, spec: {drain: %s},
 status: {interfaces: [%s], conditions: [{type: Drained, status: "%s"}]}}
---
"""
SERVICE = """
{kind: Service, apiVersion: v1, metadata: {name: echo, namespace: default, labels: {%s}, annotations: {%s}},
 spec: {type: LoadBalancer, externalTrafficPolicy: %s, ports: [{name: http, port: 80}]}}
---
"""
SLICE = """
{kind: EndpointSlice, apiVersion: discovery.k8s.io/v1, addressType: %s,
 metadata: {name: echo-%s, namespace: default, labels: {kubernetes.io/service-name: echo}},
 ports: [{name: http, port: 5678}, {name: other, port: 9}],
 endpoints: [%s]}
---
"""


def host(name: str, labels: str = "", drain: bool = False, interfaces: str = "", drained: bool = False) -> str:
    """A host's manifest; `drain` is an operator's word, `drained` its agent's."""
    return HOST % (name, labels, str(drain).lower(), interfaces, drained)


def service(policy: str = "Cluster", labels: str = "", annotations: str = "") -> str:
    """The Service default/echo."""
    return SERVICE % (labels, annotations, policy)


def endpoint(node: str, conditions: str = "ready: true", address: str = "10.244.1.1") -> str:
    """One endpoint of the Service."""
    return f"{{addresses: ['{address}'], nodeName: '{node}', conditions: {{{conditions}}}}}"


def slices(*endpoints: str, family: str = "IPv4") -> str:
    """The Service's slice."""
    return SLICE % (family, family.lower(), ", ".join(endpoints))


def site(text: str) -> tuple[Site, tuple[Service, ...]]:
    """A site and its Services from manifests without mistakes."""
    parsed = parse(text, "test.yaml")
    given = [document.manifest for document in parsed.documents]
    config = compile_config(given).config
    assert parsed.problems == ()
    assert config is not None
    hosts = site_hosts(
        [entry for entry in given if isinstance(entry, Host)], [entry for entry in given if isinstance(entry, Node)]
    )
    pieces = slices_by_service(entry for entry in given if isinstance(entry, EndpointSlice))
    return Site(config, hosts, pieces), tuple(entry for entry in given if isinstance(entry, Service))


def held(services: Iterable[Service], address: str = "10.0.0.1") -> HeldAddress:
    """An address of pool `a` held by some Services."""
    return HeldAddress(parse_address(address), "a", tuple(services))


def planned(wanted: HeldAddress, place: Site, owner: str = "") -> Announcement:
    """What hosts are told of an address, by a planner that knows nothing else."""
    planner = Planner()
    planner.set_site(place.config, place.hosts)
    return planner.plan(replace(wanted, owner=owner), place.slices, {})


def reasons(hosts: Mapping[str, object]) -> dict[str, str]:
    """The names of every host's reason."""
    return {name: str(getattr(reason, "name", "")) for name, reason in hosts.items()}
