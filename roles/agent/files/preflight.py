"""Prints as JSON what an agent would meet on this host."""

import contextlib
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

# The names by which the kernel knows programs that answer ARP for addresses of their own.
SPEAKERS = {"keepalived": "keepalived", "speaker": "MetalLB's speaker", "kube-vip": "kube-vip", "ucarp": "ucarp"}


def speakers() -> list[str]:
    """The foreign speakers that run here, containers included."""
    names = set()
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            names.add(path.read_text().strip())
    return sorted(SPEAKERS[name] for name in names & SPEAKERS.keys())


def packet_socket() -> str:
    """Why this kernel gives no packet socket; empty where it does."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


told = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False)
version = re.match(r"systemd (\d+)", told.stdout)
settings = Path("/etc/pierhead/agent.yaml")
found = {
    "systemd": int(version[1]) if version else 0,
    "interfaces": sorted(path.name for path in Path("/sys/class/net").iterdir()),
    "speakers": speakers(),
    "packet_socket": packet_socket(),
    "has_bird_group": any(line.startswith("bird:") for line in Path("/etc/group").read_text().splitlines()),
    "settings": settings.read_text() if settings.exists() else "",
}
json.dump(found, sys.stdout)
