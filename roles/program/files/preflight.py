"""Prints as JSON what this host's Python is, and which versions of Pierhead are installed."""

import json
import platform
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path("/opt/pierhead")
UNITS = ("pierhead-agent.service", "pierhead-forwarder.service", "pierhead-allocator.service")


def target(link: str) -> str:
    """The version that a link names; empty where there is none."""
    path = ROOT / link
    return path.readlink().name if path.is_symlink() else ""


def running() -> list[str]:
    """The units that run now, or are about to: those that a change has to restart."""
    if shutil.which("systemctl") is None:
        return []
    told = subprocess.run(["systemctl", "is-active", *UNITS], capture_output=True, text=True, check=False)
    states = zip(UNITS, told.stdout.split())  # noqa: B905  # Python 3.9, which is to be refused, has no strict=
    return [unit for unit, state in states if state not in ("inactive", "failed")]


def running_versions() -> "dict[str, str]":
    """The version that each unit's program runs of, which a switch alone does not change."""
    if shutil.which("systemctl") is None:
        return {}
    told = subprocess.run(
        ["systemctl", "show", "--property=Id,MainPID", *UNITS], capture_output=True, text=True, check=False
    )
    found = {}
    for unit in told.stdout.split("\n\n"):
        fields = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
        try:
            # Of the interpreter that the program's first line names, in the folder of its version.
            started = Path(f"/proc/{int(fields.get('MainPID', 0))}/cmdline").read_text()
        except (OSError, ValueError):
            continue
        if version := re.match(rf"{ROOT}/versions/([^/\0]+)/", started):
            found[fields["Id"]] = version[1]
    return found


def upgrade() -> "dict[str, object]":
    """What playbooks/upgrade.yml has begun and not ended; nothing where the version it came from is there no more."""
    try:
        begun = json.loads((ROOT / ".upgrade").read_text())
    except (OSError, ValueError):
        return {}
    return begun if isinstance(begun, dict) and begun.get("from") in list(installed) else {}


installed = {path.parent.name: path.read_text().strip() for path in ROOT.glob("versions/*/.installed")}
found = {
    "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
    "is_recent": sys.version_info >= (3, 11),
    "machine": platform.machine(),
    "has_venv": find_spec("venv") is not None,
    "has_ensurepip": find_spec("ensurepip") is not None,
    "current": target("current"),
    "previous": target("previous"),
    "installed": installed,
    "running": running(),
    "running_versions": running_versions(),
    "upgrade": upgrade(),
    "folders": sorted(path.name for path in ROOT.glob("versions/*")),
}
json.dump(found, sys.stdout)
