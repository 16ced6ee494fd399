"""What every store does alike."""

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from appliance.api.kind import ref_of
from appliance.api.meta import Metadata
from appliance.api.pierhead import VirtualIP
from appliance.store.protocol import Refusal, Store, StoreError
from tests.contract.sample import HOSTS, VIPS, host, vip
from tests.contract.watching import next_with, watching


async def attempt(store: Store, write: str, manifest: VirtualIP) -> None:
    """One of the writes that need an object to be there."""
    match write:
        case "replace":
            await store.replace(manifest)
        case "replace_status":
            await store.replace_status(manifest)
        case _:
            await store.delete(ref_of(manifest), manifest.metadata.resource_version)


async def test_what_was_created_is_read(store: Store) -> None:
    """An object comes back as it was given, under a resource version."""
    stored = await store.create(vip(1))
    assert stored.metadata.resource_version
    assert (await store.read(VIPS)).objects == {ref_of(vip(1)): stored}
    assert replace(stored, metadata=replace(stored.metadata, resource_version="")) == vip(1)


async def test_a_name_is_given_once(store: Store) -> None:
    """A second object of a name is refused, whatever it holds."""
    await store.create(vip(1))
    with pytest.raises(StoreError) as refused:
        await store.create(vip(1, pool="other"))
    assert refused.value.refusal is Refusal.EXISTS


async def test_a_new_object_has_no_status(store: Store) -> None:
    """A status is written by `replace_status` alone, as Kubernetes has it."""
    stored = cast(VirtualIP, await store.create(vip(1, owner="node-a")))
    assert stored.status.owner is None


async def test_only_kinds_asked_for_are_read(store: Store) -> None:
    """A snapshot holds no other kinds."""
    await store.create(vip(1))
    stored = await store.create(host("node-a"))
    assert (await store.read(HOSTS)).objects == {ref_of(host("node-a")): stored}


async def test_replace_leaves_the_status(store: Store) -> None:
    """The spec is replaced, the status that a host wrote stays."""
    await store.create(vip(1))
    await store.replace_status(vip(1, owner="node-a"))
    stored = cast(VirtualIP, await store.replace(vip(1, pool="other")))
    assert (stored.spec.pool, stored.status) == ("other", vip(1, owner="node-a").status)


async def test_replace_status_leaves_the_spec(store: Store) -> None:
    """Status and annotations are replaced, spec and labels stay."""
    labelled = replace(vip(1), metadata=Metadata(name=vip(1).metadata.name, labels={"tier": "gold"}))
    await store.create(labelled)
    noted = replace(vip(1, pool="other", owner="node-b"), metadata=Metadata(name="10.0.0.1", annotations={"a": "b"}))
    stored = cast(VirtualIP, await store.replace_status(noted))
    assert (stored.spec.pool, stored.metadata.labels) == ("lan", {"tier": "gold"})
    assert (stored.metadata.annotations, stored.status.owner) == ({"a": "b"}, noted.status.owner)


@pytest.mark.parametrize("write", ["replace", "replace_status", "delete"])
async def test_a_stale_version_is_refused(store: Store, write: str) -> None:
    """Whoever names a resource version that is no longer true changes nothing."""
    first = await store.create(vip(1))
    await store.replace(vip(1, pool="other"))
    stale = vip(1, pool="stale", version=first.metadata.resource_version, owner="stale")
    with pytest.raises(StoreError) as refused:
        await attempt(store, write, stale)
    assert refused.value.refusal is Refusal.CONFLICT
    assert cast(VirtualIP, (await store.read(VIPS)).objects[ref_of(stale)]).spec.pool == "other"


@pytest.mark.parametrize("write", ["replace", "replace_status", "delete"])
async def test_what_is_not_there_is_not_found(store: Store, write: str) -> None:
    """No write but `create` makes an object."""
    with pytest.raises(StoreError) as refused:
        await attempt(store, write, vip(1))
    assert refused.value.refusal is Refusal.NOT_FOUND
    assert (await store.read(VIPS)).objects == {}


