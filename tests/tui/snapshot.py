"""A screen as text that can be reviewed: what stands where, and in which colours (decision 0040)."""

import os
import time
from pathlib import Path

from rich.style import Style
from textual.app import App
from textual.pilot import Pilot

from tests.tui.contrast import hexadecimal

FOLDER = Path(__file__).parent / "screens"
LETTERS = ".abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
UPDATE = "UPDATE_SCREENS"
WAIT_SECONDS = 120.0


def cells(app: App[None]) -> list[list[tuple[str, Style]]]:
    """The signs on the screen with their styles, line by line."""
    # The compositor is where Textual's own screenshots come from too; there is no other way to it.
    strips = app.screen._compositor.render_strips()
    return [[(sign, part.style or Style()) for part in strip for sign in part.text] for strip in strips]


def described(app: App[None]) -> str:
    """The text of a screen, below it a letter for the style of each sign, below that what the letters mean."""
    lines = cells(app)
    letters: dict[str, str] = {}
    styled: list[str] = []
    for line in lines:
        drawn = ""
        for _, style in line:
            drawn += letters.setdefault(_name(style), LETTERS[len(letters)])
        styled.append(drawn)
    text = ["".join(sign for sign, _ in line).rstrip() for line in lines]
    legend = [f"{letter}  {name}" for name, letter in letters.items()]
    return "\n".join((*text, "", "== styles", *styled, "", "== legend", *legend, ""))


def _name(style: Style) -> str:
    marks = [name for name in ("bold", "dim", "italic", "underline", "reverse") if getattr(style, name)]
    return " ".join((*marks, f"{hexadecimal(style.color)} on {hexadecimal(style.bgcolor)}"))


async def check(pilot: Pilot[None], name: str) -> None:
    """Wait for the screen that was reviewed; with UPDATE_SCREENS=1 it becomes the one that is there after a second."""
    path, app = FOLDER / f"{name}.txt", pilot.app
    if os.environ.get(UPDATE):
        await pilot.pause(1.0)
        path.parent.mkdir(exist_ok=True)
        path.write_text(described(app))
    deadline = time.monotonic() + WAIT_SECONDS
    while path.read_text() != described(app) and time.monotonic() < deadline:
        await pilot.pause(0.1)
    assert path.read_text() == described(app)
