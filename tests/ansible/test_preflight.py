"""What a role refuses it explains: the host, the name of the variable to change, and what to do."""

import json
import platform
import re
import socket
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from tests.ansible.conftest import Ansible

# Machine of the inventory: role, what is wrong with its variables, and what the message has to say. PLACE is a folder
# of the test, PORT one that the test listens on.
CASES: dict[str, tuple[str, dict[str, object], str]] = {
    "no-python": (
        "program",
        {"pierhead_python": "/nonexistent/python3"},
        "no-python: pierhead_python=/nonexistent/python3 does not run",
    ),
    "old-python": (
        "program",
        {"pierhead_python": "PLACE/old-python"},
        "old-python: pierhead_python=PLACE/old-python is Python 3.9 with venv and with ensurepip. Pierhead needs",
    ),
    "other-number": (
        "program",
        {"pierhead_python": "PLACE/python-beside-an-agent", "pierhead_uid": "850", "pierhead_gid": "851"},
        "other-number: pierhead_uid=850 and pierhead_gid=851, but the user pierhead is 998:851 here, and pierhead-a",
    ),
    "no-wheels": ("program", {"pierhead_version": "99.0"}, "no-wheels needs pierhead-99.0-py"),
    "strange-system": (
        "program",
        {"pierhead_untested_distribution": "false"},
        "strange-system: Plan 9 4 is none of Debian 12 and 13, Ubuntu 24.04 and RHEL 9's family. With pierhead_",
    ),
    "operators-bird": (
        "bird",
        {"pierhead_bird_config": "PLACE/bird.conf"},
        "operators-bird: PLACE/bird.conf is neither the package's nor the agent's",
    ),
    "not-included": (
        "bird",
        {"pierhead_bird_main": "PLACE/bird.conf", "pierhead_bird_config": "PLACE/pierhead.conf"},
        'not-included: pierhead_bird_main=PLACE/bird.conf does not have the line: include "PLACE/pierhead.conf";',
    ),
    "shared-folder": (
        "bird",
        {"pierhead_bird_config": "/etc/bird.conf"},
        "shared-folder: pierhead_bird_config=/etc/bird.conf is in /etc, which is not BIRD's alone",
    ),
    "objects-without-folder": (
        "allocator",
        {
            "pierhead_store": "kubernetes:/etc/pierhead/kubeconfig",
            "pierhead_allocator_manifests": [],
            "pierhead_allocator_secrets": [{"data": {"password": "s3cret-of-a-router"}}],
        },
        "pierhead_store=kubernetes:/etc/pierhead/kubeconfig is no folder",
    ),
    "foreign-kubeconfig": (
        "cluster",
        {"pierhead_store": "kubernetes:/root/.kube/config"},
        "pierhead_store=kubernetes:/root/.kube/config is not kubernetes:/etc/pierhead/kubeconfig",
    ),
    "no-interface": ("agent", {"pierhead_agent_interfaces": ["lo", "nic9"]}, "pierhead_agent_interfaces names nic9,"),
    "no-folder": (
        "agent",
        {"pierhead_store": "directory:/nonexistent"},
        "pierhead_store=directory:/nonexistent: there is no folder /nonexistent on no-folder",
    ),
    "foreign-folder": (
        "agent",
        {"pierhead_store": "directory:PLACE/site", "pierhead_uid": 850, "pierhead_gid": 850},
        "on foreign-folder PLACE/site belongs to 0:0 with mode 0750, and the user pierhead, whose number is 850",
    ),
    "taken-port": (
        "agent",
        {"pierhead_agent_metrics": ":PORT"},
        "pierhead_agent_metrics=:PORT: on taken-port pytest listens on that port already",
    ),
    "no-port": (
        "agent",
        {"pierhead_agent_metrics": "9100"},
        "no-port: pierhead_agent_metrics=9100 is neither ADDRESS",
    ),
    "no-kernel-setting": (
        "forwarder",
        {"pierhead_forwarder_sysctls": {"net.ipv4.nonsense": 1}},
        "pierhead_forwarder_sysctls names net.ipv4.nonsense",
    ),
}
OLD_PYTHON = """\
#!/bin/sh
cat >/dev/null
echo '{"python": "3.9", "is_recent": false, "machine": "x86_64", "has_venv": true, "has_ensurepip": true, "current": "",
"previous": "", "installed": {}, "folders": []}'
"""
BESIDE_AN_AGENT = OLD_PYTHON.replace("false", "true").replace(
    '"folders"', '"user": [998, 851], "running": {"pierhead-agent.service": "0.1"}, "folders"'
)
# What roles ask of the facts, so that none need be gathered.
FACTS = {
    "cacheable": True,
    "ansible_distribution": "Plan 9",
    "ansible_distribution_version": "4",
    "ansible_distribution_major_version": "4",
    "ansible_os_family": "Debian",
    "ansible_python": {"executable": "/usr/bin/python3"},
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with what is wrong in it, and with wheels for the version of this tree."""
    release = f"{version('pierhead')}-py{sys.version_info[0]}.{sys.version_info[1]}-{platform.machine()}"
    for suffix in ("", ".sha256"):
        (tmp_path / f"pierhead-{release}.tar{suffix}").write_text("0" * 64)
    for name, script in (("old-python", OLD_PYTHON), ("python-beside-an-agent", BESIDE_AN_AGENT)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "bird.conf").write_text("router id 192.0.2.1;\n")
    (tmp_path / "site").mkdir()
    (tmp_path / "site").chmod(0o750)
    return tmp_path


def test_each_refusal_names_the_variable(ansible: Ansible, place: Path) -> None:
    """One play in check mode, a machine a mistake: each stops at its own preflight."""
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "/usr/bin/python3",
        "pierhead_wheelhouse": str(place),
        # As on the command line, where every value is a text.
        "pierhead_agent_foreign_speakers": "true",
        "pierhead_untested_distribution": "true",
    }
    play = {
        "hosts": "all",
        "gather_facts": False,
        "strategy": "linear",
        "tasks": [
            {"ansible.builtin.set_fact": FACTS},
            {"ansible.builtin.include_role": {"name": "pierhead.pierhead.{{ role }}", "tasks_from": "preflight"}},
        ],
    }
    (place / "play.yml").write_text(yaml.safe_dump([play]))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])

        def filled(text: str) -> str:
            return text.replace("PLACE", str(place)).replace("PORT", port)

        hosts = {name: {**common, "role": role, **wrong} for name, (role, wrong, _) in CASES.items()}
        (place / "hosts.yml").write_text(filled(yaml.safe_dump({"all": {"hosts": hosts}})))
        told = ansible(
            "ansible-playbook", "-vvv", "--check", "--forks=4", "--inventory", place / "hosts.yml", place / "play.yml",
            more={"ANSIBLE_PIPELINING": "1"},
        )  # fmt: skip

    refusals = re.findall(r"^fatal: \[([\w-]+)\]: FAILED! => (\{.*?^\})$", told.stdout, re.MULTILINE | re.DOTALL)
    messages = {name: json.loads(text).get("msg", "") for name, text in refusals}
    assert "s3cret-of-a-router" not in told.stdout + told.stderr
    expected = {name: filled(sentence) for name, (_, _, sentence) in CASES.items()}
    assert {name: messages.get(name, "") for name in expected if expected[name] not in messages.get(name, "")} == {}
