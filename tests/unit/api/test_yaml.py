"""YAML as Kubernetes reads it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.api.yaml import BadYAML, describe, dump_documents, load_documents


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("65535:0", "65535:0"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("1e3", 1000.0),
        ("1_000", "1_000"),
        ("0x10", 16),
        ("0o17", 15),
        ("yes", True),
        ("'yes'", "yes"),
        ("null", None),
    ],
)
def test_a_scalar_means_what_kubernetes_takes_it_for(text: str, value: object) -> None:
    """YAML 1.1's surprises that would change a community, a time or a number are gone."""
    assert list(load_documents(f"x: {text}")) == [{"x": value}]


@pytest.mark.parametrize(
    ("text", "where", "sentence"),
    [
        ("a: 1\na: 2", "line 2", "key 'a' is written twice"),
        ("a: 08", "line 1", "not a value of type int"),
        ("a: " + "9" * 5000, "line 1", "not a value of type int"),
        ("a: !!bool maybe", "line 1", "not a value of type bool"),
        ("a: !!timestamp soon", "line 1", "not a value of type timestamp"),
        ("a: !!python/object:os.system x", "line 1", "could not determine a constructor"),
        ("a: &x\n  b: *x", "line 2", "an alias stands within what it names"),
        ("a: *x", "line 1", "found undefined alias"),
        ("[" * 100_000, "line 1", "it is nested too deeply"),
        ("- " * 100_000, "line 1", "it is nested too deeply"),
        ("".join(f"{' ' * depth}a:\n" for depth in range(2000)), "line 101", "it is nested too deeply"),
        ("a: [", "line 2", "did not find expected node content"),
        ("a: \x00", "", "control characters are not allowed"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_place(text: str, where: str, sentence: str) -> None:
    """Whatever a file holds, it ends in one exception with a line and a sentence, and never in a crash."""
    with pytest.raises(BadYAML) as error:
        list(load_documents(text))
    told, why = describe(error.value)
    assert (told, sentence in why) == (where, True), why


def test_a_small_text_stays_small() -> None:
    """Aliases of aliases, which would fill the memory, are refused."""
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with pytest.raises(BadYAML, match="too large"):
        list(load_documents(bomb))


def test_aliases_are_of_use() -> None:
    """Anchors, aliases and merges that operators write are read."""
    text = "base: &base {a: 1}\nsame: *base\nmore: {<<: *base, b: 2}"
    assert list(load_documents(text)) == [{"base": {"a": 1}, "same": {"a": 1}, "more": {"a": 1, "b": 2}}]


def test_documents_before_a_mistake_are_read() -> None:
    """What stands before the mistake is given first."""
    documents = load_documents("a: &x 1\nb: *x\n---\n]")
    assert next(documents) == {"a": 1, "b": 1}
    with pytest.raises(BadYAML):
        next(documents)


@settings(deadline=None)
@given(
    st.dictionaries(st.text(), st.one_of(st.text(), st.integers(-(2**63), 2**63), st.booleans(), st.lists(st.text())))
)
def test_what_is_written_is_what_is_read(document: dict[str, object]) -> None:
    """No text turns into a number, a time or nothing on its way through a file."""
    assert list(load_documents(dump_documents([document]))) == [document]


@pytest.mark.parametrize("written", ["0x" + "f" * 9999, "9" * 9999, "-1" + "0" * 30])
def test_a_number_beyond_64_bits_is_none(written: str) -> None:
    """Python could not even say what such a number is (`int` has no text of more than 4300 digits)."""
    with pytest.raises(BadYAML, match="not a value of type int"):
        list(load_documents(f"generation: {written}"))
