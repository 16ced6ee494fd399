"""The allocator as the chart would run it: its arguments, its environment, and its ServiceAccount's rights alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.chart import CHART, NAMESPACE, RELEASE, Manifest, helm
from tests.cluster.control_plane import ENDING_WITH_US, ControlPlane, ControlPlaneError
from tests.cluster.crd import wait_until_served
from tests.cluster.image import Stage, signalled
from tests.port import free_port

pytestmark = pytest.mark.usefixtures("helm_program")

ACCOUNT = "pierhead-allocator"
SECONDS = 180.0


def manifest(group: str, kind: str, name: str, namespace: str = "", **fields: object) -> Manifest:
    """One manifest."""
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, **place}, **fields}


SITE = (
    manifest("v1", "Namespace", "shop"),
    manifest("pierhead.io/v1alpha1", "Host", "node-a", spec={}),
    manifest("metallb.io/v1beta1", "IPAddressPool", "production", NAMESPACE, spec={"addresses": ["198.51.100.0/28"]}),
    manifest("metallb.io/v1beta1", "L2Advertisement", "production", NAMESPACE, spec={}),
    manifest("metallb.io/v1beta1", "BGPAdvertisement", "production", NAMESPACE, spec={}),
    manifest(
        "metallb.io/v1beta2",
        "BGPPeer",
        "tor",
        NAMESPACE,
        spec={
            "myASN": 64500,
            "peerASN": 64501,
            "peerAddress": "192.0.2.1",
            "passwordSecret": {"name": "tor", "namespace": NAMESPACE},
        },
    ),
    manifest("v1", "Secret", "tor", NAMESPACE, type="kubernetes.io/basic-auth", stringData={"password": "s3cret"}),
    manifest(
        "v1",
        "Service",
        "echo",
        "shop",
        spec={"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": "echo"}},
    ),
)


@dataclass(frozen=True, slots=True)
class Running:
    """A program under way: its process, its log, and where its metrics and probes are."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    def answer(self, path: str) -> tuple[int, str]:
        """Status and text of one of its pages."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""


@pytest.fixture(scope="module")
def cluster(make_control_plane: Callable[[], ControlPlane]) -> ControlPlane:
    """A cluster with the chart in it."""
    control_plane = make_control_plane()
    helm(
        "install",
        RELEASE,
        str(CHART),
        f"--namespace={NAMESPACE}",
        "--create-namespace",
        kubeconfig=control_plane.kubeconfig,
    )
    wait_until_served(control_plane)
    return control_plane


def test_the_allocator_does_all_its_work_with_its_own_rights(cluster: ControlPlane, tmp_path: Path) -> None:
    """A Service has address and Event, a pool its status, a host its password; the Lease is taken and given back."""
    cluster.apply(*SITE)
    with allocator(cluster, tmp_path, "pierhead-allocator-0") as running:
        until(lambda: "ingress" in get(cluster, "service", "echo", "shop")["status"]["loadBalancer"], running)
        until(lambda: running.answer("/readyz")[0] == 200, running)
        until(lambda: "AssignedIP" in str(events(cluster)) or "IPAllocated" in str(events(cluster)), running)
        until(lambda: pool_status(cluster).get("assignedIPv4") == 1, running)
        until(
            lambda: "node-a" in cluster.kubectl("get", "secrets", "--namespace=pierhead-hosts", "--output=name"),
            running,
        )
        assert running.answer("/healthz")[0] == 200
        assert "\npierhead_leader 1.0\n" in running.answer("/metrics")[1]
        assert holder(cluster) == "pierhead-allocator-0"
        session = cluster.kubectl("get", "bgpsessions", "--output=json")
        assert ("192.0.2.1" in session, "s3cret" in session) == (True, False)
    assert running.process.returncode == 0
    assert not holder(cluster)
    assert "orbidden" not in running.log.read_text()


def test_the_other_allocator_takes_over(cluster: ControlPlane, tmp_path: Path) -> None:
    """Of two one writes; when it stops in order, the other leads in less than the Lease's time, and both were ready."""
    with allocator(cluster, tmp_path, "pierhead-allocator-0") as first:
        until(lambda: holder(cluster) == "pierhead-allocator-0", first)
        with allocator(cluster, tmp_path, "pierhead-allocator-1") as second:
            until(lambda: second.answer("/readyz")[0] == 200, second)
            assert "\npierhead_leader 0.0\n" in second.answer("/metrics")[1]
            first.process.send_signal(signal.SIGTERM)
            until(lambda: "\npierhead_leader 1.0\n" in second.answer("/metrics")[1], second)
            assert "orbidden" not in second.log.read_text()


def test_the_image_runs_as_in_a_pod(cluster: ControlPlane, image: Stage, tmp_path: Path) -> None:
    """Nobody's user on a root that cannot be written finds the API server as a Pod does, leads, and ends in order."""
    mounted = image.root / "var/run/secrets/kubernetes.io/serviceaccount"
    mounted.mkdir(parents=True)
    (mounted / "token").write_text(cluster.kubectl("create", "token", ACCOUNT, f"--namespace={NAMESPACE}").strip())
    (mounted / "namespace").write_text(NAMESPACE)
    shutil.copy(cluster.certificate_authority, mounted / "ca.crt")
    container, port = allocators_container(cluster), free_port()
    environment = pod_environment(container, "pierhead-allocator-2") | {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(cluster.port),
        "PIERHEAD_METRICS": f"127.0.0.1:{port}",
    }
    (entrypoint,) = json.loads(image.entrypoint)
    log = tmp_path / "log"
    running = Running(image.start(" ".join((entrypoint, *container["args"])), environment, log), log, port)
    try:
        until(lambda: running.answer("/readyz")[0] == 200, running)
        until(lambda: holder(cluster) == "pierhead-allocator-2", running)
        signalled(running.process, signal.SIGTERM)
        assert running.process.wait(SECONDS) == 0, log.read_text()
        assert not holder(cluster)
    finally:
        signalled(running.process, signal.SIGKILL)
        running.process.wait(SECONDS)


