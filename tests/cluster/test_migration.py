"""A cluster that MetalLB serves, and Pierhead in its place: every Service keeps its addresses."""

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from appliance.lab.program import pierhead
from tests.cluster.control_plane import ENDING_WITH_US, ControlPlane, MakeControlPlane
from tests.cluster.crd import CRDS, wait_until_served
from tests.cluster.test_metallb_crd import WEBHOOK

WAIT_SECONDS = 180.0
LAN = ("192.168.20.200-192.168.20.219", "2001:db8:20::200-2001:db8:20::2ff")
MANIFESTS = f"""
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: lan, namespace: metallb-system}}
spec: {{addresses: {json.dumps(LAN)}}}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: routed, namespace: metallb-system}}
spec: {{addresses: [10.20.0.0/24], avoidBuggyIPs: true, autoAssign: false}}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {{name: lan, namespace: metallb-system}}
spec: {{ipAddressPools: [lan]}}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {{name: routed, namespace: metallb-system}}
spec: {{ipAddressPools: [routed], communities: [no-export-of-ours]}}
---
apiVersion: metallb.io/v1beta1
kind: Community
metadata: {{name: names, namespace: metallb-system}}
spec: {{communities: [{{name: no-export-of-ours, value: "65535:65281"}}]}}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {{name: tor, namespace: metallb-system}}
spec: {{myASN: 64500, peerASN: 64501, peerAddress: 192.168.20.1, bfdProfile: fast}}
---
apiVersion: metallb.io/v1beta1
kind: BFDProfile
metadata: {{name: fast, namespace: metallb-system}}
spec: {{receiveInterval: 50, transmitInterval: 50}}
"""
SHARED = {"metallb.io/allow-shared-ip": "dns"}
# Service, its addresses as MetalLB gave them, the pool they are of, further annotations and fields.
SERVED: tuple[tuple[str, tuple[str, ...], str, Mapping[str, str], Mapping[str, object]], ...] = (
    ("first", ("192.168.20.200",), "lan", {}, {}),
    ("gap-before", ("192.168.20.205",), "lan", {}, {}),
    ("asked-for", ("192.168.20.219",), "lan", {"metallb.io/loadBalancerIPs": "192.168.20.219"}, {}),
    ("asked-of-old", ("192.168.20.218",), "lan", {"metallb.universe.tf/loadBalancerIPs": "192.168.20.218"}, {}),
    ("asked-in-spec", ("192.168.20.217",), "lan", {}, {"loadBalancerIP": "192.168.20.217"}),
    ("by-pool", ("10.20.0.9",), "routed", {"metallb.io/address-pool": "routed"}, {}),
    ("dns-tcp", ("192.168.20.210",), "lan", SHARED, {"ports": [{"port": 53, "protocol": "TCP"}]}),
    ("dns-udp", ("192.168.20.210",), "lan", SHARED, {"ports": [{"port": 53, "protocol": "UDP"}]}),
    ("local", ("192.168.20.206",), "lan", {}, {"externalTrafficPolicy": "Local"}),
    (
        "both-families",
        ("192.168.20.207", "2001:db8:20::2a7"),
        "lan",
        {},
        {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"]},
    ),
)


@pytest.fixture(scope="module")
def cluster(make_control_plane: MakeControlPlane) -> ControlPlane:
    """A cluster as MetalLB leaves it: manifests, statuses, annotations, its own workloads."""
    plane = make_control_plane("--service-cluster-ip-range=10.96.0.0/12,fd00:10:96::/108")
    for path in sorted(CRDS.glob("metallb.io_*")):
        plane.apply(as_metallb_has_it(yaml.safe_load(path.read_text())))
    wait_until_served(plane)
    plane.kubectl("create", "namespace", "metallb-system")
    plane.kubectl("create", "namespace", "pierhead-system")
    plane.kubectl("apply", "-f", "-", text=MANIFESTS)
    for name, addresses, pool, annotations, fields in SERVED:
        serve(plane, name, addresses=addresses, pool=pool, annotations=annotations, fields=fields)
    plane.apply(workload("DaemonSet", "speaker"), workload("Deployment", "controller"))
    return plane


def as_metallb_has_it(definition: dict[str, Any]) -> dict[str, Any]:
    """A definition that names a webhook for the two versions of a BGPPeer."""
    if definition["spec"]["names"]["kind"] == "BGPPeer":
        definition["spec"]["conversion"] = WEBHOOK
    return definition


def workload(kind: str, name: str) -> dict[str, Any]:
    """One of MetalLB's programs."""
    pod = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": name, "image": name}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "metallb-system", "labels": {"app.kubernetes.io/name": "metallb"}},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": pod},
    }


def serve(
    plane: ControlPlane,
    name: str,
    *,
    addresses: tuple[str, ...] = (),
    pool: str = "",
    annotations: Mapping[str, str] = MappingProxyType({}),
    fields: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Create a Service, and write its status and annotation in the name and form of MetalLB's controller."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default", "annotations": dict(annotations)},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": name}, **fields},
    }
    plane.kubectl("create", "-f", "-", text=json.dumps(service))
    if not addresses:
        return
    pool_of = json.dumps({"metadata": {"annotations": {"metallb.io/ip-allocated-from-pool": pool}}})
    plane.kubectl("patch", "service", name, "--type=merge", f"--patch={pool_of}", "--field-manager=controller")
    status = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]}}})
    words = ("--subresource=status", "--type=merge", f"--patch={status}", "--field-manager=controller")
    plane.kubectl("patch", "service", name, *words)


