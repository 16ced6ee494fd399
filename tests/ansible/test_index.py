"""What the role program installs: from an index what the lock names, by its hashes, and what a wheelhouse has."""

import hashlib
import json
import os
import platform
import re
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from tests.ansible.conftest import HOST_FOLDERS, Ansible

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a mount namespace needs root")

VERSION = "7.0"
MAIN = f"def main():\n    print('pierhead, version {VERSION}')\n"
Install = Callable[..., tuple[bool, str, str]]


def wheel(folder: Path, name: str, version: str, *, needs: str = "", text: str = "") -> Path:
    """Write a wheel of one module, with its command, and its page in an index."""
    place = folder / "simple" / name
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": text,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{each},,\n" for each in (*files, f"{about}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in files.items():
            archive.writestr(each, content)
    links = "".join(f'<a href="{each.name}">{each.name}</a>\n' for each in sorted(place.glob("*.whl")))
    (place / "index.html").write_text(links)
    return path


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """An index that has two versions of the one dependency, and the lock that names the older."""
    wheel(tmp_path, "dependency", "2.0")
    digest = hashlib.sha256(wheel(tmp_path, "dependency", "1.0").read_bytes()).hexdigest()
    (tmp_path / "requirements.lock").write_text(f"dependency==1.0 \\\n    --hash=sha256:{digest}\n")
    wheel(tmp_path, "pierhead", VERSION, needs="dependency>=1.0", text=MAIN)
    return tmp_path


@pytest.fixture
def install(ansible: Ansible, index: Path) -> Iterator[Install]:
    """Has the role install a version on a host: whether it is whole, what is installed beside pip, and the output.

    Root's umask is a hardened host's; what others may not read of the version is in `unreadable`, beside the index.
    """
    handler = partial(SimpleHTTPRequestHandler, directory=str(index))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()

    def call(install_from: str = "index") -> tuple[bool, str, str]:
        role = {"name": "pierhead.pierhead.program", "public": True}
        tasks = [{"ansible.builtin.include_role": {**role, "tasks_from": each}} for each in ("preflight", "version")]
        play = {"hosts": "localhost", "connection": "local", "gather_subset": ["min"], "tasks": tasks}
        (index / "play.yml").write_text(yaml.safe_dump([play]))
        variables = {
            "pierhead_version": VERSION,
            "pierhead_install_from": install_from,
            "pierhead_wheelhouse": str(index),
            "pierhead_index_url": f"http://somebody:s3cret@127.0.0.1:{server.server_port}/simple",
            "pierhead_untested_distribution": True,
            "pierhead_program_lock": str(index / "requirements.lock"),
        }
        script = (
            f'{HOST_FOLDERS}mkdir -p /opt/pierhead/versions\numask 077\n"$@" || status=$?\n'
            f"cd /opt/pierhead/versions/{VERSION}\nfind . -name '*.dist-info' -o -name .installed >{index}/found\n"
            f"find . ! -type l ! -perm -o=r -o -type d ! -perm -o=x >{index}/unreadable\n"
        )
        told = ansible(
            "ansible-playbook", "-vv", index / "play.yml", f"--extra-vars={json.dumps(variables)}",
            prefix=("unshare", "--mount", "sh", "-c", script + "exit $status", "host"),
            more={"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "NO_PROXY": "127.0.0.1"},
        )  # fmt: skip
        found = (index / "found").read_text()
        wheels = sorted(re.findall(r"(dependency-[\d.]+|pierhead-[\d.]+)\.dist-info", found))
        whole = told.returncode == 0 and ".installed" in found
        return whole, " ".join(wheels), told.stdout + told.stderr

    yield call
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_wheelhouse_needs_no_index(install: Install, index: Path) -> None:
    """Its archive brings everything, pip too; whoever is not root may read what is installed."""
    wheels = sorted(index.glob("simple/*/*-*.0-py3-none-any.whl"))
    lines = ""
    for path in wheels:
        name, version = path.name.split("-")[:2]
        if (name, version) != ("dependency", "1.0"):
            lines += f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
    (index / "requirements.txt").write_text(lines)
    with zipfile.ZipFile(index / "pip.whl", "w") as archive:
        pip = Path(str(metadata.distribution("pip").locate_file("pip")))
        for path in pip.rglob("*"):
            archive.write(path, path.relative_to(pip.parent))
    release = f"pierhead-{VERSION}-py{sys.version_info[0]}.{sys.version_info[1]}-{platform.machine()}.tar"
    with tarfile.open(index / release, "w") as packed:
        for path in (*wheels, index / "pip.whl", index / "requirements.txt"):
            packed.add(path, f"wheels/{path.name}")
    (index / f"{release}.sha256").write_text(hashlib.sha256((index / release).read_bytes()).hexdigest())
    whole, found, output = install("wheelhouse")
    assert (whole, found) == (True, f"dependency-2.0 pierhead-{VERSION}"), output
    assert (index / "unreadable").read_text() == ""


def test_dependencies_are_those_of_the_lock(install: Install, index: Path) -> None:
    """Though the index has a newer one that the program would take as well; no password is in the output.

    Whoever is not root may read what is installed.
    """
    whole, wheels, output = install()
    assert (whole, wheels, "s3cret" in output) == (True, f"dependency-1.0 pierhead-{VERSION}", False), output
    assert (index / "unreadable").read_text() == ""


def test_a_dependency_with_other_contents_is_refused(install: Install, index: Path) -> None:
    """Somebody changed what the index has; the program is not installed after it."""
    wheel(index, "dependency", "1.0", text="print('not what was locked')\n")
    whole, wheels, output = install()
    assert (whole, wheels, "DO NOT MATCH THE HASHES" in output, "s3cret" in output) == (False, "", True, False), output


def test_a_version_that_the_lock_does_not_fit_is_refused(install: Install, index: Path) -> None:
    """A newer program than the collection asks for more: it is said, and the version is not whole."""
    wheel(index, "pierhead", VERSION, needs="dependency>=2.0", text=MAIN)
    whole, _, output = install()
    sentence = f"pierhead {VERSION} has requirement dependency>=2.0, but you have dependency 1.0"
    assert (whole, sentence in output, "Install the collection of that version" in output) == (False, True, True), (
        output
    )
