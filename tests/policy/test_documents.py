"""What the documents say of the tree is true."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from appliance.cli.main import main
from appliance.daemon.settings import settings_schema

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# What was is not what is; the reference is made from the commands themselves.
MANUALS = [path for path in DOCUMENTS if path.name not in ("CHANGELOG.md", "commands.md")]
_PLAIN = re.compile(r"`([^`]+)`")
_FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACEHOLDER = re.compile(r"[A-Z][A-Z./-]*|.*\.\.\.")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_named_file_exists(document: Path) -> None:
    """A reader who follows a path or a link arrives."""
    text = document.read_text()
    named = {ROOT / path for path in re.findall(r"`((?:appliance|tests|docs|tui)/[\w/.-]+)`", text)}
    linked = {document.parent / path for path in re.findall(r"\]\(([\w/.-]+)\)", text)}
    assert {str(path) for path in named | linked if not path.exists()} == set()


def test_the_mistake_that_the_readme_shows_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word by word what `pierhead check` prints."""
    (tmp_path / "pools.yaml").write_text(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\n"
        "metadata: {name: production, namespace: metallb-system}\nspec: {addresses: [192.168.1.300]}\n"
    )
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(main, ["check", "pools.yaml"])
    assert told.exit_code == 1
    assert f"```\n$ pierhead check pools.yaml\n{told.output}```\n" in (ROOT / "README.md").read_text()


def test_every_package_has_its_place_in_the_architecture() -> None:
    """The page with the one drawing leaves nothing out."""
    text = (ROOT / "docs/architecture.md").read_text()
    packages = {path.name for path in (ROOT / "appliance").iterdir() if (path / "__init__.py").exists()}
    assert {name for name in packages if not re.search(rf"\b{name}\b", text)} == set()


def test_the_way_to_a_gratuitous_arp_is_eight_functions_that_exist() -> None:
    """Who reads the table can read the code beside it, from top to bottom."""
    text = (ROOT / "docs/architecture.md").read_text()
    steps = re.findall(r"^\| \d \| `(\w+)` \| `([\w/.]+)` \|", text, flags=re.MULTILINE)
    missing = [name for name, path in steps if not re.search(rf"def {name}\(", (ROOT / path).read_text())]
    assert (len(steps), missing) == (8, [])


def test_every_alert_has_its_section_in_the_runbook() -> None:
    """An alert's link leads to a heading of the page of operations."""
    alerts = (ROOT / "charts/pierhead/files/alerts.yaml").read_text()
    wanted = set(re.findall(r"^  runbook: (\S+)$", alerts, re.MULTILINE))
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert wanted
    assert wanted == {heading.lower() for heading in headings}


def _first_cells(section: str) -> list[str]:
    """What stands in backquotes in the first column of the last table of a part of the runbook."""
    text = (ROOT / "docs/operations.md").read_text().split(f"\n## {section}", 1)[1].split("\n## ", 1)[0]
    rows = text.rpartition("\n|---")[2].split("\n|")[1:]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row.partition(" | ")[0])]


def test_the_runbook_has_every_setting() -> None:
    """And none that there is not."""
    schema = json.loads(settings_schema())
    names = set()
    for name, field in schema["properties"].items():
        inner = schema["$defs"][field["$ref"].rpartition("/")[2]]["properties"] if "$ref" in field else {}
        names |= {f"{name}.{each}" for each in inner} or {name}
    assert set(_first_cells("Settings")) == names


def test_every_event_of_the_runbook_is_one_that_programs_log() -> None:
    """Who has an alert on one is told."""
    source = "".join(path.read_text() for path in (ROOT / "appliance").rglob("*.py"))
    events = {word.split()[0] for word in _first_cells("Logs") if re.match(r"[a-z]+_[a-z_]+", word)}
    assert len(events) > 10
    assert {event for event in events if f'"{event}"' not in source and f"event={event}" not in source} == set()


@pytest.mark.parametrize("document", MANUALS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_is_one_that_is_taken(document: Path) -> None:
    """A reader who copies a command from a page meets no "No such option"; nothing is run."""
    refused = {" ".join(words): problem for words in _commands(document.read_text()) if (problem := _refusal(words))}
    assert refused == {}


def _commands(text: str) -> Iterator[list[str]]:
    """The words of each `pierhead` command of a page, those within backquotes and those of blocks."""
    lines = [line for block in _FENCED.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    for written in (*_PLAIN.findall(_FENCED.sub("", text)), *lines):
        for command in re.split(r"\|\|?|&&|;|[<>]|(?:^|\s)#", written.replace("\n", " ")):
            found = re.fullmatch(r"\s*(?:\$ )?(?:sudo )?(?:kubectl )?(pierhead(?: [ -~]*)?)", command)
            if found and "..." not in found[1].split():
                yield shlex.split(found[1].replace("[", "").replace("]", ""))


def _refusal(words: list[str]) -> str:
    """What the command line says to some words, up to where it would begin to do something."""
    command: click.Command = main
    arguments = words[1:]
    # Click keeps the help option of whichever context asks first, and with it its names.
    context = click.Context(command, info_name="pierhead", **main.context_settings)
    try:
        while isinstance(command, click.Group):
            given, arguments, _ = command.make_parser(context).parse_args(arguments)
            if not arguments:
                return ""
            name, found, arguments = command.resolve_command(context, arguments)
            assert found is not None
            command, context = found, click.Context(found, info_name=name, parent=context, **found.context_settings)
        given, left, _ = command.make_parser(context).parse_args(arguments)
        if left:
            return f"one word too many: {left[0]}"
        for parameter in command.params:
            for value in _values(given.get(parameter.name)) if isinstance(parameter.type, click.Choice) else ():
                if not _PLACEHOLDER.fullmatch(value):
                    parameter.type.convert(value, parameter, context)
    except click.UsageError as error:
        return error.format_message()
    return ""


def _values(given: object) -> Iterator[str]:
    if isinstance(given, str):
        yield given
    elif isinstance(given, list | tuple):
        yield from (each for each in given if isinstance(each, str))


def test_every_variable_is_one_that_a_role_or_a_playbook_reads() -> None:
    """What a page tells to set does something, and what a playbook can be told stands in Ansible's page."""
    specifications = [yaml.safe_load(path.read_text()) for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    options = {name for each in specifications for name in each["argument_specs"]["main"]["options"]}
    playbooks = "".join(path.read_text() for path in ROOT.glob("playbooks/**/*.yml"))
    read = {name for name in _VARIABLE.findall(playbooks) if not name.startswith("pierhead_program_")}
    groups = {"pierhead_hosts", "pierhead_allocators", "pierhead_dashboards"}
    page = (ROOT / "docs/ansible.md").read_text()
    assert read - options - set(_VARIABLE.findall(page)) == set()
    metrics = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE))
    named = {
        path.name: set(_VARIABLE.findall(path.read_text())) - options - read - groups - metrics for path in MANUALS
    }
    assert {name: left for name, left in named.items() if left} == {}


_VARIABLE = re.compile(r"\bpierhead_[a-z_]*[a-z]\b")
