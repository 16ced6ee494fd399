"""The Containerfile, followed without a container engine: each stage is a folder, each RUN a shell that has it as root.

The base image is this machine's own /usr, read-only, with its Python called `python`: what a real base would hold
besides is not looked at. Only the instructions that the Containerfile has are known.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.chart import ROOT
from tests.cluster.control_plane import ENDING_WITH_US

CONTAINERFILE = ROOT / "Containerfile"
BASE_PATH = "/base/bin:/usr/bin:/bin"
STEP_SECONDS = 300.0
_BOUND = ("usr", "etc", "dev")
_LINKS = ("bin", "lib", "lib64", "sbin")
_PASSED = ("PIP_", "http", "HTTP", "no_proxy", "NO_PROXY", "SSL_")


@dataclass(slots=True)
class Stage:
    """One stage of the build: its files, and what its instructions have set so far."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": BASE_PATH, "HOME": "/root"})
    arguments: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    entrypoint: str = ""

    def run(
        self, command: str, environment: Mapping[str, str] | None = None, *, read_only: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """A shell's answer to one command in this stage, as its user; `read_only`: its root cannot be written."""
        return subprocess.run(
            self._shell(read_only),
            env={**self.environment, **(environment or {}), "COMMAND": command, "FOLDER": self.folder},
            capture_output=True,
            text=True,
            timeout=STEP_SECONDS,
            check=False,
        )

    def start(self, command: str, environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """A command on a root that cannot be written, under way; see `signalled`."""
        with log.open("wb") as file:
            return subprocess.Popen(
                self._shell(read_only=True),
                env={**self.environment, **environment, "COMMAND": f"exec {command}", "FOLDER": self.folder},
                stdout=file,
                stderr=file,
            )

    def _shell(self, read_only: bool) -> list[str]:
        namespaces = [*ENDING_WITH_US, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private"]
        return [*namespaces, "sh", "-euc", self._entering(read_only)]

    def _entering(self, read_only: bool) -> str:
        user, _, group = self.user.partition(":")
        identity = f"--reuid={user} --regid={group} --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
        binds = [f"mount --rbind -o ro /{name} {self.root}/{name}" for name in _BOUND]
        remount = [f"mount --bind -o ro {self.root} {self.root}"] if read_only else []
        # A bind that is to be below a read-only one has to come after it.
        return "; ".join(
            (
                *remount,
                *binds,
                f"mount -t proc proc {self.root}/proc",
                f"exec /usr/sbin/chroot {self.root} /usr/bin/setpriv {identity if user != '0' else '--no-new-privs'}"
                ' sh -euc "cd $FOLDER; $COMMAND"',
            )
        )


def signalled(process: subprocess.Popen[bytes], what: signal.Signals) -> None:
    """Send a signal to a command that a stage started; unshare, which waits for it, takes none."""
    if process.poll() is None:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), what)


def follow(folder: Path, containerfile: Path = CONTAINERFILE) -> Stage:
    """The last stage, after every instruction; raises CalledProcessError with what a RUN said."""
    passed = {name: text for name, text in os.environ.items() if name.startswith(_PASSED)}
    stages: dict[str, Stage] = {}
    stage = Stage(folder)
    for number, (word, rest) in enumerate(instructions(containerfile.read_text())):
        match word:
            case "FROM":
                _, _, name = rest.partition(" AS ")
                stage = stages[name or "last"] = _base(folder / f"{number}")
            case "COPY" if rest.startswith("--from="):
                source, *paths = rest.removeprefix("--from=").split()
                _copy([_inside(stages[source], path) for path in paths[:-1]], _inside(stage, paths[-1]))
            case "COPY":
                *sources, target = rest.split()
                _copy([ROOT / source for source in sources], _inside(stage, target))
            case "RUN":
                stage.run(rest, passed).check_returncode()
            case _:
                _set(stage, word, rest)
    return stage


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Containerfile, in order, each on one line."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [(word, rest) for line in joined.splitlines() if line for word, _, rest in (line.partition(" "),)]


def _set(stage: Stage, word: str, rest: str) -> None:
    """Note what an instruction says of those that follow, or of the image."""
    match word:
        case "ARG":
            name, _, default = rest.partition("=")
            stage.arguments[name] = default
        case "ENV":
            stage.environment |= _pairs(rest)
        case "LABEL":
            stage.labels |= {name: _filled(text, stage.arguments) for name, text in _pairs(rest).items()}
        case "WORKDIR":
            stage.folder = rest
            _inside(stage, rest).mkdir(parents=True)
        case "USER":
            stage.user = rest
        case "ENTRYPOINT":
            stage.entrypoint = rest
        case "CMD":
            return
        case _:
            raise ValueError(f"{word} is an instruction that is not known here")


def _base(root: Path) -> Stage:
    for name in (*_BOUND, "proc", "tmp", "root", "base/bin"):
        (root / name).mkdir(parents=True)
    for name in _LINKS:
        (root / name).symlink_to(f"usr/{name}")
    (root / "base/bin/python").symlink_to("/usr/bin/python3")
    return Stage(root)


def _inside(stage: Stage, path: str) -> Path:
    return stage.root / (path if path.startswith("/") else f"{stage.folder}/{path}").lstrip("/")


def _copy(sources: Sequence[Path], target: Path) -> None:
    """As COPY does: one folder's content, or files into a folder."""
    for source in sources:
        if source.is_dir():
            shutil.copytree(
                source, target, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy2(source, target)


def _pairs(rest: str) -> dict[str, str]:
    return {name: text.strip('"') for name, text in re.findall(r'([\w.]+)=("[^"]*"|\S+)', rest)}


def _filled(text: str, arguments: Mapping[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], text)
