"""The lab's site directory: what is applied, refused, deleted, and what follows of it."""

from pathlib import Path

import pytest

from appliance.lab import site
from appliance.lab.place import LabError, Place
from appliance.lab.topology import plan

TOPOLOGY = plan(2)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A lab's place with Nodes and nothing else."""
    made = Place("x", tmp_path)
    site.FolderCluster(made, TOPOLOGY).prepare()
    return made


def files(place: Place) -> list[str]:
    """What the site directory holds."""
    return sorted(str(path.relative_to(place.site)) for path in place.site.rglob("*") if path.is_file())


def apply(place: Place, *names: str) -> None:
    """Apply manifests that come with the lab."""
    site.FolderCluster(place, TOPOLOGY).apply([site.example(name) for name in names])


NODES = ["lab/node.node-a.yaml", "lab/node.node-b.yaml"]
SERVICE = ["lab/endpointslice.default.echo-ipv4.yaml", *NODES, "service.default.echo.yaml"]


def test_an_applied_service_gets_its_slices(place: Place) -> None:
    """One file an object; applying it again changes nothing."""
    apply(place, "echo-service.yaml")
    apply(place, "echo-service.yaml")
    assert files(place) == SERVICE


def test_a_deleted_service_takes_its_slices_along(place: Place) -> None:
    """And what was never there is passed over."""
    apply(place, "echo-service.yaml")
    for expected in (1, 0):
        change = site.FolderCluster(place, TOPOLOGY).delete([site.example("echo-service.yaml")])
        assert len(change.refs) == expected
    assert files(place) == NODES


def test_every_manifest_of_the_lab_is_accepted_together(place: Place) -> None:
    """What ships must be right."""
    names = sorted(path.name for path in site.example(".").glob("*.yaml"))
    apply(place, *names)
    assert {"service.default.echo.yaml", "bgppeer.metallb-system.tor-router-ipv6.yaml"} <= set(files(place))


def test_a_mistake_refuses_everything_and_names_each(place: Place, tmp_path: Path) -> None:
    """The running site does not move."""
    apply(place, "echo-service.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p, namespace: m}\n"
        "spec: {addresses: [192.168.1.300/32], adresses: []}\n"
    )
    with pytest.raises(site.SiteError) as caught:
        site.FolderCluster(place, TOPOLOGY).apply([site.example("lab-l2.yaml"), bad])
    assert [(problem.path, problem.source and problem.source.file) for problem in caught.value.problems] == [
        ("spec.addresses[0]", str(bad)),
        ("spec.adresses", str(bad)),
    ]
    assert files(place) == SERVICE


def test_an_advertisement_of_an_unknown_pool_is_refused(place: Place, tmp_path: Path) -> None:
    """References are looked up in the site and the file together; deleting what is referred to is refused too."""
    apply(place, "lab-l2.yaml")
    pool = tmp_path / "pool.yaml"
    pool.write_text(site.example("lab-l2.yaml").read_text().partition("---")[0])
    with pytest.raises(site.SiteError, match="default-pool"):
        site.FolderCluster(place, TOPOLOGY).delete([pool])


def test_fields_nobody_reads_are_kept(place: Place, tmp_path: Path) -> None:
    """A user finds the manifest as it was written."""
    written = tmp_path / "service.yaml"
    written.write_text(site.example("echo-service.yaml").read_text() + "  publishNotReadyAddresses: true\n")
    site.FolderCluster(place, TOPOLOGY).apply([written])
    assert "publishNotReadyAddresses" in (place.site / "service.default.echo.yaml").read_text()


def test_a_backend_can_be_not_ready_and_ready_again(place: Place) -> None:
    """Slices follow; an unknown name is refused."""
    apply(place, "echo-service.yaml")
    path = place.site / "lab" / "endpointslice.default.echo-ipv4.yaml"
    before = path.read_text()
    site.FolderCluster(place, TOPOLOGY).set_ready(["node-b-1"], False)
    assert path.read_text() != before
    site.FolderCluster(place, TOPOLOGY).set_ready(["node-b-1"], True)
    assert path.read_text() == before
    with pytest.raises(LabError, match="node-x-1"):
        site.FolderCluster(place, TOPOLOGY).set_ready(["node-x-1"], False)


def test_a_file_that_cannot_be_read_is_a_problem(place: Place, tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(site.SiteError, match="cannot be read"):
        site.FolderCluster(place, TOPOLOGY).apply([tmp_path / "nowhere.yaml"])
