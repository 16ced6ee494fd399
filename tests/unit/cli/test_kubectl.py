"""The plugin of kubectl, as kubectl starts it."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from appliance.cli.kubectl import Invocation, read_arguments

BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    ("written", "read", "store"),
    [
        ("vips --json", Invocation(("vips", "--json")), "kubernetes:"),
        ("--context prod hosts", Invocation(("hosts",), context="prod"), "kubernetes:?context=prod"),
        (
            "explain service web -n shop --context=a/b --kubeconfig /k",
            Invocation(("explain", "service", "web"), context="a/b", kubeconfig="/k", namespace="shop"),
            "kubernetes:/k?context=a%2Fb",
        ),
        ("x -- --context y", Invocation(("x", "--", "--context", "y")), "kubernetes:"),
    ],
)
def test_kubectls_flags_are_taken(written: str, read: Invocation, store: str) -> None:
    """Wherever they stand; the rest is Pierhead's."""
    found = read_arguments(written.split())
    assert (found, found.store) == (read, store)


def test_a_flag_without_its_value_is_wrong_usage() -> None:
    """As kubectl itself has it."""
    with pytest.raises(click.UsageError, match="requires an argument"):
        read_arguments(["vips", "--context"])


def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A program of this installation, without settings of its own."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PIERHEAD_")}
    return subprocess.run(
        [BIN / program, *words], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_cluster_of_the_flags_is_asked(tmp_path: Path) -> None:
    """A kubeconfig that is not there is named, not this host's settings."""
    done = run("kubectl-pierhead", "vips", "--kubeconfig", str(tmp_path / "none"))
    assert (done.returncode, str(tmp_path / "none") in done.stderr) == (2, True)


def test_kubectl_completes_by_the_plugin() -> None:
    """A line a candidate, and a last one that keeps file names away."""
    done = run("kubectl_complete-pierhead", "undr")
    assert done.stdout == "undrain\tLet a host take VIPs and announce routes again.\n:4\n"
