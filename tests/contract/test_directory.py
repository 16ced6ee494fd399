"""What only a folder shared with operators and other programs can get wrong."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import cast

import pytest

from appliance.api.core import Secret, Service, ServiceSpec
from appliance.api.kind import Kind, Object, ref_of
from appliance.api.manifest import parse
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import Backends, BackendsSpec, Host, VirtualIP
from appliance.api.problem import Source
from appliance.api.refusal import StoreRefusal
from appliance.store.directory import disk, tree
from appliance.store.directory.accepted import Accepted, draft_of
from appliance.store.directory.layout import Layout
from appliance.store.directory.store import DirectoryStore
from appliance.store.protocol import Changes, StoreError
from tests.contract.sample import HOSTS, SERVICES, VIPS, addressed, host, noted, vip
from tests.contract.watching import watching

ECHO = """\
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: shop, annotations: {team: blue}}
spec: {type: LoadBalancer, ports: [{port: 80}]}
"""
ECHO_REF = Ref("Service", "shop", "echo")
PROGRAM = "pierhead-allocator"
HOST_A = "apiVersion: pierhead.io/v1alpha1\nkind: Host\nmetadata: {name: node-a, labels: {zone: east}}\n"
BROKEN = "apiVersion: v1\nkind: Service\nmetadata: [\n"


def long_ago(path: Path) -> None:
    """Let a file look as if its writer was done with it."""
    os.utime(path, (time.time() - 60, time.time() - 60))


def write(path: Path, text: str) -> None:
    """Write an operator's file the way `install` does: whole, and in its place at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spare = path.with_name(f".{path.name}.new")
    spare.write_text(text)
    long_ago(spare)
    spare.rename(path)


def bare(manifest: Object) -> Metadata:
    """An object's metadata without a version."""
    return replace(manifest.metadata, resource_version="")


def version(manifest: Object) -> int:
    """A resource version as the number it is here."""
    return int(manifest.metadata.resource_version)


async def present(store: DirectoryStore) -> Service:
    """The Service, which is there."""
    return cast(Service, await store.get(ECHO_REF))


async def echo_of(store: DirectoryStore) -> Service | None:
    """The Service as the store has it."""
    return cast(Service | None, (await store.list(SERVICES)).objects.get(ECHO_REF))


async def test_manifests_are_read_at_any_depth(tmp_path: Path) -> None:
    """Folders and both suffixes count; hidden files, hidden folders and other suffixes do not."""
    for name in ("a.yaml", "b.yml", "deep/er/c.yaml", ".hidden.yaml", ".git/d.yaml", "e.txt", "f.yaml~"):
        write(tmp_path / name, ECHO.replace("echo", "echo-" + name[-6:].strip("/.").replace(".", "-").replace("~", "")))
    names = {ref.name for ref in (await DirectoryStore(tmp_path).list(SERVICES)).objects}
    assert names == {"echo-a-yaml", "echo-b-yml", "echo-c-yaml"}


async def test_the_place_of_each_object_is_known(tmp_path: Path) -> None:
    """Sources name the file and the document of what operators wrote."""
    write(tmp_path / "a.yaml", f"{HOST_A}---\n{ECHO}")
    sources = (await DirectoryStore(tmp_path).list(SERVICES)).sources
    assert sources == {ECHO_REF: Source(str(tmp_path / "a.yaml"), 2)}


async def test_operators_files_are_never_written(tmp_path: Path) -> None:
    """An operator's object takes status, labels and annotations as an overlay and refuses another spec and a delete."""
    write(tmp_path / "a.yaml", ECHO)
    store = DirectoryStore(tmp_path)
    service = await present(store)
    told = cast(Service, await store.apply_status(addressed(service, "192.0.2.1"), PROGRAM))
    given = cast(Service, await store.apply_metadata(noted(told, pool="lan"), PROGRAM))
    for refused in (store.apply(replace(given, spec=ServiceSpec()), PROGRAM), store.delete(ECHO_REF)):
        with pytest.raises(StoreError) as error:
            await refused
        assert error.value.refusal is StoreRefusal.READ_ONLY
    assert (tmp_path / "a.yaml").read_text() == ECHO
    fresh = await present(DirectoryStore(tmp_path))
    assert fresh == given
    assert fresh.metadata.annotations == {"team": "blue", "pool": "lan"}
    assert [entry.ip for entry in fresh.status.load_balancer.ingress] == ["192.0.2.1"]


async def test_a_status_and_annotations_are_laid_in_one_write(tmp_path: Path) -> None:
    """Over an operator's object too; without being asked for a status touches no annotation."""
    write(tmp_path / "a.yaml", ECHO)
    store = DirectoryStore(tmp_path)
    wanted = noted(addressed(await present(store), "192.0.2.1"), pool="lan")
    told = cast(Service, await store.apply_status(wanted, PROGRAM, with_metadata=True))
    assert told.metadata.annotations == {"team": "blue", "pool": "lan"}
    assert [entry.ip for entry in told.status.load_balancer.ingress] == ["192.0.2.1"]
    assert await store.apply_status(noted(addressed(told, "192.0.2.1")), PROGRAM) is told
    cleared = await store.apply_status(noted(addressed(told, "")), PROGRAM, with_metadata=True)
    assert cleared.metadata.annotations == {"team": "blue"}
    assert version(cleared) > version(told)


