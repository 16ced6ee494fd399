"""What roles say of their variables is true, and is what the programs take."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Template

from appliance.agent import program as agent_program
from appliance.daemon.settings import settings_schema
from appliance.forwarder import program as forwarder_program
from tests.ansible.conftest import Ansible
from tests.ansible.readme import ROLES, readme, role_names, specification

# Fixed by the units, which give the programs these folders.
_FIXED = {"runDirectory", "cacheDirectory"}
# A setting whose variable is not pierhead_agent_ and its name, for other roles need it as well.
_SHARED = {
    "store": "pierhead_store",
    "forwarder": "pierhead_forwarder_enabled",
    "forwarderMetrics": "pierhead_forwarder_metrics",
    "bird.socket": "pierhead_bird_socket",
    "bird.config": "pierhead_bird_config",
    "bird.main": "pierhead_bird_main",
    "bird.bfd": "pierhead_bird_bfd",
}
# BIRD's programs are found as the service finds them.
_FIXED |= {"bird.bird", "bird.birdcl"}
_TYPES = {"string": {"str", "path"}, "integer": {"int"}, "boolean": {"bool"}, "array": {"list"}, "object": {"dict"}}


def _yaml(role: str, path: str) -> Any:
    file = ROLES / role / path
    return (yaml.safe_load(file.read_text()) or {}) if file.exists() else {}


def _settings() -> dict[str, dict[str, Any]]:
    """The settings of a host with their schemas, nested ones by their path."""
    schema = json.loads(settings_schema())
    found: dict[str, dict[str, Any]] = {}
    for name, property_ in schema["properties"].items():
        if "$ref" in property_:
            inner = schema["$defs"][property_["$ref"].rpartition("/")[2]]["properties"]
            found |= {f"{name}.{each}": nested for each, nested in inner.items()}
        else:
            found[name] = property_
    return {name: property_ for name, property_ in found.items() if name not in _FIXED}


def _variable(setting: str) -> str:
    snake = re.sub(r"([A-Z])", r"_\1", setting.replace(".", "_")).lower()
    return _SHARED.get(setting, f"pierhead_agent_{snake}")


@pytest.mark.parametrize("setting", _settings())
def test_every_setting_of_a_host_has_a_variable_of_its_type(setting: str) -> None:
    """What the agent can be told can be said in an inventory, with the same default."""
    schema, option = _settings()[setting], specification("agent")["options"][_variable(setting)]
    kinds = {each["type"] for each in schema.get("anyOf", [schema])}
    assert option["type"] in set().union(*(_TYPES.get(kind, set()) for kind in kinds))
    default = schema.get("default")
    assert option.get("default") in ((default,) if default else (default, "", [], {}))
    assert _variable(setting) in (ROLES / "agent/templates/agent.yaml.j2").read_text()


def test_the_template_writes_no_field_that_the_agent_does_not_know() -> None:
    """Each field of the file is one of the schema's."""
    text = (ROLES / "agent/templates/agent.yaml.j2").read_text()
    written = set(re.findall(r"^ *(\w+):", text, re.MULTILINE))
    assert written == {part for name in _settings() for part in name.split(".")}


def test_roles_know_what_a_reload_brings_into_force() -> None:
    """A field that a program takes while it runs, or that is not its own, costs no restart."""
    for role, program in (("agent", agent_program), ("forwarder", forwarder_program)):
        fields = program._APPLIED | program._FOREIGN
        assert set(_yaml(role, "vars/main.yml")[f"pierhead_{role}_live_fields"]) == {_camel(name) for name in fields}


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), name)


@pytest.mark.parametrize("role", role_names())
def test_defaults_are_those_that_are_told(role: str) -> None:
    """argument_specs.yml, from which the README is made, and defaults/main.yml say the same."""
    told: dict[str, dict[str, Any]] = specification(role)["options"]
    defaults = _yaml(role, "defaults/main.yml")
    assert {name: option["default"] for name, option in told.items() if "default" in option} == {
        name: default for name, default in defaults.items() if "default" in told[name]
    }
    assert all(option.get("required") or name.startswith("pierhead_") for name, option in told.items())


