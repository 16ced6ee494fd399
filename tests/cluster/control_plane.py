"""A control plane of its own for tests: etcd, kube-apiserver and, where asked for, Kubernetes' controllers.

Nothing of it outlives the process that started it, however that ends. Its port stays its own over restarts: the starter
holds it by a bound socket that never listens, and the server shares it (SO_REUSEPORT).
"""

import http.client
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.cluster.certificate import Authority, Pair, write_signing_key
from tests.cluster.programs import program

START_SECONDS = 180.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.02
# What goes before a command that is not to outlive the main thread, however that ends.
ENDING_WITH_US = ("setpriv", "--pdeathsig=KILL", "--")
_CONTROLLERS = (
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "namespace-controller",
    "garbage-collector-controller",
    "serviceaccount-controller",
)
# A process of its own, because a parent-death signal comes when the thread ends that started the program.
_REAPER = """
import os, signal, sys
pids = set()
for line in sys.stdin:
    (pids.add if line[0] == "+" else pids.discard)(int(line[1:]))
for pid in pids:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        continue
"""


class ControlPlaneError(Exception):
    """A program of the control plane did not do what it was started for; its log has the reason."""


class ControlPlane:
    """One control plane in an absolute folder; `address` is where the API server listens, besides etcd on loopback.

    `flags` are further ones of kube-apiserver. Methods block; those that start programs may be called in any thread.
    """

    def __init__(self, folder: Path, *, address: str = "127.0.0.1", flags: Sequence[str] = ()) -> None:
        self.folder = folder
        self.address = address
        self.flags = tuple(flags)
        folder.mkdir(parents=True, exist_ok=True)
        self._authority = Authority(folder)
        names = ("localhost", "kubernetes.default.svc")
        addresses = tuple(dict.fromkeys(("127.0.0.1", "10.96.0.1", address)))
        self._server = self._authority.server("apiserver", names, addresses)
        self._signing = write_signing_key(folder)
        self._sockets = [_held(address), _held("127.0.0.1"), _held("127.0.0.1")]
        self.port, etcd_port, peer_port = (held.getsockname()[1] for held in self._sockets)
        self._etcd_url, self._peer_url = f"http://127.0.0.1:{etcd_port}", f"http://127.0.0.1:{peer_port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._reaper: subprocess.Popen[bytes] | None = None
        self._admin = self._authority.client("admin", "admin", ("system:masters",))
        self.kubeconfig = self._write_kubeconfig("kubeconfig", self._admin)

    @property
    def url(self) -> str:
        """Where the API server listens."""
        return f"https://{self.address}:{self.port}"

    @property
    def certificate_authority(self) -> Path:
        """The file of the certificate that the server's is signed with."""
        return self._authority.pair.certificate

    def start(self) -> None:
        """Start etcd and the API server, and wait until it is ready."""
        if self._reaper is None:
            command = [sys.executable, "-c", _REAPER]
            self._reaper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        if not self.is_running("etcd"):
            self._start_etcd()
        self.start_server()
        self.wait_until_ready()

    def start_server(self) -> None:
        """Start kube-apiserver and do not wait for it."""
        command = [
            f"--etcd-servers={self._etcd_url}",
            f"--cert-dir={self.folder}",
            f"--bind-address={self.address}",
            f"--advertise-address={self.address}",
            f"--secure-port={self.port}",
            "--permit-port-sharing=true",
            f"--tls-cert-file={self._server.certificate}",
            f"--tls-private-key-file={self._server.key}",
            f"--client-ca-file={self.certificate_authority}",
            "--service-cluster-ip-range=10.96.0.0/12",
            "--allow-privileged=true",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._signing.certificate}",
            f"--service-account-signing-key-file={self._signing.key}",
            *self.flags,
        ]
        self._spawn("kube-apiserver", command)

    def wait_until_ready(self) -> None:
        """Wait until the API server says that it is ready."""
        self._wait("kube-apiserver", lambda: self._get("/readyz") == b"ok")

    def start_controllers(self, *more: str) -> None:
        """Start those controllers that EndpointSlices, namespaces, garbage and ServiceAccounts need, and some more."""
        command = [
            f"--kubeconfig={self.kubeconfig}",
            f"--controllers={','.join((*_CONTROLLERS, *more))}",
            "--leader-elect=false",
            "--secure-port=0",
            f"--service-account-private-key-file={self._signing.key}",
            f"--root-ca-file={self.certificate_authority}",
        ]
        if not self.is_running("kube-controller-manager"):
            self._spawn("kube-controller-manager", command)

    def is_running(self, name: str) -> bool:
        """Whether a program of the control plane runs."""
        process = self._processes.get(name)
        return process is not None and process.poll() is None

    def pid(self, name: str = "kube-apiserver") -> int:
        """The process of a program."""
        return self._processes[name].pid

    def kill(self, name: str = "kube-apiserver") -> None:
        """End a program at once, as a crash does."""
        self._end(name, signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> None:
        """End the API server, in order or as a crash does, start it again and wait until it is ready."""
        self._end("kube-apiserver", signal.SIGKILL if kill else signal.SIGTERM)
        self.start_server()
        self.wait_until_ready()

    def pause(self, name: str = "kube-apiserver") -> None:
        """Stop a program where it stands; its connections stay open and silent."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str = "kube-apiserver") -> None:
        """Let a paused program go on."""
        self._processes[name].send_signal(signal.SIGCONT)

    def compact(self) -> None:
        """Make etcd forget all but the present; a running API server still knows what its watch cache holds."""
        status = json.loads(self._etcdctl("endpoint", "status", "--write-out=json"))
        self._etcdctl("compaction", str(status[0]["Status"]["header"]["revision"]), "--physical")

    def kubeconfig_of(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with a client certificate of a user in some groups; rights are the user's own."""
        file = "user-" + "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in user)
        return self._write_kubeconfig(f"{file}.kubeconfig", self._authority.client(file, user, tuple(groups)))

    def kubectl(self, *arguments: str, text: str | None = None, kubeconfig: Path | None = None) -> str:
        """What kubectl prints, given `text` on standard input; raises ControlPlaneError with its error."""
        command = [str(program("kubectl")), f"--kubeconfig={kubeconfig or self.kubeconfig}", *arguments]
        environment = {"HOME": str(self.folder), "PATH": ""}
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=START_SECONDS, env=environment, check=False
        )
        if done.returncode:
            raise ControlPlaneError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *manifests: Mapping[str, object]) -> None:
        """Let kubectl apply some manifests."""
        self.kubectl(
            "apply",
            "--server-side",
            "-f",
            "-",
            text=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}),
        )

    def log(self, name: str = "kube-apiserver") -> Path:
        """The file a program writes its log to."""
        return self.folder / f"{name}.log"

    def stop(self) -> None:
        """End everything at once, and remove etcd's data."""
        for name in reversed(tuple(self._processes)):
            self._end(name, signal.SIGKILL)
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.close()
            self._reaper.wait(_STOP_SECONDS)
            self._reaper = None
        for held in self._sockets:
            held.close()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def _start_etcd(self) -> None:
        command = [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls={self._peer_url}",
            f"--initial-advertise-peer-urls={self._peer_url}",
            f"--initial-cluster=default={self._peer_url}",
            "--socket-reuse-port",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]
        self._spawn("etcd", command)
        self._wait("etcd", lambda: bool(_read(f"{self._etcd_url}/health", None)))

    def _spawn(self, name: str, arguments: Sequence[str]) -> None:
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                [str(program(name)), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._tell_reaper(f"+{process.pid}")
        self._processes[name] = process

    def _end(self, name: str, how: signal.Signals) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._tell_reaper(f"-{process.pid}")

    def _tell_reaper(self, line: str) -> None:
        if self._reaper is not None and self._reaper.stdin is not None:
            self._reaper.stdin.write(f"{line}\n".encode())
            self._reaper.stdin.flush()

    def _wait(self, name: str, is_ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            if not self.is_running(name) or time.monotonic() > deadline:
                tail = self.log(name).read_text(errors="replace").splitlines()[-5:]
                raise ControlPlaneError(f"{name} is not ready, see {self.log(name)}: {' | '.join(tail)}")
            time.sleep(_POLL_SECONDS)

    def _get(self, path: str) -> bytes:
        context = ssl.create_default_context(cafile=str(self.certificate_authority))
        context.load_cert_chain(self._admin.certificate, self._admin.key)
        return _read(f"{self.url}{path}", context)

    def _etcdctl(self, *arguments: str) -> str:
        command = [str(program("etcdctl")), f"--endpoints={self._etcd_url}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=True).stdout

    def _write_kubeconfig(self, file: str, pair: Pair) -> Path:
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [
                {
                    "name": "tests",
                    "cluster": {"server": self.url, "certificate-authority": str(self.certificate_authority)},
                }
            ],
            "users": [
                {
                    "name": "tests",
                    "user": {"client-certificate": str(pair.certificate), "client-key": str(pair.key)},
                }
            ],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        }
        path = self.folder / file
        path.touch(0o600)
        path.write_text(json.dumps(content, indent=1))
        return path


MakeControlPlane = Callable[..., ControlPlane]


def _held(address: str) -> socket.socket:
    """A socket that keeps a free port for the program that will share it."""
    held = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((address, 0))
    return held


def _read(url: str, context: ssl.SSLContext | None) -> bytes:
    """What a server answers; nothing where it does not, or not with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:
            return bytes(answer.read())
    except (http.client.HTTPException, OSError):
        return b""
