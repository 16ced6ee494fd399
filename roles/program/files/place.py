"""Prints as JSON whether the site's folder and the ports are free for Pierhead on this host.

usage: place.py FOLDER UID GID ADDRESS:PORT...     FOLDER, UID, GID and ports may be empty
"""

import json
import os
import pwd
import sys
from contextlib import suppress
from pathlib import Path

LISTENING = "0A"


def numbers(uid: str, gid: str) -> tuple[int, int] | None:
    """The numbers that the user pierhead has or will have; None where they are not known yet."""
    with suppress(KeyError):
        there = pwd.getpwnam("pierhead")
        return int(uid or there.pw_uid), int(gid or there.pw_gid)
    return (int(uid), int(gid or -1)) if uid else None


def may_write(folder: str, uid: int, gid: int) -> bool:
    """Whether a user may make files in a folder, as the kernel or a network file system judges it."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        os.setgroups([])
        os.setgid(gid if gid >= 0 else 65534)
        os.setuid(uid)
        os._exit(not os.access(folder, os.W_OK | os.X_OK))
    except OSError:
        # Only root can ask for another; what is not known is not refused.
        os._exit(0)


def look(folder: str, uid: str, gid: str) -> dict[str, object]:
    """What is to be known of the folder."""
    path, user = Path(folder), numbers(uid, gid)
    there = path.stat() if folder and path.is_dir() else None
    return {
        "exists": not folder or there is not None,
        "is_writable": not folder or (there is not None and user is not None and may_write(folder, *user)),
        "user": str(user[0]) if user else "",
        "owner": f"{there.st_uid}:{there.st_gid}" if there else "",
        "mode": f"{there.st_mode & 0o7777:04o}" if there else "",
    }


def listening(port: int) -> set[str]:
    """The inodes of the sockets that listen on a TCP port."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                    found.add(words[9])
    return found


def holders(inodes: set[str]) -> list[str]:
    """The programs that have one of some sockets open, but for Pierhead's own units and BIRD's."""
    names = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(str(file.readlink())[8:-1] in inodes for file in (process / "fd").iterdir()):
                unit = (process / "cgroup").read_text().strip().rpartition("/")[2]
                if not unit.startswith(("pierhead-", "bird.")):
                    names.add((process / "comm").read_text().strip())
    return sorted(names)


folder, uid, gid, *addresses = sys.argv[1:]
ports = {address: listening(int(address.rpartition(":")[2])) for address in addresses if address}
found = {
    "folder": look(folder, uid, gid),
    "holders": {address: holders(inodes) if inodes else [] for address, inodes in ports.items()},
}
json.dump(found, sys.stdout)
