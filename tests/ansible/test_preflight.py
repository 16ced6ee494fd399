"""What a role refuses it explains, with the name of the variable to change."""

import json
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

import yaml

from tests.ansible.conftest import Ansible

# Machine of the inventory: role, what is wrong with its variables, what the message has to say.
CASES: dict[str, tuple[str, dict[str, object], str]] = {
    "no-python": (
        "program",
        {"pierhead_python": "/nonexistent/python3"},
        "pierhead_python=/nonexistent/python3 does not",
    ),
    "no-wheels": ("program", {"pierhead_version": "99.0"}, "pierhead_wheelhouse="),
    "no-interface": ("agent", {"pierhead_agent_interfaces": ["lo", "nic9"]}, "pierhead_agent_interfaces names nic9,"),
    "no-folder": ("agent", {"pierhead_store": "directory:/nonexistent"}, "pierhead_store=directory:/nonexistent"),
    "no-kernel-setting": (
        "forwarder",
        {"pierhead_forwarder_sysctls": {"net.ipv4.nonsense": 1}},
        "pierhead_forwarder_sysctls names net.ipv4.nonsense",
    ),
}


def test_each_refusal_names_the_variable(ansible: Ansible, tmp_path: Path) -> None:
    """One play in check mode, a machine a mistake: each stops at its own preflight."""
    release = f"{version('pierhead')}-py{sys.version_info[0]}.{sys.version_info[1]}-{platform.machine()}"
    for suffix in ("", ".sha256"):
        (tmp_path / f"pierhead-{release}.tar{suffix}").write_text("0" * 64)
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "/usr/bin/python3",
        "pierhead_wheelhouse": str(tmp_path),
        "pierhead_python": "/usr/bin/python3",
        "pierhead_agent_foreign_speakers": True,
        "pierhead_untested_distribution": True,
    }
    hosts = {name: {**common, "role": role, **wrong} for name, (role, wrong, _) in CASES.items()}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    play = {
        "hosts": "all",
        "gather_facts": True,
        "gather_subset": ["min"],
        "tasks": [
            {
                "ansible.builtin.include_role": {
                    "name": "pierhead.pierhead.{{ role }}",
                    "tasks_from": "preflight",
                }
            }
        ],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))

    told = ansible("ansible-playbook", "--check", "--inventory", tmp_path / "hosts.yml", tmp_path / "play.yml")

    refusals = dict(re.findall(r"^fatal: \[([\w-]+)\]: FAILED! => (\{.*\})$", told.stdout + told.stderr, re.MULTILINE))
    messages = {name: json.loads(text)["msg"] for name, text in refusals.items()}
    expected = {name: sentence for name, (_, _, sentence) in CASES.items()}
    assert {name: expected[name] in messages.get(name, "") for name in expected} == dict.fromkeys(expected, True)
