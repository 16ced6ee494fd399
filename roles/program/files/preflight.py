"""Prints as JSON what this host's Python is, and which versions of Pierhead are installed."""

import json
import platform
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path("/opt/pierhead")


def target(link: str) -> str:
    """The version that a link names; empty where there is none."""
    path = ROOT / link
    return path.readlink().name if path.is_symlink() else ""


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
    "folders": sorted(path.name for path in ROOT.glob("versions/*")),
}
json.dump(found, sys.stdout)