async def test_labels_of_an_operators_object(tmp_path: Path) -> None:
    """A program's labels are laid over an operator's, each writer's own, and the operator's are back when they go."""
    write(tmp_path / "a.yaml", HOST_A)
    store = DirectoryStore(tmp_path)

    async def labels(manager: str, **wanted: str) -> Mapping[str, str]:
        manifest = Host(metadata=Metadata(name="node-a", labels=wanted))
        return (await store.apply(manifest, manager)).metadata.labels

    assert await labels("agent", rack="1", zone="west") == {"zone": "west", "rack": "1"}
    assert await labels("allocator", kernel="6") == {"zone": "west", "rack": "1", "kernel": "6"}
    store = DirectoryStore(tmp_path)
    assert await labels("agent") == {"zone": "east", "kernel": "6"}
    with pytest.raises(StoreError) as error:
        await store.apply(host("node-a", drain=True), "agent")
    assert error.value.refusal is StoreRefusal.READ_ONLY


async def test_an_overlay_outlives_a_change_of_its_object(tmp_path: Path) -> None:
    """Status and given annotations stay on an object whose operator changes its spec and its own annotations."""
    write(tmp_path / "a.yaml", ECHO)
    store = DirectoryStore(tmp_path)
    service = await present(store)
    await store.apply_status(addressed(service, "192.0.2.1"), PROGRAM)
    await store.apply_metadata(noted(replace(service, metadata=bare(service)), pool="lan"), PROGRAM)
    write(tmp_path / "a.yaml", ECHO.replace("team: blue", "team: red").replace("port: 80", "port: 8080"))
    changed = await present(store)
    assert changed.metadata.annotations == {"team": "red", "pool": "lan"}
    assert (changed.spec.ports[0].port, len(changed.status.load_balancer.ingress)) == (8080, 1)


async def test_an_overlay_without_object_goes(tmp_path: Path) -> None:
    """The status of a removed object is not met by a later object of the name, whose version is a new one."""
    write(tmp_path / "a.yaml", ECHO)
    store = DirectoryStore(tmp_path)
    given = await store.apply_status(addressed(await present(store), "192.0.2.1"), PROGRAM)
    (tmp_path / "a.yaml").unlink()
    assert await echo_of(store) is None
    write(tmp_path / "a.yaml", ECHO)
    again = await present(DirectoryStore(tmp_path))
    assert again.status.load_balancer.ingress == ()
    assert version(again) > version(given)


async def test_a_status_can_be_taken_back(tmp_path: Path) -> None:
    """Writing the status the operator's file has gives the object as it was, under a new version."""
    write(tmp_path / "a.yaml", ECHO)
    store = DirectoryStore(tmp_path)
    service = await present(store)
    given = await store.apply_status(addressed(service, "192.0.2.1"), PROGRAM)
    await store.apply_status(addressed(cast(Service, given), ""), PROGRAM)
    again = await present(store)
    assert (again.spec, again.status) == (service.spec, service.status)
    assert version(service) < version(given) < version(again)


async def test_an_operators_object_has_versions_that_grow(tmp_path: Path) -> None:
    """A to B to A is three versions for every reader, one that began in between and one that began after it too."""
    early = DirectoryStore(tmp_path)
    versions = []
    for port in ("80", "81", "80"):
        write(tmp_path / "a.yaml", ECHO.replace("port: 80", f"port: {port}"))
        versions.append(version(await present(early)))
        assert version(await present(DirectoryStore(tmp_path))) == versions[-1]
    assert versions == sorted(set(versions))


async def test_a_stale_read_of_an_operators_object_is_refused(tmp_path: Path) -> None:
    """Whoever read A and then writes while the file says A again, as it did not in between, is refused."""
    write(tmp_path / "a.yaml", ECHO)
    slow, quick = DirectoryStore(tmp_path), DirectoryStore(tmp_path)
    async with watching(slow, SERVICES) as watch:
        first = cast(Service, watch.objects[ECHO_REF])
        for text in (ECHO.replace("port: 80", "port: 81"), ECHO):
            write(tmp_path / "a.yaml", text)
            await present(quick)
        with pytest.raises(StoreError) as error:
            await slow.apply_status(addressed(first, "192.0.2.1"), PROGRAM)
        assert error.value.refusal is StoreRefusal.CONFLICT


async def test_an_untouched_object_of_a_changed_file_keeps_its_version(tmp_path: Path) -> None:
    """One document of a file is edited: the others are the same objects, and nobody is told of them."""
    other = ECHO.replace("echo", "other")
    write(tmp_path / "a.yaml", f"{ECHO}---\n{other}")
    store = DirectoryStore(tmp_path)
    async with watching(store, SERVICES) as watch:
        echo = watch.objects[ECHO_REF]
        write(tmp_path / "a.yaml", f"{ECHO}---\n{other.replace('80', '81')}")
        batch = await watch.next()
        assert [each.metadata.name for each in batch.changed] == ["other"]
        assert watch.objects[ECHO_REF] is echo


