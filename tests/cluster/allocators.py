"""Allocators as programs on a real API server, and the manifests they are given."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cluster.api import Api, ApiError, Content
from tests.cluster.control_plane import ENDING_WITH_US

PATIENCE_SECONDS = 180.0
STOP_SECONDS = 60.0
POOLS = "/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools"
LAYER2 = "/apis/metallb.io/v1beta1/namespaces/metallb-system/l2advertisements"
VIPS = "/apis/pierhead.io/v1alpha1/virtualips"
HOSTS = "/apis/pierhead.io/v1alpha1/hosts"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/pierhead-system/leases/pierhead-allocator"


class AllocatorProgram:
    """`pierhead allocator` as a process, which ends with this one; its log is a file."""

    def __init__(self, kubeconfig: Path, log: Path, *options: str) -> None:
        self.log = log
        command = [sys.executable, "-m", "appliance.cli.main"]
        environment = {**os.environ, "PIERHEAD_LOG_LEVEL": "info"}
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [*ENDING_WITH_US, *command, "allocator", f"--store=kubernetes:{kubeconfig}", *options],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
            )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def follows(self, leader: str) -> Callable[[], Awaitable[bool]]:
        """Whether it knows of a leader."""

        async def does_follow() -> bool:
            return f"leader={leader}" in self.log.read_text()

        return does_follow

    def has_logged(self, event: str) -> Callable[[], Awaitable[bool]]:
        """Whether its log tells of an event."""

        async def has_logged() -> bool:
            return event in self.log.read_text()

        return has_logged

    def resident_mebibytes(self) -> float:
        """What it has in memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextmanager
def allocator(kubeconfig: Path, log: Path, *options: str) -> Iterator[AllocatorProgram]:
    """An allocator that does not outlive the block."""
    program = AllocatorProgram(kubeconfig, log, *options)
    try:
        yield program
    finally:
        program.stop(signal.SIGKILL)


def service(name: str, **spec: Any) -> Content:
    """A Service of type LoadBalancer."""
    port = {"port": 80, "targetPort": 8080, "protocol": "TCP"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"type": "LoadBalancer", "ports": [port], "allocateLoadBalancerNodePorts": False, **spec},
    }


def pool(name: str, *addresses: str, **spec: Any) -> Content:
    """An IPAddressPool."""
    return {
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {"name": name},
        "spec": {"addresses": list(addresses), **spec},
    }


def advertisement(name: str) -> Content:
    """Announce everything on layer 2."""
    return {"apiVersion": "metallb.io/v1beta1", "kind": "L2Advertisement", "metadata": {"name": name}, "spec": {}}


def slice_of(name: str, *addresses: str) -> Content:
    """Endpoints of a Service as Kubernetes' own controller would write them."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [address], "nodeName": f"n{index}", "conditions": {"ready": True}}
            for index, address in enumerate(addresses)
        ],
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
    }


def addresses_of(content: Content) -> list[str]:
    """What a Service's status says."""
    return [entry["ip"] for entry in content.get("status", {}).get("loadBalancer", {}).get("ingress", [])]


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something holds, for so long at most; a server that does not answer says no."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                if await holds():
                    return
            except (ApiError, OSError):
                pass  # asked again below
            await asyncio.sleep(0.02)


async def namespace(api: Api, name: str) -> str:
    """Make a namespace, where it is not there; the path of its Services."""
    try:
        await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    except ApiError as error:
        if error.code != 409:
            raise
    return f"/api/v1/namespaces/{name}/services"
