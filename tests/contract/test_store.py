"""What every store does alike."""

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from appliance.api.address import IPAddress
from appliance.api.core import Service, ServiceStatus
from appliance.api.kind import Object, ref_of
from appliance.api.meta import Metadata
from appliance.api.pierhead import Host, VirtualIP
from appliance.api.refusal import StoreRefusal
from appliance.store.protocol import Changes, Store, StoreError
from tests.contract.sample import HOSTS, SERVICE, SERVICES, VIPS, addressed, host, noted, vip
from tests.contract.watching import watching

ME, OTHER = "pierhead-agent", "pierhead-allocator"
WRITES = ["apply", "apply_metadata", "apply_status", "delete"]


async def attempt(store: Store, write: str, manifest: VirtualIP) -> None:
    """One of the writes that need an object to be there."""
    match write:
        case "apply":
            await store.apply(manifest, ME)
        case "apply_metadata":
            await store.apply_metadata(manifest, ME)
        case "apply_status":
            await store.apply_status(manifest, ME)
        case _:
            await store.delete(ref_of(manifest), manifest.metadata.resource_version)


def version(manifest: Object) -> int:
    """A resource version as the number it is in both adapters."""
    return int(manifest.metadata.resource_version)


def given(metadata: Metadata) -> Metadata:
    """The part that whoever created an object gave, without what the store added."""
    return replace(metadata, resource_version="", uid="", generation=0)


def named(name: str, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None) -> Host:
    """A host with labels and annotations."""
    return Host(metadata=Metadata(name=name, labels=labels or {}, annotations=annotations or {}))


async def refusal(store: Store, write: str, manifest: VirtualIP) -> StoreRefusal:
    """Why a write is refused."""
    with pytest.raises(StoreError) as refused:
        await attempt(store, write, manifest)
    return refused.value.refusal


async def test_what_was_created_is_read(store: Store) -> None:
    """An object comes back as it was given, under a resource version."""
    stored = await store.create(vip(1), ME)
    assert stored.metadata.resource_version
    assert (await store.list(VIPS)).objects == {ref_of(vip(1)): stored}
    assert await store.get(ref_of(vip(1))) == stored
    assert replace(stored, metadata=given(stored.metadata)) == vip(1)


async def test_a_name_is_given_once(store: Store) -> None:
    """A second object of a name is refused, whatever it holds: that an address is given once rests on it."""
    await store.create(vip(1), ME)
    with pytest.raises(StoreError) as refused:
        await store.create(vip(1, pool="other"), OTHER)
    assert refused.value.refusal is StoreRefusal.EXISTS


async def test_a_new_object_has_no_status(store: Store) -> None:
    """A status is written by `apply_status` alone, as Kubernetes has it."""
    stored = cast(VirtualIP, await store.create(vip(1, owner="node-a"), ME))
    assert stored.status.owner is None


async def test_only_kinds_asked_for_are_read(store: Store) -> None:
    """A listing holds no other kinds."""
    await store.create(vip(1), ME)
    stored = await store.create(host("node-a"), ME)
    assert (await store.list(HOSTS)).objects == {ref_of(host("node-a")): stored}


async def test_apply_leaves_the_status(store: Store) -> None:
    """The spec is replaced, the status that a host wrote stays."""
    await store.create(vip(1), OTHER)
    await store.apply_status(vip(1, owner="node-a"), ME)
    stored = cast(VirtualIP, await store.apply(vip(1, pool="other"), OTHER))
    assert (stored.spec.pool, stored.status) == ("other", vip(1, owner="node-a").status)


async def test_a_status_carries_nothing_else(store: Store) -> None:
    """Spec, labels and annotations stay as they are when a status is written, whatever the manifest holds of them."""
    noted = replace(vip(1), metadata=Metadata(name="10.0.0.1", labels={"tier": "gold"}, annotations={"freed": "now"}))
    await store.create(noted, OTHER)
    other = replace(vip(1, pool="other", owner="node-b"), metadata=Metadata(name="10.0.0.1", annotations={"a": "b"}))
    stored = cast(VirtualIP, await store.apply_status(other, ME))
    assert (stored.spec.pool, stored.status.owner) == ("lan", other.status.owner)
    assert (stored.metadata.labels, stored.metadata.annotations) == ({"tier": "gold"}, {"freed": "now"})


