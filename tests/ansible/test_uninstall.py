"""What uninstall.yml leaves: nothing of the host, and all that operators wrote."""

import asyncio
import json
import os
import shlex
import sys
from pathlib import Path
from subprocess import CompletedProcess, run

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

# A machine with an agent. Its systemctl writes down what it is told, and fails once where a test asks for it.
MACHINE = """\
mkdir -p /opt/.upper/var /opt/.work/var
mount -t overlay -o lowerdir=/var/lib,upperdir=/opt/.upper/var,workdir=/opt/.work/var overlay /var/lib
useradd --system --no-create-home --uid 64873 pierhead
cat >/opt/systemctl <<'END'
#!/bin/sh
echo "$@" >>{log}
[ "$1" != restart ] || ! rm /opt/cannot-restart 2>/dev/null || exit 1
[ "$1" != show ] || printf 'LoadState=loaded\\nActiveState=active\\n'
END
chmod 755 /opt/systemctl
mount --bind /opt/systemctl /usr/bin/systemctl
touch {log} /etc/systemd/system/pierhead-agent.service
mkdir -p /etc/pierhead/site /opt/pierhead/current/bin /var/lib/pierhead
touch /etc/pierhead/agent.yaml /opt/pierhead/current/bin/pierhead /var/lib/pierhead/feed.db
"""


def uninstall(
    ansible: Ansible, place: Path, before: str, after: str, group: str = "pierhead_hosts", **variables: object
) -> CompletedProcess[str]:
    """What the play says, run on a machine of its own between two scripts; `place` has what systemctl was told."""
    hosts = {"hosts": {"here": {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}}}
    (place / "hosts.yml").write_text(yaml.safe_dump({group: hosts}))
    (place / "play.yml").write_text(yaml.safe_dump([PLAY], sort_keys=False))
    machine = HOST_FOLDERS + MACHINE.format(log=place / "log")
    run_play = f'code=0; "$@" || code=$?\n{after}exit $code\n'
    return ansible(
        "ansible-playbook", "--inventory", place / "hosts.yml", place / "play.yml",
        f"--extra-vars={json.dumps({'pierhead_uninstall_all': True, **variables})}",
        prefix=("unshare", "--mount", "sh", "-c", machine + before + run_play, "host"),
    )  # fmt: skip


def test_a_mounted_folder_is_not_emptied(ansible: Ansible, tmp_path: Path) -> None:
    """The site's folder of all hosts may be mounted where the default is: nothing is stopped, nothing removed."""
    told = uninstall(
        ansible, tmp_path,
        "mount -t tmpfs tmpfs /etc/pierhead/site; touch /etc/pierhead/site/pool.yaml\n",
        f"find /etc/pierhead -type f >{tmp_path / 'left'}\n",
    )  # fmt: skip
    assert "here: unmount /etc/pierhead/site first:" in told.stdout, told.stdout + told.stderr
    left = sorted((tmp_path / "left").read_text().split())
    assert (left, (tmp_path / "log").read_text()) == (["/etc/pierhead/agent.yaml", "/etc/pierhead/site/pool.yaml"], "")