def test_a_variable_that_roles_share_has_one_type_and_one_default() -> None:
    """What is said once for a site means the same to each role."""
    seen: dict[str, set[tuple[str, str]]] = {}
    for role in role_names():
        for name, option in specification(role)["options"].items():
            seen.setdefault(name, set()).add((option["type"], json.dumps(option.get("default"))))
    assert {name: kinds for name, kinds in seen.items() if len(kinds) > 1} == {}


@pytest.mark.parametrize("role", role_names())
def test_a_role_uses_the_variables_it_names_and_no_others(role: str) -> None:
    """Nothing is set in vain, and nothing has to be known that is not told."""
    texts = [path.read_text() for path in (ROLES / role).rglob("*") if path.is_file() and path.name != "README.md"]
    uses = [text for text in texts if "argument_specs:" not in text]
    told = set(specification(role)["options"])
    assert {name for name in told if not any(_is_used(name, text) for text in uses)} == set()


def _is_used(name: str, text: str) -> bool:
    return any(re.search(rf"\b{name}\b", line) and not line.startswith(f"{name}:") for line in text.splitlines())


@pytest.mark.parametrize("role", role_names())
def test_readme_is_what_is_generated(role: str) -> None:
    """`make roles` was run after the last change."""
    assert (ROLES / role / "README.md").read_text() == readme(role)


def test_a_choice_of_two_may_be_said_on_the_command_line() -> None:
    """`-e pierhead_forwarder_enabled=false` is a text, which Ansible takes for no condition."""
    told = {name: option for role in role_names() for name, option in specification(role)["options"].items()}
    choices = "|".join(name for name, option in told.items() if option["type"] == "bool")
    # Not the end of a name, the key of a default, or what a message tells to set.
    bare = re.compile(rf"\b({choices})\b(?![=:])(?! is defined)(?!(?: \| default\([^)]*\))? \| bool\b)")
    files = [
        *ROLES.glob("*/tasks/*.yml"), *ROLES.glob("*/handlers/*.yml"), *ROLES.glob("*/vars/*.yml"),
        *ROLES.glob("*/templates/*"), *(ROLES.parent / "playbooks").glob("*.yml"),
    ]  # fmt: skip
    found = {str(path.relative_to(ROLES.parent)): bare.findall(path.read_text()) for path in files}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize("role", role_names())
def test_a_role_that_fails_brings_into_force_what_it_has_written(role: str) -> None:
    """Handlers run then too (`force_handlers`), without what its last tasks would have found; nothing would later."""
    registered = {str(task["register"]) for task in _tasks(_yaml(role, "tasks/run.yml") or []) if "register" in task}
    handlers = (ROLES / role / "handlers/main.yml").read_text() if (ROLES / role / "handlers").exists() else ""
    assert {name for name in registered if name in handlers} == set()
    restarts = [
        handler["ansible.builtin.systemd_service"]
        for handler in _yaml(role, "handlers/main.yml") or []
        if handler.get("ansible.builtin.systemd_service", {}).get("state") == "restarted"
    ]
    assert [restart["name"] for restart in restarts if not restart.get("daemon_reload")] == []


def test_what_is_secret_is_shown_nowhere() -> None:
    """Each task that carries a credential or a password is marked, so that neither log nor diff has it."""
    for path, name in (
        ("roles/cluster/tasks/credentials.yml", "Each to its host"),
        ("roles/allocator/tasks/configure.yml", "The site's secrets"),
    ):
        task = _task(path, name)
        assert (task["no_log"], task["diff"]) == (True, False)
        assert next(module["mode"] for key, module in task.items() if key.startswith("ansible.builtin.")) == "0600"
    # The connection shows what `fetch` brings with -vvv, unless it is told not to.
    assert _task("playbooks/backup.yml", "To the control machine").get("no_log") is True


