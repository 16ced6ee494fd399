"""Which hosts may announce a Service, a row for each check in its order."""

import pytest

from appliance.advertise.vip import judge
from appliance.api.address import parse_address
from tests.unit.advertise.site import BGP, L2, POOLS, endpoint, host, reasons, service, site, slices

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers: ''"
CUT_OFF = "{kind: Node, apiVersion: v1, metadata: {name: x}, status: {conditions: [{type: NetworkUnavailable, status: 'True'}]}}\n---\n"  # noqa: E501
NODE = "{kind: Node, apiVersion: v1, metadata: {name: x, labels: {rack: r1}}}\n---\n"
READY = slices(endpoint("x"))
EVERY = L2 % ("l", "") + BGP % ("b", "")
RACK = "nodeSelectors: [{matchLabels: {rack: r1}}]"
WEB = "serviceSelectors: [{matchLabels: {app: web}}]"
ETH = "{name: eth0, addresses: [10.0.0.9/24]}"

ROWS = [
    ("all is well", EVERY + host("x") + service() + READY, "ANNOUNCED", "ANNOUNCED", "ELIGIBLE", "ELIGIBLE"),
    ("no endpoints", EVERY + host("x") + service(), "NO_ENDPOINTS", "NO_ENDPOINTS", "ELIGIBLE", "ELIGIBLE"),
    ("not ready", EVERY + host("x") + service() + slices(endpoint("x", "ready: false")),
     "NO_ENDPOINTS", "NO_ENDPOINTS", "ELIGIBLE", "ELIGIBLE"),
    ("terminating and serving", EVERY + host("x") + service()
     + slices(endpoint("x", "ready: false, serving: true, terminating: true")),
     "ANNOUNCED", "ANNOUNCED", "ELIGIBLE", "ELIGIBLE"),
    ("readiness unknown", EVERY + host("x") + service() + slices(endpoint("x", "")),
     "ANNOUNCED", "ANNOUNCED", "ELIGIBLE", "ELIGIBLE"),
    ("endpoints of the other family only", EVERY + host("x") + service() + slices(endpoint("x", address="fc01::1"),
     family="IPv6"), "NO_ENDPOINTS", "NO_ENDPOINTS", "ELIGIBLE", "ELIGIBLE"),
    ("no advertisement", host("x") + service() + READY, "NO_ADVERTISEMENT", "NO_ADVERTISEMENT", None, None),
    ("labels not selected", L2 % ("l", WEB) + BGP % ("b", WEB) + host("x") + service() + READY,
     "SERVICE_NOT_SELECTED", "SERVICE_NOT_SELECTED", None, None),
    ("labels selected", L2 % ("l", WEB) + BGP % ("b", WEB) + host("x") + service(labels="app: web") + READY,
     "ANNOUNCED", "ANNOUNCED", "ELIGIBLE", "ELIGIBLE"),
    ("shared with serviceSelectors", L2 % ("l", WEB) + host("x")
     + service(labels="app: web", annotations="metallb.universe.tf/allow-shared-ip: ''") + READY,
     "SHARED_AND_SELECTED", "NO_ADVERTISEMENT", None, None),
    ("no host", EVERY + service() + READY, "NO_HOST", "NO_HOST", None, None),
    ("not selected", L2 % ("l", RACK) + BGP % ("b", RACK) + host("x", "rack: r2") + service() + READY,
     "NO_ELIGIBLE_HOST", "NO_ELIGIBLE_HOST", "NOT_SELECTED", "NOT_SELECTED"),
    ("selected by the Node's label", L2 % ("l", RACK) + BGP % ("b", RACK) + host("x") + NODE + service() + READY,
     "ANNOUNCED", "ANNOUNCED", "ELIGIBLE", "ELIGIBLE"),
    ("network unavailable", EVERY + host("x") + CUT_OFF + service() + READY,
     "NO_ELIGIBLE_HOST", "NO_ELIGIBLE_HOST", "NETWORK_UNAVAILABLE", "NETWORK_UNAVAILABLE"),
    ("excluded", EVERY + host("x", EXCLUDED) + service() + READY,
     "NO_ELIGIBLE_HOST", "NO_ELIGIBLE_HOST", "EXCLUDED", "EXCLUDED"),
    ("Local with an endpoint", EVERY + host("x") + service("Local") + READY,
     "ANNOUNCED", "ANNOUNCED", "ELIGIBLE", "ELIGIBLE"),
    ("Local without", EVERY + host("x") + service("Local") + slices(endpoint("y")),
     "NO_ELIGIBLE_HOST", "NO_ELIGIBLE_HOST", "NO_LOCAL_ENDPOINT", "NO_LOCAL_ENDPOINT"),
    ("Local, endpoint on no node", EVERY + host("x") + service("Local") + slices(endpoint("")),
     "NO_ELIGIBLE_HOST", "NO_ELIGIBLE_HOST", "NO_LOCAL_ENDPOINT", "NO_LOCAL_ENDPOINT"),
    ("interface missing", L2 % ("l", "interfaces: [eth1]") + host("x", interfaces=ETH) + service() + READY,
     "NO_ELIGIBLE_HOST", "NO_ADVERTISEMENT", "NO_INTERFACE", None),
    ("interface there", L2 % ("l", "interfaces: [eth1, eth0]") + host("x", interfaces=ETH) + service() + READY,
     "ANNOUNCED", "NO_ADVERTISEMENT", "ELIGIBLE", None),
    ("interfaces not told yet", L2 % ("l", "interfaces: [eth1]") + host("x") + service() + READY,
     "ANNOUNCED", "NO_ADVERTISEMENT", "ELIGIBLE", None),
    ("draining", EVERY + host("x", drain=True) + service() + READY,
     "ANNOUNCED", "ANNOUNCED", "DRAINING", "ELIGIBLE"),
    ("local preferences conflict by Service", BGP % ("b", "localPref: 1, " + WEB) + BGP % ("c", "localPref: 2")
     + host("x") + service(labels="app: web") + READY, "NO_ADVERTISEMENT", "CONFLICTING_ADVERTISEMENTS", None,
     "CONFLICTING_ADVERTISEMENTS"),
    ("a subnet of two addresses has no ends", L2 % ("l", "")
     + host("x", interfaces="{name: eth0, addresses: [10.0.0.0/31]}") + service() + READY,
     "ANNOUNCED", "NO_ADVERTISEMENT", "ELIGIBLE", None),
    ("local preferences of other Services", BGP % ("b", "localPref: 1, " + WEB) + BGP % ("c", "localPref: 2")
     + host("x") + service() + READY, "NO_ADVERTISEMENT", "ANNOUNCED", None, "ELIGIBLE"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "layer2", "bgp", "layer2_host", "bgp_host"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_verdict(text: str, layer2: str, bgp: str, layer2_host: str | None, bgp_host: str | None) -> None:
    """Each check gives its reason, for the Service and for the host."""
    place, services = site(POOLS + text)
    verdict = judge(parse_address("10.0.0.1"), "a", services[0], place)
    assert (verdict.layer2.outcome.name, verdict.bgp.outcome.name) == (layer2, bgp)
    assert reasons(verdict.layer2.hosts) == ({"x": layer2_host} if layer2_host else {})
    assert reasons(verdict.bgp.hosts) == ({"x": bgp_host} if bgp_host else {})
