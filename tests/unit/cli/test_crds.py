"""`pierhead crds` from its command line."""

from pathlib import Path

from click.testing import CliRunner

from appliance.api.schema import served_kinds
from appliance.api.yaml import load_documents
from appliance.cli.crds import crds


def test_every_definition_is_printed() -> None:
    """As documents that `kubectl apply -f -` takes."""
    outcome = CliRunner().invoke(crds)
    assert outcome.exit_code == 0
    assert [document["kind"] for document in load_documents(outcome.stdout) if isinstance(document, dict)] == [
        "CustomResourceDefinition"
    ] * len(served_kinds())


def test_one_group() -> None:
    """Where MetalLB's own are installed, ours are enough."""
    printed = CliRunner().invoke(crds, ["--group", "pierhead.io"]).stdout
    assert "virtualips.pierhead.io" in printed
    assert "metallb.io\n" not in printed


def test_files_of_kinds_that_are_gone_go(tmp_path: Path) -> None:
    """The folder holds what the types say, and nothing else of it."""
    (tmp_path / "pierhead.io_herrings.yaml").write_text("")
    (tmp_path / "README.md").write_text("")
    assert CliRunner().invoke(crds, ["--folder", str(tmp_path), "--group", "pierhead.io"]).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md",
        "pierhead.io_backends.yaml",
        "pierhead.io_bgpsessions.yaml",
        "pierhead.io_hosts.yaml",
        "pierhead.io_virtualips.yaml",
    ]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """It is said, with exit status 2."""
    (tmp_path / "file").write_text("")
    outcome = CliRunner().invoke(crds, ["--folder", str(tmp_path / "file" / "crds")])
    assert (outcome.exit_code, outcome.stderr.startswith("Error: ")) == (2, True)
