"""Operators' mistakes in a running site: each is one clear line, and nothing moves."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.cli.check import check
from appliance.lab import lifecycle, site
from appliance.lab.observe import observing
from appliance.lab.place import LabError
from appliance.lab.stage import Stage
from appliance.lab.topology import CLIENT
from tests.lab.conftest import MakePlace

POOL = """\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata:
  name: {name}
  namespace: metallb-system
spec:
  addresses:
  - {addresses}
"""
MISTAKES = {
    "a YAML typo": (
        POOL.format(name="typo", addresses="10.1.0.0/24").replace("metadata:", "metadata"),
        "{file}:1:line 3: not valid YAML: could not find expected ':'",
    ),
    "an unknown field": (
        POOL.format(name="typo", addresses="10.1.0.0/24") + "  autoasign: false\n",
        "{file}:1:spec.autoasign: IPAddressPool metallb-system/typo: is not a known field",
    ),
    "a bad address": (
        POOL.format(name="bad", addresses="192.168.1.300-192.168.1.310"),
        "{file}:1:spec.addresses[0]: IPAddressPool metallb-system/bad: '192.168.1.300' is not an IP address",
    ),
    "an overlapping pool": (
        POOL.format(name="overlapping", addresses="192.168.1.250/32"),
        "{file}:1:spec.addresses[0]: IPAddressPool metallb-system/overlapping: ",
    ),
    "an unknown peer": (
        "apiVersion: metallb.io/v1beta1\nkind: BGPAdvertisement\nmetadata: {name: lost, namespace: metallb-system}\n"
        "spec: {ipAddressPools: [default-pool], peers: [nobody]}\n",
        "{file}:1:spec.peers[0]: BGPAdvertisement metallb-system/lost: ",
    ),
}
MANIFESTS = ("lab-l2.yaml", "echo-service.yaml")
WATCHED_SECONDS = 1.0


def checked(*files: Path) -> list[str]:
    """What `pierhead check` prints of some files as one configuration."""
    result = CliRunner().invoke(check, [str(file) for file in files])
    assert result.exit_code == 1, result.output
    return [line for line in result.stdout.splitlines() if ": warning: " not in line]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(tmp_path: Path, mistake: str) -> None:
    """File, document, field and object are named."""
    text, line = MISTAKES[mistake]
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    lines = checked(site.example("lab-l2.yaml"), file)
    assert len(lines) == 1
    assert lines[0].startswith(line.format(file=file))


async def test_no_mistake_moves_a_running_site(make_place: MakePlace, tmp_path: Path) -> None:
    """Refused by `lab apply`, and harmless when put into the store's folder behind its back."""
    place = make_place("m")
    topology = await lifecycle.up(place, 3, lambda _text: None)
    async with observing(place, topology) as observer:
        stage = Stage(place, topology, observer, site.FolderCluster(place, topology))
        stage.apply(*MANIFESTS)
        address = await stage.given("echo")
        owner = await stage.owner(address)
        for text, _ in MISTAKES.values():
            wrong = tmp_path / "wrong.yaml"
            wrong.write_text(text)
            with pytest.raises(LabError):
                site.FolderCluster(place, topology).apply([wrong])
            (place.site / "wrong.yaml").write_text(text)
            await _stays(stage, owner)
        (place.site / "wrong.yaml").unlink()
        await _stays(stage, owner)


async def _stays(stage: Stage, owner: str) -> None:
    """Look again and again for a second: the address, its owner and its answers stay."""
    clock = asyncio.get_running_loop().time
    end = clock() + WATCHED_SECONDS
    while clock() < end:
        address = await stage.address("echo")
        assert address is not None
        assert await stage.holder(address) == owner
        await stage.answered(CLIENT, address)