async def test_a_status_takes_its_writers_metadata_along(store: Store) -> None:
    """Asked for, annotations are written as `apply_metadata` writes them, of this manager and no other."""
    noted = replace(vip(1), metadata=Metadata(name="10.0.0.1", labels={"tier": "gold"}, annotations={"freed": "now"}))
    await store.create(noted, OTHER)
    first = replace(vip(1, owner="node-b"), metadata=Metadata(name="10.0.0.1", annotations={"a": "b", "c": "d"}))
    await store.apply_status(first, ME, with_metadata=True)
    other = replace(
        vip(1, pool="other", owner="node-c", epoch=1), metadata=Metadata(name="10.0.0.1", annotations={"a": "e"})
    )
    stored = cast(VirtualIP, await store.apply_status(other, ME, with_metadata=True))
    assert (stored.spec.pool, stored.status.owner) == ("lan", other.status.owner)
    assert (stored.metadata.labels, stored.metadata.annotations) == ({"tier": "gold"}, {"freed": "now", "a": "e"})
    assert await store.apply_status(other, ME, with_metadata=True) == stored
    bare = cast(VirtualIP, await store.apply_status(vip(1, owner="node-c", epoch=1), ME, with_metadata=True))
    assert (bare.status, bare.metadata.annotations) == (other.status, {"freed": "now"})


async def test_a_service_gets_address_and_annotation_at_once(store: Store) -> None:
    """Both are one write, and each goes when it is written no longer."""
    await store.create(SERVICE, OTHER)
    wanted = addressed(noted(SERVICE, pool="lan"), "10.0.0.1")
    async with watching(store, SERVICES) as watch:
        stored = cast(Service, await store.apply_status(wanted, ME, with_metadata=True))
        assert await watch.next() == Changes(changed=(stored,))
    assert (stored.status, stored.metadata.annotations) == (wanted.status, {"pool": "lan"})
    assert stored.metadata.labels == SERVICE.metadata.labels
    assert await store.apply_status(wanted, ME, with_metadata=True) == stored
    cleared = cast(Service, await store.apply_status(noted(addressed(SERVICE, "")), ME, with_metadata=True))
    assert (cleared.status, cleared.metadata.annotations) == (ServiceStatus(), {})


async def test_an_address_somebody_else_wrote_goes_too(store: Store) -> None:
    """A status is one writer's as a whole: after a change of writers nothing of the one before stays."""
    await store.create(SERVICE, OTHER)
    await store.apply_status(addressed(SERVICE, "10.0.0.1"), OTHER)
    await store.apply_status(addressed(SERVICE, "10.0.0.1"), ME)
    stored = cast(Service, await store.apply_status(addressed(SERVICE, ""), ME))
    assert stored.status == ServiceStatus()


async def test_a_label_its_writer_no_longer_writes_goes(store: Store) -> None:
    """What another manager wrote stays: of labels and annotations each has its own."""
    await store.create(named("node-a", {"rack": "1", "zone": "east"}), ME)
    await store.apply_metadata(named("node-a", {"kernel": "6"}, {"note": "from the node"}), OTHER)
    stored = await store.apply_metadata(named("node-a", {"zone": "west"}), ME)
    assert stored.metadata.labels == {"zone": "west", "kernel": "6"}
    stored = await store.apply(named("node-a"), OTHER)
    assert (stored.metadata.labels, stored.metadata.annotations) == ({"zone": "west"}, {})


async def test_a_label_two_write_alike_stays_while_one_does(store: Store) -> None:
    """As server-side apply has it; where they differ it is the last writer's alone."""
    await store.create(named("node-a", {"zone": "east", "rack": "1"}), ME)
    await store.apply_metadata(named("node-a", {"zone": "east", "rack": "2"}), OTHER)
    assert (await store.apply_metadata(named("node-a"), ME)).metadata.labels == {"zone": "east", "rack": "2"}
    assert (await store.apply_metadata(named("node-a"), OTHER)).metadata.labels == {}


async def test_labels_alone_leave_the_spec(store: Store) -> None:
    """A drain that an operator asked for is not undone by whoever labels the host."""
    await store.create(host("node-a", drain=True), ME)
    stored = cast(Host, await store.apply_metadata(named("node-a", {"zone": "east"}), OTHER))
    assert (stored.spec.drain, stored.metadata.labels) == (True, {"zone": "east"})


@pytest.mark.parametrize("write", WRITES)
async def test_a_stale_version_is_refused(store: Store, write: str) -> None:
    """Whoever names a resource version that is no longer true changes nothing."""
    first = await store.create(vip(1), ME)
    await store.apply(vip(1, pool="other"), ME)
    stale = vip(1, pool="stale", version=first.metadata.resource_version, owner="stale")
    assert await refusal(store, write, stale) is StoreRefusal.CONFLICT
    assert cast(VirtualIP, await store.get(ref_of(stale))).spec.pool == "other"


