"""What is made from the code is what is committed."""

from pathlib import Path

from appliance.api.schema import definition_text, served_kinds

CRDS = Path(__file__).parents[2] / "charts/pierhead/files/crds"


def test_the_definitions_are_those_of_the_types() -> None:
    """Who changes a type runs `make manifests`; no definition is left of a kind that is gone."""
    made = {f"{kind.group}_{kind.plural}.yaml": definition_text(kind) for kind in served_kinds()}
    assert {path.name: path.read_text() for path in CRDS.iterdir()} == made