async def test_the_same_name_twice_is_a_problem(tmp_path: Path) -> None:
    """The first in order of files is used; the other place is told, and both are named."""
    write(tmp_path / "b.yaml", ECHO.replace("port: 80", "port: 81"))
    write(tmp_path / "a.yaml", ECHO)
    snapshot = await DirectoryStore(tmp_path).list(SERVICES)
    assert cast(Service, snapshot.objects[ECHO_REF]).spec.ports[0].port == 80
    (problem,) = snapshot.problems
    assert problem.source == Source(str(tmp_path / "b.yaml"), 1)
    assert str(tmp_path / "a.yaml") in problem.text


async def test_an_operators_object_hides_a_programs(tmp_path: Path) -> None:
    """Where both wrote one name the operator's is used, with a problem; when it goes, the program's is back."""
    store = DirectoryStore(tmp_path)
    await store.create(host("node-a", drain=True), PROGRAM)
    write(tmp_path / "a.yaml", HOST_A)
    snapshot = await store.list(HOSTS)
    assert [manifest.metadata.labels for manifest in snapshot.objects.values()] == [{"zone": "east"}]
    assert [problem.ref for problem in snapshot.problems] == [Ref("Host", "", "node-a")]
    hidden = version(next(iter(snapshot.objects.values())))
    (tmp_path / "a.yaml").unlink()
    snapshot = await store.list(HOSTS)
    assert [cast(Host, manifest).spec.drain for manifest in snapshot.objects.values()] == [True]
    assert version(next(iter(snapshot.objects.values()))) > hidden
    assert snapshot.problems == ()


async def test_a_broken_file_keeps_its_last_good_objects(tmp_path: Path) -> None:
    """A typo changes no object, is told with its place, and is forgotten when it is mended."""
    write(tmp_path / "a.yaml", ECHO)
    store = DirectoryStore(tmp_path)
    good = await store.list(SERVICES)
    write(tmp_path / "a.yaml", BROKEN)
    broken = await store.list(SERVICES)
    assert broken.objects[ECHO_REF] is good.objects[ECHO_REF]
    assert broken.is_complete
    assert [problem.source for problem in broken.problems] == [Source(str(tmp_path / "a.yaml"), 1)]
    write(tmp_path / "a.yaml", ECHO)
    assert (await store.list(SERVICES)).problems == ()


async def test_a_file_that_was_never_right_makes_the_picture_incomplete(tmp_path: Path) -> None:
    """Nothing follows from the absence of an object whose text was never read."""
    write(tmp_path / "a.yaml", f"{ECHO}---\n{BROKEN}")
    store = DirectoryStore(tmp_path)
    snapshot = await store.list(SERVICES)
    assert (snapshot.objects, snapshot.is_complete, len(snapshot.problems)) == ({}, False, 1)
    write(tmp_path / "a.yaml", ECHO)
    assert (await store.list(SERVICES)).is_complete


async def test_a_file_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are told, not raised."""
    (tmp_path / "a.yaml").write_bytes(b"kind: \xff\n")
    snapshot = await DirectoryStore(tmp_path).list(SERVICES)
    assert [problem.text for problem in snapshot.problems] == ["is not UTF-8 text at byte 6"]


async def test_a_half_written_file_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An editor that empties the file before it fills it again causes no moment without the object."""
    monkeypatch.setattr(tree, "SETTLE_SECONDS", 30.0)  # the editor's time on a slow machine; less than `long_ago`
    write(tmp_path / "a.yaml", ECHO)
    async with watching(DirectoryStore(tmp_path), SERVICES) as watch:
        (tmp_path / "a.yaml").write_text("")
        write(tmp_path / "b.yaml", ECHO.replace("echo", "other"))
        await watch.until(lambda: len(watch.objects) == 2)
        assert ECHO_REF in watch.objects
        (tmp_path / "a.yaml").write_text(ECHO.replace("port: 80", "port: 81"))
        await watch.until(lambda: cast(Service, watch.objects[ECHO_REF]).spec.ports[0].port == 81)
        assert [ref for batch in watch.batches for ref in batch.removed] == []


async def test_a_removed_object_goes(tmp_path: Path) -> None:
    """What is gone for good is gone from the watch, whether its file was removed or emptied."""
    write(tmp_path / "a.yaml", ECHO)
    write(tmp_path / "b.yaml", ECHO.replace("echo", "other"))
    async with watching(DirectoryStore(tmp_path), SERVICES) as watch:
        (tmp_path / "a.yaml").unlink()
        (tmp_path / "b.yaml").write_text("")
        await watch.until(lambda: watch.objects == {})


