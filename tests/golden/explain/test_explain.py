"""What `pierhead explain service` says: each reason a store can show, with the whole text and what to do."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from appliance.cli.main import main
from appliance.overview.chain import ChainLink

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*.yaml"))
ARGUMENTS, WITHOUT = "# arguments: ", "# without "


def manifests(text: str) -> dict[tuple[str, str], object]:
    """The objects of a text by kind and name."""
    loaded = [each for each in yaml.safe_load_all(text) if each]
    return {(each["kind"], _path(each["metadata"])): each for each in loaded}


def _path(metadata: dict[str, str]) -> str:
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))


def explain(case: Path, folder: Path, *arguments: str) -> Result:
    """The command's outcome on a directory store that holds a case; its first lines may name what is otherwise."""
    text = case.read_text()
    site = manifests((HERE / "whole.yaml").read_text()) | manifests(text)
    written: list[str] = []
    for line in text.splitlines():
        if line.startswith(ARGUMENTS):
            written = line.removeprefix(ARGUMENTS).split()
        elif line.startswith(WITHOUT):
            kind, path = line.removeprefix(WITHOUT).split()
            del site[kind, path]
    (folder / "site.yaml").write_text(yaml.safe_dump_all(site.values()))
    command = ["explain", "service", "team/echo", "--store", f"directory:{folder}", *written, *arguments]
    return CliRunner().invoke(main, command, prog_name="pierhead")


@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
def test_explanation(case: Path, tmp_path: Path) -> None:
    """Every line is as reviewed."""
    outcome = explain(case, tmp_path)
    assert case.with_suffix(".txt").read_text() == outcome.output.replace(str(tmp_path), "")
    assert outcome.exit_code == int(not case.stem.startswith("whole"))


@pytest.mark.parametrize("place", range(8), ids=[link.value for link in list(ChainLink)[:8]])
def test_broken_link_is_named(place: int, tmp_path: Path) -> None:
    """Of each link there is a case in which it is the broken one, for programs too."""
    cases = [case for case in CASES if case.stem.startswith(f"{place + 1}-")]
    assert cases
    for case in cases:
        told = json.loads(explain(case, tmp_path, "--json").stdout)
        assert told["broken"] == list(ChainLink)[place].value
        assert next(link["link"] for link in told["links"] if link["state"] == "broken") == told["broken"]
        assert told["advice"]