@pytest.mark.parametrize("write", WRITES)
async def test_a_version_does_not_come_back_with_the_content(store: Store, write: str) -> None:
    """A to B to A is three versions: who read the first A has not seen B."""
    first = await store.create(vip(1), ME)
    await store.apply(vip(1, pool="other"), ME)
    third = await store.apply(vip(1), ME)
    assert version(third) > version(first)
    assert await refusal(store, write, vip(1, version=first.metadata.resource_version)) is StoreRefusal.CONFLICT


async def test_a_version_does_not_come_back_with_the_name(store: Store) -> None:
    """An object deleted and made again is another one."""
    first = await store.create(vip(1), ME)
    await store.delete(ref_of(first))
    second = await store.create(vip(1), ME)
    assert version(second) > version(first)
    stale = vip(1, version=first.metadata.resource_version)
    assert await refusal(store, "delete", stale) is StoreRefusal.CONFLICT


@pytest.mark.parametrize("write", WRITES)
async def test_what_is_not_there_is_not_found(store: Store, write: str) -> None:
    """No write but `create` makes an object."""
    assert await refusal(store, write, vip(1)) is StoreRefusal.NOT_FOUND
    with pytest.raises(StoreError) as refused:
        await store.get(ref_of(vip(1)))
    assert refused.value.refusal is StoreRefusal.NOT_FOUND
    assert (await store.list(VIPS)).objects == {}


async def test_a_true_version_is_taken(store: Store) -> None:
    """A chain of writes, each naming the version the one before returned, goes through."""
    first = await store.create(vip(1), ME)
    second = await store.apply(vip(1, pool="other", version=first.metadata.resource_version), ME)
    third = await store.apply_status(vip(1, version=second.metadata.resource_version, owner="node-a"), ME)
    await store.delete(ref_of(third), third.metadata.resource_version)
    assert (await store.list(VIPS)).objects == {}


async def test_an_idle_write_changes_nothing(store: Store) -> None:
    """Writing what is there already gives no new version."""
    first = await store.create(vip(1), ME)
    assert await store.apply(vip(1), ME) == first
    assert await store.apply_metadata(vip(1), ME) == first
    assert await store.apply_status(vip(1), ME) == first


@pytest.mark.parametrize("write", ["create", "apply", "apply_status"])
async def test_what_could_not_be_read_back_is_not_written(store: Store, write: str) -> None:
    """A value no reader would take is refused to its writer."""
    if write != "create":
        await store.create(vip(1), ME)
    wrong = replace(vip(1), spec=replace(vip(1).spec, address=cast(IPAddress, "10.0.0.300")))
    with pytest.raises(StoreError) as refused:
        await getattr(store, write)(wrong, ME)
    assert refused.value.refusal is StoreRefusal.INVALID


@pytest.mark.parametrize(("length", "is_taken"), [(253, True), (254, False)])
async def test_the_longest_name(store: Store, length: int, is_taken: bool) -> None:
    """A name may have 253 characters, as in Kubernetes; a longer one is INVALID."""
    named_long = named("n" * length)
    if is_taken:
        stored = await store.create(named_long, ME)
        await store.delete(ref_of(stored), stored.metadata.resource_version)
        return
    with pytest.raises(StoreError) as refused:
        await store.create(named_long, ME)
    assert refused.value.refusal is StoreRefusal.INVALID


@pytest.mark.parametrize("store", ["directory", "memory"], indirect=True)
async def test_the_unchanged_keep_their_identity(store: Store) -> None:
    """Between two listings only what changed is another Python object, where the store holds the objects itself."""
    for number in range(5):
        await store.create(vip(number), ME)
    before = (await store.list(VIPS)).objects
    await store.apply(vip(3, pool="other"), ME)
    after = (await store.list(VIPS)).objects
    assert {ref for ref in after if after[ref] is not before[ref]} == {ref_of(vip(3))}


async def test_a_watch_begins_with_the_present(store: Store) -> None:
    """What is there comes first, and each kind is said to be listed once, also where nothing is there."""
    present = await store.create(vip(1), ME)
    async with watching(store, VIPS | HOSTS) as watch:
        assert watch.objects == {ref_of(present): present}
        listed = [kind for batch in watch.batches for kind in batch.listed]
        assert (len(listed), frozenset(listed)) == (2, VIPS | HOSTS)
        assert watch.picture.listed == VIPS | HOSTS
        assert (watch.picture.unreadable, watch.picture.problems, watch.picture.is_complete) == (frozenset(), (), True)