async def test_a_folder_moved_in_is_seen(tmp_path: Path) -> None:
    """A folder that comes with its files in it, and a file put in it later, both arrive; it goes with its files."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    write(outside / "site" / "a.yaml", ECHO)
    inside.mkdir()
    async with watching(DirectoryStore(inside), SERVICES) as watch:
        (outside / "site").rename(inside / "site")
        await watch.until(lambda: ECHO_REF in watch.objects)
        write(inside / "site" / "b.yaml", ECHO.replace("echo", "other"))
        await watch.until(lambda: len(watch.objects) == 2)
        (inside / "site").rename(outside / "site")
        await watch.until(lambda: watch.objects == {})


async def test_a_mounted_config_map_is_followed(tmp_path: Path) -> None:
    """Kubernetes swaps a hidden link under links that stay as they are."""
    for version, port in (("..1", "80"), ("..2", "81")):
        write(tmp_path / version / "a.yaml", ECHO.replace("port: 80", f"port: {port}"))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    async with watching(DirectoryStore(tmp_path), SERVICES) as watch:
        assert len(watch.objects) == 1
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        await watch.until(lambda: cast(Service, watch.objects[ECHO_REF]).spec.ports[0].port == 81)


async def test_a_change_of_another_program_arrives(tmp_path: Path) -> None:
    """Two stores on one folder see each other's objects."""
    reader, writer = DirectoryStore(tmp_path), DirectoryStore(tmp_path)
    async with watching(reader, VIPS) as watch:
        stored = await writer.create(vip(1), PROGRAM)
        await watch.until(lambda: watch.objects == {ref_of(stored): stored})


async def test_a_missing_folder_is_unavailable(tmp_path: Path) -> None:
    """Neither a read nor a watch nor a write takes a missing folder for an empty one."""
    store = DirectoryStore(tmp_path / "none")
    for attempt in (store.list(VIPS), anext(aiter(store.watch(VIPS))), store.create(vip(1), PROGRAM)):
        with pytest.raises(StoreError) as error:
            await attempt
        assert error.value.refusal is StoreRefusal.UNAVAILABLE


async def test_a_folder_that_goes_ends_the_watch(tmp_path: Path) -> None:
    """The watch refuses UNAVAILABLE; at no moment did it show an empty picture."""
    root = tmp_path / "root"
    root.mkdir()
    store = DirectoryStore(root)
    await store.create(vip(1), PROGRAM)
    async with watching(store, VIPS) as watch:
        root.rename(tmp_path / "elsewhere")
        with pytest.raises(StoreError) as error:
            await watch.until(lambda: not watch.objects)
    assert error.value.refusal is StoreRefusal.UNAVAILABLE


@pytest.mark.parametrize("folder", ["virtualips", "status/services"])
def test_a_writer_whose_folder_is_taken_away_makes_no_new_one(tmp_path: Path, folder: str) -> None:
    """Between the look at the folder and the write it may go: what comes back must find its place free."""
    own = tmp_path / "site" / ".pierhead"
    with pytest.raises(FileNotFoundError):
        disk.write_over(str(own / folder / "name.yaml"), "text", str(own / ".next"))
    assert not (tmp_path / "site").exists()


async def test_an_empty_folder_in_its_place_is_not_believed(tmp_path: Path) -> None:
    """A mount point whose mount is gone is not a store without objects; the real one is taken up again."""
    root = tmp_path / "root"
    root.mkdir()
    store = DirectoryStore(root)
    await store.create(vip(1), PROGRAM)
    root.rename(tmp_path / "elsewhere")
    root.mkdir()
    for attempt in (store.list(VIPS), store.list(VIPS), store.create(vip(2), PROGRAM)):
        with pytest.raises(StoreError) as error:
            await attempt
        assert error.value.refusal is StoreRefusal.UNAVAILABLE
    root.rmdir()
    (tmp_path / "elsewhere").rename(root)
    assert len((await store.list(VIPS)).objects) == 1


def test_a_name_is_no_way_out(tmp_path: Path) -> None:
    """Whatever an object is called, its file stays in the store, and names that look alike stay apart."""
    names = ("../../../escape", ".hidden", "a/b", "a%2Fb", "..")
    paths = {Path(Layout(tmp_path).object_path(Ref("Host", "", name))) for name in names}
    assert {path.parent for path in paths} == {tmp_path / ".pierhead" / "hosts"}
    assert (len(paths), any(path.name.startswith(".") for path in paths)) == (len(names), False)


async def test_what_a_dead_writer_left_does_no_harm(tmp_path: Path) -> None:
    """A spare that is also linked under its object's name is not written through."""
    store = DirectoryStore(tmp_path)
    first = await store.create(vip(1), PROGRAM)
    os.link(tmp_path / ".pierhead/virtualips/10.0.0.1.json", tmp_path / ".pierhead/.writing/next")
    await store.create(vip(2), PROGRAM)
    assert (await DirectoryStore(tmp_path).list(VIPS)).objects[ref_of(first)] == first


async def test_what_programs_wrote_waits_for_no_operators_text(tmp_path: Path) -> None:
    """A host hears of a VirtualIP while somebody holds the lock and an operator's text is not accepted yet."""
    layout, reader = Layout(tmp_path), DirectoryStore(tmp_path)
    first = await DirectoryStore(tmp_path).create(vip(1), PROGRAM)
    async with watching(reader, VIPS | HOSTS) as watch:
        with disk.locked(layout.lock, 1):
            write(tmp_path / "echo.yaml", ECHO)
            write(tmp_path / "node-a.yaml", HOST_A)
            text = Path(layout.object_path(ref_of(first))).read_text().replace("10.0.0.1", "10.0.0.2")
            disk.write_over(layout.object_path(ref_of(vip(2))), text, layout.next)
            await watch.until(lambda: ref_of(vip(2)) in watch.objects)
            assert ref_of(host("node-a")) not in watch.objects
        await watch.until(lambda: ref_of(host("node-a")) in watch.objects)


