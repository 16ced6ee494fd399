"""Whatever stands in a field, reading it gives an object or mistakes; and an object is read back as it was written."""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from pydantic import ValidationError

from appliance.api.kind import Kind, Object
from appliance.api.manifest import decode, encode, parse, problems_of, to_text
from tests.unit.hostile.content import HOSTILE, Path, example, examples, leaves, with_value


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


def outcome(kind: Kind, content: dict[str, object]) -> object:
    """The object, or what is wrong with it."""
    try:
        return decode(kind, content, strict=True)
    except ValidationError as error:
        return problems_of(error, None, None)


@pytest.mark.parametrize("kind", list(Kind))
def test_null_is_as_if_it_were_not_there(kind: Kind) -> None:
    """Wherever it stands, as Kubernetes has it; in a list it is an entry."""
    for content in examples(kind):
        for path in (path for path in within(content) if isinstance(path[-1], str)):
            assert outcome(kind, with_value(content, path, None)) == outcome(kind, without(content, path)), path


@pytest.mark.parametrize("kind", list(Kind))
def test_half_a_surrogate_pair_is_a_replacement_character(kind: Kind) -> None:
    """Wherever it stands: no encoding has it, so it could not be written again."""
    for content in examples(kind):
        for path in leaves(content):
            half, whole = (with_value(content, path, text) for text in ("x\ud800y", "x\ufffdy"))
            assert outcome(kind, half) == outcome(kind, whole), path


def test_half_a_surrogate_pair_in_a_key() -> None:
    """The same of keys of maps."""
    host = decode(Kind.HOST, {"metadata": {"name": "node-a", "labels": {"x\udfffy": "z"}}}, strict=True)
    assert host.metadata.labels == {"x\ufffdy": "z"}


def within(content: object, path: Path = ()) -> Iterator[Path]:
    """The path of everything in an object but its kind."""
    if len(path) > 0:
        yield path
    match content:
        case dict():
            for key, entry in content.items():
                if path or key not in ("apiVersion", "kind"):
                    yield from within(entry, (*path, key))
        case list():
            for index, entry in enumerate(content):
                yield from within(entry, (*path, index))
        case _:
            return


def without(content: Any, path: Path) -> Any:
    """A copy without what stands at a path that ends with a key."""
    first, *rest = path
    copy: Any = dict(content) if isinstance(content, dict) else list(content)
    if rest:
        copy[first] = without(content[first], tuple(rest))
    else:
        del copy[first]
    return copy
