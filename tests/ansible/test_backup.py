"""What backup.yml brings to the control machine."""

import json
import os
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.ansible.conftest import HOST_FOLDERS, ROOT, Ansible

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")

# Its tar does what it is told, and then ends as it does where a file has changed meanwhile.
MACHINE = """\
mkdir -p /opt/.upper/var /opt/.work/var /opt/site/.pierhead /etc/pierhead
mount -t overlay -o lowerdir=/var/lib,upperdir=/opt/.upper/var,workdir=/opt/.work/var overlay /var/lib
mkdir -p /var/lib/pierhead
touch /etc/pierhead/agent.yaml /var/lib/pierhead/token /var/lib/pierhead/feed.db /var/lib/pierhead/feed.db-wal
touch /opt/site/orders.db.yaml
cp $(command -v tar) /opt/real-tar
cat >/opt/tar <<'END'
#!/bin/sh
/opt/real-tar "$@" && exit 1
END
chmod 755 /opt/tar
mount --bind /opt/tar $(command -v tar)
exec "$@"
"""


def test_a_site_that_lives_is_kept_whole(ansible: Ansible, tmp_path: Path) -> None:
    """Files that change while they are read are no reason for no backup; only the programs' databases are left out."""
    here = {"hosts": {"here": {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"pierhead_hosts": here, "pierhead_allocators": here}))
    variables = {"pierhead_store": "directory:/opt/site", "pierhead_backup_folder": str(tmp_path / "kept")}
    told = ansible(
        "ansible-playbook", "--inventory", tmp_path / "hosts.yml", ROOT / "playbooks/backup.yml",
        f"--extra-vars={json.dumps(variables)}",
        prefix=("unshare", "--mount", "sh", "-c", HOST_FOLDERS + MACHINE, "host"),
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    with tarfile.open(tmp_path / "kept/here.tar") as kept:
        files = {each.name for each in kept if each.isfile() and not each.name.startswith("etc/bird/")}
    assert files == {"etc/pierhead/agent.yaml", "var/lib/pierhead/token", "opt/site/orders.db.yaml"}