async def test_a_torn_file_is_written_again_where_it_is_derived(tmp_path: Path) -> None:
    """Backends that a loss of power left empty are made anew; a claim's file is nobody's to write over."""
    layout, spec = Layout(tmp_path), BackendsSpec(address=IPv4Address("10.0.0.1"))
    behind = Backends(metadata=Metadata(name="10.0.0.1"), spec=spec)
    for manifest in (vip(1), behind):
        await DirectoryStore(tmp_path).create(manifest, PROGRAM)
        Path(layout.object_path(ref_of(manifest))).write_text("")
    store = DirectoryStore(tmp_path)
    assert (await store.list(frozenset({Kind.BACKENDS}))).unreadable == {ref_of(behind)}
    stored = await store.create(behind, PROGRAM)
    assert (await DirectoryStore(tmp_path).list(frozenset({Kind.BACKENDS}))).objects == {ref_of(behind): stored}
    with pytest.raises(StoreError) as refused:
        await store.create(vip(1), PROGRAM)
    assert refused.value.refusal is StoreRefusal.EXISTS


WRITER = """
import asyncio, sys
from pathlib import Path
from appliance.store.directory.store import DirectoryStore
from appliance.api.kind import ref_of
from appliance.store.protocol import StoreError
from tests.contract.sample import vip

async def race(store, pool):
    for number in range(int(sys.argv[3])):
        try:
            await store.create(vip(number, pool), pool)
            print(number, flush=True)
        except StoreError as error:
            assert error.refusal.name == "EXISTS", error

async def churn(store, pool):
    print("ready", flush=True)
    while True:
        await race(store, pool)
        for number in range(int(sys.argv[3])):
            await store.apply(vip(number, pool, label="x" * 5000), pool)
            await store.apply_status(vip(number, owner=pool), pool)
            print(number, flush=True)

async def count(store, pool):
    for _ in range(int(sys.argv[3])):
        present = await store.get(ref_of(vip(0)))
        number = int(present.metadata.labels.get("text", "0")) + 1
        try:
            await store.apply(vip(0, version=present.metadata.resource_version, label=str(number)), "counter")
            print(number, flush=True)
        except StoreError as error:
            assert error.refusal.name == "CONFLICT", error

asyncio.run({"race": race, "churn": churn, "count": count}[sys.argv[4]](DirectoryStore(Path(sys.argv[1])), sys.argv[2]))
"""


def writer(folder: Path, pool: str, count: int, what: str) -> "subprocess.Popen[str]":
    """Another program that writes to the store."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), pool, str(count), what],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


async def test_a_race_for_a_name_has_one_winner(tmp_path: Path) -> None:
    """Two programs create the same hundred names at once: each name is won once, and holds what its winner wrote."""
    racers = {pool: writer(tmp_path, pool, 100, "race") for pool in ("one", "other")}
    won = {pool: {int(line) for line in racer.communicate(timeout=300)[0].split()} for pool, racer in racers.items()}
    assert [racer.returncode for racer in racers.values()] == [0, 0]
    assert won["one"] | won["other"] == set(range(100))
    assert not won["one"] & won["other"]
    for manifest in (await DirectoryStore(tmp_path).list(VIPS)).objects.values():
        number = int(manifest.metadata.name.rpartition(".")[2])
        assert number in won[cast(VirtualIP, manifest).spec.pool]


async def test_a_killed_writer_leaves_whole_files(tmp_path: Path) -> None:
    """SIGKILL at any moment of a write leaves every object readable and the store writable."""
    for attempt in range(5):
        killed = writer(tmp_path, "killed", 4, "churn")
        assert killed.stdout is not None
        assert killed.stdout.readline() == "ready\n"
        for _ in range(3 * attempt):
            killed.stdout.readline()
        killed.send_signal(signal.SIGKILL)
        killed.communicate(timeout=60)
        store = DirectoryStore(tmp_path)
        snapshot = await store.list(VIPS)
        assert (snapshot.problems, snapshot.is_complete) == ((), True)
        for ref in snapshot.objects:
            await store.delete(ref)


async def test_one_change_among_many_is_cheap(tmp_path: Path) -> None:
    """One changed file among thousands is looked at alone: no folder is walked, whoever changed it."""
    store = DirectoryStore(tmp_path)
    for number in range(300):
        await store.create(vip(number), PROGRAM)
    async with watching(store, VIPS) as watch:
        for path in (tmp_path / ".pierhead" / "virtualips").iterdir():
            long_ago(path)
        changed = await DirectoryStore(tmp_path).apply(vip(7, pool="other"), PROGRAM)
        assert await watch.next() == Changes(changed=(changed,))


def test_every_kind_has_its_folder() -> None:
    """Plurals are distinct, so that no two kinds share a file."""
    assert len({kind.plural for kind in Kind}) == len(Kind)


VIP_REF = ref_of(vip(1))
VIP_FILE = ".pierhead/virtualips/10.0.0.1.json"
UNKNOWN_FIELD = {"spec": {"address": "10.0.0.1", "pool": "lan", "weight": 7}}


def rewrite(path: Path, **parts: object) -> None:
    """Write a program's file by hand, other in some parts."""
    write(path, json.dumps({**json.loads(path.read_text()), **parts}))


