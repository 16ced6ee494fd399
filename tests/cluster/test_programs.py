"""Where the control plane's programs come from."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.programs import MODULES, Module, ProgramsMissingError, build, program

SERVER = "#!/bin/sh\necho Kubernetes v{}\n"


def test_a_machine_with_nothing_says_how_to_get_them(tmp_path: Path) -> None:
    """Without programs and without Go, building ahead ends with one line that names each way."""
    environment = {"PATH": "", "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "tests.cluster.programs"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert all(way in done.stderr for way in ("install Go", "make cluster-programs", "KUBEBUILDER_ASSETS"))


@pytest.mark.parametrize(("release", "is_taken"), [("1.36.0", True), ("1.34.9", True), ("1.33.2", False)])
def test_only_a_supported_release_of_the_path_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, is_taken: bool
) -> None:
    """An older server on the PATH is passed over."""
    server = tmp_path / "kube-apiserver"
    server.write_text(SERVER.format(release))
    server.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    if is_taken:
        assert program("kube-apiserver") == server
        return
    with pytest.raises(ProgramsMissingError):
        program("kube-apiserver")


def test_assets_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `$KUBEBUILDER_ASSETS` holds is taken as it is."""
    (tmp_path / "etcd").touch(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    assert program("etcd") == tmp_path / "etcd"


def test_half_a_build_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that fails keeps nothing."""
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    module: Module = MODULES[0]
    with pytest.raises(ProgramsMissingError, match="could not be built"):
        build(module)
    assert not module.kept.exists()
