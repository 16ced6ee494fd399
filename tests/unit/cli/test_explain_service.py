"""`pierhead explain service` on a folder of manifests."""

import asyncio
import json
from pathlib import Path

from click.testing import CliRunner, Result

from appliance.cli.explain_service import service
from tests.serving import saying, serving
from tests.unit.cli.conftest import Agent, Pierhead

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
HOSTS_WORD = """\
Service default/echo
  -      implementation
  ok     pool           lan
  ok     address        192.168.1.240
  -      advertisement
  -      host
  ok     announcement   192.168.1.240: node-a answers ARP/NDP
                        node-a (layer 2) answers ARP/NDP: on eth0: first living candidate
                        node-b (layer 2) stands by
  ok     delivery       192.168.1.240: where it arrives it can be received
                        node-a can receive it
  -      endpoints
  -      answer         not asked; --probe asks the application
"""
VIP = """
apiVersion: pierhead.io/v1alpha1
kind: VirtualIP
metadata: {name: 10.0.0.0}
spec: {address: 10.0.0.0, pool: pool, services: [{namespace: default, name: %s}], layer2: {candidates: [node-a]}}
status: {owner: {host: node-a}}
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
        "  -      announcement",
        "  -      delivery",
        "  -      endpoints",
        "  -      answer         not asked; --probe asks the application",
        "What to do: create an IPAddressPool, and an L2Advertisement or a BGPAdvertisement for it",
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


async def test_the_application_is_asked(tmp_path: Path) -> None:
    """With --probe the last link is known: by a connection, or by an HTTP request; nobody there breaks the chain."""
    with serving(saying(b"HTTP/1.0 200 OK\r\n\r\n")) as port:
        text = (SERVICE + POOL % "10.0.0.0/32" + AD + VIP % "echo" + REST).replace("10.0.0.0", "127.0.0.1")
        text = text.replace("port: 80", f"port: {port}")
        bare = await asyncio.to_thread(run, tmp_path, text, "--probe")
        http = await asyncio.to_thread(run, tmp_path, text, "--probe=http", "--json")
    gone = await asyncio.to_thread(run, tmp_path, text, "--probe")
    assert (bare.exit_code, f"port {port} accepts connections" in bare.stdout) == (0, True)
    assert json.loads(http.stdout)["links"][-1]["answers"][0]["outcome"] == "ANSWERS"
    assert (gone.exit_code, f"BROKEN answer         127.0.0.1: port {port} refuses" in gone.stdout) == (1, True)


async def test_without_a_store_hosts_tell_what_they_know(agent: Agent, pierhead: Pierhead) -> None:
    """On a host with the API server gone: its addresses, who answers; what operators wrote is left open."""
    result = await pierhead("explain", "service", "default/echo")
    assert (result.exit_code, result.output) == (0, HOSTS_WORD)
    result = await pierhead("explain", "service", "default/ecko")
    assert (result.exit_code, "did you mean default/echo" in result.output) == (2, True)


def test_no_such_service(tmp_path: Path) -> None:
    """A near name is offered, and the exit status is 2."""
    outcome = run(tmp_path, SERVICE.replace("echo", "echo-local"))
    assert outcome.exit_code == 2
    assert "there is no Service default/echo; did you mean default/echo-local?" in outcome.stderr


def test_a_service_that_cannot_be_read(tmp_path: Path) -> None:
    """Its own mistake is told, or that of the file it may stand in."""
    outcome = run(tmp_path, SERVICE.replace("80", "eighty"))
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith(
        f"Error: Service default/echo cannot be read; {tmp_path}/site.yaml:1:spec.ports[0].port: "
    )
    outcome = run(tmp_path, "kind: [")
    assert outcome.exit_code == 2
    assert (
        f"there is no Service default/echo, but not all manifests can be read: {tmp_path}/site.yaml" in outcome.stderr
    )


def test_store_that_is_none(tmp_path: Path) -> None:
    """A store that cannot be opened is said to be one."""
    outcome = CliRunner().invoke(service, ["echo", "--store", "floppy:a"])
    assert outcome.exit_code == 2
    assert "is not a store's URL" in outcome.stderr


def test_problems_are_told(tmp_path: Path) -> None:
    """Mistakes in the manifests are listed, for they may be why nothing moves."""
    outcome = run(tmp_path, SERVICE + POOL % "10.0.0.0/24, 10.0.0.1/32" + AD)
    assert "10.0.0.1/32 overlaps 10.0.0.0/24 of this pool" in outcome.stdout
