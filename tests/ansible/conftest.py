"""Ansible's programs, and the collection where they find it by its name."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest

ROOT = Path(__file__).parents[2]
Ansible = Callable[..., CompletedProcess[str]]
# The folders that roles write to, in a mount namespace (`unshare --mount sh -c`): this machine's own stay as they are.
HOST_FOLDERS = """\
set -e
mount -t tmpfs -o mode=755 tmpfs /opt
for folder in /etc /usr/local/bin; do
  mkdir -p /opt/.upper$folder /opt/.work$folder
  mount -t overlay -o lowerdir=$folder,upperdir=/opt/.upper$folder,workdir=/opt/.work$folder overlay $folder
done
"""


@pytest.fixture(scope="session")
def ansible(tmp_path_factory: pytest.TempPathFactory) -> Ansible:
    """Runs one of Ansible's programs, with the tree as the collection pierhead.pierhead and nothing of this user's."""
    home = tmp_path_factory.mktemp("home")
    (home / "ansible.cfg").touch()
    collections = tmp_path_factory.mktemp("collections")
    (collections / "ansible_collections/pierhead").mkdir(parents=True)
    (collections / "ansible_collections/pierhead/pierhead").symlink_to(ROOT)
    programs = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(home),
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_CONFIG": str(home / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
        "LC_ALL": "C.UTF-8",
    }

    def call(
        program: str,
        *arguments: object,
        more: Mapping[str, str] | None = None,
        folder: Path = ROOT,
        prefix: Sequence[str] = (),
    ) -> CompletedProcess[str]:
        command = [*prefix, str(programs / program), *map(str, arguments)]
        return run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={**environment, **(more or {})},
            timeout=900,
        )

    return call
