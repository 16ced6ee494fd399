"""What commands print: tables for people, aligned text for pipes, JSON for programs."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum

import click

from appliance.api.meta import Ref
from appliance.overview.row import Health


class Tone(Enum):
    """How a cell is to be taken; its value is the colour it has on a terminal."""

    PLAIN = ""
    GOOD = "green"
    WAITING = "yellow"
    BAD = "red"
    QUIET = "bright_black"


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of a table."""

    text: str
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Table:
    """A title, column names and rows of cells; a table without rows says `empty` instead."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    empty: str = "none"


def to_text(content: object) -> str:
    """A value as indented JSON."""
    return json.dumps(content, indent=2, ensure_ascii=False)


def print_json(content: object) -> None:
    """Write a value as indented JSON."""
    click.echo(to_text(content))


def plain(entry: object) -> object:
    """A row as JSON takes it, fields named as in manifests."""
    match entry:
        case Health():
            return {"state": entry.text, "severity": entry.severity.name.lower()}
        case Enum():
            return entry.value
        case Ref():
            return str(entry)
        case dict():
            return {str(key): plain(content) for key, content in entry.items()}
        case tuple() | list():
            return [plain(each) for each in entry]
        case None | bool() | int() | float() | str():
            return entry
        case _ if is_dataclass(entry):
            return {_camel(each.name): plain(getattr(entry, each.name)) for each in fields(entry)}
        case _:
            return str(entry)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def print_tables(tables: Sequence[Table]) -> None:
    """Write tables, with rules and colours on a terminal only."""
    if sys.stdout.isatty():
        _print_rich(tables)
        return
    for table in tables:
        click.echo(plain_text(table))


def plain_text(table: Table) -> str:
    """A table as lines of aligned columns under its title."""
    if not table.rows:
        return f"{table.title}: {table.empty}"
    lines = [table.columns, *(tuple(cell.text or "-" for cell in row) for row in table.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.columns))]
    aligned = ("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join([table.title, *(f"  {line}".rstrip() for line in aligned)])


def _print_rich(tables: Sequence[Table]) -> None:
    """Rich leaves colours out where NO_COLOR is set."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console()
    for table in tables:
        if not table.rows:
            console.print(Text.assemble((table.title, "bold"), f": {table.empty}"))
            continue
        drawn = RichTable(*table.columns, title=table.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        for row in table.rows:
            drawn.add_row(*(Text(cell.text or "-", style=cell.tone.value) for cell in row))
        console.print(drawn)