def told(plane: ControlPlane) -> dict[str, tuple[str, ...]]:
    """The addresses in the statuses of all Services."""
    services = json.loads(plane.kubectl("get", "services", "-n", "default", "-o", "json"))["items"]
    return {
        service["metadata"]["name"]: tuple(
            entry["ip"] for entry in service["status"]["loadBalancer"].get("ingress", ())
        )
        for service in services
        if service["spec"]["type"] == "LoadBalancer"
    }


def checked(plane: ControlPlane) -> tuple[int, dict[str, object], str]:
    """What `pierhead migrate check` says: exit status, JSON, and text."""
    words = (pierhead(), "migrate", "check", "--store", f"kubernetes:{plane.kubeconfig}")
    as_json = subprocess.run((*words, "--json"), capture_output=True, text=True, check=False)
    as_text = subprocess.run(words, capture_output=True, text=True, check=False)
    assert as_json.returncode == as_text.returncode, as_json.stderr
    return as_json.returncode, json.loads(as_json.stdout), as_text.stdout


def allocate(plane: ControlPlane, wanted: Mapping[str, tuple[str, ...]]) -> None:
    """Let an allocator work until every address has its VirtualIP, and stop it."""
    addresses = {address for held in wanted.values() for address in held}
    deadline = time.monotonic() + WAIT_SECONDS
    with subprocess.Popen(
        (*ENDING_WITH_US, pierhead(), "allocator", "--store", f"kubernetes:{plane.kubeconfig}")
    ) as allocator:
        try:
            while claimed(plane) != addresses:
                assert allocator.poll() is None
                assert time.monotonic() < deadline, f"only {sorted(claimed(plane))} are claimed"
        finally:
            allocator.terminate()
        assert allocator.wait(WAIT_SECONDS) == 0


def claimed(plane: ControlPlane) -> set[str]:
    """The addresses that Services hold."""
    vips = json.loads(plane.kubectl("get", "virtualips", "-o", "json"))["items"]
    return {vip["spec"]["address"] for vip in vips if vip["spec"].get("services")}


def set_addresses(plane: ControlPlane, addresses: Sequence[str]) -> None:
    """Change what the pool of the LAN has."""
    patch = json.dumps({"spec": {"addresses": addresses}})
    plane.kubectl("patch", "ipaddresspool", "lan", "-n", "metallb-system", "--type=merge", f"--patch={patch}")


def test_what_would_change_is_told_before(cluster: ControlPlane) -> None:
    """A pool that has become smaller than what was given, and a Service that waits; nothing of Pierhead is there."""
    set_addresses(cluster, ("192.168.20.200-192.168.20.216", LAN[1]))
    serve(cluster, "new")
    code, report, text = checked(cluster)
    cluster.kubectl("delete", "service", "new")
    set_addresses(cluster, LAN)
    fates = {entry["service"]: entry["fate"] for entry in report["services"] if entry["fate"] != "kept"}  # type: ignore[attr-defined]  # JSON
    assert code == 1
    assert fates == {
        "default/asked-for": "lost",
        "default/asked-of-old": "lost",
        "default/asked-in-spec": "lost",
        "default/new": "gained",
    }
    assert "default/asked-for" in text
    assert told(cluster)["asked-for"] == ("192.168.20.219",)


def test_every_service_keeps_its_addresses(cluster: ControlPlane) -> None:
    """`migrate check` says so and what is still there of MetalLB; then the allocator takes over, and it is so."""
    cluster.kubectl("apply", "--server-side", *(f"--filename={path}" for path in sorted(CRDS.glob("pierhead.io_*"))))
    wait_until_served(cluster)
    before = told(cluster)
    code, report, text = checked(cluster)
    assert (code, report["problems"], {entry["fate"] for entry in report["services"]}) == (0, [], {"kept"})  # type: ignore[attr-defined]  # JSON
    assert "10 Services: 10 keep their addresses" in text
    assert [(entry["product"], entry["name"]) for entry in report["foreign"]] == [  # type: ignore[attr-defined]  # JSON
        ("MetalLB", "bgppeers.metallb.io"),
        ("MetalLB", "metallb-system/speaker"),
        ("MetalLB", "metallb-system/controller"),
    ]
    assert told(cluster) == before
    # As the guide has it: MetalLB ends, then its webhook goes, then Pierhead begins.
    cluster.kubectl("scale", "deployment", "controller", "-n", "metallb-system", "--replicas=0")
    cluster.kubectl("delete", "daemonset", "speaker", "-n", "metallb-system")
    definitions = subprocess.run(
        (pierhead(), "crds", "--group", "metallb.io"), capture_output=True, text=True, check=True
    )
    cluster.kubectl("replace", "-f", "-", text=definitions.stdout)
    # A server that takes up a definition anew says later for a moment, and kubectl asks again.
    kinds = "ipaddresspools,l2advertisements,bgpadvertisements,bgppeers,bfdprofiles,communities"
    cluster.kubectl("get", kinds, "--all-namespaces")
    code, report, text = checked(cluster)
    assert (code, report["foreign"], "10 Services: 10 keep their addresses" in text) == (0, [], True)
    allocate(cluster, before)
    assert told(cluster) == before
    annotations = json.loads(cluster.kubectl("get", "service", "by-pool", "-o", "json"))["metadata"]["annotations"]
    assert annotations["metallb.io/ip-allocated-from-pool"] == "routed"
