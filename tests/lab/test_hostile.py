"""BIRD itself takes whatever a host makes of hostile objects: one session or route that cannot be costs no other."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.api.kind import Kind, Object
from appliance.api.manifest import decode
from tests.unit.hostile.bird import HOST_KINDS, site, strange, texts
from tests.unit.hostile.content import HOSTILE, examples, leaves, with_value
from tests.unit.hostile.test_api import accepted

BIRD_KINDS = tuple(kind for kind in HOST_KINDS if kind is not Kind.SECRET)


def check(folder: Path, text: str) -> None:
    """Ask BIRD to read a configuration; warnings are none of our business."""
    path = folder / "bird.conf"
    path.write_text(text)
    asked = subprocess.run(("bird", "-p", "-c", str(path)), check=False, capture_output=True, text=True)
    assert asked.returncode == 0, f"{asked.stderr}\n{text}"


@pytest.mark.parametrize("kind", HOST_KINDS)
def test_bird_reads_what_one_hostile_value_leaves(kind: Kind, tmp_path: Path) -> None:
    """Every field, every value."""
    for text in sorted({text for manifest in accepted(kind) for text in texts(site(manifest))}):
        check(tmp_path, text)


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[Object, ...]:
    """Objects with several hostile values each, several of a kind."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(BIRD_KINDS))
        content = draw(st.sampled_from(examples(kind)))
        if kind is not Kind.VIRTUAL_IP and draw(st.booleans()):
            content = with_value(content, ("metadata", "name"), f"other-{number}")
        for _ in range(draw(st.integers(0, 4))):
            path = draw(st.sampled_from([path for path in leaves(content) if path[0] in ("spec", "status")]))
            value = draw(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20), st.integers(0, 70000)))
            content = with_value(content, path, value)
        try:
            found.append(decode(kind, content, strict=False))
        except ValidationError:
            continue
    return tuple(found)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spoilt())
def test_bird_reads_what_several_hostile_values_leave(tmp_path: Path, objects: tuple[Object, ...]) -> None:
    """Several fields and objects at once."""
    for text in texts(site(*objects)):
        assert strange(text) == []
        check(tmp_path, text)
