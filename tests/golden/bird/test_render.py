"""What BIRD reads."""

import shutil
import subprocess

import pytest

from appliance.bird.render import render
from tests.golden.bird.case import CASES, HERE, golden

BIRD = shutil.which("bird") or shutil.which("bird", path="/usr/sbin")


@pytest.mark.parametrize("name", CASES)
def test_text_is_as_reviewed(name: str) -> None:
    """The text of a configuration is the one kept beside this file."""
    assert golden(name).read_text() == render(CASES[name])


def test_every_kept_text_has_its_case() -> None:
    """No text is left over from a case that is gone."""
    assert set(CASES) == {kept.stem for kept in HERE.glob("*.conf")}


@pytest.mark.skipif(BIRD is None, reason="bird is not installed (Debian package bird2)")
@pytest.mark.parametrize("name", CASES)
def test_bird_accepts_text(name: str) -> None:
    """The installed BIRD finds no fault in the text."""
    checked = subprocess.run([str(BIRD), "-p", "-c", golden(name)], capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
