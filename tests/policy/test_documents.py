"""What the documents say of the tree is true."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_named_file_exists(document: Path) -> None:
    """A reader who follows a path or a link arrives."""
    text = document.read_text()
    named = {ROOT / path for path in re.findall(r"`((?:appliance|tests|docs|tui)/[\w/.-]+)`", text)}
    linked = {document.parent / path for path in re.findall(r"\]\(([\w/.-]+)\)", text)}
    assert {str(path) for path in named | linked if not path.exists()} == set()


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
