"""What nft reads."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from appliance.forward.listing import read_listing
from appliance.forward.machine import DevicesChanged, Forwarding, ObjectsChanged
from appliance.forward.structure import FAMILIES, TABLE, render_removal
from tests.golden.nft.case import CASES, HERE, golden, readable

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


def listed(namespace: str) -> list[dict[str, object]]:
    """Every object in our tables."""
    found: list[dict[str, object]] = []
    for family in FAMILIES:
        command = ["ip", "netns", "exec", namespace, "nft", "-j", "-nn", "list", "table", family, TABLE]
        found += json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["nftables"]
    return found


needs_nft = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root, network namespaces and nft"
)
EVERY = pytest.mark.parametrize("name", CASES)


@EVERY
def test_text_is_as_reviewed(name: str) -> None:
    """The text of a case is the one kept beside this file."""
    assert golden(name).read_text() == readable(CASES[name].texts()[-1])


def test_every_kept_text_has_its_case() -> None:
    """No text is left over from a case that is gone."""
    assert set(CASES) == {kept.stem for kept in HERE.glob("*.nft")}


@EVERY
def test_text_is_the_same_every_time(name: str) -> None:
    """The same inputs give the same bytes."""
    assert CASES[name].texts() == CASES[name].texts()


@EVERY
def test_braces_are_never_empty(name: str) -> None:
    """nft 1.0.6 refuses `{ }` where elements are expected."""
    assert not any(re.search(r"(vmap|element .*|devices =|map|iifname) \{\s*\}", text) for text in CASES[name].texts())


@needs_nft
@EVERY
def test_nft_accepts_texts(name: str, namespace: str) -> None:
    """The kernel would take what is kept, after what came before, and takes the whole."""
    *before, last = CASES[name].texts()
    for text in before:
        assert nft(namespace, text) == ""
    assert nft(namespace, golden(name).read_text(), "-c") == ""
    assert nft(namespace, last) == ""


@needs_nft
@EVERY
def test_a_listing_is_read_back(name: str, namespace: str) -> None:
    """What the kernel lists is what it was given: a forwarder that starts on it changes nothing but a second mark."""
    case = CASES[name]
    for text in case.texts():
        assert nft(namespace, text) == ""
    core = Forwarding("node-a")
    core.handle(DevicesChanged(case.devices))
    core.handle(ObjectsChanged(case.objects))
    for event in case.then:
        core.handle(event)
    listing = read_listing(listed(namespace))
    change = core.take_over(listing, 2000.0)
    assert not [line for line in change.text.splitlines() if " revision_" not in line]
    assert (not change.text, change.revision) == (name != "then_a_vip", listing.revision or change.revision)


@needs_nft
@pytest.mark.parametrize(
    "damage",
    [
        "flush ruleset",
        "delete table netdev pierhead",
        "flush chain ip pierhead handover",
        "flush map ip pierhead stateless",
        "delete element ip pierhead kept { 192.168.1.240 . tcp . 80 }",
        "add element ip pierhead addresses { 192.168.1.1 }",
        "add chain ip pierhead of_somebody_else",
        "add chain ip pierhead evil { type filter hook input priority 0; policy accept; }",
        "flush chain ip pierhead to_node-b",
        'flush chain ip6 pierhead to_node-b; add rule ip6 pierhead to_node-b dup to 2001:db8:1::99 device "eth0"; '
        "add rule ip6 pierhead to_node-b drop",
        "add element ip pierhead addresses { 192.168.1.1 }; add rule ip pierhead fate accept",
    ],
)
def test_damage_is_repaired(damage: str, namespace: str) -> None:
    """What somebody else did to the tables is undone, and it ends with that."""
    case = CASES["cluster"]
    core = Forwarding("node-a")
    core.handle(DevicesChanged(case.devices))
    core.handle(ObjectsChanged(case.objects))
    assert nft(namespace, render_removal()) == ""
    assert nft(namespace, core.take_over(read_listing([]), 0.0).text) == ""
    assert nft(namespace, damage) == ""
    present = json.loads(
        subprocess.run(
            ["ip", "netns", "exec", namespace, "nft", "-j", "-nn", "list", "ruleset"], capture_output=True, check=True
        ).stdout
    )["nftables"]
    repair = core.take_over(read_listing(present), 0.0)
    assert repair.text
    assert nft(namespace, repair.text) == ""
    assert core.take_over(read_listing(listed(namespace)), 0.0).text == ""


@needs_nft
def test_texts_replace_one_another(namespace: str) -> None:
    """Each case takes the place of the one before, and removal leaves nothing, twice."""
    for case in CASES.values():
        assert nft(namespace, case.texts()[0]) == ""
    assert nft(namespace, render_removal() + render_removal()) == ""
    ruleset = subprocess.run(
        ["ip", "netns", "exec", namespace, "nft", "list", "ruleset"], capture_output=True, text=True, check=True
    )
    assert ruleset.stdout == ""
