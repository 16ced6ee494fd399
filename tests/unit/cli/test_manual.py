"""The manual pages and the reference."""

import shutil
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from appliance.cli.main import main
from appliance.cli.manual import pages_of, reference, roff

REFERENCE = Path(__file__).parents[3] / "docs/commands.md"


@click.group()
def tool() -> None:
    """Do things."""


@tool.command(epilog="\b\ntool turn -q\n  .odd\\line")
@click.argument("thing")
@click.option("--quick", "-q", is_flag=True, help="Do it at once.")
@click.option("--store", metavar="URL", envvar="TOOL_STORE", default="x", show_default=True, help="Where.")
@click.option("--secret", hidden=True)
def turn(thing: str, quick: bool, store: str, secret: str) -> None:
    """Turn a THING.

    'Twice' is
    one line.

    \b
    kept
      as it is
    """


PAGE = """\
.TH TOOL\\-TURN 1 "" "pierhead VERSION" "Pierhead"
.SH NAME
tool\\-turn \\- Turn a THING
.SH SYNOPSIS
.B tool turn [OPTIONS] THING
.SH DESCRIPTION
.PP
Turn a THING.
.PP
\\&'Twice' is one line.
.PP
.nf
kept
  as it is
.fi
.SH OPTIONS
.TP
.B \\-\\-quick, \\-q
Do it at once.
.TP
.B \\-\\-store URL
Where; by default x.
.SH EXAMPLES
.PP
.nf
tool turn \\-q
  .odd\\eline
.fi
"""


def test_a_page() -> None:
    """Each part of a command in its section, with nothing that roff would take for its own."""
    pages = tuple(pages_of(tool, "tool"))
    head, _, rest = roff(pages[1], pages).partition(".SH EXIT STATUS\n")
    first, _, others = head.partition('"pierhead ')
    assert f'{first}"pierhead VERSION"{others.partition(chr(34))[2]}' == PAGE
    assert ".B TOOL_STORE\nthe same as \\-\\-store\n" in rest
    assert rest.endswith(".SH SEE ALSO\n\\fBtool\\fR(1)\n")


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_roff_understands_every_page(tmp_path: Path) -> None:
    """Without a warning."""
    assert CliRunner().invoke(main, ["man", "--folder", str(tmp_path)]).exit_code == 0
    pages = sorted(tmp_path.iterdir())
    run = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-z", *pages], capture_output=True, text=True, check=True, timeout=120
    )
    assert (len(pages) > 20, run.stderr) == (True, "")


def test_one_page_is_printed() -> None:
    """By the command's name; a name that is none is a failure."""
    printed = CliRunner().invoke(main, ["man", "explain", "service"])
    assert (printed.exit_code, printed.output.startswith(".TH PIERHEAD\\-EXPLAIN\\-SERVICE 1")) == (0, True)
    assert CliRunner().invoke(main, ["man", "nothing"]).exit_code == 2


def test_the_reference_is_fresh() -> None:
    """docs/commands.md says what the commands say: `make man` writes it."""
    assert REFERENCE.read_text() == reference(tuple(pages_of(main, "pierhead"))), "run `make man`"
