"""The import contracts: they hold, and a breach fails the check that CI runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")

BREACHES = {
    "an idea that reads the clock": ("ipam/breach.py", "import time"),
    "an idea that logs": ("l2/breach.py", "import structlog"),
    "a thing that knows a program": ("store/breach.py", "import appliance.agent.command"),
    "things that know each other": ("control/breach.py", "import appliance.store.protocol"),
    "a thing that knows what programs share": ("host/breach.py", "import appliance.daemon.follow"),
    "programs that know each other": ("agent/breach.py", "import appliance.forwarder.command"),
    "the host side that knows the cluster side": ("desired/breach.py", "import appliance.config.model"),
    "a program that speaks netlink": ("agent/breach.py", "import pyroute2"),
}


def lint(tree: Path) -> int:
    """The exit status of lint-imports for a tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [str(LINT), "--no-cache"]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, check=False).returncode


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package and its contracts."""
    shutil.copytree(ROOT / "appliance", tmp_path / "appliance", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_contracts_hold(tree: Path) -> None:
    """The copy is judged as the original is."""
    assert lint(tree) == 0


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_found(tree: Path, breach: str) -> None:
    """Each kind of breach fails the check."""
    file, text = BREACHES[breach]
    (tree / "appliance" / file).write_text(f'"""A breach."""\n\n{text}\n')
    assert lint(tree) != 0
