"""`pierhead man`: the manual pages and the reference, both made from what the commands say of themselves."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import click

from appliance.cli.failure import Exit, Failure, unknown

_VERBATIM = "\b"
_STATUSES = {
    Exit.OK: "it is so, or it was done",
    Exit.NO: "the answer is no, there are problems, or it was not done",
    Exit.UNKNOWN: "wrong usage, or nobody to ask",
}
_FILES = {
    "/etc/pierhead/agent.yaml": "this host's settings, by which commands find the site's store and the agent",
    "/run/pierhead/agent.sock": "the agent's control socket",
    "/run/pierhead/forwarder.sock": "the forwarder's control socket",
}
_INTRODUCTION = """\
# Commands

Made by `make man` from what the commands say of themselves. `pierhead man --folder /usr/local/share/man/man1` installs
the same as manual pages; `source <(pierhead completion bash)` has the shell complete commands, options and names.

Every command ends with one of these exit statuses, unless it says more of them:
"""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A piece of text; a verbatim one keeps its lines."""

    text: str
    is_verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """An option, a command, an exit status or a file, and what it is."""

    term: str
    text: str
    variable: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """All that is to be said of one command."""

    name: str
    summary: str
    usage: str
    description: tuple[Paragraph, ...]
    options: tuple[Entry, ...]
    commands: tuple[Entry, ...]
    examples: tuple[Paragraph, ...]

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name.replace(' ', '-')}.1"


@click.command()
@click.argument("command", nargs=-1)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a page for each command, instead of printing one.",
)
@click.option("--markdown", is_flag=True, help="Print all commands as one Markdown text.")
@click.pass_context
def man(context: click.Context, command: tuple[str, ...], folder: Path | None, markdown: bool) -> None:
    """Print the manual page of a COMMAND, or write those of all.

    \b
    pierhead man drain | man -l -
    pierhead man --folder /usr/local/share/man/man1
    """
    pages = tuple(pages_of(context.find_root().command, "pierhead"))
    if markdown:
        click.echo(reference(pages), nl=False)
    elif folder is None:
        name = " ".join(("pierhead", *command))
        page = next((page for page in pages if page.name == name), None)
        if page is None:
            raise unknown("command", " ".join(command), (page.name.removeprefix("pierhead ") for page in pages))
        click.echo(roff(page, pages), nl=False)
    else:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for page in pages:
                (folder / page.file).write_text(roff(page, pages), encoding="utf-8")
        except OSError as error:
            raise Failure(f"{error.filename}: {error.strerror}") from error


