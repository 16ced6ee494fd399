"""The tests' own control plane: it starts, ends with its starter, and comes back where it was."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.control_plane import START_SECONDS, ControlPlane, ControlPlaneError, MakeControlPlane

_STARTER = """
import sys
from pathlib import Path
from tests.cluster.control_plane import ControlPlane
control_plane = ControlPlane(Path(sys.argv[1]))
control_plane.start()
print(control_plane.pid("etcd"), control_plane.pid(), flush=True)
sys.stdin.read()
"""


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_user_has_the_rights_of_its_own(control_plane: ControlPlane) -> None:
    """A kubeconfig's user and groups are the ones the server sees, and it may do nothing that was not given to it."""
    someone = control_plane.kubeconfig_of("system:serviceaccount:pierhead-hosts:node-a", ("system:authenticated",))
    told = json.loads(control_plane.kubectl("auth", "whoami", "-o", "json", kubeconfig=someone))
    assert told["status"]["userInfo"]["username"] == "system:serviceaccount:pierhead-hosts:node-a"
    with pytest.raises(ControlPlaneError, match="Forbidden"):
        control_plane.kubectl("get", "secrets", kubeconfig=someone)


def test_endpoint_slices_are_kubernetes_own(controllers: ControlPlane) -> None:
    """A Service without a selector and its Endpoints get a mirrored slice."""
    port = {"name": "http", "port": 80}
    metadata = {"name": "mirrored", "namespace": "default"}
    controllers.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [port]}},
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": metadata,
            "subsets": [{"addresses": [{"ip": "10.1.0.1"}], "ports": [port]}],
        },
    )
    deadline = time.monotonic() + START_SECONDS
    query = ("get", "endpointslices", "-l", "kubernetes.io/service-name=mirrored", "-o", "name")
    while not controllers.kubectl(*query):
        assert time.monotonic() < deadline
    controllers.kubectl("delete", "service/mirrored", "endpoints/mirrored", "--ignore-not-found")


def test_objects_outlive_the_server(make_control_plane: MakeControlPlane) -> None:
    """A server that was killed comes back under the same address, with what it had."""
    control_plane = make_control_plane()
    control_plane.kubectl("create", "namespace", "kept")
    control_plane.kill()
    assert not control_plane.is_running("kube-apiserver")
    control_plane.start()
    control_plane.compact()
    assert control_plane.kubectl("get", "namespace", "kept", "-o", "name") == "namespace/kept\n"
    control_plane.stop()


def test_no_allocator_outlives_the_starter(control_plane: ControlPlane, tmp_path: Path) -> None:
    """It would ask a server that is gone for ever."""
    text = (
        "import sys; from pathlib import Path; from tests.cluster.allocators import AllocatorProgram;"
        "print(AllocatorProgram(Path(sys.argv[1]), Path(sys.argv[2])).process.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", text, str(control_plane.kubeconfig), str(tmp_path / "log")]
    starter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    os.kill(starter.pid, signal.SIGKILL)
    starter.communicate()
    deadline = time.monotonic() + START_SECONDS
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nothing_outlives_the_starter(control_plane: ControlPlane, tmp_path: Path) -> None:
    """A test session that is killed leaves no server behind."""
    command = [sys.executable, "-c", _STARTER, str(tmp_path)]
    starter = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    assert starter.stdin is not None
    pids = [int(pid) for pid in starter.stdout.readline().split()]
    assert all(is_alive(pid) for pid in pids)
    os.kill(starter.pid, signal.SIGKILL)
    starter.communicate()
    deadline = time.monotonic() + START_SECONDS
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.02)
