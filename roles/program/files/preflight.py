"""Prints as JSON what this host's Python is, and which versions of Pierhead are installed."""

import json
import platform
import pwd
import re
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path("/opt/pierhead")
# What each unit's program reads when it is started and when it is reloaded.
SETTINGS = {
    "pierhead-agent.service": Path("/etc/pierhead/agent.yaml"),
    "pierhead-forwarder.service": Path("/etc/pierhead/agent.yaml"),
    "pierhead-allocator.service": Path("/etc/pierhead/allocator.env"),
}
PROPERTIES = (
    "Id",
    "ActiveState",
    "MainPID",
    "ExecMainStartTimestampMonotonic",
    "ActiveEnterTimestampMonotonic",
    "StateChangeTimestampMonotonic",
)
# A leap second, or a file server's clock, puts a file after the start that read it.
TOLERATED_SECONDS = 2


def target(link: str) -> str:
    """The version that a link names; empty where there is none."""
    path = ROOT / link
    return path.readlink().name if path.is_symlink() else ""


def active_units() -> "dict[str, dict[str, str]]":
    """The units that run now, or are about to, each with what systemd says of it."""
    if shutil.which("systemctl") is None:
        return {}
    command = ["systemctl", "show", f"--property={','.join(PROPERTIES)}", *SETTINGS]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    units = [
        dict(line.split("=", 1) for line in unit.splitlines() if "=" in line) for unit in told.stdout.split("\n\n")
    ]
    return {unit["Id"]: unit for unit in units if unit.get("ActiveState", "inactive") not in ("inactive", "failed")}


def version_of(unit: "dict[str, str]") -> str:
    """The version that a unit's program runs of, whatever was switched since; empty where that is unknown."""
    try:
        # Of the interpreter that the program's first line names, in the folder of its version.
        started = Path(f"/proc/{int(unit['MainPID'])}/cmdline").read_text()
    except (OSError, ValueError):
        return ""
    version = re.match(rf"{ROOT}/versions/([^/\0]+)/", started)
    return version[1] if version else ""


def is_stale(name: str, unit: "dict[str, str]") -> bool:
    """Whether what a unit reads was written after it had read it, as by a run that ended before its handlers."""
    started, entered, changed = (int(unit.get(each, 0)) / 1e6 for each in PROPERTIES[3:])
    # An active unit changes its state only by a reload, which keeps when it became active (systemd, unit_notify()).
    reloaded = changed if changed > entered else started
    own = (Path("/etc/systemd/system", name), Path("/etc/systemd/system", f"{name}.d", "site.conf"))
    return any(is_newer(path, started) for path in own) or is_newer(SETTINGS[name], reloaded)


def is_newer(path: Path, moment: float) -> bool:
    """Whether a file was written after a moment of the monotonic clock, which no step of the other one moves."""
    if not path.exists():
        return False
    now = time.monotonic()
    # Not when its mode was last changed. One that is of the future was written before the clock was set back.
    written = path.stat().st_mtime - time.time() + now
    return moment + TOLERATED_SECONDS < written <= now


def user() -> "list[int]":
    """The numbers of the user pierhead and of its group; empty where there is none."""
    try:
        entry = pwd.getpwnam("pierhead")
    except KeyError:
        return []
    return [entry.pw_uid, entry.pw_gid]


def upgrade() -> "dict[str, object]":
    """What playbooks/upgrade.yml has begun and not ended; nothing where the version it came from is there no more."""
    try:
        begun = json.loads((ROOT / ".upgrade").read_text())
    except (OSError, ValueError):
        return {}
    return begun if isinstance(begun, dict) and begun.get("from") in list(installed) else {}


active = active_units()
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
    # A switch changes none of them: those of another version have to be restarted.
    "running": {name: version_of(unit) for name, unit in active.items()},
    "stale": [name for name, unit in active.items() if is_stale(name, unit)],
    "user": user(),
    "upgrade": upgrade(),
    "folders": sorted(path.name for path in ROOT.glob("versions/*")),
}
json.dump(found, sys.stdout)
