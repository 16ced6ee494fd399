"""What `pierhead explain service` says where the chain breaks: each of the six links at least once."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from appliance.advertise.explain import ChainLink
from appliance.cli.main import main

HERE = Path(__file__).parent
CASES = sorted(HERE.glob("*.yaml"))
MARK = "# arguments: "


def explain(case: Path, folder: Path, *arguments: str) -> Result:
    """The command's outcome on a directory store that holds a case; its first line may name arguments."""
    text = case.read_text()
    first = text.splitlines()[0]
    written = first.removeprefix(MARK).split() if first.startswith(MARK) else []
    (folder / "site.yaml").write_text(text)
    command = ["explain", "service", "team/echo", "--store", f"directory:{folder}", *written, *arguments]
    return CliRunner().invoke(main, command, prog_name="pierhead")


@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
def test_explanation(case: Path, tmp_path: Path) -> None:
    """Every line is as reviewed."""
    outcome = explain(case, tmp_path)
    assert case.with_suffix(".txt").read_text() == outcome.output
    assert outcome.exit_code == int(case.stem != "whole")


@pytest.mark.parametrize("place", range(6), ids=[link.value for link in ChainLink])
def test_broken_link_is_named(place: int, tmp_path: Path) -> None:
    """Of each link there is a case in which it is the broken one, for programs too."""
    cases = [case for case in CASES if case.stem.startswith(f"{place + 1}-")]
    assert cases
    for case in cases:
        told = json.loads(explain(case, tmp_path, "--json").stdout)
        assert told["broken"] == list(ChainLink)[place].value
        assert next(link["link"] for link in told["links"] if link["state"] == "broken") == told["broken"]