async def test_a_true_version_is_taken(store: Store) -> None:
    """A chain of writes, each naming the version the one before returned, goes through."""
    first = await store.create(vip(1))
    second = await store.replace(vip(1, pool="other", version=first.metadata.resource_version))
    third = await store.replace_status(vip(1, pool="other", version=second.metadata.resource_version, owner="node-a"))
    await store.delete(ref_of(third), third.metadata.resource_version)
    assert (await store.read(VIPS)).objects == {}


async def test_an_idle_write_changes_nothing(store: Store) -> None:
    """Writing what is there already gives no new version."""
    first = await store.create(vip(1))
    assert await store.replace(vip(1)) is first
    assert await store.replace_status(vip(1)) is first


async def test_the_unchanged_keep_their_identity(store: Store) -> None:
    """Between two snapshots only what changed is another Python object."""
    for number in range(5):
        await store.create(vip(number))
    before = (await store.read(VIPS)).objects
    await store.replace(vip(3, pool="other"))
    after = (await store.read(VIPS)).objects
    assert {ref for ref in after if after[ref] is not before[ref]} == {ref_of(vip(3))}


async def test_a_watch_begins_with_the_present(store: Store) -> None:
    """The first snapshot comes without a change, also of an empty store."""
    async with watching(store, VIPS) as snapshots:
        assert (await anext(snapshots)).objects == {}


async def test_a_watch_tells_each_kind_of_change(store: Store) -> None:
    """Creation, replacement, status and removal all arrive."""
    async with watching(store, VIPS) as snapshots:
        await anext(snapshots)
        created = await store.create(vip(1))
        await next_with(snapshots, lambda now: now.objects.get(ref_of(vip(1))) == created)
        changed = await store.replace(vip(1, pool="other"))
        await next_with(snapshots, lambda now: now.objects.get(ref_of(vip(1))) == changed)
        owned = await store.replace_status(vip(1, owner="node-a"))
        await next_with(snapshots, lambda now: now.objects.get(ref_of(vip(1))) == owned)
        await store.delete(ref_of(vip(1)))
        await next_with(snapshots, lambda now: now.objects == {})


async def test_a_slow_reader_gets_the_latest(store: Store) -> None:
    """Changes made while a reader is busy come as one picture, without those in between."""
    async with watching(store, VIPS) as snapshots:
        await anext(snapshots)
        await store.create(vip(0))
        await next_with(snapshots, lambda now: len(now.objects) == 1)
        for number in range(1, 20):
            await store.create(vip(number))
        seen = [await anext(snapshots)]
        while len(seen[-1].objects) < 20:
            seen.append(await anext(snapshots))
        assert len(seen) <= 2


async def test_other_kinds_do_not_wake_a_watch(store: Store) -> None:
    """A change of a kind that was not asked for gives no snapshot."""
    async with watching(store, VIPS) as snapshots:
        await anext(snapshots)
        await store.create(host("node-a"))
        await store.create(vip(1))
        assert len((await anext(snapshots)).objects) == 1


async def test_several_watches_see_the_same(store: Store) -> None:
    """Each watch of a store gets each change."""
    async with watching(store, VIPS) as one, watching(store, VIPS | HOSTS) as other:
        await asyncio.gather(anext(one), anext(other))
        await store.create(vip(1))
        await asyncio.gather(*(next_with(snapshots, lambda now: len(now.objects) == 1) for snapshots in (one, other)))


async def test_the_revision_follows_the_objects(store: Store) -> None:
    """A changed picture has another revision."""
    before = await store.read(VIPS)
    await store.create(vip(1))
    assert (await store.read(VIPS)).revision != before.revision


async def test_a_closed_watch_is_forgotten(store: Store) -> None:
    """Writes go on after a watcher left."""
    async with watching(store, VIPS) as snapshots:
        await anext(snapshots)
    await store.create(vip(1))
    assert len((await store.read(VIPS)).objects) == 1