@pytest.mark.parametrize(
    ("verb", "resource", "namespace", "may"),
    [
        ("patch", "services --subresource=status", "shop", True),
        ("create", "virtualips.pierhead.io", "", True),
        ("update", "leases/pierhead-allocator", NAMESPACE, True),
        ("get", "secrets", NAMESPACE, True),
        ("get", "secrets", "shop", False),
        ("list", "secrets", "kube-system", False),
        ("update", "leases/other", NAMESPACE, False),
        ("patch", "hosts.pierhead.io --subresource=status", "", False),
        ("delete", "services", "shop", False),
        ("delete", "ipaddresspools.metallb.io", NAMESPACE, False),
        ("create", "pods", NAMESPACE, False),
        ("create", "serviceaccounts --subresource=token", "pierhead-hosts", False),
        ("create", "clusterrolebindings", "", False),
        ("patch", "customresourcedefinitions", "", False),
    ],
)
def test_the_allocator_may_do_no_more(
    cluster: ControlPlane, verb: str, resource: str, namespace: str, may: bool
) -> None:
    """What the API server would answer to the ServiceAccount."""
    user = f"--as=system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
    place = (f"--namespace={namespace}",) if namespace else ()
    answer = subprocess.run(
        kubectl(cluster, "auth", "can-i", verb, *resource.split(), user, *place),
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout.strip() == ("yes" if may else "no"), answer.stderr


@contextmanager
def allocator(cluster: ControlPlane, folder: Path, pod: str) -> Iterator[Running]:
    """The allocator of a Pod of the Deployment, with a token of its ServiceAccount; it is told to end by SIGTERM."""
    container, port = allocators_container(cluster), free_port()
    # A Pod finds the API server by its own means, and has its ports to itself.
    environment = pod_environment(container, pod) | {
        "PATH": os.environ["PATH"],
        "PIERHEAD_STORE": f"kubernetes:{kubeconfig_of_account(cluster, folder)}",
        "PIERHEAD_METRICS": f"127.0.0.1:{port}",
    }
    log = folder / f"{pod}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*ENDING_WITH_US, sys.executable, "-m", "appliance.cli.main", *container["args"]],
            env=environment,
            stdout=file,
            stderr=file,
        )
    try:
        yield Running(process, log, port)
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
    finally:
        process.kill()
        process.wait()


def allocators_container(cluster: ControlPlane) -> Manifest:
    """The container as the Deployment has it."""
    found: Manifest = get(cluster, "deployment", ACCOUNT, NAMESPACE)["spec"]["template"]["spec"]["containers"][0]
    return found


def pod_environment(container: Manifest, pod: str) -> dict[str, str]:
    """The environment that a kubelet would give to the container of a Pod."""
    fields = {"metadata.name": pod, "metadata.namespace": NAMESPACE}
    return {
        entry["name"]: entry.get("value") or fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for entry in container["env"]
    }


def kubeconfig_of_account(cluster: ControlPlane, folder: Path) -> Path:
    """A kubeconfig with a token such as the kubelet mounts."""
    token = cluster.kubectl("create", "token", ACCOUNT, f"--namespace={NAMESPACE}").strip()
    server = {"server": cluster.url, "certificate-authority": str(cluster.certificate_authority)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": server}],
        "users": [{"name": "allocator", "user": {"token": token}}],
        "contexts": [{"name": "allocator", "context": {"cluster": "cluster", "user": "allocator"}}],
        "current-context": "allocator",
    }
    path = folder / "allocator.kubeconfig"
    path.write_text(json.dumps(config))
    return path


def until(holds: Callable[[], bool], running: Running) -> None:
    """Ask until it is so; fails with the program's log where it ends or takes too long."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        if running.process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(running.log.read_text())
        time.sleep(0.1)


def get(cluster: ControlPlane, kind: str, name: str, namespace: str) -> Manifest:
    """One object as the API server has it."""
    found: Manifest = json.loads(cluster.kubectl("get", kind, name, f"--namespace={namespace}", "--output=json"))
    return found


def events(cluster: ControlPlane) -> list[Mapping[str, object]]:
    """What the Service's owner was told."""
    found: list[Mapping[str, object]] = json.loads(
        cluster.kubectl("get", "events", "--namespace=shop", "--output=json")
    )["items"]
    return found


def pool_status(cluster: ControlPlane) -> Manifest:
    """How much of the pool is in use, as its owner sees it."""
    status: Manifest = get(cluster, "ipaddresspool", "production", NAMESPACE).get("status", {})
    return status


def holder(cluster: ControlPlane) -> str:
    """Who leads; nobody as long as there is no Lease."""
    try:
        return str(get(cluster, "lease", ACCOUNT, NAMESPACE)["spec"].get("holderIdentity") or "")
    except ControlPlaneError:
        return ""


def kubectl(cluster: ControlPlane, *arguments: str) -> list[str]:
    """A command of kubectl as the administrator."""
    from tests.cluster.programs import program

    return [str(program("kubectl")), f"--kubeconfig={cluster.kubeconfig}", *arguments]
