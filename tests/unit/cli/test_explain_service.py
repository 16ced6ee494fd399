"""`pierhead explain service` on a folder of manifests."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from appliance.cli.explain_service import service

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: default}
spec: {type: LoadBalancer, ports: [{port: 80}]}
---
"""
POOL = """
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: pool, namespace: metallb-system}
spec: {addresses: [%s]}
---
"""
AD = """
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: ad, namespace: metallb-system}
---
"""
VIP = """
apiVersion: pierhead.io/v1alpha1
kind: VirtualIP
metadata: {name: 10.0.0.0}
spec: {address: 10.0.0.0, pool: pool, services: [{namespace: default, name: %s}]}
---
"""
REST = """
apiVersion: pierhead.io/v1alpha1
kind: Host
metadata: {name: node-a}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: echo-1, namespace: default, labels: {kubernetes.io/service-name: echo}}
endpoints: [{addresses: [10.244.1.1], nodeName: node-a}]
"""


def run(folder: Path, text: str, *arguments: str) -> Result:
    """The command's outcome on a store that holds a text."""
    (folder / "site.yaml").write_text(text)
    return CliRunner().invoke(service, ["echo", "--store", f"directory:{folder}", *arguments])


def test_no_pool(tmp_path: Path) -> None:
    """The broken link is marked, those behind it are open."""
    outcome = run(tmp_path, SERVICE)
    assert outcome.exit_code == 1
    assert outcome.stdout.splitlines() == [
        "Service default/echo",
        "  ok     implementation Pierhead serves it",
        "  BROKEN pool           no pool is configured",
        "  -      address",
        "  -      advertisement",
        "  -      host",
        "  -      endpoints",
    ]


def test_full_pool(tmp_path: Path) -> None:
    """A full pool is named with how full it is."""
    other = SERVICE.replace("echo", "other")
    outcome = run(tmp_path, SERVICE + other + POOL % "10.0.0.0/32" + AD + VIP % "other" + REST, "--json")
    told = json.loads(outcome.stdout)
    assert (outcome.exit_code, told["broken"]) == (1, "address")
    assert [link["reason"] for link in told["links"] if link["state"] == "broken"] == ["EXHAUSTED"]
    assert "(1 of 1 given)" in outcome.stdout


def test_allocator_is_awaited(tmp_path: Path) -> None:
    """A free address that nobody gave yet is the allocator's matter."""
    outcome = run(tmp_path, SERVICE + POOL % "10.0.0.0/32" + AD + REST)
    assert "BROKEN address        an address is free, but no allocator has given it yet" in outcome.stdout


def test_whole_chain(tmp_path: Path) -> None:
    """A Service with everything exits 0 and says what serves it."""
    outcome = run(tmp_path, SERVICE + POOL % "10.0.0.0/32" + AD + VIP % "echo" + REST)
    assert outcome.exit_code == 0
    assert outcome.stdout.splitlines()[1:] == [
        "  ok     implementation Pierhead serves it",
        "  ok     pool           pool",
        "  ok     address        10.0.0.0",
        "  ok     advertisement  10.0.0.0: L2Advertisement metallb-system/ad",
        "  ok     host           10.0.0.0: at least one host may announce it",
        "                        node-a (layer 2) is eligible",
        "  ok     endpoints      10.0.0.0: at least one endpoint can serve",
    ]


def test_no_such_service(tmp_path: Path) -> None:
    """A near name is offered, and the exit status is 2."""
    outcome = run(tmp_path, SERVICE.replace("echo", "echo-local"))
    assert outcome.exit_code == 2
    assert "there is no Service default/echo; did you mean default/echo-local?" in outcome.stderr


def test_store_that_is_none(tmp_path: Path) -> None:
    """A store that cannot be opened is said to be one."""
    outcome = CliRunner().invoke(service, ["echo", "--store", "floppy:a"])
    assert outcome.exit_code == 2
    assert "is not a store's URL" in outcome.stderr


def test_problems_are_told(tmp_path: Path) -> None:
    """Mistakes in the manifests are listed, for they may be why nothing moves."""
    outcome = run(tmp_path, SERVICE + POOL % "10.0.0.0/24, 10.0.0.1/32" + AD)
    assert "10.0.0.1/32 overlaps 10.0.0.0/24 of this pool" in outcome.stdout