async def test_an_object_that_cannot_be_decoded_withholds_only_itself(tmp_path: Path) -> None:
    """Its last good version stays with readers, it is named, no write makes it worse, and it can be removed."""
    store = DirectoryStore(tmp_path)
    first = await store.create(vip(1), PROGRAM)
    async with watching(store, VIPS) as watch:
        rewrite(tmp_path / VIP_FILE, spec={"address": "nobody knows"})
        await watch.until(lambda: watch.picture.unreadable == {VIP_REF})
        assert [problem.path for problem in watch.picture.problems] == ["spec.address", "spec.pool"]
        other = await store.create(vip(2), PROGRAM)
        assert (await watch.next()).changed == (other,)
        assert watch.objects == {VIP_REF: first, ref_of(other): other}
        for attempt, why in (
            (store.get(VIP_REF), StoreRefusal.INVALID),
            (store.apply(vip(1), PROGRAM), StoreRefusal.INVALID),
            (store.create(vip(1), PROGRAM), StoreRefusal.EXISTS),
        ):
            with pytest.raises(StoreError) as error:
                await attempt
            assert error.value.refusal is why
        assert (await DirectoryStore(tmp_path).list(VIPS)).unreadable == {VIP_REF}
        await store.delete(VIP_REF)
        await watch.until(lambda: not watch.picture.unreadable)
        assert watch.objects == {ref_of(other): other}


async def test_a_name_that_is_no_text_withholds_only_itself(tmp_path: Path) -> None:
    """JSON can hold half a surrogate pair, of which no file's name can be made."""
    store = DirectoryStore(tmp_path)
    await store.create(vip(1), PROGRAM)
    rewrite(tmp_path / VIP_FILE, spec=None, metadata={"name": "\ud800"})
    await store.create(vip(2), PROGRAM)
    listing = await DirectoryStore(tmp_path).list(VIPS)
    assert {ref.name for ref in listing.objects} == {"10.0.0.2"}


async def test_an_object_that_can_be_decoded_again_is_back(tmp_path: Path) -> None:
    """Whoever mends the file by hand needs to tell nobody."""
    store = DirectoryStore(tmp_path)
    await store.create(vip(1), PROGRAM)
    text = (tmp_path / VIP_FILE).read_text()
    async with watching(store, VIPS) as watch:
        write(tmp_path / VIP_FILE, "{")
        await watch.until(lambda: watch.picture.unreadable == {VIP_REF})
        write(tmp_path / VIP_FILE, text)
        await watch.until(lambda: not watch.picture.unreadable and not watch.picture.problems)
        assert VIP_REF in watch.objects


async def test_a_field_of_a_newer_program_is_passed_over(tmp_path: Path) -> None:
    """A rolling upgrade breaks no older program; of an operator's file the same field is a mistake."""
    store = DirectoryStore(tmp_path)
    await store.create(vip(1), PROGRAM)
    rewrite(tmp_path / VIP_FILE, **UNKNOWN_FIELD)
    listing = await DirectoryStore(tmp_path).list(VIPS)
    assert (set(listing.objects), listing.unreadable, listing.problems) == ({VIP_REF}, frozenset(), ())
    operators = json.loads((tmp_path / VIP_FILE).read_text())
    write(tmp_path / "site" / "a.yaml", json.dumps({**operators, "managers": None}))
    problems = (await DirectoryStore(tmp_path / "site").list(VIPS)).problems
    assert [problem.path for problem in problems] == ["spec.weight"]


async def test_the_last_right_text_outlives_every_reader(tmp_path: Path) -> None:
    """A typo made while no program ran, or before a restart, takes nothing away, and each document has its version."""
    other = ECHO.replace("echo", "other")
    write(tmp_path / "a.yaml", f"{ECHO}---\n{other}")
    good = await DirectoryStore(tmp_path).list(SERVICES)
    write(tmp_path / "a.yaml", f"{ECHO}---\n{BROKEN}")
    listing = await DirectoryStore(tmp_path).list(SERVICES)
    assert (listing.objects, listing.is_complete) == (good.objects, True)
    assert [problem.source for problem in listing.problems] == [Source(str(tmp_path / "a.yaml"), 2)]
    write(tmp_path / "a.yaml", ECHO)
    assert set((await DirectoryStore(tmp_path).list(SERVICES)).objects) == {ECHO_REF}


