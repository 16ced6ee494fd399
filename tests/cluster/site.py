"""The lab's site on a real Kubernetes API server, in the lab's own namespace for it.

The server listens on the LAN, so a host whose cable is pulled has lost it too. Backends are Pods whose status is
written by hand, as no kubelet runs; their EndpointSlices are made by Kubernetes' own controllers.

usage, as root: python -m tests.cluster.site [--hosts N] [--json]     the story of `pierhead lab demo` on this site
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from appliance.api.manifest import encode
from appliance.lab import demo, namespace
from appliance.lab.cluster import BACKEND_LABELS, nodes
from appliance.lab.place import Place
from appliance.lab.program import pierhead
from appliance.lab.site import SiteChange, SiteError, read_manifests, require_backends
from appliance.lab.stage import run
from appliance.lab.topology import BACKEND_PORT, CONTROL, CONTROL_ADDRESS, LabBackend, Topology
from tests.cluster.control_plane import ControlPlane, ControlPlaneError
from tests.cluster.programs import program

MANIFESTS = Path(__file__).parents[2] / "manifests" / "pierhead.yaml"
ALLOCATOR = ("pierhead-system", "pierhead-allocator")
_SERVICE_NETWORKS = "10.96.0.0/12,fd00:10:96::/108"
_DEMO = "kubernetes"


class KubernetesCluster:
    """A control plane in the lab's control machine, fed by kubectl; every program has the credentials made for it."""

    def __init__(self, place: Place, topology: Topology) -> None:
        self._place = place
        self._topology = topology
        self._folder = place.directory / "kubernetes"
        self._namespace = place.namespace(CONTROL)
        self._plane: ControlPlane | None = None

    @property
    def allocator_store(self) -> str:
        """The store with the credentials of the allocator's ServiceAccount."""
        return f"kubernetes:{self._folder / 'allocator.kubeconfig'}"

    def host_store(self, host: str) -> str:
        """The store with a host's own credentials."""
        return f"kubernetes:{self._folder / 'hosts' / f'{host}.kubeconfig'}"

    def prepare(self) -> None:
        """Start the control plane and install Pierhead in it, as its manifests and commands do it."""
        with namespace.inside(self._namespace):
            flags = (f"--service-cluster-ip-range={_SERVICE_NETWORKS}",)
            self._plane = ControlPlane(self._folder, address=CONTROL_ADDRESS, flags=flags)
            self._plane.start()
            self._plane.start_controllers()
            self._kubectl("create", "namespace", "metallb-system")
            self._kubectl("apply", "--server-side", "-f", str(MANIFESTS))
            for node in nodes(self._topology):
                self._create({**encode(node), "apiVersion": "v1", "kind": "Node"})
            for backend in self._topology.backends:
                self._create(_pod(backend))
            self._write_allocator_credentials()
            self._write_host_credentials()

    def apply(self, paths: Iterable[Path]) -> SiteChange:
        """Let kubectl apply the files."""
        files = tuple(paths)
        given = read_manifests(files)
        self._for_each("apply", "--server-side", "--force-conflicts", files=files)
        return SiteChange(tuple(given.contents), given.passed_over)

    def delete(self, paths: Iterable[Path]) -> SiteChange:
        """Let kubectl delete what the files name."""
        files = tuple(paths)
        given = read_manifests(files)
        self._for_each("delete", "--ignore-not-found", "--wait=false", files=files)
        return SiteChange(tuple(given.contents), given.passed_over)

    def set_ready(self, backends: Iterable[str], ready: bool) -> None:
        """Say it in the Pods' status."""
        for name in sorted(require_backends(self._topology, backends)):
            self._set_status("pod", name, {"conditions": [_ready(ready)]})

    async def addresses(self, service: str) -> tuple[str, ...]:
        """What kubectl prints of them."""
        words = (str(program("kubectl")), f"--kubeconfig={self._running.kubeconfig}", "get", "service", service)
        form = "--output=jsonpath={.status.loadBalancer.ingress[*].ip}"
        code, output = await run(*namespace.entering(self._namespace), *words, "--ignore-not-found", form)
        return tuple(output.split()) if code == 0 else ()

    def take_away(self) -> None:
        """End the API server at once."""
        self._running.kill()

    def bring_back(self) -> None:
        """Start it again."""
        with namespace.inside(self._namespace):
            self._running.start_server()
            self._running.wait_until_ready()

    def close(self) -> None:
        """End the control plane."""
        if self._plane is not None:
            self._plane.stop()

    @property
    def _running(self) -> ControlPlane:
        if self._plane is None:
            raise ControlPlaneError("the control plane was not started")
        return self._plane

    def _kubectl(self, *words: str, text: str | None = None) -> str:
        with namespace.inside(self._namespace):
            return self._running.kubectl(*words, text=text)

    def _for_each(self, *words: str, files: Iterable[Path]) -> None:
        try:
            self._kubectl(*words, *(f"--filename={file}" for file in files))
        except ControlPlaneError as error:
            raise SiteError(()) from error

    def _create(self, manifest: dict[str, object]) -> None:
        """Create an object and then write its status, which a server drops of what is created."""
        self._kubectl("create", "-f", "-", text=json.dumps(manifest))
        metadata, status = manifest["metadata"], manifest["status"]
        name = metadata["name"] if isinstance(metadata, dict) else ""
        self._set_status(str(manifest["kind"]).lower(), str(name), status)

    def _set_status(self, kind: str, name: str, status: object) -> None:
        patch = json.dumps({"status": status})
        self._kubectl("patch", kind, name, "--subresource=status", "--type=merge", f"--patch={patch}")

    def _write_allocator_credentials(self) -> None:
        where, account = ALLOCATOR
        token = self._kubectl("create", "token", account, f"--namespace={where}").strip()
        content = json.loads(self._running.kubeconfig.read_text())
        content["users"][0]["user"] = {"token": token}
        path = self._folder / "allocator.kubeconfig"
        path.touch(0o600)
        path.write_text(json.dumps(content, indent=1))

    def _write_host_credentials(self) -> None:
        folder = self._folder / "hosts"
        folder.mkdir(mode=0o700)
        names = [host.name for host in self._topology.hosts]
        store = f"kubernetes:{self._running.kubeconfig}"
        words = (pierhead(), "host-credentials", *names, "--store", store, "--directory", str(folder))
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ControlPlaneError(f"{' '.join(words)}: {done.stderr.strip()}")


