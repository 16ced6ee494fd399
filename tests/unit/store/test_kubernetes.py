"""What a Kubernetes store does without a server: lines of a stream, status codes, field managers, tokens."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.api.kind import Kind
from appliance.api.meta import Ref
from appliance.api.refusal import StoreRefusal
from appliance.store.change import MetadataKey
from appliance.store.kubernetes.access import TokenFile
from appliance.store.kubernetes.connection import refusal_of
from appliance.store.kubernetes.reflector import lines
from appliance.store.kubernetes.resource import collection_path, entries_of, object_path
from appliance.store.kubernetes.selection import Selection
from appliance.store.protocol import StoreError

TEXT = b'{"a": 1}\n{"b": 2}\n\n{"long": "' + b"x" * 50 + b'"}\n'


async def _pieces(text: bytes, cuts: Iterable[int]) -> AsyncIterator[bytes]:
    ends = [*sorted(set(cuts)), len(text)]
    for begin, end in zip([0, *ends], ends, strict=False):
        yield text[begin:end]


async def _lines(text: bytes, cuts: Iterable[int]) -> list[bytes]:
    return [line async for line in lines(_pieces(text, cuts))]


@given(st.lists(st.integers(min_value=0, max_value=len(TEXT))))
def test_lines_are_whole_however_they_come(cuts: list[int]) -> None:
    """Where the network cuts a stream does not show."""
    assert asyncio.run(_lines(TEXT, cuts)) == [b'{"a": 1}', b'{"b": 2}', TEXT.splitlines()[3]]


@given(st.integers(min_value=0, max_value=len(TEXT)))
def test_half_a_line_is_none(end: int) -> None:
    """A stream that ends anywhere gives the lines it has told whole."""
    assert asyncio.run(_lines(TEXT[:end], [])) == [
        line for line in TEXT[: TEXT.rfind(b"\n", 0, end) + 1].splitlines() if line
    ]


def test_a_line_without_end_is_refused() -> None:
    """A server that never ends a line does not fill the memory."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 2**20

    async def read() -> None:
        async for _ in lines(endless()):
            pass

    with pytest.raises(StoreError, match="a line of more than"):
        asyncio.run(read())


@pytest.mark.parametrize(
    ("code", "reason", "refusal"),
    [
        (409, "AlreadyExists", StoreRefusal.EXISTS),
        (409, "Conflict", StoreRefusal.CONFLICT),
        (403, "Forbidden", StoreRefusal.FORBIDDEN),
        (404, "NotFound", StoreRefusal.NOT_FOUND),
        (422, "Invalid", StoreRefusal.INVALID),
        (413, "RequestEntityTooLarge", StoreRefusal.INVALID),
        (429, "TooManyRequests", StoreRefusal.THROTTLED),
        (401, "Unauthorized", StoreRefusal.UNAVAILABLE),
        (500, "InternalError", StoreRefusal.UNAVAILABLE),
        (504, "Timeout", StoreRefusal.UNAVAILABLE),
    ],
)
def test_what_a_status_code_means(code: int, reason: str, refusal: StoreRefusal) -> None:
    """Codes for one object are its refusals; all others mean that the server is not to be had."""
    assert refusal_of(code, reason) is refusal


def test_where_objects_are() -> None:
    """The core group has its own root, and cluster-scoped kinds no namespace."""
    assert collection_path(Kind.SERVICE) == "/api/v1/services"
    assert object_path(Ref("Service", "web", "shop")) == "/api/v1/namespaces/web/services/shop"
    assert object_path(Ref("Host", "", "node-a"), "status") == "/apis/pierhead.io/v1alpha1/hosts/node-a/status"


def test_a_selection_of_one_name() -> None:
    """RBAC's resourceNames fit a list or a watch with this field selector, and no other."""
    own = Selection(Kind.SECRET, "pierhead-hosts", "node-a")
    assert (own.path, own.query) == (
        "/api/v1/namespaces/pierhead-hosts/secrets",
        {"fieldSelector": "metadata.name=node-a"},
    )
    assert str(own) == "secrets in pierhead-hosts named node-a"


def test_an_entry_of_managed_fields() -> None:
    """Its labels and annotations can be told, and taken out of it; without anything left it is none."""
    fields: dict[str, object] = {
        "f:metadata": {"f:labels": {".": {}, "f:rack": {}, "f:b/c": {}}, "f:annotations": {"f:note": {}}}
    }
    rack, slashed, note = (
        MetadataKey("labels", "rack"),
        MetadataKey("labels", "b/c"),
        MetadataKey("annotations", "note"),
    )
    (entry,) = entries_of({"metadata": {"managedFields": [{"manager": "agent", "fieldsV1": fields}]}})
    assert (entry.manager, entry.keys) == ("agent", frozenset({rack, slashed, note}))
    assert entry.without(frozenset({rack, note})) == {
        "manager": "agent",
        "fieldsV1": {"f:metadata": {"f:labels": {"f:b/c": {}}}},
    }
    assert entry.without(frozenset({rack, slashed, note})) is None


def test_a_token_is_read_again_when_it_is_refused(tmp_path: Path) -> None:
    """Until then, or until it is old, the file is left alone; while it cannot be read the last token stays."""
    path = tmp_path / "token"
    tokens = TokenFile(path)
    assert tokens.token() == ""
    path.write_text("one\n")
    assert tokens.token() == "one"
    path.write_text("two\n")
    assert tokens.token() == "one"
    tokens.refuse("zero")
    assert tokens.token() == "one"
    tokens.refuse("one")
    assert tokens.token() == "two"
    path.unlink()
    tokens.refuse("two")
    assert tokens.token() == "two"


def test_an_old_token_is_read_again(tmp_path: Path) -> None:
    """Whoever renews a token in a file need not tell."""
    path = tmp_path / "token"
    path.write_text("one")
    times = iter([0.0, 59.0, 61.0])
    tokens = TokenFile(path, lambda: next(times))
    assert tokens.token() == "one"
    path.write_text("two")
    assert [tokens.token(), tokens.token()] == ["one", "two"]