async def test_nothing_is_missed_while_a_text_was_never_right(tmp_path: Path) -> None:
    """What leaves one file may stand in another that cannot be read yet: it goes once that can be read."""
    other = ECHO.replace("echo", "other")
    write(tmp_path / "a.yaml", f"{ECHO}---\n{other}")
    write(tmp_path / "c.yaml", ECHO.replace("echo", "third"))
    async with watching(DirectoryStore(tmp_path), SERVICES) as watch:
        write(tmp_path / "b.yaml", BROKEN)
        await watch.until(lambda: not watch.picture.is_complete)
        write(tmp_path / "a.yaml", other)
        (tmp_path / "c.yaml").unlink()
        write(tmp_path / "d.yaml", ECHO.replace("echo", "fourth"))
        await watch.until(lambda: len(watch.objects) == 4)
        assert len((await DirectoryStore(tmp_path).list(SERVICES)).objects) == 4
        write(tmp_path / "b.yaml", ECHO.replace("port: 80", "port: 81"))
        await watch.until(lambda: {ref.name for ref in watch.objects} == {"echo", "other", "fourth"})
        assert cast(Service, watch.objects[ECHO_REF]).spec.ports[0].port == 81
        assert [ref.name for batch in watch.batches for ref in batch.removed] == ["third"]


async def test_another_folder_in_its_place_is_listed_anew(tmp_path: Path) -> None:
    """The watch ends; the next one tells what the new folder holds, under versions of its own."""
    root, other = tmp_path / "root", tmp_path / "other"
    for folder, pool, numbers in ((root, "lan", (1, 2)), (other, "wan", (2, 3))):
        folder.mkdir()
        for number in numbers:
            await DirectoryStore(folder).create(vip(number, pool), PROGRAM)
    store = DirectoryStore(root)
    async with watching(store, VIPS) as watch:
        before = watch.objects
        root.rename(tmp_path / "away")
        other.rename(root)
        with pytest.raises(StoreError) as error:
            await watch.until(lambda: False)
        assert error.value.refusal is StoreRefusal.UNAVAILABLE
    async with watching(store, VIPS) as watch:
        assert {ref.name for ref in watch.objects} == {"10.0.0.2", "10.0.0.3"}
        changed = watch.objects[ref_of(vip(2))]
        assert cast(VirtualIP, changed).spec.pool == "wan"
        assert changed.metadata.resource_version != before[ref_of(vip(2))].metadata.resource_version


@pytest.mark.parametrize("place", ["x.yaml", ".pierhead/virtualips/x.json"])
async def test_a_fifo_hangs_nobody(tmp_path: Path, place: str) -> None:
    """What is no file is none, whatever it is called."""
    store = DirectoryStore(tmp_path)
    await store.create(vip(1), PROGRAM)
    os.mkfifo(tmp_path / place)
    async with asyncio.timeout(60):
        assert VIP_REF in (await DirectoryStore(tmp_path).list(VIPS)).objects


async def test_nobody_else_can_hold_the_lock(tmp_path: Path) -> None:
    """The lock and the accepted texts, which may hold passwords, are their owner's alone; an older lock is mended."""
    (tmp_path / ".pierhead/.writing").mkdir(parents=True)
    (tmp_path / ".pierhead" / "lock").touch(0o644)
    write(tmp_path / "a.yaml", ECHO)
    await DirectoryStore(tmp_path).create(vip(1), PROGRAM)
    for name in (".writing/lock", "accepted"):
        assert stat.S_IMODE((tmp_path / ".pierhead" / name).stat().st_mode) == 0o600


async def test_a_secret_is_its_owners_alone(tmp_path: Path) -> None:
    """The passwords that programs hand on by it are for no other user of the machine, also after a change."""
    store = DirectoryStore(tmp_path)
    secret = Secret(metadata=Metadata(name="node-a", namespace="pierhead-hosts"), data={"tor": b"open sesame"})
    file = tmp_path / ".pierhead" / "secrets" / "pierhead-hosts.node-a.json"
    stored = await store.create(secret, PROGRAM)
    assert (stat.S_IMODE(file.stat().st_mode), stored.metadata.name) == (0o600, "node-a")
    await store.apply(replace(secret, data={"tor": b"other"}), PROGRAM)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_the_longest_names_have_files(tmp_path: Path) -> None:
    """Namespace and name together are longer than a file's name may be; names that begin alike stay apart."""
    namespace = "s" * 63
    names = ["n" * 252 + end for end in ("1", "2")]
    for name in names:
        write(tmp_path / f"{name[-1]}.yaml", ECHO.replace("echo", name).replace("shop", namespace))
    store = DirectoryStore(tmp_path)
    for name in names:
        service = cast(Service, await store.get(Ref("Service", namespace, name)))
        await store.apply_status(addressed(service, f"192.0.2.{name[-1]}"), PROGRAM)
    objects = (await DirectoryStore(tmp_path).list(SERVICES)).objects
    told = {ref.name: cast(Service, each).status.load_balancer.ingress[0].ip for ref, each in objects.items()}
    assert told == {name: f"192.0.2.{name[-1]}" for name in names}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become nobody")
def test_a_reader_that_may_not_write_reads() -> None:
    """Who cannot write down what it accepts has no versions for operators' objects, and changes nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write(folder / "a.yaml", ECHO)
        read = "import asyncio, os, sys; os.setuid(65534)\n" + READER
        command = [sys.executable, "-c", read, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
        assert (done.stdout, done.returncode) == ("echo ''\n", 0), done.stderr
        assert [path.name for path in folder.iterdir()] == ["a.yaml"]


READER = """
from pathlib import Path
from appliance.store.directory.store import DirectoryStore
from tests.contract.sample import SERVICES
for ref, found in asyncio.run(DirectoryStore(Path(sys.argv[1])).list(SERVICES)).objects.items():
    print(ref.name, repr(found.metadata.resource_version))
