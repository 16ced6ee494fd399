"""BIRD and nft themselves take whatever a host makes of hostile objects: what cannot be costs nothing else."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.api.kind import Kind, Object
from appliance.api.manifest import decode
from appliance.forward.machine import Device, DevicesChanged, Forwarding, ObjectsChanged
from tests.unit.forward.site import host
from tests.unit.hostile.bird import HOST_KINDS, remembered, site, strange, texts
from tests.unit.hostile.content import HOSTILE, example, examples, leaves, with_value
from tests.unit.hostile.nft import FORWARDER_KINDS
from tests.unit.hostile.nft import strange as strange_rules
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
def spoilt(draw: st.DrawFn, kinds: tuple[Kind, ...]) -> tuple[Object, ...]:
    """Objects with several hostile values each, several of a kind."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(kinds))
        content = draw(st.sampled_from(examples(kind)))
        if kind not in (Kind.VIRTUAL_IP, Kind.BACKENDS) and draw(st.booleans()):
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
@given(spoilt(BIRD_KINDS))
def test_bird_reads_what_several_hostile_values_leave(tmp_path: Path, objects: tuple[Object, ...]) -> None:
    """Several fields and objects at once."""
    for text in texts(site(*objects)):
        assert strange(text) == []
        check(tmp_path, text)


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A network namespace with the device that the rules hook."""
    name = f"phlab-hostile-{os.getpid()}"
    subprocess.run(("ip", "netns", "add", name), check=True)
    try:
        subprocess.run(("ip", "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "other"), check=True)
        yield name
    finally:
        subprocess.run(("ip", "netns", "delete", name), check=True)


def check_rules(namespace: str, text: str) -> None:
    """Ask the kernel whether it would take a ruleset."""
    command = ("ip", "netns", "exec", namespace, "nft", "-c", "-f", "-")
    asked = subprocess.run(command, input=text, check=False, capture_output=True, text=True)
    assert (asked.returncode, asked.stderr) == (0, ""), text


@settings(max_examples=150, deadline=None)
@given(objects=spoilt(FORWARDER_KINDS))
def test_nft_takes_what_several_hostile_values_leave(namespace: str, objects: tuple[Object, ...]) -> None:
    """Several fields and objects at once, of another host and of this one."""
    for me in ("node-a", "node-b"):
        core = Forwarding(me)
        examples_first = tuple(decode(kind, example(kind), strict=True) for kind in FORWARDER_KINDS)
        own = host("node-a", "192.0.2.10/24")
        core.handle(ObjectsChanged((own, *examples_first, *map(remembered, objects))))
        core.handle(DevicesChanged((Device("eth0", 2),)))
        change = core.change(0.0)
        assert change is not None
        assert strange_rules(change.text) == []
        check_rules(namespace, change.text)
