"""Tables, with and without a terminal."""

import subprocess
import sys

import pytest

from appliance.cli.output import Cell, Table, Tone, plain_text

TABLE = Table("Fellow hosts", ("HOST", "STATE"), ((Cell("node-b"), Cell("alive", Tone.GOOD)),))
SCRIPT = """
import os, pty, sys
def show():
    from appliance.cli.output import print_tables
    from tests.unit.cli.test_output import TABLE
    print_tables([TABLE])
pid, terminal = pty.fork()
if pid == 0:
    show()
    sys.stdout.flush()
    os._exit(0)
seen = b""
while True:
    try:
        chunk = os.read(terminal, 4096)
    except OSError:
        break
    if not chunk:
        break
    seen += chunk
os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
"""


def on_terminal(**environment: str) -> str:
    """What a terminal is sent."""
    settings = {"TERM": "xterm-256color", "COLUMNS": "80", **environment}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=settings
    ).stdout


def test_columns_stand_in_line() -> None:
    """Plain text is aligned, and an empty cell is a dash."""
    table = Table("T", ("A", "LONG"), ((Cell("wide cell"), Cell("")), (Cell("x"), Cell("y"))))
    assert plain_text(table) == "T\n  A          LONG\n  wide cell  -\n  x          y"


def test_an_empty_table_is_a_word() -> None:
    """A table without rows has no header."""
    assert plain_text(Table("VIPs", ("ADDRESS",), ())) == "VIPs: none"


@pytest.mark.parametrize(("environment", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colours_unless_refused(environment: dict[str, str], is_coloured: bool) -> None:
    """NO_COLOR is respected."""
    shown = on_terminal(**environment)
    assert "node-b" in shown
    assert ("\x1b[32m" in shown) == is_coloured
