"""What nft reads."""

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from appliance.nft.ruleset import render, render_removal
from tests.golden.nft.case import CASES, HERE, golden

NAMESPACE = f"phfwd-golden-{os.getpid()}"


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A network namespace with the device that the rules hook."""
    try:
        _ip("netns", "add", NAMESPACE)
        _ip("-n", NAMESPACE, "link", "add", "eth0", "type", "veth", "peer", "name", "other")
        yield NAMESPACE
    finally:
        _ip("netns", "delete", NAMESPACE)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def nft(namespace: str, text: str, *options: str) -> str:
    """What nft says of a text, in a namespace."""
    command = ["ip", "netns", "exec", namespace, "nft", *options, "-f", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


needs_nft = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root, network namespaces and nft"
)


@pytest.mark.parametrize("name", CASES)
def test_text_is_as_reviewed(name: str) -> None:
    """The text of a plan is the one kept beside this file."""
    assert golden(name).read_text() == render(CASES[name]).text


def test_every_kept_text_has_its_case() -> None:
    """No text is left over from a case that is gone."""
    assert set(CASES) == {kept.stem for kept in HERE.glob("*.nft")}


@needs_nft
@pytest.mark.parametrize("name", CASES)
def test_nft_accepts_text(name: str, namespace: str) -> None:
    """The kernel would take the text."""
    assert nft(namespace, golden(name).read_text(), "-c") == ""


@needs_nft
def test_texts_replace_one_another(namespace: str) -> None:
    """Each text takes the place of the one before, and removal leaves nothing, twice."""
    for name in CASES:
        assert nft(namespace, golden(name).read_text()) == ""
    assert nft(namespace, render_removal() + render_removal()) == ""
    listed = subprocess.run(
        ["ip", "netns", "exec", namespace, "nft", "list", "ruleset"], capture_output=True, text=True, check=True
    )
    assert listed.stdout == ""