@pytest.mark.parametrize(("password", "is_taken"), [("czNjcmV0LXBhc3N3b3Jk", True), ("s3cret-password", False)])
def test_secrets_are_checked_and_told_to_nobody(
    ansible: Ansible, tmp_path: Path, password: str, is_taken: bool
) -> None:
    """A Secret that no host can use replaces none that they use."""
    text = (ROLES / "allocator/tasks/configure.yml").read_text()
    text = text.replace("/opt/pierhead/current/bin/pierhead", str(Path(sys.executable).parent / "pierhead"))
    text = re.sub(r"(owner|group): pierhead", r"\1: root", text)
    text = text.replace("manifests.yaml.j2", str(ROLES / "allocator/templates/manifests.yaml.j2"))
    tasks = [task for task in yaml.safe_load(text) if task["name"] == "Secrets"]
    variables = {
        "pierhead_allocator_folder": str(tmp_path),
        "pierhead_allocator_secrets": [
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "router", "namespace": "metallb-system"},
                "data": {"password": password},
            }
        ],
    }
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": variables, "tasks": tasks}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    told = ansible("ansible-playbook", "-vvv", "--diff", tmp_path / "play.yml")
    written = tmp_path / "ansible-secrets.yaml"
    assert (told.returncode == 0, written.exists()) == (is_taken, is_taken), told.stdout
    assert password not in told.stdout + told.stderr
    assert ("pierhead_allocator_secrets were not written" in told.stdout + told.stderr) is not is_taken
    assert not is_taken or written.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("network", "is_taken"), [("10.96.0.0/12", True), ("10.96.0.0/33", False)])
def test_options_are_checked_before_they_are_written(
    ansible: Ansible, tmp_path: Path, network: str, is_taken: bool
) -> None:
    """An allocator that runs is not restarted with options it would refuse."""
    text = (ROLES / "allocator/tasks/configure.yml").read_text()
    text = text.replace("/opt/pierhead/current/bin/pierhead", str(Path(sys.executable).parent / "pierhead"))
    first, *later = yaml.safe_load(text)
    assert "Options" in [task["name"] for task in later]
    first["vars"] = {
        "pierhead_store": f"directory:{tmp_path}",
        "pierhead_allocator_metrics": ":7472",
        "pierhead_allocator_service_networks": [network],
    }
    files = [str(ROLES / f"allocator/{kind}/main.yml") for kind in ("defaults", "vars")]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars_files": files, "tasks": [first]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    told = ansible("ansible-playbook", tmp_path / "play.yml")
    assert (told.returncode == 0, f"--service-network: '{network}'" in told.stdout + told.stderr) == (
        is_taken,
        not is_taken,
    ), told.stdout


@pytest.mark.parametrize("settings", ["a: [b", "- store", "nonsense", "store: directory:/other"])
def test_whatever_the_settings_were_what_runs_has_the_new_ones(ansible: Ansible, tmp_path: Path, settings: str) -> None:
    """Where somebody broke agent.yaml, as where a field changed that no reload brings into force."""
    text = (ROLES / "agent/tasks/configure.yml").read_text()
    text = text.replace("agent.yaml.j2", str(ROLES / "agent/templates/agent.yaml.j2"))
    (task,) = (each for each in yaml.safe_load(text) if "pierhead_agent_changed_fields" in str(each))
    handlers = [{"name": "Restart pierhead-agent", "ansible.builtin.debug": {"msg": "the agent restarts"}}]
    forwarder = _yaml("forwarder", "tasks/configure.yml")[-1]
    handlers += [{"name": forwarder["notify"], "ansible.builtin.debug": {"msg": "the forwarder restarts"}}]
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(ROLES / each) for each in ("agent/defaults/main.yml", "forwarder/vars/main.yml")],
        "tasks": [task, forwarder],
        "handlers": handlers,
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    found = json.dumps(_yaml("agent", "vars/main.yml") | {"pierhead_agent_found": {"settings": settings}})
    told = ansible("ansible-playbook", tmp_path / "play.yml", f"--extra-vars={found}")
    restarted = [name for name in ("agent", "forwarder") if f"the {name} restarts" in told.stdout]
    assert (told.returncode, restarted) == (0, ["agent", "forwarder"]), told.stdout


@pytest.mark.parametrize(
    ("main", "owner", "hosts_at_a_time"),
    [
        ("", "absent", 0),
        ("", "package", 0),
        ("", "pierhead", 1),
        ("", "operator", 1),
        ("/etc/bird/bird.conf", "absent", 1),
        ("/etc/bird/bird.conf", "pierhead", 1),
    ],
)
def test_birds_that_announce_something_are_restarted_one_after_the_other(
    main: str, owner: str, hosts_at_a_time: int
) -> None:
    """An operator's own does so before the agent has written its part; 0 is no limit."""
    (handler,) = (each for each in _yaml("bird", "handlers/main.yml") if each["name"] == "Restart BIRD")
    found = {"pierhead_bird_main": main, "pierhead_bird_found": {"owner": owner}}
    assert Template(handler["throttle"]).render(found) == str(hosts_at_a_time)


