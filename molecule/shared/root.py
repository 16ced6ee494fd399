#!/usr/bin/env python3
"""Prints the folder with the root file system that all machines of a Debian release share; builds it the first time.

It stands in the user's cache, by the hash of what it is built from: this file and packages.txt. Building needs root,
debootstrap and a Debian mirror: the one in PIERHEAD_MIRROR, else the one this machine's apt uses.

usage: root.py RELEASE
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = HERE / "packages.txt"

# Services of both kinds of machine are there and stand still: what a machine runs is enabled when it is made.
ENABLED = ("systemd-networkd.service", "ssh.service")
DISABLED = ("bird.service", "frr.service", "nftables.service")
# Nobody sits before these machines, none lives for a day, and their journals end with them.
MASKED = (
    "systemd-networkd-wait-online.service", "console-getty.service", "getty.target", "apt-daily.timer",
    "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    "systemd-journal-flush.service", "systemd-update-utmp.service",
)  # fmt: skip
FILES = {
    "etc/systemd/journald.conf.d/volatile.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=64M\n",
    "etc/sudoers.d/admin": "admin ALL=(ALL) NOPASSWD: ALL\n",
    "etc/machine-id": "",
}


def folder(release: str) -> Path:
    """Where the root of a release is, or will be."""
    ingredients = hashlib.sha256()
    for file in (Path(__file__), PACKAGES):
        ingredients.update(file.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "pierhead" / f"machine-{release}-{ingredients.hexdigest()[:12]}"


def mirror() -> list[str]:
    """The Debian mirror of this machine; none leaves the choice to debootstrap."""
    if chosen := os.environ.get("PIERHEAD_MIRROR"):
        return [chosen]
    question = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian")
    try:
        answer = subprocess.run(question, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return answer.split()[:1]


def build(release: str, root: Path) -> None:
    """Make the root in a folder that does not exist yet; raises CalledProcessError, leaving debootstrap's log."""
    packages = ",".join(PACKAGES.read_text().split())
    words = ("debootstrap", "--variant=minbase", f"--include={packages}", release, str(root), *mirror())
    log = root.with_suffix(".log")
    with log.open("w") as output:
        subprocess.run(words, stdout=output, stderr=output, check=True)
    log.unlink()
    inside = ("chroot", str(root))
    subprocess.run((*inside, "useradd", "--create-home", "--shell", "/bin/bash", "admin"), check=True)
    for verb, units in (("enable", ENABLED), ("disable", DISABLED), ("mask", MASKED)):
        subprocess.run((*inside, "systemctl", "--quiet", verb, *units), check=True)
    for name, text in FILES.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for archive in (root / "var/cache/apt/archives").glob("*.deb"):
        archive.unlink()


def main() -> int:
    """Build where needed, and print the folder."""
    if len(sys.argv) != 2:
        sys.stderr.write(__doc__ or "")
        return 2
    release = sys.argv[1]
    wanted = folder(release)
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with wanted.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not wanted.exists():
            sys.stderr.write(f"building {wanted}: one or two minutes, once\n")
            unfinished = wanted.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            try:
                build(release, unfinished)
            except (OSError, subprocess.CalledProcessError) as error:
                sys.stderr.write(f"root.py: the root of {release} cannot be built: {error}\n")
                return 1
            unfinished.rename(wanted)
    sys.stdout.write(f"{wanted}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
