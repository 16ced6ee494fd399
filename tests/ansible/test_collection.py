"""The repository is a collection that can be built, installed and found by name."""

import json
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from appliance.cli.check import check
from tests.ansible.conftest import ROOT, Ansible
from tests.ansible.readme import role_names

PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))


@pytest.fixture(scope="module")
def installed(ansible: Ansible, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of collections into which the built archive was installed."""
    place = tmp_path_factory.mktemp("built")
    built = ansible("ansible-galaxy", "collection", "build", "--output-path", place, ROOT)
    assert built.returncode == 0, built.stderr
    (archive,) = place.glob("*.tar.gz")
    done = ansible(
        "ansible-galaxy", "collection", "install", "--offline", "--force", "--collections-path", place, archive
    )
    assert done.returncode == 0, done.stderr
    return place


def test_only_what_belongs_to_the_collection_is_packed(installed: Path) -> None:
    """Nobody installs the program's source, the tests or a virtual environment with the roles."""
    (archive,) = installed.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        top = {name.split("/")[0] for name in packed.getnames()}
    assert top == {
        "CHANGELOG.md", "FILES.json", "LICENSE", "MANIFEST.json", "README.md",
        "charts", "manifests", "meta", "playbooks", "requirements.lock", "roles",
    }  # fmt: skip


def test_playbooks_and_roles_are_found_by_their_full_names(installed: Path, ansible: Ansible) -> None:
    """`ansible-playbook pierhead.pierhead.site` works from anywhere; every playbook is well formed."""
    told = ansible(
        "ansible-playbook", "--syntax-check", "--inventory", ROOT / "playbooks/inventory.example",
        *(f"pierhead.pierhead.{name}" for name in PLAYBOOKS),
        more={"ANSIBLE_COLLECTIONS_PATH": str(installed)},
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == [word for name in PLAYBOOKS for word in ("playbook:", _path(installed, name))]


def _path(installed: Path, name: str) -> str:
    return str(installed / f"ansible_collections/pierhead/pierhead/playbooks/{name}.yml")


def test_collection_program_and_chart_have_one_version() -> None:
    """The roles install the version they were released with."""
    versions = {
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
        yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"],
        yaml.safe_load((ROOT / "charts/pierhead/Chart.yaml").read_text())["version"],
        yaml.safe_load((ROOT / "roles/program/defaults/main.yml").read_text())["pierhead_version"],
    }
    assert len(versions) == 1


def test_every_unit_has_its_role() -> None:
    """What systemd runs is installed by the role of its name."""
    units = {path.parent.parent.name: path.name for path in ROOT.glob("roles/*/files/*.service")}
    assert units == {name: f"pierhead-{name}.service" for name in ("agent", "allocator", "forwarder")}
    assert set(units) < set(role_names())


def test_the_site_of_the_example_is_one_without_problems(ansible: Ansible, tmp_path: Path) -> None:
    """Two racks, a router and a number each, become two sessions whose hosts are chosen by their rack."""
    shown = ansible(
        "ansible", "--inventory", ROOT / "playbooks/inventory.example", "admin",
        "--module-name=ansible.builtin.debug", "--args=var=pierhead_allocator_manifests",
    )  # fmt: skip
    objects = json.loads(shown.stdout.partition("=>")[2])["pierhead_allocator_manifests"]
    written = tmp_path / "site.yaml"
    written.write_text(yaml.safe_dump_all(objects))
    assert CliRunner().invoke(check, [str(written)]).output == "4 objects in 1 file: 0 problems, 0 warnings\n"
    peers = {each["spec"]["peerAddress"]: each["spec"]["peerASN"] for each in objects if each["kind"] == "BGPPeer"}
    assert peers == {"192.0.2.1": 64501, "192.0.2.2": 64502}


# Of `ansible-test sanity` what installs nothing; for the rest it fetches a script from a server of Ansible's.
SANITY = (
    "ansible-doc", "compile", "empty-init", "ignores", "line-endings", "no-illegal-filenames", "no-smart-quotes",
    "shebang", "symlinks", "use-argspec-type-path",
)  # fmt: skip


def test_what_ansible_test_says_of_the_collection(installed: Path, ansible: Ansible) -> None:
    """Its sanity tests pass where the collection was installed."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    told = ansible(
        "ansible-test", "sanity", "--python", here, *(word for name in SANITY for word in ("--test", name)),
        folder=installed / "ansible_collections/pierhead/pierhead",
    )  # fmt: skip
    ran = [name for name in SANITY if f'Running sanity test "{name}"' in told.stderr + told.stdout]
    assert (told.returncode, ran) == (0, list(SANITY)), told.stderr


def test_ansible_lint_has_nothing_to_say(ansible: Ansible) -> None:
    """Profile production."""
    told = ansible("ansible-lint", "--nocolor", "--offline")
    assert (told.returncode, told.stdout) == (0, "")
