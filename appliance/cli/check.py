"""`pierhead check`."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click

from appliance.api.problem import Problem
from appliance.config.report import Report, check_texts, warning_text
from appliance.ipam.option import options_of
from appliance.ipam.sharing import sharing_warnings

STDIN = "-"
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})


@click.command(short_help="Say what is wrong with manifests, before anything reads them.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(files: tuple[str, ...], as_json: bool) -> None:
    """Read manifests from files, folders or standard input (-) and judge them as one configuration.

    Every problem is printed as FILE:DOCUMENT:FIELD: SENTENCE. Exits 0 without problems, 1 with one, 2 where a file
    cannot be read.
    """
    texts: dict[str, str] = {}
    unreadable: list[str] = []
    for file in _expanded(files, lambda error: unreadable.append(f"{error.filename}: {error.strerror}")):
        try:
            texts[file] = sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            unreadable.append(f"{file}: {error.strerror if isinstance(error, OSError) else 'is not UTF-8 text'}")
    report = check_texts(texts, lambda manifests: options_of(manifests).problems, sharing_warnings)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name may have letters that this terminal or pipe has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    click.echo(_json(report, unreadable) if as_json else "\n".join(_lines(report)), nl=bool(as_json or _any(report)))
    for line in unreadable:
        click.echo(f"Error: {line}", err=True)
    click.echo(_count(report, len(texts)), err=True)
    sys.exit(2 if unreadable else int(bool(report.problems)))


def _expanded(files: Iterable[str], refuse: Callable[[OSError], None]) -> Iterator[str]:
    """Files as they are; of a folder every manifest below it, hidden ones left out, and a word of what is shut."""
    for file in files:
        if file == STDIN or not os.path.isdir(file):  # noqa: PTH112  # never raises
            yield file
            continue
        folder = Path(file)
        below = (Path(place, name) for place, _, names in os.walk(folder, onerror=refuse) for name in names)
        for found in sorted(below):
            hidden = any(part.startswith(".") for part in found.relative_to(folder).parts)
            if found.suffix in _SUFFIXES and found.is_file() and not hidden:
                yield str(found)


def _any(report: Report) -> bool:
    return bool(report.problems or report.warnings)


def _lines(report: Report) -> Iterator[str]:
    yield from map(str, report.problems)
    yield from map(warning_text, report.warnings)


def _count(report: Report, files: int) -> str:
    counted = ((report.objects, "object"), (files, "file"), (len(report.problems), "problem"))
    objects, read, problems = (_plural(number, noun) for number, noun in counted)
    others = f", {report.passed_over} of other kinds passed over" if report.passed_over else ""
    return f"{objects} in {read}: {problems}, {_plural(len(report.warnings), 'warning')}{others}"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _json(report: Report, unreadable: list[str]) -> str:
    return json.dumps(
        {
            "problems": [_entry(problem) for problem in report.problems],
            "warnings": [_entry(warning) for warning in report.warnings],
            "unreadable": unreadable,
            "objects": report.objects,
            "passedOver": report.passed_over,
        },
        indent=2,
    )


def _entry(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.source.file if problem.source else None,
        "document": problem.source.document if problem.source else None,
        "object": str(problem.ref) if problem.ref else None,
        "path": problem.path,
        "sentence": problem.text,
    }
