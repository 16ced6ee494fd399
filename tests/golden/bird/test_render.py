"""What BIRD reads."""

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.bird.model import Part
from appliance.bird.render import render
from tests.golden.bird.case import CASES, HERE, PART, golden

BIRD = shutil.which("bird") or shutil.which("bird", path="/usr/sbin")


@pytest.mark.parametrize("name", CASES)
def test_text_is_as_reviewed(name: str) -> None:
    """The text of a configuration is the one kept beside this file."""
    assert golden(name).read_text() == render(CASES[name])


def test_every_kept_text_has_its_case() -> None:
    """No text is left over from a case that is gone."""
    assert {*CASES, "part"} == {kept.stem for kept in HERE.glob("*.conf")}


@pytest.mark.skipif(BIRD is None, reason="bird is not installed (Debian package bird2)")
@pytest.mark.parametrize("name", CASES)
def test_bird_accepts_text(name: str) -> None:
    """The installed BIRD finds no fault in the text."""
    checked = subprocess.run([str(BIRD), "-p", "-c", golden(name)], capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


OPERATOR = """
log stderr all;
router id 192.168.1.99;
protocol device {{ }}
protocol kernel {{ ipv4 {{ export all; }}; }}
{bfd}
include "{part}";
"""
OWN_BFD = 'protocol bfd { interface "*" { min rx interval 300 ms; }; }'


def test_a_part_is_as_reviewed() -> None:
    """Logs, router ID and devices are an operator's; so is BFD, where that is asked for."""
    assert golden("part").read_text() == render(PART, Part())
    assert "protocol bfd" not in render(PART, Part(has_bfd=False))


@pytest.mark.skipif(BIRD is None, reason="bird is not installed (Debian package bird2)")
@pytest.mark.parametrize(("part", "bfd"), [(Part(), ""), (Part(has_bfd=False), OWN_BFD)])
def test_bird_accepts_a_part(tmp_path: Path, part: Part, bfd: str) -> None:
    """An operator's configuration that includes it has nothing twice, and all that it needs."""
    (tmp_path / "pierhead.conf").write_text(render(PART, part))
    main = tmp_path / "bird.conf"
    main.write_text(OPERATOR.format(bfd=bfd, part=tmp_path / "pierhead.conf"))
    checked = subprocess.run([str(BIRD), "-p", "-c", main], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
