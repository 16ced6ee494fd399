"""`pierhead top`: what it asks of the terminal and of its file."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli import top
from appliance.cli.failure import Failure
from appliance.cli.main import main
from tui.preference import Preferences
from tui.theme import THEMES


@pytest.mark.parametrize(
    ("environment", "is_plain"),
    [
        ({"LANG": "en_GB.UTF-8"}, False),
        ({"LANG": "C.UTF-8"}, False),
        ({"LC_ALL": "C.utf8"}, False),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LC_CTYPE": "C.UTF-8"}, True),
        ({"LC_ALL": "POSIX", "LANG": "en_GB.UTF-8"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, True),
        ({}, True),
        ({"LANG": "en_GB.UTF-8", "TERM": "linux"}, True),
        ({"LANG": "en_GB.UTF-8", "TERM": "vt220"}, True),
        ({"LANG": "en_GB.UTF-8", "TERM": "tmux-256color"}, False),
    ],
)
def test_ascii_where_the_terminal_asks(environment: dict[str, str], is_plain: bool) -> None:
    """Consoles, and locales that are not UTF-8; what Python sets itself in the C locale says nothing."""
    assert top.wants_ascii(environment) is is_plain


def test_themes_are_those_of_the_dashboard() -> None:
    """The option offers what there is."""
    assert tuple(theme.name for theme in THEMES) == top.THEMES


def test_a_file_of_preferences(tmp_path: Path) -> None:
    """Theme, keys by the id of their binding, columns by table."""
    path = tmp_path / "top.yaml"
    path.write_text("theme: light\nkeys: {quit: 'ctrl+x'}\ncolumns: {vips: [Address, Owner]}\n")
    wanted = Preferences(theme="light", keys={"quit": "ctrl+x"}, columns={"vips": ("Address", "Owner")})
    assert top.read_preferences(path) == wanted


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("theme: drak\n", "theme: there is no name drak; did you mean dark"),
        ("keys: {quti: x}\n", "keys: there is no name quti; did you mean quit?"),
        ("columns: {vip: [Address]}\n", "columns: there is no name vip; did you mean vips?"),
        ("columns: {vips: [Adress]}\n", "columns.vips: there is no name Adress; did you mean Address?"),
        ("colour: dark\n", "colour"),
    ],
)
def test_a_mistake_in_the_file_is_a_failure(text: str, sentence: str, tmp_path: Path) -> None:
    """The file and the field are named, and what was probably meant."""
    path = tmp_path / "top.yaml"
    path.write_text(text)
    with pytest.raises(Failure) as caught:
        top.read_preferences(path)
    assert str(path) in caught.value.message
    assert sentence in caught.value.message


def test_without_a_terminal_the_other_commands_are_named(tmp_path: Path) -> None:
    """A pipe cannot show it."""
    done = CliRunner().invoke(main, ["top", "--store", f"directory:{tmp_path}"])
    assert (done.exit_code, "vips" in done.stderr) == (2, True)
