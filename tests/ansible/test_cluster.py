"""The role cluster's part on the control machine, with a real API server."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from tests.ansible.conftest import ROOT, Ansible
from tests.cluster.control_plane import ControlPlane
from tests.cluster.programs import HELM, ProgramsMissingError, prepare, program

ROLE = ROOT / "roles/cluster"
SECRET = {"extraEnv": [{"name": "PROXY", "value": "s3cret-in-a-value"}]}
Play = Callable[..., tuple[int, int, str]]


@pytest.fixture
def play(ansible: Ansible, tmp_path: Path) -> Play:
    """Runs one of the role's task files: exit code, how many tasks changed something, output."""
    try:
        prepare(HELM)
    except ProgramsMissingError as error:
        pytest.skip(f"NO HELM, SO THE ROLE CLUSTER WAS NOT TESTED: {error}")
    common = {
        "pierhead_cluster_helm": str(program("helm")),
        "pierhead_cluster_chart": str(ROOT / "charts/pierhead"),
        "pierhead_cluster_manifests": str(ROOT / "manifests/pierhead.yaml"),
        # No kubelet runs here that would start the allocator.
        "pierhead_cluster_wait": False,
    }

    def run(tasks: str, variables: Mapping[str, object], *options: str) -> tuple[int, int, str]:
        written = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
            "tasks": [{"ansible.builtin.include_tasks": str(ROLE / f"tasks/{tasks}.yml")}],
        }
        (tmp_path / "play.yml").write_text(yaml.safe_dump([written]))
        extra = json.dumps({**common, **variables})
        done = ansible("ansible-playbook", tmp_path / "play.yml", f"--extra-vars={extra}", *options)
        changed = re.search(r"changed=(\d+)", done.stdout)
        assert changed is not None, done.stdout + done.stderr
        return done.returncode, int(changed[1]), done.stdout + done.stderr

    return run


@pytest.mark.parametrize("tasks", ["helm", "manifests"])
def test_a_cluster_gets_its_part_once(play: Play, tasks: str, make_control_plane: Callable[[], ControlPlane]) -> None:
    """Check mode says so and does nothing, a run does it, and then there is nothing to do; no value is shown."""
    cluster = make_control_plane()
    variables = {
        "pierhead_cluster_kubeconfig": str(cluster.kubeconfig),
        "pierhead_cluster_kubectl": str(program("kubectl")),
        "pierhead_cluster_values": {"allocator": SECRET},
    }
    check = ("--check", "--diff")
    told = [play(tasks, variables, "-vvv", *options) for options in (check, (), check)]
    assert [(code, changed) for code, changed, _ in told] == [(0, 1), (0, 1), (0, 0)], told
    assert "s3cret-in-a-value" not in str(told)
    cluster.stop()


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"pierhead_cluster_values": {"allocator": {**SECRET, "replicas": "many"}}}, "/allocator/replicas"),
        ({"pierhead_cluster_kubeconfig": "/nonexistent"}, "with pierhead_cluster_kubeconfig: "),
    ],
)
def test_what_helm_refuses_is_said(play: Play, variables: Mapping[str, object], reason: str) -> None:
    """Though the tasks that carry values are in no log."""
    code, _, output = play("helm", variables, "-vvv")
    assert (code, reason in output, "s3cret-in-a-value" in output) == (2, True, False), output
