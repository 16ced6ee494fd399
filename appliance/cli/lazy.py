"""A command group that imports a command when it is used, so that help and completion stay fast."""

import errno
import importlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass

import click
from click.shell_completion import CompletionItem

from appliance.cli.failure import Failure, meant


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is (`module:object`), its line of help, and whether it runs until stopped and logs."""

    place: str
    help: str
    is_program: bool = False


class LazyGroup(click.Group):
    """A click group made of a table of entries, listed in the table's order."""

    def __init__(self, *args: object, entries: Mapping[str, LazyCommand], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]  # passed on as click's decorator gives them
        self.entries = entries

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a reader of its output that is gone, as `head` is, is what click takes it for."""
        try:
            return super().invoke(ctx)
        except BaseExceptionGroup as group:
            if group.split(BrokenPipeError)[1] is not None:
                raise
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from group

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Every name of the table."""
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        """Import a command; a program that is not part of this installation is a Failure."""
        entry = self.entries.get(cmd_name)
        return _imported(cmd_name, entry) if entry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; of one that is none say which is called nearly the same."""
        name = args[0]
        if name not in self.entries and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.UsageError(f"No such command '{name}'{meant(name, self.entries)}", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names of commands and of options, without an import."""
        named = [CompletionItem(name, help=entry.help) for name, entry in self.entries.items()]
        fitting = [item for item in named if item.value.startswith(incomplete)]
        return [*fitting, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        """One line a command, without an import."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])


def _imported(name: str, entry: LazyCommand) -> click.Command:
    module, _, attribute = entry.place.partition(":")
    try:
        command = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise Failure(f"{name} needs the Python package {error.name}, which is not installed") from error
        raise Failure(f"{name} is not part of this installation ({module} is missing)") from error
    if not isinstance(command, click.Command):
        raise Failure(f"{entry.place} is not a command")
    return command
