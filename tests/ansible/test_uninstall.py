"""What uninstall.yml leaves on a site whose store is a folder: nothing of the host."""

import asyncio
import json
import os
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from appliance.api.core import Secret
from appliance.api.kind import Object
from appliance.api.meta import Metadata
from appliance.api.pierhead import HOSTS_NAMESPACE, Host
from appliance.store.open import open_store
from tests.ansible.conftest import HOST_FOLDERS, ROOT, Ansible

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")

PLAY = yaml.safe_load((ROOT / "playbooks/uninstall.yml").read_text())[0]
# The site's folder, which is the user's; and a program that the user may run wherever this tree is.
SITE = """\
useradd --system --no-create-home pierhead
cp -r {site} /opt/site && chown -R pierhead: /opt/site
mkdir -p /opt/tree /opt/packages /opt/.upper/tree /opt/.work/tree /opt/.upper/packages /opt/.work/packages
mount -t overlay -o lowerdir={tree},upperdir=/opt/.upper/tree,workdir=/opt/.work/tree overlay /opt/tree
mount -t overlay -o lowerdir={packages},upperdir=/opt/.upper/packages,workdir=/opt/.work/packages overlay /opt/packages
chmod 755 /opt/tree /opt/packages
mkdir -p /opt/pierhead/current/bin
cat >/opt/pierhead/current/bin/pierhead <<'END'
#!/bin/sh
PYTHONPATH=/opt/tree:/opt/packages exec {python} -c 'from appliance.cli.main import main; main()' "$@"
END
chmod 755 /opt/pierhead/current/bin/pierhead
"$@"
cp -r /opt/site {found}
"""


def test_the_folder_of_a_site_forgets_a_host(ansible: Ansible, tmp_path: Path) -> None:
    """As the user whose folder it is, by the name that the host has there; other hosts stay."""
    made: list[Object] = []
    for name in ("host-a", "host-b"):
        metadata = Metadata(name=name)
        made += [Host(metadata=metadata), Secret(metadata=Metadata(name=name, namespace=HOSTS_NAMESPACE))]

    async def fill() -> None:
        store = open_store(f"directory:{tmp_path / 'site'}")
        for each in made:
            await store.create(each, "test")

    (tmp_path / "site").mkdir()
    asyncio.run(fill())
    tasks = PLAY["tasks"]
    (last,) = (number for number, task in enumerate(tasks) if task["name"] == "The site's folder forgets this host")
    inventory = {"pierhead_hosts": {"hosts": {"here": {"ansible_connection": "local"}}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
    # Two times: the second finds nothing to do.
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{**PLAY, "tasks": tasks[: last + 1], "handlers": []}] * 2))
    script = HOST_FOLDERS + SITE.format(
        site=shlex.quote(str(tmp_path / "site")), tree=shlex.quote(str(ROOT)),
        packages=shlex.quote(next(path for path in sys.path if path.endswith("site-packages"))),
        python=Path(sys.executable).resolve(), found=shlex.quote(str(tmp_path / "found")),
    )  # fmt: skip
    variables = {
        "pierhead_store": "directory:/opt/site", "pierhead_agent_host": "Host-A", "pierhead_uninstall_all": True,
        "ansible_python_interpreter": "/usr/bin/python3",
    }  # fmt: skip
    told = ansible(
        "ansible-playbook", "--inventory", tmp_path / "hosts.yml", tmp_path / "play.yml",
        f"--extra-vars={json.dumps(variables)}", prefix=("unshare", "--mount", "sh", "-c", script, "host"),
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    left = sorted(path.name for path in (tmp_path / "found/.pierhead").rglob("*.json"))
    assert (left, "changed=1 " in told.stdout) == (["host-b.json", f"{HOSTS_NAMESPACE}.host-b.json"], True)
