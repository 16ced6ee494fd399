"""Whatever stands in the objects a forwarder reads, nftables is told what was meant and nothing else."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from appliance.api.kind import Kind
from appliance.api.meta import Metadata
from appliance.forward.machine import Device, DevicesChanged, Forwarding, ObjectsChanged
from tests.golden.nft.case import CASES
from tests.unit.forward.site import backend, behind, host, port, vip
from tests.unit.hostile.nft import FORWARDER_KINDS, strange, texts

NAMESPACE = f"phfwd-hostile-{os.getpid()}"


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


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_statement_is_known(name: str) -> None:
    """What is reviewed by hand is what the pattern of statements lets pass."""
    assert [line for text in CASES[name].texts() for line in strange(text)] == []


@pytest.mark.parametrize(
    "evil",
    [
        "add chain ip pierhead evil { type filter hook forward priority 0; policy drop; }",
        "add table inet evil",
        "add element ip pierhead addresses { 192.0.2.1 }; add table inet evil",
        "add rule netdev pierhead to_node-b drop",
        "flush ruleset",
    ],
)
def test_a_statement_nobody_meant_is_seen(evil: str) -> None:
    """The pattern would notice."""
    assert strange(f"{evil}\n") == [evil]


@pytest.mark.parametrize("me", ["node-a", "node-b"])
@pytest.mark.parametrize("kind", FORWARDER_KINDS)
def test_no_statement_that_was_not_meant(kind: Kind, me: str) -> None:
    """One hostile value in one field of one object, of another host or of this one, which may still be decoded."""
    for manifest, text in texts(kind, me):
        assert strange(text) == [], manifest


@needs_nft
@pytest.mark.parametrize("kind", FORWARDER_KINDS)
def test_nft_takes_what_is_written(kind: Kind, namespace: str) -> None:
    """No object makes a change that the kernel refuses, which would hold up every other."""
    tried = set[str]()
    for _, text in texts(kind, "node-a"):
        unmarked = re.sub(r"^.* revision_.*\n", "", text, flags=re.MULTILINE)
        if unmarked not in tried or "delete table" in text:
            marks = re.compile(r"^delete chain .* revision_.*\n", re.MULTILINE)
            assert nft(namespace, marks.sub("", text)) == "", text
            tried.add(unmarked)


@needs_nft
@pytest.mark.parametrize(
    "name",
    [
        "0",
        "0x1f",
        "1.2.3.4",
        "tcp.accept",
        "drop",
        "a--b.c-d",
        "x" * 63,
        f"{'y' * 63}.{'y' * 63}.{'y' * 63}.{'z' * 61}",
    ],
)
def test_any_name_of_a_host_is_the_name_of_a_chain(name: str, namespace: str) -> None:
    """Names as long and as odd as RFC 1123 has them."""
    own, other = host("node-a", "192.0.2.10/24"), host("node-b", "192.0.2.11/24")
    core = Forwarding("node-a")
    on_it = replace(backend("10.244.2.2", "node-b"), host=name)
    core.handle(
        ObjectsChanged(
            (own, replace(other, metadata=Metadata(name=name)), vip("192.0.2.1"), behind("192.0.2.1", port(on_it)))
        )
    )
    core.handle(DevicesChanged((Device("eth0", 2),)))
    change = core.change(0.0)
    assert change is not None
    assert "goto to_" in change.text
    assert nft(namespace, change.text) == ""
