"""The table of commands."""

import subprocess
import sys
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner

from appliance.cli.lazy import LazyCommand, LazyGroup
from appliance.cli.main import ENTRIES, main

HEAVY = {"aiohttp", "pydantic", "pyroute2", "structlog", "rich", "yaml"}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_has_a_line_for_every_command(arguments: list[str]) -> None:
    """`pierhead` alone is a question, not a mistake."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    assert [name for name in ENTRIES if f"\n  {name} " not in result.output] == []


def test_help_imports_nothing_heavy() -> None:
    """Help appears at once on a slow machine."""
    script = (
        "import sys, click.testing as t, appliance.cli.main as m; t.CliRunner().invoke(m.main); print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) & HEAVY == set()


def test_version() -> None:
    """The version is the distribution's."""
    assert CliRunner().invoke(main, ["--version"], prog_name="pierhead").output == f"pierhead {version('pierhead')}\n"


def test_an_unknown_command_is_wrong_usage() -> None:
    """A typo is named with what is nearly the same, and ends with 2."""
    result = CliRunner().invoke(main, ["stauts"])
    assert (result.exit_code, "No such command 'stauts'; did you mean status?" in result.output) == (2, True)
    result = CliRunner().invoke(main, ["explain", "servcie"])
    assert (result.exit_code, "did you mean service?" in result.output) == (2, True)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("appliance.cli.nowhere:command", "is not part of this installation"),
        ("appliance.nowhere.command:command", "is not part of this installation"),
        ("appliance.cli.main:ENTRIES", "is not a command"),
    ],
)
def test_a_missing_command_is_told(place: str, sentence: str) -> None:
    """A program left out of an installation gives a sentence, not a traceback."""
    group = LazyGroup("pierhead", entries={"odd": LazyCommand(place, "Odd.")})
    result = CliRunner().invoke(group, ["odd"])
    assert (result.exit_code, sentence in result.output) == (2, True)


def test_a_command_is_imported_when_used() -> None:
    """The object an entry names is the command that runs."""
    group = LazyGroup("pierhead", entries={"status": LazyCommand("appliance.cli.status:status", "Status.")})
    command = group.get_command(click.Context(group), "status")
    assert command is not None
    assert command.name == "status"
