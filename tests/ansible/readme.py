"""`python -m tests.ansible.readme`: the README of each role, written from its argument_specs.yml."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
ROLES = ROOT / "roles"
_MARKUP = re.compile(r"[CVOEI]\(([^()]*)\)")


def role_names() -> list[str]:
    """The roles of the collection."""
    return sorted(path.name for path in ROLES.iterdir() if path.is_dir())


def specification(role: str) -> dict[str, Any]:
    """What a role's argument_specs.yml says of its entry point."""
    main: dict[str, Any] = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"][
        "main"
    ]
    return main


def readme(role: str) -> str:
    """The text of a role's README."""
    main = specification(role)
    lines = [
        "<!-- Written by `make roles` from meta/argument_specs.yml; do not edit. -->",
        f"# pierhead.pierhead.{role}",
        "",
        f"{main['short_description']}.",
        "",
        *(f"{_plain(line)}\n" for line in _sentences(main.get("description", []))),
        "| variable | type | default | meaning |",
        "|---|---|---|---|",
    ]
    lines += [_row(name, option) for name, option in main["options"].items()]
    dependencies = yaml.safe_load((ROLES / role / "meta/main.yml").read_text())["dependencies"]
    for dependency in dependencies:
        name = dependency["role"].rpartition(".")[2]
        lines += ["", f"Brings along [{name}](../{name}/README.md), with variables of its own."]
    return "\n".join(lines) + "\n"


def _row(name: str, option: dict[str, Any]) -> str:
    kind = option["type"] if option["type"] != "list" else f"list of {option['elements']}"
    choices = f": {', '.join(f'`{choice}`' for choice in option['choices'])}" if "choices" in option else ""
    default = f"`{_written(option['default'])}`" if "default" in option else "unset"
    meaning = " ".join(_plain(sentence) for sentence in _sentences(option["description"]))
    return f"| `{name}` | {kind}{choices} | {default} | {meaning} |".replace("\n", " ")


def _written(default: object) -> str:
    return default if isinstance(default, str) and default else json.dumps(default)


def _sentences(text: str | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else text


def _plain(text: str) -> str:
    return _MARKUP.sub(r"`\1`", text)


if __name__ == "__main__":
    for each in role_names():
        (ROLES / each / "README.md").write_text(readme(each))
