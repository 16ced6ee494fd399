"""Prints as JSON what a forwarder would meet in this host's kernel; the arguments are names of kernel settings."""

import ctypes
import json
import socket
import sys
from pathlib import Path

NETLINK_NETFILTER = 12


def netfilter() -> str:
    """Why this kernel gives no netfilter socket; empty where it does."""
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def has_library() -> bool:
    """Whether libnftables is installed."""
    try:
        ctypes.CDLL("libnftables.so.1")
    except OSError:
        return False
    return True


settings = {}
for name in sys.argv[1:]:
    path = Path("/proc/sys", name.replace(".", "/"))
    settings[name] = " ".join(path.read_text().split()) if path.exists() else ""
found = {
    "netfilter": netfilter(),
    "has_library": has_library(),
    "settings": settings,
}
json.dump(found, sys.stdout)
