"""`pierhead convert`."""

import json
import sys
from pathlib import Path

import click

from appliance.api.manifest import encode, to_text
from appliance.cli.failure import Failure
from appliance.convert.conversion import Form, convert_text, form_of
from appliance.convert.metallb import NAMESPACE
from appliance.convert.model import Conversion

STDIN = "-"


@click.command(short_help="Turn foreign configuration into manifests.")
@click.argument("file", default=STDIN)
@click.option("--only-data", is_flag=True, help="The text is what stands in a legacy ConfigMap, without the ConfigMap.")
@click.option(
    "--from",
    "form",
    type=click.Choice([form.value for form in Form]),
    help="What the text is, where that is not seen from it.",
)
@click.option("--namespace", default=NAMESPACE, show_default=True, help="Where objects go whose text names none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def convert(file: str, only_data: bool, form: str | None, namespace: str, as_json: bool) -> None:
    """Turn MetalLB's legacy ConfigMap, its AddressPools, or a keepalived.conf into today's manifests.

    The manifests are printed once they were found to be right; what was left out is said on standard error. Exits 0
    with manifests, 1 with problems and nothing printed, 2 where the file cannot be read.
    """
    try:
        text = sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise Failure(f"{file}: {why}") from error
    chosen = Form.DATA if only_data else Form(form) if form else form_of(text)
    conversion = convert_text(text, file, chosen, namespace)
    if as_json:
        click.echo(_json(conversion))
    else:
        _print(conversion)
    sys.exit(int(bool(conversion.problems)))


def _print(conversion: Conversion) -> None:
    for problem in conversion.problems:
        click.echo(f"problem: {problem}", err=True)
    for left_out in conversion.left_out:
        click.echo(f"left out: {left_out}", err=True)
    if not conversion.problems:
        click.echo(to_text(conversion.manifests), nl=False)


def _json(conversion: Conversion) -> str:
    manifests = () if conversion.problems else conversion.manifests
    return json.dumps(
        {
            "manifests": [encode(manifest) for manifest in manifests],
            "problems": [str(problem) for problem in conversion.problems],
            "leftOut": [str(left_out) for left_out in conversion.left_out],
        },
        indent=2,
    )
