"""`pierhead crds`."""

from pathlib import Path

import click

from appliance.api.schema import GROUPS, definition_text, served_kinds
from appliance.cli.failure import Failure


@click.command(short_help="Print the CustomResourceDefinitions of all kinds.")
@click.option("--group", type=click.Choice(GROUPS), help="Those of one API group only.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a file for each, and remove those of others, instead of printing them.",
)
def crds(group: str | None, folder: Path | None) -> None:
    """Print the CustomResourceDefinitions that Pierhead needs, for a cluster without Helm.

    Those of metallb.io hold every field of MetalLB's own, which do as well where they are installed already.
    """
    texts = {
        f"{kind.group}_{kind.plural}.yaml": definition_text(kind)
        for kind in served_kinds()
        if group in (None, kind.group)
    }
    if folder is None:
        click.echo("---\n".join(texts.values()), nl=False)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob("*.yaml"):
            if stale.name not in texts:
                stale.unlink()
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}") from error
