"""How a command ends: 0 it is so, 1 the answer is no, 2 it could not be found out."""

import difflib
from collections.abc import Iterable
from enum import IntEnum

import click


class Exit(IntEnum):
    """Exit statuses of every command."""

    OK = 0
    NO = 1
    UNKNOWN = 2


class Failure(click.ClickException):
    """Ends a command that could not find out, with a sentence on stderr."""

    exit_code = Exit.UNKNOWN


class Denial(click.ClickException):
    """Ends a command whose answer is no, with a sentence on stderr."""

    exit_code = Exit.NO


def unknown(kind: str, name: str, names: Iterable[str]) -> Failure:
    """Ends a command that was asked for a thing that is not there, with those that are called nearly the same."""
    return Failure(f"there is no {kind} {name}{meant(name, names)}")


def meant(name: str, names: Iterable[str]) -> str:
    """`; did you mean ...?` with the names that are nearly the same, "" where none is."""
    near = difflib.get_close_matches(name, sorted(names), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