def test_a_unit_starts_without_its_folder() -> None:
    """A site's folder comes over the network: without "-" systemd starts no unit while one of its paths is missing."""
    files = [*ROLES.glob("*/templates/*.conf.j2"), *ROLES.glob("*/files/*.service")]
    paths = [path for file in files for path in re.findall(r"^ReadWritePaths=(.*)$", file.read_text(), re.MULTILINE)]
    words = [word for path in paths for word in re.sub(r"\{\{.*?\}\}", "PATH", path).split()]
    assert words
    assert [word for word in words if not word.startswith("-")] == []


def test_credentials_are_made_for_the_hosts_of_a_batch(ansible: Ansible, tmp_path: Path) -> None:
    """`pierhead_serial`: those of the batch before have theirs."""
    task = _task("roles/cluster/tasks/credentials.yml", "Hosts of this batch that are to get a credential")
    wants = {"pierhead_cluster_wants": True, "pierhead_cluster_name": "{{ inventory_hostname }}"}
    said = "{{ inventory_hostname }} is with {{ pierhead_cluster_without | join(' and ') }}."
    play = {
        "hosts": "all",
        "connection": "local",
        "gather_facts": False,
        "serial": [1, 2],
        "tasks": [{"ansible.builtin.set_fact": wants}, task, {"ansible.builtin.debug": {"msg": said}}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    told = ansible("ansible-playbook", "--inventory=a,b,c", tmp_path / "play.yml")
    assert re.findall(r"\w is with .*?\.", told.stdout) == ["a is with a.", "b is with b and c.", "c is with b and c."]


def test_no_environment_is_given_to_a_task() -> None:
    """With `become` it would stand in sudo's log and in the list of processes, passwords included."""
    files = [path for folder in ("roles", "playbooks") for path in (ROLES.parent / folder).rglob("*.yml")]
    assert [path for path in files if re.search(r"^ *environment:", path.read_text(), re.MULTILINE)] == []


def _task(path: str, name: str) -> dict[str, Any]:
    """A task of a file by its name."""
    read = yaml.safe_load((ROLES.parent / path).read_text())
    tasks = [task for each in read for task in (each["tasks"] if "hosts" in each else [each])]
    (found,) = (task for task in _tasks(tasks) if task["name"] == name)
    return found


def _tasks(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for task in tasks:
        found += [task, *_tasks(task.get("block", [])), *_tasks(task.get("always", []))]
    return found


@pytest.mark.parametrize("role", role_names())
def test_words_of_a_command_are_words(role: str) -> None:
    """YAML takes `--option=:all:` for a mapping, which a command would be given as it is written in Python."""
    tasks = [
        task for path in (ROLES / role / "tasks").glob("*.yml") for task in _tasks(yaml.safe_load(path.read_text()))
    ]
    argvs = [
        task["ansible.builtin.command"]["argv"] for task in tasks if "argv" in task.get("ansible.builtin.command", ())
    ]
    assert [word for argv in argvs if isinstance(argv, list) for word in argv if not isinstance(word, str)] == []


def test_the_manual_names_every_playbook_and_role() -> None:
    """docs/ansible.md leaves nothing out."""
    text = (ROLES.parent / "docs/ansible.md").read_text()
    names = [path.stem for path in (ROLES.parent / "playbooks").glob("*.yml")] + role_names()
    assert {name for name in names if not re.search(rf"\b{name}\b", text)} == set()


@pytest.mark.parametrize("role", [role for role in role_names() if role != "cluster"])
def test_the_scenario_alternative_sets_every_variable_to_another_value(role: str) -> None:
    """What nobody ever set on a machine that boots nobody knows to work; the scenario cluster has that role's."""
    files = (".config/molecule/config.yml", "molecule/alternative/molecule.yml")
    inventories = [yaml.safe_load((ROLES.parent / file).read_text())["provisioner"]["inventory"] for file in files]
    groups = [
        group for each in inventories for kind in ("group_vars", "host_vars") for group in each.get(kind, {}).values()
    ]
    unchanged = {
        name
        for name, option in specification(role)["options"].items()
        if not any(name in group and group[name] != option.get("default") for group in groups)
    }
    assert unchanged == set()