@pytest.mark.parametrize(
    ("site", "left"),
    [
        (
            "mkdir -p .pierhead/hosts; touch .pierhead/hosts/a ansible.yaml ansible-secrets.yaml pool.yaml .own.yml\n",
            ["/etc/pierhead/site/.own.yml", "/etc/pierhead/site/pool.yaml"],
        ),
        ("rmdir /etc/pierhead/site; ln -s /opt/site /etc/pierhead/site\n", []),
    ],
    ids=["own", "link"],
)
def test_what_operators_wrote_stays(ansible: Ansible, tmp_path: Path, site: str, left: list[str]) -> None:
    """In the site's folder of the machine's own, of which the rest goes; and in a folder that it is a link to."""
    told = uninstall(
        ansible, tmp_path,
        "mkdir /opt/site; touch /opt/site/ansible.yaml; cd /etc/pierhead/site\n" + site + f"cd {ROOT}\n",
        "for each in /etc/pierhead /opt/pierhead /var/lib/pierhead /opt/site; do [ ! -e $each ] || find $each; done "
        f"| sort >{tmp_path / 'left'}\n",
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    kept = ["/etc/pierhead", "/etc/pierhead/site", *left] if left else []
    assert (tmp_path / "left").read_text().split() == [*kept, "/opt/site", "/opt/site/ansible.yaml"]
    assert f'here: not written by Pierhead, and still there: {", ".join(left)}"' in told.stdout or not left


def test_a_site_that_ends_keeps_no_password(ansible: Ansible, tmp_path: Path) -> None:
    """What the inventory put into the folder that all share goes with the last machines; the rest is the site's."""
    told = uninstall(
        ansible, tmp_path,
        "mkdir -p /opt/site/.pierhead; cd /opt/site; chown pierhead . .pierhead\n"
        f"touch ansible.yaml ansible-secrets.yaml pool.yaml .pierhead/accepted .pierhead/kept; cd {ROOT}\n",
        f"find /opt/site -type f | sort >{tmp_path / 'left'}\n",
        "pierhead_allocators", pierhead_store="directory:/opt/site",
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    assert (tmp_path / "left").read_text().split() == ["/opt/site/.pierhead/kept", "/opt/site/pool.yaml"]


def test_a_run_after_one_that_failed_restarts_bird(ansible: Ansible, tmp_path: Path) -> None:
    """The first run cannot restart BIRD, the second cannot remove a file: what BIRD had before is in force then."""
    cut = """\
cp /etc/bird/bird.conf /etc/bird/bird.conf.before-pierhead
echo '# Generated by pierhead-agent' >/etc/bird/bird.conf
mkdir -p /etc/systemd/system/pierhead-agent.service.d
mount -t tmpfs tmpfs /etc/systemd/system/pierhead-agent.service.d
touch /opt/cannot-restart
"$@" || true
"""
    restarted = f"grep -c 'restart bird.service' {tmp_path / 'log'} >{tmp_path / 'restarts'} || true\n"
    told = uninstall(ansible, tmp_path, cut, restarted)
    assert "Device or resource busy" in told.stdout, told.stdout + told.stderr
    assert (tmp_path / "restarts").read_text() == "2\n"


def bird_conf(ansible: Ansible, place: Path, before: str, first_line: str) -> str:
    """What is left of a configuration that has a password in it and begins with a line."""
    written = f"printf '%s\\n' '{first_line}' 'protocol bgp {{ password \"secret\"; }}' >/etc/bird/bird.conf\n"
    told = uninstall(ansible, place, before + written, f"cp /etc/bird/bird.conf {place}\n")
    assert told.returncode == 0, told.stdout + told.stderr
    return (place / "bird.conf").read_text()


def test_bird_keeps_nothing_of_the_agents(ansible: Ansible, tmp_path: Path) -> None:
    """Where there is nothing to bring back, BIRD and the role can do with what is there instead."""
    left = bird_conf(
        ansible, tmp_path, "mount -t tmpfs tmpfs /usr/share/bird2\n", "# Generated by pierhead-agent, which"
    )
    assert "secret" not in left
    config = str(tmp_path / "bird.conf")
    assert run(["bird", "-p", "-c", config], check=False).returncode == 0
    looked = run([sys.executable, ROOT / "roles/bird/files/preflight.py", config, ""], capture_output=True, check=True)
    assert json.loads(looked.stdout)["owner"] == "pierhead"


def test_what_an_operator_made_of_the_agents_file_stays(ansible: Ansible, tmp_path: Path) -> None:
    """Where BIRD was taken over by hand, the package's configuration is no better."""
    assert "secret" in bird_conf(ansible, tmp_path, "", "# by hand")


def test_a_machine_without_bird_gets_none(ansible: Ansible, tmp_path: Path) -> None:
    """Variables of all machines may say what BIRD's are on hosts."""
    told = uninstall(
        ansible, tmp_path, "sed -i '/^bird:/d' /etc/passwd; rm /etc/systemd/system/pierhead-agent.service\n",
        "[ ! -e /etc/bird/pierhead.conf ]\n", "pierhead_dashboards",
        pierhead_bird_main="/etc/bird/bird.conf", pierhead_bird_config="/etc/bird/pierhead.conf",
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    assert "restart" not in (tmp_path / "log").read_text()


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
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{**PLAY, "tasks": tasks[: last + 1]}] * 2))
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