def pages_of(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[Page]:
    """A command's page and those of the commands below it."""
    context = click.Context(command, parent=parent, info_name=name.rpartition(" ")[2])
    below = [
        (child, found)
        for child in (command.list_commands(context) if isinstance(command, click.Group) else ())
        if isinstance(command, click.Group) and (found := command.get_command(context, child)) and not found.hidden
    ]
    described = tuple(_paragraphs(command.help or ""))
    yield Page(
        name=name,
        summary=command.get_short_help_str(limit=200).rstrip("."),
        usage=" ".join((name, *command.collect_usage_pieces(context))),
        description=described,
        options=tuple(_options(command, context)),
        commands=tuple(Entry(f"{name} {child}", found.get_short_help_str(limit=200)) for child, found in below),
        examples=tuple(part for part in _paragraphs(command.epilog or "") if part.is_verbatim),
    )
    for child, found in below:
        yield from pages_of(found, f"{name} {child}", context)


def _paragraphs(text: str) -> Iterator[Paragraph]:
    """What is between empty lines; click's mark before one keeps its lines."""
    for block in inspect.cleandoc(text).split("\n\n"):
        lines = block.strip("\n").split("\n")
        if lines[0].strip() == _VERBATIM:
            yield Paragraph("\n".join(lines[1:]), is_verbatim=True)
        elif block.strip():
            yield Paragraph(" ".join(line.strip() for line in lines))


def _options(command: click.Command, context: click.Context) -> Iterator[Entry]:
    for parameter in command.params:
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        names = ", ".join((*parameter.opts, *parameter.secondary_opts))
        takes = "" if parameter.is_flag else f" {parameter.make_metavar(context)}"
        default = parameter.get_default(context)
        text = (parameter.help or "").rstrip(".")
        if parameter.show_default and default is not None:
            text += f"; by default {default}"
        variable = parameter.envvar if isinstance(parameter.envvar, str) else ""
        yield Entry(f"{names}{takes}", f"{text}.", variable)


# As a manual page (man(7)).


def roff(page: Page, pages: Sequence[Page]) -> str:
    """A page as man(7) has it."""
    title = page.file.removesuffix(".1").upper()
    lines = [f'.TH {_safe(title)} 1 "" "pierhead {version("pierhead")}" "Pierhead"']
    lines += [".SH NAME", f"{_safe(page.file.removesuffix('.1'))} \\- {_safe(page.summary)}"]
    lines += [".SH SYNOPSIS", f".B {_safe(page.usage)}", ".SH DESCRIPTION", *_roff_paragraphs(page.description)]
    for heading, entries in (("COMMANDS", page.commands), ("OPTIONS", page.options)):
        lines += [f".SH {heading}", *_roff_entries(entries)] if entries else []
    lines += [".SH EXAMPLES", *_roff_paragraphs(page.examples)] if page.examples else []
    lines += [".SH EXIT STATUS", *_roff_entries(Entry(str(int(status)), text) for status, text in _STATUSES.items())]
    told = [entry for entry in page.options if entry.variable]
    variables = [Entry(entry.variable, f"the same as {entry.term.split()[0].rstrip(',')}") for entry in told]
    lines += [".SH ENVIRONMENT", *_roff_entries(variables)] if variables else []
    lines += [".SH FILES", *_roff_entries(Entry(path, text) for path, text in _FILES.items())]
    others = sorted(other.file.removesuffix(".1") for other in pages if _is_near(page, other))
    lines += [".SH SEE ALSO", ", ".join(f"\\fB{_safe(name)}\\fR(1)" for name in others)] if others else []
    return "\n".join(lines) + "\n"


def _is_near(page: Page, other: Page) -> bool:
    """Whether a page is the one above, or one beside."""
    above = page.name.rpartition(" ")[0]
    return other.name != page.name and above in (other.name, other.name.rpartition(" ")[0])


def _roff_paragraphs(paragraphs: Sequence[Paragraph]) -> Iterator[str]:
    for paragraph in paragraphs:
        if paragraph.is_verbatim:
            yield from (".PP", ".nf", *map(_safe, paragraph.text.split("\n")), ".fi")
        else:
            yield from (".PP", _safe(paragraph.text))


def _roff_entries(entries: Iterator[Entry] | Sequence[Entry]) -> Iterator[str]:
    for entry in entries:
        yield from (".TP", f".B {_safe(entry.term)}", _safe(entry.text))


def _safe(text: str) -> str:
    """Text as roff prints it: its escape character and the signs that begin a request mean nothing."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


# As Markdown.


def reference(pages: Sequence[Page]) -> str:
    """All commands as one text."""
    lines = [_INTRODUCTION, *(f"- {int(status)}: {text}" for status, text in _STATUSES.items()), ""]
    for page in pages:
        lines += [f"## {page.name}", "", "```", page.usage, "```", ""]
        for paragraph in page.description:
            lines += [f"```\n{paragraph.text}\n```" if paragraph.is_verbatim else paragraph.text, ""]
        lines += [f"- [`{entry.term}`](#{entry.term.replace(' ', '-')}): {entry.text}" for entry in page.commands]
        lines += [""] if page.commands else []
        for entry in page.options:
            variable = f" Environment: `{entry.variable}`." if entry.variable else ""
            lines.append(f"- `{entry.term}`: {entry.text}{variable}")
        lines += [""] if page.options else []
        for paragraph in page.examples:
            lines += [f"```\n{paragraph.text}\n```" if paragraph.is_verbatim else paragraph.text, ""]
    return "\n".join(lines).rstrip("\n") + "\n"
