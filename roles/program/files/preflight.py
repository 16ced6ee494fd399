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


def running() -> "dict[str, str]":
    """The units that run now, or are about to, each with the version its program runs of; empty where that is unknown.

    A switch changes none of them: those of another version have to be restarted.
    """
    if shutil.which("systemctl") is None:
        return {}
    told = subprocess.run(
        ["systemctl", "show", "--property=Id,ActiveState,MainPID", *UNITS], capture_output=True, text=True, check=False
    )
    found = {}
    for unit in told.stdout.split("\n\n"):
        fields = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
        if fields.get("ActiveState", "inactive") in ("inactive", "failed"):
            continue
        try:
            # Of the interpreter that the program's first line names, in the folder of its version.
            started = Path(f"/proc/{int(fields.get('MainPID', 0))}/cmdline").read_text()
        except (OSError, ValueError):
            started = ""
        version = re.match(rf"{ROOT}/versions/([^/\0]+)/", started)
        found[fields["Id"]] = version[1] if version else ""
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
    "upgrade": upgrade(),
    "folders": sorted(path.name for path in ROOT.glob("versions/*")),
}
json.dump(found, sys.stdout)
