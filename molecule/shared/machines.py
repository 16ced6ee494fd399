#!/usr/bin/env python3
"""Boots machines with systemd-nspawn on a network of their own, and takes everything away again.

A run is named by a folder; its network namespace `ph-<hash>`, its control groups and what its machines write follow
from that name, so runs of several scenarios and clones do not meet. Each machine is an overlay over the root that its
release shares (root.py), with one interface `host0` on the run's bridge `lan`. Needs root.

usage: machines.py start RUN    boot the machines that standard input describes; those that run already are left alone
       machines.py stop RUN     end them and remove all of it
       machines.py run RUN COMMAND...    start a program beside the machines, on their network; `stop` ends it too
       machines.py namespace RUN         print the name of their network namespace

Standard input is a JSON object:
  machines   name, addresses with prefix lengths, gateways, release, services to enable, of each
  key        the public SSH key of whoever may log in as `admin`
  files      a folder whose content every machine gets
  site       the path at which all machines have one folder of this run; none where empty
  gateway    the address with prefix length of this side of the network
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STATE = Path("/var/tmp/pierhead-machines")
PROGRAMS = "programs"
BRIDGE = "lan"
CAPABILITIES = "CAP_NET_ADMIN,CAP_NET_RAW,CAP_NET_BIND_SERVICE,CAP_SYS_NICE"
# Nobody is asked for a password; each of the two takes one of the few inotify instances that all machines share.
MASKED = ("systemd-ask-password-console.path", "systemd-ask-password-wall.path")
STOP_SECONDS = 20.0
POLL_SECONDS = 0.05


class MachineError(Exception):
    """Something could not be made or taken away; the text says what."""


def run(*words: str) -> str:
    """Run a command and return what it prints; raises MachineError with what it complains of."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MachineError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def name_of(run_folder: str) -> str:
    """The short name of a run."""
    return "ph-" + hashlib.sha256(os.path.abspath(run_folder).encode()).hexdigest()[:8]  # noqa: PTH100  # need not exist


def control_group(run_name: str, machine: str) -> Path:
    """The cgroup of a machine; raises MachineError where there is no cgroup2."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where) / f"{run_name}-{machine}"
    raise MachineError("no cgroup2 file system is mounted; systemd needs one")


def is_mounted(path: Path) -> bool:
    """Whether something is mounted at a path."""
    return any(line.split()[1] == str(path) for line in Path("/proc/mounts").read_text().splitlines())


def started_pid(folder: Path) -> int | None:
    """The systemd-nspawn of a machine's folder; None where it is gone and its number is perhaps somebody else's."""
    try:
        pid = int((folder / "pid").read_text())
    except (OSError, ValueError):
        return None
    return pid if f"--directory={folder / 'root'}" in words_of(pid) else None


def words_of(pid: int) -> list[str]:
    """The command line of a process; nothing where there is none."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except OSError:
        return []


