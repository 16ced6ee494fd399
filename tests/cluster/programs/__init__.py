"""The programs of a real control plane: found on this machine, or built from Go modules once and kept by version."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent
_VERSION = re.compile(r"[Vv](?:ersion: v?)?(\d+)\.(\d+)\.\d+")
_VERSION_SECONDS = 10.0


class ProgramsMissingError(Exception):
    """There are no such programs here, and none can be built."""


@dataclass(frozen=True, slots=True)
class Module:
    """A Go module in the folder of its name: the version of `requirement` is the programs' own.

    `packages` are each program's main package, `oldest` is the first release of a program of the PATH that will do,
    `version_command` is how a program of the PATH tells its own, and `version_packages` are compiled to know it.
    """

    name: str
    requirement: str
    packages: dict[str, str]
    oldest: tuple[int, int]
    version_commands: dict[str, tuple[str, ...]]
    version_packages: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """The version the module asks for, such as 1.36.4."""
        text = (_HERE / self.name / "go.mod").read_text()
        found = re.search(rf"^(?:require )?\s*{re.escape(self.requirement)} v(\S+)", text, re.MULTILINE)
        if found is None:
            raise ProgramsMissingError(f"{self.name}/go.mod requires no {self.requirement}")
        return found[1]

    @property
    def kept(self) -> Path:
        """Where the programs of this version are kept once they are built."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "pierhead" / f"{self.name}-{self.version}"

    @property
    def link_flags(self) -> str:
        """What the linker is told: no symbols, and the version where the programs show it."""
        major, minor, _ = self.version.split(".", 2)
        facts = {
            "gitVersion": f"v{self.version}",
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
            "gitCommit": "module-proxy",
            "buildDate": "1970-01-01T00:00:00Z",
        }
        sets = (f"-X {package}.{name}={text}" for package in self.version_packages for name, text in facts.items())
        return " ".join(("-s", "-w", *sets))


KUBERNETES = Module(
    name="kubernetes",
    requirement="k8s.io/kubernetes",
    packages={
        name: f"k8s.io/kubernetes/cmd/{name}" for name in ("kube-apiserver", "kube-controller-manager", "kubectl")
    },
    oldest=(1, 34),
    version_commands={"kubectl": ("version", "--client")},
    version_packages=("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"),
)
ETCD = Module(
    name="etcd",
    requirement="go.etcd.io/etcd/server/v3",
    packages={"etcd": "go.etcd.io/etcd/server/v3", "etcdctl": "go.etcd.io/etcd/etcdctl/v3"},
    oldest=(3, 6),
    version_commands={"etcdctl": ("version",)},
)
HELM = Module(
    name="helm",
    requirement="helm.sh/helm/v4",
    packages={"helm": "helm.sh/helm/v4/cmd/helm"},
    oldest=(4, 0),
    version_commands={"helm": ("version", "--short")},
)
MODULES = (ETCD, KUBERNETES, HELM)


def program(name: str) -> Path:
    """A program, from `$KUBEBUILDER_ASSETS`, the PATH or the cache, else built; raises ProgramsMissingError."""
    module = next(module for module in MODULES if name in module.packages)
    if found := _found(module, name):
        return found
    build(module)
    return module.kept / name


def prepare(*modules: Module) -> None:
    """Build what is not there of some modules' programs; raises ProgramsMissingError."""
    for module in modules:
        if missing(module):
            build(module)


def missing(*modules: Module) -> list[str]:
    """The programs of some modules that are not there and would have to be built."""
    return [name for module in modules for name in module.packages if not _found(module, name)]


def build(module: Module) -> None:
    """Build the programs of a module where they are not kept yet; one builder at a time, and all of them or none."""
    module.kept.parent.mkdir(parents=True, exist_ok=True)
    with _only_builder(module.kept.parent / "building"):
        if module.kept.exists():
            return
        if (go := shutil.which("go")) is None:
            raise ProgramsMissingError(
                f"no {' '.join(module.packages)} of release {'.'.join(map(str, module.oldest))} or newer and no Go to "
                "build them with: install Go (https://go.dev/dl) and run `make cluster-programs`, or let "
                "KUBEBUILDER_ASSETS name a folder that holds them (setup-envtest makes one)"
            )
        print(f"==> building {module.name} {module.version}, once (minutes)", file=sys.stderr, flush=True)
        unfinished = module.kept.with_name(f".{module.kept.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        for name, package in module.packages.items():
            print(f"==> {name}", file=sys.stderr, flush=True)
            command = [go, "build", "-trimpath", "-ldflags", module.link_flags, "-o", str(unfinished / name), package]
            environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}
            if subprocess.run(command, cwd=_HERE / module.name, env=environment, check=False).returncode:
                raise ProgramsMissingError(
                    f"{name} {module.version} could not be built; `make cluster-programs` says why"
                )
        unfinished.rename(module.kept)


def _found(module: Module, name: str) -> Path | None:
    if (assets := os.environ.get("KUBEBUILDER_ASSETS")) and os.access(Path(assets) / name, os.X_OK):
        return Path(assets) / name
    if (on_path := shutil.which(name)) and _release(on_path, module.version_commands.get(name)) >= module.oldest:
        return Path(on_path)
    kept = module.kept / name
    return kept if kept.exists() else None


@cache
def _release(path: str, command: tuple[str, ...] | None) -> tuple[int, int]:
    """Major and minor number that a program tells; 0.0 where it tells none."""
    try:
        done = subprocess.run(
            [path, *(command or ("--version",))], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    found = _VERSION.search(done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@contextmanager
def _only_builder(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
