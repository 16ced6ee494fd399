"""Commands of an operator on a real API server: with all rights, and with what a host may."""

import asyncio
import json
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from appliance.api.kind import Kind
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import (
    AddressConflict,
    Host,
    HostStatus,
    Layer2,
    Owner,
    VirtualIP,
    VirtualIPService,
    VirtualIPSpec,
    VirtualIPStatus,
)
from appliance.cli.main import main
from appliance.overview.acknowledgement import acknowledgement_of
from appliance.store.open import open_store
from appliance.store.protocol import Store
from tests.cluster.control_plane import ControlPlane
from tests.cluster.test_host_credentials import allow_hosts, made

NAME = "192.0.2.77"
ADDRESS = ip_address(NAME)
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "explained", "namespace": "default"},
    "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
}
HOSTS_WORD = """\
Service default/explained
  -      implementation
  ok     pool           asked
  ok     address        192.0.2.77
  -      advertisement
  -      host
  ok     announcement   192.0.2.77: node-m answers ARP/NDP
                        node-m (layer 2) answers ARP/NDP: as it told the store
  ok     delivery       192.0.2.77: where it arrives it can be received
                        node-m can receive it
  -      endpoints
  -      answer         not asked; --probe asks the application
"""

EVEN = """
apiVersion: v1
kind: Namespace
metadata: {name: metallb-system}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: even, namespace: metallb-system}
spec: {addresses: [198.51.100.0/28]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: even, namespace: metallb-system}
spec: {ipAddressPools: [even]}
"""
EVEN_SERVICE = """---
apiVersion: v1
kind: Service
metadata: {name: even-NUMBER, namespace: default}
spec: {type: LoadBalancer, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: even-NUMBER, namespace: default, labels: {kubernetes.io/service-name: even-NUMBER}}
addressType: IPv4
endpoints: [{addresses: [10.244.1.1], nodeName: node-m}]
"""


@pytest.fixture(scope="module")
def cluster(site_kinds: ControlPlane) -> ControlPlane:
    """A cluster that has a place for hosts."""
    allow_hosts(site_kinds)
    return site_kinds


def run(kubeconfig: Path | str, *words: str) -> Result:
    """A command that asks a cluster as somebody."""
    return CliRunner().invoke(main, [*words, "--store", f"kubernetes:{kubeconfig}"], prog_name="pierhead")


async def put(store: Store, conflicts: tuple[AddressConflict, ...] = ()) -> None:
    """A host and a VIP that it answers for."""
    host = Host(metadata=Metadata(name="node-m"), status=HostStatus(conflicts=conflicts))
    if Ref("Host", "", "node-m") not in (await store.list(frozenset({Kind.HOST}))).objects:
        await store.create(host, "pierhead-agent")
        services = (VirtualIPService(namespace="default", name="explained"),)
        spec = VirtualIPSpec(address=ADDRESS, pool="asked", services=services, layer2=Layer2(candidates=("node-m",)))
        vip = VirtualIP(metadata=Metadata(name=NAME), spec=spec, status=VirtualIPStatus(owner=Owner(host="node-m")))
        await store.create(vip, "pierhead-allocator")
        await store.apply_status(vip, "pierhead-agent")
    await store.apply_status(host, "pierhead-agent")


async def test_a_service_is_explained_with_a_hosts_rights(cluster: ControlPlane, tmp_path: Path) -> None:
    """It may not read Services: what it may read is told, the rest is left open; an administrator sees why."""
    cluster.apply(SERVICE)
    await put(open_store(f"kubernetes:{cluster.kubeconfig}"))
    kubeconfig = await asyncio.to_thread(made, cluster, "node-m", tmp_path)
    told = await asyncio.to_thread(run, kubeconfig, "explain", "service", "explained")
    assert (told.exit_code, told.stdout) == (0, HOSTS_WORD)
    assert "the store does not allow it" in told.stderr
    whole = await asyncio.to_thread(run, cluster.kubeconfig, "explain", "service", "explained", "--json")
    assert json.loads(whole.stdout)["broken"] == "advertisement"


async def test_a_host_is_drained_and_a_conflict_acknowledged(cluster: ControlPlane) -> None:
    """By an administrator, from anywhere: in spec.drain, and on the VIP, beside what others wrote there."""
    store = open_store(f"kubernetes:{cluster.kubeconfig}")
    seen = AddressConflict(address=ADDRESS, hardware_address=bytes.fromhex("020000000099"), interface="eth0")
    await put(store, (seen,))
    done = await asyncio.to_thread(run, cluster.kubeconfig, "drain", "node-m", "--yes")
    host = await store.get(Ref("Host", "", "node-m"))
    assert isinstance(host, Host)
    assert (done.exit_code, host.spec.drain, len(host.status.conflicts)) == (0, True, 1)
    assert (await asyncio.to_thread(run, cluster.kubeconfig, "undrain", "node-m")).exit_code == 0
    done = await asyncio.to_thread(run, cluster.kubeconfig, "acknowledge", NAME, "--by", "ann", "--yes")
    vip = await store.get(Ref("VirtualIP", "", NAME))
    assert isinstance(vip, VirtualIP)
    noted = acknowledgement_of(vip)
    assert (done.exit_code, noted.by if noted else "") == (0, "ann")
    rows = json.loads((await asyncio.to_thread(run, cluster.kubeconfig, "vips", "--json")).stdout)
    (row,) = (row for row in rows if row["address"] == NAME)
    assert row["health"] == {"state": "known conflict", "severity": "waiting"}


async def test_vips_are_planned_anew(cluster: ControlPlane, tmp_path: Path) -> None:
    """An administrator sees what would move, and who would have to be asked; a host may not read what plans are of."""
    store = open_store(f"kubernetes:{cluster.kubeconfig}")
    await put(store)
    await store.create(Host(metadata=Metadata(name="node-n")), "pierhead-agent")
    texts = [EVEN, *(EVEN_SERVICE.replace("NUMBER", str(number)) for number in (1, 2))]
    for manifest in yaml.safe_load_all("".join(texts)):
        cluster.apply(manifest)
    for number in (1, 2):
        address = ip_address(f"198.51.100.{number}")
        services = (VirtualIPService(namespace="default", name=f"even-{number}"),)
        layer2 = Layer2(candidates=("node-m", "node-n"))
        spec = VirtualIPSpec(address=address, pool="even", services=services, layer2=layer2)
        owner = VirtualIPStatus(owner=Owner(host="node-m"))
        vip = VirtualIP(metadata=Metadata(name=str(address)), spec=spec, status=owner)
        await store.create(vip, "pierhead-allocator")
        await store.apply_status(vip, "pierhead-agent")
    planned = await asyncio.to_thread(run, cluster.kubeconfig, "replan", "--dry-run", "--json")
    (move,) = json.loads(planned.stdout)["moves"]
    assert (planned.exit_code, move["owner"], move["successor"]) == (0, "node-m", "node-n")
    asked = await asyncio.to_thread(run, cluster.kubeconfig, "replan", "--yes")
    assert (asked.exit_code, "0 of 1 VIPs were moved, then: " in asked.stderr) == (2, True)
    assert "only its owner can hand it over" in asked.stderr
    kubeconfig = await asyncio.to_thread(made, cluster, "node-m", tmp_path)
    refused = await asyncio.to_thread(run, kubeconfig, "replan", "--dry-run")
    assert (refused.exit_code, "the store does not allow it" in refused.stderr) == (2, True)
