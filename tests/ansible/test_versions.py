"""The versions on a host: which are kept, and which of them the links name, whatever became of an upgrade."""

import json
import os
import shlex
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
import yaml

from tests.ansible.conftest import HOST_FOLDERS, ROOT, Ansible

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")

PLAYS = yaml.safe_load((ROOT / "playbooks/upgrade.yml").read_text())
BLOCK = next(task for task in PLAYS[1]["tasks"] if "block" in task)
Upgrade = Callable[..., tuple[Mapping[str, str], Mapping[str, bool]]]


def _of_the_program(tasks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tasks that are about versions: what else an upgrade does needs a host that boots."""
    return [
        task
        for task in tasks
        if task.get("ansible.builtin.include_role", {}).get("name") == "pierhead.pierhead.program"
        or "/versions/" in task.get("ansible.builtin.file", {}).get("path", "")
        or ".upgrade" in str(task.get("loop", ""))
    ]


@pytest.fixture
def upgrade(ansible: Ansible, tmp_path: Path) -> Upgrade:
    """Has a host with some versions switch to another, and what upgrade.yml does then, or no more as site.yml; gives
    links, and versions with whether they are whole."""

    def call(
        installed: Collection[str], links: Mapping[str, str], to: str, then: str = "", begun: str = ""
    ) -> tuple[Any, Any]:
        host = {"hosts": "localhost", "connection": "local"}
        trial = {"ansible.builtin.include_role": {"name": "pierhead.pierhead.program"}}
        plays = [
            {**PLAYS[0], **host},
            {
                **host,
                "gather_facts": False,
                "vars": {name: text for name, text in PLAYS[1]["vars"].items() if name.startswith("pierhead_program")},
                "tasks": [trial, *_of_the_program(BLOCK.get(then, []))],
            },
        ]
        site = [{**host, "gather_subset": ["min"], "tasks": [trial]}]
        (tmp_path / "play.yml").write_text(yaml.safe_dump(plays if then else site))
        script = HOST_FOLDERS + "mkdir -p /opt/pierhead/versions\ncd /opt/pierhead/versions\n"
        script += "".join(
            f"mkdir -p {version}/bin && touch {version}/bin/pierhead && echo index >{version}/.installed\n"
            for version in {*installed, to}
        )
        script += "".join(f"ln -s versions/{version} ../{link}\n" for link, version in links.items())
        script += f"printf %s {shlex.quote(begun)} >../.upgrade; touch ../.before-upgrade.tar\n" if begun else ""
        script += f'"$@"\ncd ..; find . -printf "%P %l\\n" >{shlex.quote(str(tmp_path / "found"))}\n'
        variables = {"pierhead_version": to, "pierhead_untested_distribution": True, "pierhead_wheelhouse": "/nowhere"}
        told = ansible(
            "ansible-playbook", tmp_path / "play.yml", f"--extra-vars={json.dumps(variables)}",
            prefix=("unshare", "--mount", "sh", "-c", script, "host"),
        )  # fmt: skip
        assert told.returncode == 0, told.stdout + told.stderr
        found = dict(line.split(" ") for line in (tmp_path / "found").read_text().splitlines())
        assert {".upgrade", ".before-upgrade.tar"} & set(found) == (
            {".upgrade", ".before-upgrade.tar"} if begun and not then else set()
        )
        assert ("was broken off here" in told.stdout) is bool(begun and not then)
        folders = {path.split("/")[1] for path in found if path.startswith("versions/")}
        return (
            {name: found[name] for name in ("current", "previous") if name in found},
            {name: f"versions/{name}/.installed" in found for name in folders},
        )

    return call


def test_an_upgrade_that_failed_leaves_the_way_back_as_it_was(upgrade: Upgrade) -> None:
    """The version that failed stays for a look; no link names it, and another attempt does not use it as it is."""
    before = {"current": "versions/0.2", "previous": "versions/0.1"}
    links, versions = upgrade(["0.1", "0.2"], {"current": "0.2", "previous": "0.1"}, "0.3", "rescue")
    assert (links, versions) == (before, {"0.1": True, "0.2": True, "0.3": False})


def test_where_there_was_no_way_back_there_is_none(upgrade: Upgrade) -> None:
    """The first upgrade of a host fails."""
    links, versions = upgrade(["0.1"], {"current": "0.1"}, "0.2", "rescue")
    assert (links, versions) == ({"current": "versions/0.1"}, {"0.1": True, "0.2": False})


def test_a_rollback_that_failed_can_be_tried_again_without_wheels(upgrade: Upgrade) -> None:
    """The version before is the way back still, and is whole."""
    before = {"current": "versions/0.2", "previous": "versions/0.1"}
    links, versions = upgrade(["0.1", "0.2"], {"current": "0.2", "previous": "0.1"}, "0.1", "rescue")
    assert (links, versions) == (before, {"0.1": True, "0.2": True})


def test_an_upgrade_that_is_done_keeps_the_version_before(upgrade: Upgrade) -> None:
    """What is older goes only now."""
    links, versions = upgrade(["0.1", "0.2"], {"current": "0.2", "previous": "0.1"}, "0.3", "block")
    assert links == {"current": "versions/0.3", "previous": "versions/0.2"}
    assert versions == {"0.2": True, "0.3": True}


BEGUN = json.dumps({"from": "0.2", "previous": "0.1", "was_drained": False})


def test_an_upgrade_that_was_broken_off_and_then_failed_leads_back_to_where_it_began(upgrade: Upgrade) -> None:
    """The run that was broken off had switched the host already."""
    switched = {"current": "0.3", "previous": "0.2"}
    links, versions = upgrade(["0.1", "0.2", "0.3"], switched, "0.3", "rescue", BEGUN)
    assert links == {"current": "versions/0.2", "previous": "versions/0.1"}
    assert versions == {"0.1": True, "0.2": True, "0.3": False}


def test_an_upgrade_that_was_broken_off_is_finished_by_the_next(upgrade: Upgrade) -> None:
    """Nothing of what it had begun stays."""
    switched = {"current": "0.3", "previous": "0.2"}
    links, versions = upgrade(["0.1", "0.2", "0.3"], switched, "0.3", "block", BEGUN)
    assert links == {"current": "versions/0.3", "previous": "versions/0.2"}
    assert versions == {"0.2": True, "0.3": True}


def test_a_way_back_from_one_that_was_broken_off_leaves_the_version_in_force_whole(upgrade: Upgrade) -> None:
    """The operator asked for the version it had come from, and that failed as well."""
    switched = {"current": "0.3", "previous": "0.2"}
    links, versions = upgrade(["0.1", "0.2", "0.3"], switched, "0.2", "rescue", BEGUN)
    assert links == {"current": "versions/0.2", "previous": "versions/0.1"}
    assert versions == {"0.1": True, "0.2": True, "0.3": True}


def test_an_upgrade_that_was_broken_off_is_not_ended_by_a_rollout(upgrade: Upgrade) -> None:
    """The host is drained, and whether an operator had drained it is known by what stays; so does the way back."""
    switched = {"current": "0.3", "previous": "0.2"}
    links, versions = upgrade(["0.1", "0.2", "0.3"], switched, "0.3", begun=BEGUN)
    assert links == {"current": "versions/0.3", "previous": "versions/0.2"}
    assert versions == {"0.1": True, "0.2": True, "0.3": True}


def test_a_rollout_removes_what_is_neither_in_force_nor_the_way_back(upgrade: Upgrade) -> None:
    """Where no upgrade was broken off."""
    links, versions = upgrade(["0.1", "0.2"], {"current": "0.2", "previous": "0.1"}, "0.3")
    assert links == {"current": "versions/0.3", "previous": "versions/0.2"}
    assert versions == {"0.2": True, "0.3": True}


RUNNING = """
echo pierhead:x:998:851::/var/lib/pierhead:/usr/sbin/nologin >>/etc/passwd
mkdir -p /opt/pierhead/versions/0.1/bin /opt/pierhead/current
ln -s /usr/bin/python3 /opt/pierhead/versions/0.1/bin/python
mkfifo /opt/ready
cat >/opt/pierhead/current/pierhead <<'END'
#!/opt/pierhead/versions/0.1/bin/python
open("/opt/ready", "w").close()
input()
END
chmod +x /opt/pierhead/current/pierhead
mkfifo /opt/held
exec 3<>/opt/held
/opt/pierhead/current/pierhead allocator <&3 &
read -r _ </opt/ready || true
cat >/usr/local/bin/systemctl <<END
#!/bin/sh
[ "\\$1" = show ] || exit 3
printf 'Id=pierhead-agent.service\\nActiveState=inactive\\nMainPID=0\\n\\n'
printf 'Id=pierhead-allocator.service\\nActiveState=active\\nMainPID=%s\\n' $!
END
chmod +x /usr/local/bin/systemctl
PATH=/usr/local/bin:$PATH /usr/bin/python3 -I "$@"
echo >&3
wait
"""


def test_a_program_that_runs_of_another_version_is_found() -> None:
    """As after an interrupted run, or where an upgrade of the agent has switched the allocator's version beside it.

    The numbers of the user that it runs as are told as well.
    """
    preflight = ROOT / "roles/program/files/preflight.py"
    told = run(
        ["unshare", "--mount", "sh", "-c", HOST_FOLDERS + RUNNING, "host", preflight],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (told.returncode, told.stderr) == (0, "")
    found = json.loads(told.stdout)
    assert (found["running"], found["user"]) == ({"pierhead-allocator.service": "0.1"}, [998, 851])


STALE = """
preflight=$1
install -m 755 "$2" /usr/local/bin/systemctl
shift 2
while [ $# -gt 0 ]; do
  mkdir -p "${2%/*}"
  touch --date="@$1" "$2"
  shift 2
done
PATH=/usr/local/bin:$PATH exec /usr/bin/python3 -I "$preflight" /nonexistent ""
"""
UNITS = Path("/etc/systemd/system")
SETTINGS = Path("/etc/pierhead/agent.yaml")
AGENT, FORWARDER, ALLOCATOR = (f"pierhead-{name}.service" for name in ("agent", "forwarder", "allocator"))


def _stale(preflight: str, show: Path, units: str, ages: Mapping[Path, int]) -> Any:
    """What a preflight says is stale, where systemctl shows `units` and files were written so many seconds ago."""
    show.write_text(f"#!/bin/sh\n[ \"$1\" = show ] || exit 3\ncat <<'END'\n{units}\nEND\n")
    written = [word for path, age in ages.items() for word in (str(time.time() - age), path)]
    told = run(
        ["unshare", "--mount", "sh", "-c", HOST_FOLDERS + STALE, "host", ROOT / preflight, show, *written],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (told.returncode, told.stderr) == (0, "")
    return json.loads(told.stdout)["stale"]


def _microseconds(ago: float) -> int:
    """A moment as systemd shows it."""
    return int((time.monotonic() - ago) * 1e6)


@pytest.mark.parametrize(
    ("age", "files", "stale"),
    [
        pytest.param(400, [SETTINGS, UNITS / AGENT, UNITS / f"{AGENT}.d/site.conf"], [], id="before"),
        pytest.param(200, [SETTINGS], [FORWARDER], id="the agent has reloaded it since"),
        pytest.param(50, [SETTINGS], [AGENT, FORWARDER], id="settings"),
        pytest.param(200, [UNITS / AGENT], [AGENT], id="no reload brings a unit into force"),
        pytest.param(200, [UNITS / f"{AGENT}.d/site.conf"], [AGENT], id="nor a drop-in"),
        pytest.param(200, [UNITS / f"{AGENT}.d/operator.conf"], [], id="an operator's drop-in"),
        pytest.param(50, [Path("/etc/pierhead/allocator.env")], [], id="of a unit that does not run"),
        pytest.param(299, [UNITS / AGENT, UNITS / FORWARDER], [], id="at the same moment"),
        pytest.param(-3600, [SETTINGS, UNITS / AGENT], [], id="the clock was set back"),
    ],
)
def test_what_was_written_after_a_program_read_it_is_found(
    tmp_path: Path, age: int, files: Iterable[Path], stale: Collection[str]
) -> None:
    """By a run that ended before its handlers. Agent and forwarder run for 300 s; the agent was reloaded 100 s ago."""
    started, ready, reloaded = (_microseconds(ago) for ago in (300, 299.5, 100))
    units = "\n\n".join(
        f"Id={unit}\nActiveState={state}\nMainPID=0\nExecMainStartTimestampMonotonic={started}\n"
        f"ActiveEnterTimestampMonotonic={ready}\nStateChangeTimestampMonotonic={changed}"
        for unit, state, changed in (
            (AGENT, "active", reloaded),
            (FORWARDER, "active", ready),
            (ALLOCATOR, "inactive", ready),
        )
    )
    found = _stale("roles/program/files/preflight.py", tmp_path / "show", units, dict.fromkeys(files, age))
    assert found == stale


DROP_IN = UNITS / "bird.service.d/pierhead.conf"


@pytest.mark.parametrize(
    ("ages", "state", "loaded", "is_stale"),
    [
        pytest.param({DROP_IN: 400}, "active", [DROP_IN], False, id="before"),
        pytest.param({DROP_IN: 200}, "active", [DROP_IN], True, id="since"),
        pytest.param({DROP_IN: 200}, "inactive", [], False, id="it does not run"),
        pytest.param({}, "active", [UNITS / "bird.service.d/operator.conf", DROP_IN], True, id="it is gone"),
        pytest.param({}, "active", [], False, id="there was none"),
    ],
)
def test_a_drop_in_that_bird_has_not_read_is_found(
    tmp_path: Path, ages: Mapping[Path, int], state: str, loaded: Collection[Path], is_stale: bool
) -> None:
    """BIRD runs for 300 s; a site whose BIRD has its drop-in is not restarted."""
    unit = f"ActiveState={state}\nDropInPaths={' '.join(map(str, loaded))}\n"
    unit += f"ExecMainStartTimestampMonotonic={_microseconds(300)}"
    found = _stale("roles/bird/files/preflight.py", tmp_path / "show", unit, ages)
    assert found is is_stale


BEGINS = """
mkdir -p /opt/pierhead/versions/0.2
echo index >/opt/pierhead/versions/0.2/.installed
for begun in "$@"; do
  printf %s "$begun" >/opt/pierhead/.upgrade
  PATH= /usr/bin/python3 -I "$0"
  echo
done
"""
NONSENSE = ("", "{", "[]", "3", "null", "{}", '{"from": []}', '{"from": "0.1", "previous": "", "was_drained": true}')


def test_what_cannot_have_been_begun_is_not_gone_on_with() -> None:
    """A file of nonsense, or of a version that is there no more; the last one is right."""
    preflight = ROOT / "roles/program/files/preflight.py"
    told = run(
        ["unshare", "--mount", "sh", "-c", HOST_FOLDERS + BEGINS, preflight, *NONSENSE, BEGUN],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (told.returncode, told.stderr) == (0, "")
    found = [json.loads(line)["upgrade"] for line in told.stdout.splitlines()]
    assert found == [{}] * len(NONSENSE) + [json.loads(BEGUN)]


@pytest.mark.parametrize("role", ["agent", "forwarder", "allocator"])
def test_it_is_restarted_though_nothing_else_has_changed(role: str) -> None:
    """Each role notifies its own handler alone."""
    tasks = yaml.safe_load((ROOT / f"roles/{role}/tasks/run.yml").read_text())
    handlers = yaml.safe_load((ROOT / f"roles/{role}/handlers/main.yml").read_text())
    (task,) = (task for task in tasks if f"running['pierhead-{role}.service']" in task.get("when", ""))
    assert f"'pierhead-{role}.service' in pierhead_program_found.stale" in task["when"]
    (handler,) = (handler for handler in handlers if handler["name"] == task["notify"])
    unit = {"name": f"pierhead-{role}.service", "state": "restarted", "daemon_reload": True}
    assert handler["ansible.builtin.systemd_service"] == unit
