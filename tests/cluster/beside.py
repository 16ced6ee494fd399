"""A control plane beside machines that boot (molecule/cluster), for as long as this process lives.

The chart's Deployment is carried out as in a cluster: Kubernetes' own controllers make its Pods, and this process is
their kubelet. A Pod is this tree's program on this side of the machines' network, with the arguments and the
environment of the container and a token of the Pod's ServiceAccount.

usage, in that network's namespace:
  python -m tests.cluster.beside FOLDER ADDRESS   FOLDER gets `kubeconfig`, `pid`, and last of all the commands helm,
                                                  kubectl and pierhead, which reach the server from any namespace
  python -m tests.cluster.beside --check          say what is missing; ends with 1 where it is

SIGUSR1 ends the API server at once, SIGUSR2 starts it again, SIGTERM ends everything.
"""

import asyncio
import json
import os
import shlex
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from tests.cluster.api import Api, ApiError, Content, api_of
from tests.cluster.control_plane import ENDING_WITH_US, ControlPlane
from tests.cluster.programs import ETCD, HELM, KUBERNETES, missing, program

NAMESPACE = "pierhead-system"
SERVICE_NETWORKS = "10.96.0.0/12,fd00:10:96::/108"
PIERHEAD = Path(sys.executable).parent / "pierhead"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_AGAIN_SECONDS = 0.5
_READY_SECONDS = 0.2


class Kubelet:
    """Carries out the Pods of the allocator's namespace as processes of this machine, and tells the server of them."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._pods: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Do so for ever; a server that is away is asked again, and what runs goes on."""
        async with api_of(self._plane.kubeconfig) as api, asyncio.TaskGroup() as group:
            while True:
                with suppress(aiohttp.ClientError, ApiError, OSError):
                    listing = await api.get(_PODS)
                    pods = {pod["metadata"]["name"]: pod for pod in listing["items"]}
                    for name in self._pods.keys() - pods.keys():
                        self._pods.pop(name).cancel()
                    for pod in pods.values():
                        self._begin(group, api, pod)
                    async for change, pod in api.watch(_PODS, listing["metadata"]["resourceVersion"]):
                        if change == "ADDED":
                            self._begin(group, api, pod)
                        elif change == "DELETED" and (task := self._pods.pop(pod["metadata"]["name"], None)):
                            task.cancel()
                await asyncio.sleep(_AGAIN_SECONDS)

    def _begin(self, group: asyncio.TaskGroup, api: Api, pod: Content) -> None:
        name = pod["metadata"]["name"]
        if name not in self._pods:
            self._pods[name] = group.create_task(self._keep(api, pod), name=name)

    async def _keep(self, api: Api, pod: Content) -> None:
        """Run a Pod's container, and again where it ends."""
        while True:
            with suppress(aiohttp.ClientError, ApiError, OSError):
                async with self._started(api, pod) as (process, port):
                    await _until_ready(port)
                    await api.patch(f"{_PODS}/{pod['metadata']['name']}/status", _running(self._plane.address))
                    await process.wait()
            await asyncio.sleep(_AGAIN_SECONDS)

    @asynccontextmanager
    async def _started(self, api: Api, pod: Content) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
        """The process of a Pod's container and the port of its metrics and probes; ended with the block."""
        name, (container,) = pod["metadata"]["name"], pod["spec"]["containers"]
        port = _free_port()
        # A Pod finds the API server by its own means, and has its ports to itself.
        environment = _environment(container, pod) | {
            "PATH": os.environ["PATH"],
            "PIERHEAD_STORE": f"kubernetes:{await self._kubeconfig(api, pod)}",
            "PIERHEAD_METRICS": f"127.0.0.1:{port}",
        }
        with (self._plane.folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *ENDING_WITH_US,
                str(PIERHEAD),
                *container["args"],
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield process, port
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()

    async def _kubeconfig(self, api: Api, pod: Content) -> Path:
        """A kubeconfig with a token such as a kubelet mounts."""
        account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{pod['spec']['serviceAccountName']}/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = (await api.create(account, asked))["status"]["token"]
        content = json.loads(self._plane.kubeconfig.read_text())
        content["users"][0]["user"] = {"token": token}
        path = self._plane.folder / f"{pod['metadata']['name']}.kubeconfig"
        path.touch(0o600)
        path.write_text(json.dumps(content))
        return path


async def _until_ready(port: int) -> None:
    """Ask as the readiness probe does."""
    async with aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError, OSError):
                async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(_READY_SECONDS)


def _environment(container: Content, pod: Content) -> dict[str, str]:
    fields = {"metadata.name": pod["metadata"]["name"], "metadata.namespace": pod["metadata"]["namespace"]}
    return {
        entry["name"]: entry.get("value") or fields[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for entry in container["env"]
    }


def _running(address: str) -> Content:
    """The status of a Pod that is ready, as a patch."""
    since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    conditions = [
        {"type": name, "status": "True", "lastTransitionTime": since} for name in ("ContainersReady", "Ready")
    ]
    return {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}}


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


def _write_commands(folder: Path) -> None:
    """Commands for those who stand in another namespace than the server."""
    for name, path in (("kubectl", program("kubectl")), ("helm", program("helm")), ("pierhead", PIERHEAD)):
        command = folder / name
        words = ("nsenter", f"--net=/proc/{os.getpid()}/ns/net", str(path))
        command.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        command.chmod(0o755)


async def serve(folder: Path, address: str) -> None:
    """Be a control plane until SIGTERM."""
    plane = ControlPlane(folder, address=address, flags=(f"--service-cluster-ip-range={SERVICE_NETWORKS}",))
    end = asyncio.Event()
    try:
        plane.start()
        plane.start_controllers("deployment-controller", "replicaset-controller")
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, end.set)
        loop.add_signal_handler(signal.SIGUSR1, plane.kill)
        loop.add_signal_handler(signal.SIGUSR2, plane.start_server)
        (folder / "pid").write_text(f"{os.getpid()}\n")
        _write_commands(folder)
        async with asyncio.TaskGroup() as group:
            kubelet = group.create_task(Kubelet(plane).run(), name="kubelet")
            await end.wait()
            kubelet.cancel()
    finally:
        plane.stop()


def main() -> int:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["--check"]:
            if names := missing(ETCD, KUBERNETES, HELM):
                ways = "`make cluster-programs` builds them with Go, once; or let KUBEBUILDER_ASSETS name their folder"
                print(f"NO {', '.join(names).upper()}: {ways}", file=sys.stderr)
                return 1
        case [folder, address]:
            asyncio.run(serve(Path(folder).absolute(), address))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