def _pod(backend: LabBackend) -> dict[str, object]:
    addresses = [str(backend.ipv4.ip), str(backend.ipv6.ip)]
    container = {"name": "echo", "image": "echo", "ports": [{"containerPort": BACKEND_PORT}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": backend.name, "namespace": "default", "labels": BACKEND_LABELS},
        "spec": {"nodeName": backend.host, "containers": [container]},
        "status": {
            "phase": "Running",
            "podIP": addresses[0],
            "podIPs": [{"ip": address} for address in addresses],
            "conditions": [_ready(True)],
        },
    }


def _ready(ready: bool) -> dict[str, str]:
    return {"type": "Ready", "status": str(ready)}


def main() -> int:
    """Tell the story on a Kubernetes API server; 0 where every step held."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.site", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--hosts", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print a JSON line a step")
    arguments = parser.parse_args()
    made: list[KubernetesCluster] = []

    def cluster(place: Place, topology: Topology) -> KubernetesCluster:
        if not made:
            made.append(KubernetesCluster(place, topology))
        return made[0]

    def say(text: str) -> None:
        sys.stderr.write(f"{text}\n")

    told = demo.run(Place(_DEMO), arguments.hosts, say, as_json=arguments.json, make_cluster=cluster)
    return 0 if asyncio.run(told) else 1


if __name__ == "__main__":
    sys.exit(main())
