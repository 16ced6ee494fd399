"""Commands of an operator on a real API server: with all rights, and with what a host may."""

import asyncio
import json
from ipaddress import ip_address
from pathlib import Path

import pytest
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
