"""What is allowed but most likely not meant."""

from ipaddress import ip_network

import pytest

from appliance.config.compile import compile_config
from tests.unit.config.test_compile import ANYWHERE, BGP, L2, NODE, PEER, POOL, TOR, A, manifests

WIDE = POOL % ("a", "addresses: [10.244.0.0/16]")
LAN = POOL % ("a", "addresses: [192.168.1.10-192.168.1.20]")
POD_NODE = "{kind: Node, apiVersion: v1, metadata: {name: n}, spec: {podCIDRs: [10.244.3.0/24]}}\n---\n"
NODE_ADDRESS = (
    "{kind: Node, apiVersion: v1, metadata: {name: n}, "
    "status: {addresses: [{type: InternalIP, address: 192.168.1.11}]}}\n---\n"
)
HOST = (
    "{kind: Host, apiVersion: pierhead.io/v1alpha1, metadata: {name: h}, "
    "status: {interfaces: [{name: eth0, addresses: [192.168.1.%s/24]}]}}\n---\n"
)

GOLD_ONLY = POOL % (
    "a",
    "addresses: [10.0.0.0/24], serviceAllocation: {%snamespaceSelectors: [{matchLabels: {tier: gold}}]}",
)
NAMESPACE = "{kind: Namespace, apiVersion: v1, metadata: {name: shop, labels: {%s}}}\n---\n"

WARNINGS = [
    ("unannounced pool", A, ["spec: IPAddressPool m/a: no advertisement announces this pool, so its addresses are "
                             "never reachable"]),
    ("advertisement of nothing", L2 % ("l", "ipAddressPoolSelectors: [{matchLabels: {a: b}}]"),
     ["spec: L2Advertisement m/l: selects no IPAddressPool, so it announces nothing"]),
    ("no host", A + NODE % ("n", "r: a") + L2 % ("l", "nodeSelectors: [{matchLabels: {r: z}}]"),
     ["spec.nodeSelectors: L2Advertisement m/l: match no host, so it announces nothing"]),
    ("no peer", A + BGP % ("b", ""), ["spec: BGPAdvertisement m/b: there is no BGPPeer to announce to"]),
    ("namespaces that are not there", GOLD_ONLY % "" + ANYWHERE + NAMESPACE % "tier: silver",
     ["spec.serviceAllocation.namespaceSelectors: IPAddressPool m/a: match no Namespace, so the pool admits nobody; "
      "MetalLB takes that for no restriction"]),
    ("namespaces that are not there, beside one by name", GOLD_ONLY % "namespaces: [shop], " + ANYWHERE,
     ["spec.serviceAllocation.namespaceSelectors: IPAddressPool m/a: match no Namespace, so the pool admits only those "
      "it names"]),
    ("namespaces that are there", GOLD_ONLY % "" + ANYWHERE + NAMESPACE % "tier: gold", []),
    ("pod network", WIDE + ANYWHERE + POD_NODE,
     ["spec.addresses[0]: IPAddressPool m/a: 10.244.0.0/16 overlaps the pod network 10.244.3.0/24 of Node n"]),
    ("address of a Node", LAN + ANYWHERE + NODE_ADDRESS,
     ["spec.addresses[0]: IPAddressPool m/a: 192.168.1.10-192.168.1.20 overlaps the address 192.168.1.11 of Node n"]),
    ("address of a Host", LAN + ANYWHERE + HOST % 12,
     ["spec.addresses[0]: IPAddressPool m/a: 192.168.1.10-192.168.1.20 overlaps the address 192.168.1.12 of Host h"]),
    ("subnet of a Host", LAN + ANYWHERE + HOST % 99, []),
    ("one router twice", TOR + PEER % ("tos", "myASN: 64500, peerASN: 64501, peerAddress: 10.9.0.1"),
     ["spec.peerAddress: BGPPeer m/tos: 10.9.0.1 is the peer of BGPPeer m/tor too, on the same hosts"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in WARNINGS], ids=[row[0] for row in WARNINGS])
def test_warning(text: str, expected: list[str]) -> None:
    """A warning names object and field and does not stand in the way."""
    compiled = compile_config(manifests(text))
    assert expected == [str(warning) for warning in compiled.warnings]
    assert compiled.problems == ()
    assert compiled.config is not None


def test_service_network() -> None:
    """The caller names the Service network, which no manifest holds."""
    compiled = compile_config(manifests(WIDE + ANYWHERE), [ip_network("10.244.9.0/24")])
    assert [entry.text for entry in compiled.warnings] == ["10.244.0.0/16 overlaps the Service network 10.244.9.0/24"]
