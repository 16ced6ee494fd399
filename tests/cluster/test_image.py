"""The image's steps, followed in folders: without a container engine, layers and the real base are not looked at."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.cluster.chart import CHART, ROOT, template
from tests.cluster.image import CONTAINERFILE, Stage, follow, instructions


def run(image: Stage, *arguments: str, read_only: bool = True) -> subprocess.CompletedProcess[str]:
    """The image's entry point with arguments, as the chart runs it: as its user, on a root that cannot be written."""
    (entrypoint,) = json.loads(image.entrypoint)
    return image.run(" ".join((entrypoint, *arguments)), read_only=read_only)


def test_the_allocator_runs_as_nobody_on_a_root_it_cannot_write(image: Stage) -> None:
    """Help, version and a failure that is not about files."""
    assert "Hand out addresses to Services" in run(image, "allocator", "--help").stdout
    assert run(image, "--version").stdout == "pierhead 0.1.0\n"
    answer = run(image, "allocator", "--store=nowhere:")
    assert (answer.returncode, "nowhere" in answer.stderr) == (2, True)
    written = image.run("id -u; touch /tmp/x /opt/pierhead/x", read_only=True)
    assert (written.stdout, written.returncode != 0) == ("65532\n", True)
    assert "Read-only file system" in written.stderr


def test_what_is_installed_is_what_the_lock_says(image: Stage) -> None:
    """Every package of the lock for this platform in its version, Pierhead, and nothing else: no pip, no build tool."""
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {line.split(" \\")[0] for line in lock if "==" in line and "win32" not in line}
    listing = "import importlib.metadata as m; print(*(f'{d.name.lower()}=={d.version}' for d in m.distributions()))"
    answer = image.run(f'python -c "{listing}"', read_only=True)
    found = {text.replace("_", "-").replace(".", "-", text.split("==")[0].count(".")) for text in answer.stdout.split()}
    assert found == locked | {"pierhead==0.1.0"}


def test_nothing_of_the_build_stage_but_the_environment_is_copied() -> None:
    """The last stage runs nothing, so no compiler, cache or lock file comes into it."""
    found = instructions(CONTAINERFILE.read_text())
    last = found[max(number for number, (word, _) in enumerate(found) if word == "FROM") :]
    assert {word for word, _ in last} == {"FROM", "ARG", "LABEL", "COPY", "ENV", "USER", "ENTRYPOINT", "CMD"}
    assert [rest for word, rest in last if word == "COPY"] == ["--from=build /opt/pierhead /opt/pierhead"]


def test_two_builds_are_the_same_files(image: Stage, tmp_path: Path) -> None:
    """Wheel and bytecode have no time and no path of the builder in them."""
    first, second = (
        {
            str(path.relative_to(stage.root)): path.read_bytes()
            for path in sorted((stage.root / "opt/pierhead").rglob("*"))
            if path.is_file() and not path.is_symlink()
        }
        for stage in (image, follow(tmp_path))
    )
    assert [name for name in first | second if first.get(name) != second.get(name)] == []


def test_labels_say_what_it_is(image: Stage) -> None:
    """The labels of the image format, with the version of the package."""
    assert image.labels["org.opencontainers.image.version"] == "0.1.0"
    assert image.labels["org.opencontainers.image.licenses"] == "Apache-2.0"


@pytest.mark.usefixtures("helm_program")
def test_the_chart_runs_it_as_the_image_wants_to_be_run(image: Stage) -> None:
    """User and group of the Pod are the image's own."""
    spec = next(manifest for manifest in template() if manifest["kind"] == "Deployment")["spec"]["template"]["spec"]
    context = spec["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == image.user
    assert spec["containers"][0]["image"] == "pierhead:0.1.0"
    assert "command" not in spec["containers"][0], CHART
