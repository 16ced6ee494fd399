"""Whatever stands in a field, reading it gives an object or mistakes; and an object is read back as it was written."""

import json
from collections.abc import Iterator
from itertools import product

import pytest
from pydantic import ValidationError

from appliance.api.kind import Kind, Object
from appliance.api.manifest import decode, encode, parse, problems_of, to_text
from tests.unit.hostile.content import HOSTILE, example, examples, leaves, with_value


def accepted(kind: Kind) -> Iterator[Object]:
    """Every object of a kind that one hostile value in one field still makes; metadata is the same for all kinds."""
    for content in examples(kind):
        own = (path for path in leaves(content) if path[0] != "metadata" or path[1] == "name" or kind is Kind.HOST)
        for path, value in product(own, HOSTILE):
            try:
                yield decode(kind, with_value(content, path, value), strict=False)
            except ValidationError as error:
                problems_of(error, None, None)


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_spoilt_here_is_right_before(kind: Kind) -> None:
    """It has a value in every field, and comes back from a file."""
    manifest = decode(kind, example(kind), strict=True)
    assert [document.manifest for document in parse(to_text((manifest,)), "-").documents] == [manifest]


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_written_is_read_back(kind: Kind) -> None:
    """Nobody writes what nobody can read, and a file says the same as a line of JSON (`test_yaml`)."""
    for manifest in accepted(kind):
        assert decode(kind, json.loads(json.dumps(encode(manifest))), strict=True) == manifest


def test_any_text_survives_a_file() -> None:
    """Also one that is a number, a list or a document's end elsewhere."""
    texts = {str(number): text for number, text in enumerate(HOSTILE) if isinstance(text, str)}
    host = decode(Kind.HOST, {"metadata": {"name": "node-a", "labels": texts}}, strict=True)
    (read,) = parse(to_text((host,)), "-").documents
    assert read.manifest == host