"""


async def test_a_torn_line_of_the_log_is_passed_over(tmp_path: Path) -> None:
    """A loss of power may leave half a line, or nothing: versions grow all the same, and nobody is stopped."""
    versions = []
    for port, damage in ((80, tear), (81, tear), (82, lose), (82, tear)):
        write(tmp_path / "a.yaml", ECHO.replace("port: 80", f"port: {port}"))
        versions.append(version(await present(DirectoryStore(tmp_path))))
        damage(tmp_path)
    assert versions == sorted(set(versions))


def tear(folder: Path) -> None:
    """Cut the log within its last line, and lose the last version taken."""
    log = folder / ".pierhead" / "accepted"
    log.write_bytes(log.read_bytes()[:-20])
    (folder / ".pierhead/.writing/version").unlink()


def lose(folder: Path) -> None:
    """Lose the log."""
    (folder / ".pierhead" / "accepted").unlink()


async def test_the_log_does_not_grow_for_ever(tmp_path: Path) -> None:
    """A file edited thousands of times leaves few lines, and its object the version it had."""
    log = Accepted(Layout(tmp_path))
    (tmp_path / ".pierhead/.writing").mkdir(parents=True)
    (document,) = parse(ECHO, "a.yaml").documents
    for number in range(1, 3000):
        log.write({"a.yaml": draft_of(str(number), (document,))}, number)
    assert len((tmp_path / ".pierhead" / "accepted").read_text().splitlines()) <= 1002
    again = Accepted(Layout(tmp_path))
    again.sync()
    assert again.entries == log.entries
    assert again.entries["a.yaml"].objects[ECHO_REF][0] == 1


async def test_the_loop_opens_no_file(tmp_path: Path) -> None:
    """Whatever waits for the disk waits in the store's thread: who answers ARP does not."""
    write(tmp_path / "a.yaml", ECHO)
    opened: list[str] = []
    is_listening = True

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if is_listening and threading.current_thread() is threading.main_thread():
            opened.extend(str(each) for each in arguments if str(tmp_path) in str(each))

    sys.addaudithook(hear)
    store = DirectoryStore(tmp_path)
    async with watching(store, VIPS | SERVICES) as watch:
        await store.create(vip(1), PROGRAM)
        await store.apply_status(addressed(await present(store), "192.0.2.1"), PROGRAM)
        await store.delete(VIP_REF)
        await watch.until(lambda: VIP_REF not in watch.objects)
    is_listening = False
    assert opened == []


async def test_an_idle_watch_sleeps(tmp_path: Path) -> None:
    """While nothing happens nothing runs: the process goes to sleep a handful of times, not hundreds."""
    store = DirectoryStore(tmp_path)
    await store.create(vip(1), PROGRAM)
    async with watching(store, VIPS):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.Event().wait()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before < 20


async def test_one_version_is_one_content_for_every_reader(tmp_path: Path) -> None:
    """While an operator goes back and forth and programs write, no two readers see two contents under one version."""
    write(tmp_path / "a.yaml", ECHO)
    contents: dict[str, set[str]] = {}
    done = asyncio.Event()

    async def read(store: DirectoryStore) -> None:
        async with aclosing(store.watch(SERVICES)) as batches:
            async for batch in batches:
                for each in batch.changed:
                    text = repr(replace(each, metadata=bare(each)))
                    contents.setdefault(each.metadata.resource_version, set()).add(text)

    async def operate() -> None:
        port = 80
        while len(contents) < 50:
            port = 161 - port
            await asyncio.to_thread(write, tmp_path / "a.yaml", ECHO.replace("port: 80", f"port: {port}"))
        done.set()

    async def tell(store: DirectoryStore) -> None:
        number = 0
        while not done.is_set():
            number = number % 3 + 1
            with contextlib.suppress(StoreError):
                await store.apply_status(addressed(await present(store), f"192.0.2.{number}"), PROGRAM)

    async with asyncio.timeout(180), asyncio.TaskGroup() as group:
        readers = [group.create_task(read(DirectoryStore(tmp_path)), name="reader") for _ in range(3)]
        writers = [group.create_task(tell(DirectoryStore(tmp_path)), name="writer") for _ in range(2)]
        await group.create_task(operate(), name="operator")
        await asyncio.wait(writers)
        for reader in readers:
            reader.cancel()
    assert {version: texts for version, texts in contents.items() if len(texts) > 1} == {}


async def test_no_update_is_lost_between_processes(tmp_path: Path) -> None:
    """Two programs count in one object, each with the version it read: every count that was taken is in it."""
    await DirectoryStore(tmp_path).create(vip(0), PROGRAM)
    counters = [writer(tmp_path, pool, 40, "count") for pool in ("one", "other")]
    taken = sum(len(counter.communicate(timeout=300)[0].split()) for counter in counters)
    stored = await DirectoryStore(tmp_path).get(ref_of(vip(0)))
    assert (stored.metadata.labels["text"], [counter.returncode for counter in counters]) == (str(taken), [0, 0])
