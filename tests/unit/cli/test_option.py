"""What every command of a kind has: whoever knows one knows all."""

from collections.abc import Iterator

import click
import pytest

from appliance.cli.main import main

AGENTS = frozenset({"--host", "--socket", "--ssh-config"})
SITE = AGENTS | {"--store"}
SHOWN = frozenset({"--json", "--watch"})
DONE = frozenset({"--json", "--dry-run", "--yes"})
OPTIONS = {
    "status": AGENTS | SHOWN | {"--check"},
    "events": AGENTS | SHOWN | {"--follow"},
    "explain vip": AGENTS | SHOWN,
    "explain service": SITE | SHOWN | {"--probe"},
    "vips": SITE | SHOWN,
    "hosts": SITE | SHOWN,
    "peers": SITE | SHOWN,
    "pools": SITE | SHOWN,
    # What is past changes no more; `events --watch` goes on.
    "history": AGENTS | {"--json", "--since", "--until", "--all"},
    "top": SITE | {"--write"},
    "drain": SITE | DONE | {"--wait", "--timeout"},
    "undrain": SITE | DONE | {"--wait", "--timeout"},
    "move": SITE | DONE,
    "replan": SITE | DONE,
    "acknowledge": SITE | DONE,
}
# Programs, and what prints manifests, scripts or pages, which are for programs as they are.
WITHOUT_JSON = {"agent", "forwarder", "allocator", "top", "crds", "completion", "man"}


def commands(
    group: click.Group, name: str = "", parent: click.Context | None = None
) -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, by the words it is called by."""
    context = click.Context(group, parent=parent)
    for word in group.list_commands(context):
        found = group.get_command(context, word)
        assert found is not None
        if isinstance(found, click.Group):
            yield from commands(found, f"{name}{word} ", context)
        else:
            yield f"{name}{word}", found


COMMANDS = dict(commands(main))


def options(command: click.Command) -> set[str]:
    """What a command can be given."""
    return {word for each in command.params for word in each.opts if word.startswith("--")}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_of_a_kind(name: str) -> None:
    """Asking, watching, acting: each has its own, and all of them."""
    assert OPTIONS[name] - options(COMMANDS[name]) == set()


def test_programs_can_read_every_answer() -> None:
    """By --json."""
    assert {name for name, command in COMMANDS.items() if "--json" not in options(command)} == WITHOUT_JSON