async def test_a_watch_tells_changes_only(store: Store) -> None:
    """Creation, spec, labels, status and removal each come as the one object they concern."""
    for number in range(5):
        await store.create(vip(number), ME)
    async with watching(store, VIPS) as watch:
        created = await store.create(vip(7), ME)
        assert await watch.next() == Changes(changed=(created,))
        changed = await store.apply(vip(7, pool="other"), ME)
        assert await watch.next() == Changes(changed=(changed,))
        labelled = replace(vip(7), metadata=Metadata(name="10.0.0.7", labels={"a": "b"}))
        assert await watch.next_after(store.apply_metadata(labelled, ME)) == ("10.0.0.7",)
        assert await watch.next_after(store.apply_status(vip(7, owner="node-a"), ME)) == ("10.0.0.7",)
        await store.delete(ref_of(vip(7)))
        assert await watch.next() == Changes(removed=(ref_of(vip(7)),))


async def test_a_slow_reader_gets_merged_batches(store: Store) -> None:
    """What changes while a reader is busy comes in few batches, in each an object once, and as it is in the end."""
    await store.create(vip(0), ME)
    async with watching(store, VIPS) as watch:
        begin = len(watch.batches)
        for number in range(1, 20):
            await store.create(vip(number), ME)
        for number in range(1, 20):
            await store.apply(vip(number, pool="other"), ME)
        await store.create(vip(50), ME)
        await store.delete(ref_of(vip(50)))
        await store.delete(ref_of(vip(0)))
        await watch.until(lambda: ref_of(vip(0)) not in watch.objects)
        told = [ref_of(each) for batch in watch.batches[begin:] for each in batch.changed]
        assert len(told) <= 2 * 19
        assert [cast(VirtualIP, each).spec.pool for each in watch.objects.values()] == ["other"] * 19


async def test_an_object_that_came_back_is_changed_not_removed(store: Store) -> None:
    """Of what happened between two batches the end is told."""
    first = await store.create(vip(1), ME)
    async with watching(store, VIPS) as watch:
        await store.delete(ref_of(first))
        second = await store.create(vip(1), ME)
        await watch.until(lambda: watch.objects.get(ref_of(second)) == second)
        assert watch.batches[-1] == Changes(changed=(second,))


async def test_no_object_goes_back_in_time(store: Store) -> None:
    """Whatever is told of an object is newer than what was told before."""
    await store.create(vip(1), ME)
    async with watching(store, VIPS) as watch, asyncio.TaskGroup() as group:
        group.create_task(_churn(store), name="writer")
        await watch.until(lambda: getattr(watch.objects.get(ref_of(vip(1))), "spec").pool == "last")  # noqa: B009  # any kind
    versions = [version(each) for batch in watch.batches for each in batch.changed]
    assert versions == sorted(set(versions))


async def _churn(store: Store) -> None:
    for number in range(30):
        await store.apply(vip(1, pool=str(number)), ME)
    await store.apply(vip(1, pool="last"), ME)


async def test_other_kinds_do_not_wake_a_watch(store: Store) -> None:
    """A change of a kind that was not asked for gives no batch."""
    async with watching(store, VIPS) as watch:
        await store.create(host("node-a"), ME)
        created = await store.create(vip(1), ME)
        assert await watch.next() == Changes(changed=(created,))


async def test_several_watches_see_the_same(store: Store) -> None:
    """Each watch of a store gets each change."""
    async with watching(store, VIPS) as one, watching(store, VIPS | HOSTS) as other:
        created = await store.create(vip(1), ME)
        for watch in (one, other):
            assert await watch.next() == Changes(changed=(created,))


async def test_another_watch_tells_everything_again(store: Store) -> None:
    """Who begins anew hears of all that is there, and nothing of what went meanwhile."""
    for number in range(3):
        await store.create(vip(number), ME)
    async with watching(store, VIPS) as watch:
        assert len(watch.objects) == 3
    await store.delete(ref_of(vip(1)))
    async with watching(store, VIPS) as watch:
        assert {ref.name for ref in watch.objects} == {"10.0.0.0", "10.0.0.2"}


async def test_a_closed_watch_is_forgotten(store: Store) -> None:
    """Writes go on after a watcher left."""
    async with watching(store, VIPS):
        pass
    await store.create(vip(1), ME)
    assert len((await store.list(VIPS)).objects) == 1