def make_network(run_name: str, gateway: str) -> None:
    """Make the namespace and its switch, where they are not there."""
    if Path("/run/netns", run_name).exists():
        return
    run("ip", "netns", "add", run_name)
    inside = ("ip", "-n", run_name)
    run(*inside, "link", "set", "lo", "up")
    # Nobody queries group membership here, so the switch must not prune the multicast of neighbour discovery.
    run(*inside, "link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
    run(*inside, "address", "add", gateway, "dev", BRIDGE)
    run(*inside, "link", "set", BRIDGE, "up")


def make_root(folder: Path, machine: dict[str, Any], given: dict[str, Any]) -> Path:
    """Mount a machine's root and write into it what only this machine has."""
    root = folder / "root"
    if is_mounted(root):
        return root
    base = run(str(HERE / "root.py"), machine["release"]).strip()
    for part in ("root", "upper", "work"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    layers = f"lowerdir={base},upperdir={folder / 'upper'},workdir={folder / 'work'}"
    run("mount", "-t", "overlay", f"pierhead-{machine['name']}", "-o", layers, str(root))
    shutil.copytree(given["files"], root, dirs_exist_ok=True)
    (root / "etc/hostname").write_text(f"{machine['name']}\n")
    names = [
        f"{ip_interface(address).ip} {other['name']}" for other in given["machines"] for address in other["addresses"]
    ]
    (root / "etc/hosts").write_text("\n".join(["127.0.0.1 localhost", "::1 localhost", *names, ""]))
    lines = ["[Match]", "Name=host0", "[Network]", "IPv6AcceptRA=no"]
    lines += [f"Address={address}" for address in machine["addresses"]]
    lines += [f"Gateway={gateway}" for gateway in machine.get("gateways", ())]
    (root / "etc/systemd/network/10-host0.network").write_text("\n".join([*lines, ""]))
    keys = root / "home/admin/.ssh/authorized_keys"
    keys.parent.mkdir(mode=0o700, exist_ok=True)
    keys.write_text(given["key"])
    home = (root / "home/admin").stat()
    for path in (keys.parent, keys):
        os.chown(path, home.st_uid, home.st_gid)
    run("systemctl", "--quiet", f"--root={root}", "mask", *MASKED)
    for service in machine.get("services", ()):
        run("systemctl", "--quiet", f"--root={root}", "enable", service)
    return root


def boot(run_name: str, folder: Path, machine: dict[str, Any], given: dict[str, Any]) -> None:
    """Start a machine, unless it runs."""
    if started_pid(folder) is not None:
        return
    root = make_root(folder, machine, given)
    group = control_group(run_name, machine["name"])
    group.mkdir(exist_ok=True)
    binds = [f"--bind={folder.parent / 'site'}:{given['site']}"] if given.get("site") else []
    words = (
        # It ends with 133 where the machine reboots, and whoever started it is to start it again.
        "sh", "-c", '"$@"; while [ $? = 133 ]; do "$@"; done', machine["name"],
        # Not `ip netns exec`, which mounts another /sys, without control groups.
        "nsenter", f"--net=/run/netns/{run_name}", "systemd-nspawn", "--quiet", f"--directory={root}", "--boot",
        f"--machine={machine['name']}-{run_name}", f"--hostname={machine['name']}", "--register=no", "--keep-unit",
        f"--network-bridge={BRIDGE}", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
        f"--capability={CAPABILITIES}", "--console=pipe", *binds,
    )  # fmt: skip
    with (folder / "console.log").open("ab") as log:
        started = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            preexec_fn=lambda: (group / "cgroup.procs").write_text("0"),  # noqa: PLW1509  # one thread
        )
    (folder / "pid").write_text(f"{started.pid}\n")


def start(run_folder: str, given: dict[str, Any]) -> None:
    """Boot all machines; what could be started before a failure is left for `stop`."""
    run_name = name_of(run_folder)
    make_network(run_name, given["gateway"])
    (STATE / run_name / "site").mkdir(parents=True, exist_ok=True)
    for machine in given["machines"]:
        boot(run_name, STATE / run_name / machine["name"], machine, given)


def run_beside(run_folder: str, words: list[str]) -> None:
    """Start a program in the network of a run that was started."""
    run_name = name_of(run_folder)
    folder = STATE / run_name / PROGRAMS
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{Path(words[0]).name}.log").open("ab") as log:
        command = ("nsenter", f"--net=/run/netns/{run_name}", *words)
        started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    (folder / f"{started.pid}.words").write_text("\0".join(words))


def stop_programs(run_name: str) -> None:
    """End the programs beside the machines, in order where they do it in time."""
    for record in (STATE / run_name / PROGRAMS).glob("*.words"):
        pid, words = int(record.stem), record.read_text().split("\0")
        for how in (signal.SIGTERM, signal.SIGKILL):
            if words_of(pid) != words:
                break
            os.kill(pid, how)
            deadline = time.monotonic() + STOP_SECONDS
            while words_of(pid) == words and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)


def leader(pid: int) -> int | None:
    """The init of a machine, below the process that was started for it: it is number 1 inside."""
    for child in children_of(pid):
        status = Path(f"/proc/{child}/status").read_text()
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
        if found := child if numbers[-1] == "1" else leader(child):
            return found
    return None


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that are there."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def machine_folders(run_name: str) -> Iterator[Path]:
    """The folders of a run's machines."""
    if (STATE / run_name).is_dir():
        yield from (path for path in sorted((STATE / run_name).iterdir()) if (path / "root").is_dir())


def stop(run_folder: str) -> None:
    """Take a run away; nothing a machine wrote is kept, so none is asked to shut down."""
    run_name = name_of(run_folder)
    stop_programs(run_name)
    for folder in machine_folders(run_name):
        if (pid := started_pid(folder)) is not None:
            # Not the one that waits for it, which takes its own traces away when the machine has ended.
            os.kill(leader(pid) or pid, signal.SIGKILL)
    deadline = time.monotonic() + STOP_SECONDS
    for folder in machine_folders(run_name):
        while started_pid(folder) is not None:
            if time.monotonic() > deadline:
                raise MachineError(f"{folder.name} does not end")
            time.sleep(POLL_SECONDS)
        while is_mounted(folder / "root"):
            run("umount", str(folder / "root"))
        group = control_group(run_name, folder.name)
        for below in sorted(group.rglob("*/"), reverse=True) if group.exists() else ():
            below.rmdir()
        if group.exists():
            group.rmdir()
    if Path("/run/netns", run_name).exists():
        run("ip", "netns", "delete", run_name)
    shutil.rmtree(STATE / run_name, ignore_errors=True)


def main() -> int:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["namespace", run_folder]:
            sys.stdout.write(f"{name_of(run_folder)}\n")
            return 0
        case ["start" | "stop" | "run" as verb, run_folder, *words] if bool(words) == (verb == "run"):
            pass
        case _:
            sys.stderr.write(__doc__ or "")
            return 2
    try:
        if verb == "start":
            start(run_folder, json.load(sys.stdin))
        elif verb == "run":
            run_beside(run_folder, words)
        else:
            stop(run_folder)
    except (MachineError, OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"machines.py: {type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
