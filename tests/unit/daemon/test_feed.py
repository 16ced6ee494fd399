"""The feed as a host has it."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from appliance.api.core import Secret
from appliance.api.kind import Kind, Object, ref_of
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import Host, HostSpec, Owner, VirtualIP, VirtualIPSpec, VirtualIPStatus
from appliance.api.problem import Problem
from appliance.control.codec import from_json, to_json
from appliance.control.event import Events
from appliance.control.message import FeedStatus
from appliance.daemon.cache import FeedCache
from appliance.daemon.feed import FeedChange, FeedSource, SiteFeed
from appliance.store.directory.store import DirectoryStore
from appliance.store.memory import MemoryStore
from appliance.store.protocol import Changes

KINDS = frozenset({Kind.VIRTUAL_IP, Kind.HOST, Kind.SECRET})
DEADLINE_SECONDS = 60.0


def vip(number: int, pool: str = "production", version: str = "1") -> VirtualIP:
    """The VIP of 192.0.2.NUMBER."""
    address = ip_address("192.0.2.0") + number
    return VirtualIP(
        metadata=Metadata(name=str(address), resource_version=version), spec=VirtualIPSpec(address=address, pool=pool)
    )


HOST = Host(metadata=Metadata(name="node-a", resource_version="1"))
SECRET = Secret(metadata=Metadata(name="bgp", namespace="default", resource_version="1"))


class Program:
    """A program with a feed, which notes what it hears."""

    def __init__(self, folder: Path) -> None:
        self.changes: list[FeedChange] = []
        self.was_saved = asyncio.Event()
        self.events = Events()
        self.feed = SiteFeed(
            KINDS,
            FeedCache(folder / "feed.db"),
            self.events,
            on_change=self.changes.append,
            on_saved=self.was_saved.set,
            retry_seconds=0.01,
        )

    def saved(self, *objects: Object) -> bool:
        """Whether the disk has these versions."""
        return all(self.feed.saved(ref_of(each)) == each for each in objects)

    async def hear(self, *batches: Changes) -> list[FeedChange | None]:
        """What each batch of a store changes."""
        return [await self.feed.take(batch) for batch in batches]

    @property
    def objects(self) -> set[Ref]:
        """The names of what is acted upon."""
        return set(self.feed.objects)


def listing(*objects: Object, unreadable: frozenset[Ref] | None = None, is_complete: bool | None = None) -> Changes:
    """All there is."""
    return Changes(changed=objects, listed=KINDS, unreadable=unreadable, is_complete=is_complete)


def refs(*objects: Object) -> set[Ref]:
    """Names."""
    return {ref_of(each) for each in objects}


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A program that begins without a cache."""
    return Program(tmp_path)


@asynccontextmanager
async def running(*loops: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Loops that run until the block ends."""

    async def run(loop: Callable[[], Awaitable[object]]) -> None:
        await loop()

    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(loop), name=str(loop)) for loop in loops]
        yield
        for task in tasks:
            task.cancel()


async def when(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not holds():  # noqa: ASYNC110  what is waited for is said nowhere
            await asyncio.sleep(0.005)


async def test_a_listing_in_parts_is_told_as_one(program: Program) -> None:
    """Half a site is not acted upon: VIPs without hosts would move."""
    told = await program.hear(
        Changes(changed=(vip(1),), listed=frozenset({Kind.VIRTUAL_IP})),
        Changes(changed=(HOST,), listed=frozenset({Kind.HOST})),
    )
    assert (told, program.feed.source, program.objects) == ([None, None], FeedSource.NONE, set())
    (whole,) = await program.hear(Changes(listed=frozenset({Kind.SECRET})))
    assert (whole, program.feed.source) == (FeedChange((vip(1), HOST)), FeedSource.LIVE)


async def test_a_change_is_what_changed(program: Program) -> None:
    """After the listing only what differs is told, by object."""
    await program.hear(listing(vip(1), vip(2), HOST))
    told = await program.hear(
        Changes(changed=(vip(2, "other", "2"),), removed=(ref_of(vip(1)),)),
        Changes(changed=(HOST,)),
    )
    assert told == [FeedChange((vip(2, "other", "2"),), (vip(1),)), None]
    assert program.objects == refs(vip(2), HOST)


async def test_an_empty_site_is_a_site(program: Program) -> None:
    """A host that waits for its feed goes on when there is nothing in it."""
    assert (await program.hear(listing()), program.feed.source) == ([FeedChange()], FeedSource.LIVE)


async def test_what_a_new_listing_leaves_out_is_gone(program: Program) -> None:
    """What happened while the store could not be asked is told as one change."""
    await program.hear(listing(vip(1), vip(2), HOST))
    program.feed.lose()
    assert (program.feed.source, program.objects) == (FeedSource.CACHE, refs(vip(1), vip(2), HOST))
    told = await program.hear(listing(vip(2), vip(3), HOST))
    assert told == [FeedChange((vip(3),), (vip(1),))]


async def test_a_store_lost_in_mid_listing_changes_nothing(program: Program) -> None:
    """The next listing begins anew."""
    await program.hear(listing(vip(1), HOST))
    program.feed.lose()
    await program.hear(Changes(changed=(vip(2),), listed=frozenset({Kind.VIRTUAL_IP})))
    program.feed.lose()
    assert program.objects == refs(vip(1), HOST)
    assert await program.hear(listing(vip(3), HOST)) == [FeedChange((vip(3),), (vip(1),))]


async def test_an_unreadable_object_keeps_its_last_good_version(program: Program) -> None:
    """Everything else goes on, and whoever asks is told."""
    await program.hear(listing(vip(1), vip(2)))
    bad = frozenset({ref_of(vip(1))})
    told = await program.hear(Changes(unreadable=bad, changed=(vip(2, "other", "2"),)))
    assert (told, program.feed.objects[ref_of(vip(1))]) == ([FeedChange((vip(2, "other", "2"),))], vip(1))
    assert program.feed.status().problems == ("VirtualIP 192.0.2.1: cannot be read; what it was before stays",)
    program.feed.lose()
    assert await program.hear(listing(vip(2, "other", "2"), unreadable=bad)) == [FeedChange()]
    assert program.objects == refs(vip(1), vip(2))


async def test_an_unreadable_object_that_goes_is_gone(program: Program) -> None:
    """One that was kept over a listing, and then is neither told nor unreadable, is no more."""
    await program.hear(listing(vip(1)))
    program.feed.lose()
    bad = frozenset({ref_of(vip(1))})
    told = await program.hear(listing(unreadable=bad), Changes(unreadable=frozenset()))
    assert told == [FeedChange(), FeedChange((), (vip(1),))]
    assert program.feed.status().problems == ()


async def test_a_text_that_was_never_right_takes_no_secret_away(program: Program) -> None:
    """What operators write may be there all the same until the text is right; what programs write is not."""
    await program.hear(listing(vip(1), SECRET))
    program.feed.lose()
    told = await program.hear(listing(is_complete=False), Changes(is_complete=True))
    assert told == [FeedChange((), (vip(1),)), FeedChange((), (SECRET,))]


async def test_problems_of_a_store_that_was_lost_are_not_those_of_the_next(program: Program) -> None:
    """A new watch tells what is wrong now."""
    await program.hear(replace(listing(vip(1)), problems=(Problem(None, "line 1", "not valid YAML"),)))
    assert program.feed.status().problems == ("line 1: not valid YAML",)
    program.feed.lose()
    await program.hear(listing(vip(1)))
    assert program.feed.status().problems == ()


async def test_problems_are_bounded(program: Program) -> None:
    """A status is no place for ten thousand sentences."""
    problems = tuple(Problem(None, str(number), "is wrong") for number in range(10_000))
    await program.hear(replace(listing(), problems=problems))
    assert (len(program.feed.status().problems), program.feed.status().problems[-1]) == (101, "and 9900 more")


async def test_a_mistake_in_a_file_of_any_name_is_told(program: Program, tmp_path: Path) -> None:
    """Its name's bytes are no UTF-8: the program goes on, and whoever asks reads which file it is."""
    site = tmp_path / "site"
    site.mkdir()
    Path(site, os.fsdecode(b"caf\xe9.yaml")).write_text("kind: [")
    async with running(lambda: program.feed.follow(DirectoryStore(site))):
        await when(lambda: bool(program.feed.status().problems))
    (problem,) = from_json(FeedStatus, to_json(program.feed.status())).problems
    assert problem.startswith(f"{site}/caf\\xe9.yaml:1:")


async def test_the_revision_is_that_of_the_objects(program: Program, tmp_path: Path) -> None:
    """Two hosts that hold the same show the same, whatever hosts say of themselves and of VIPs they own."""
    other = Program(tmp_path / "other")
    assert program.feed.status().revision == ""
    await program.hear(listing(vip(1), vip(2), HOST))
    await other.hear(listing(vip(2)), Changes(changed=(vip(1),)))
    assert program.feed.status().revision == other.feed.status().revision
    owned = replace(vip(1, version="2"), status=VirtualIPStatus(owner=Owner(host="node-a")))
    await other.hear(Changes(changed=(owned,)))
    assert program.feed.status().revision == other.feed.status().revision
    await other.hear(Changes(changed=(vip(1, "other", "3"),)))
    assert program.feed.status().revision != other.feed.status().revision


async def test_a_restart_without_the_store_begins_with_what_was_saved(program: Program, tmp_path: Path) -> None:
    """What was acted upon is what is acted upon after a restart, and the age tells since when."""
    async with running(program.feed.save_for_ever):
        program.changes += [change for change in await program.hear(listing(vip(1), SECRET, HOST)) if change]
        await program.was_saved.wait()
    after = Program(tmp_path)
    after.feed.load()
    assert (after.objects, after.feed.source) == (refs(vip(1), SECRET, HOST), FeedSource.CACHE)
    assert [set(refs(*change.changed)) for change in after.changes] == [refs(vip(1), SECRET, HOST)]
    assert after.was_saved.is_set()
    assert after.saved(vip(1), SECRET, HOST)
    assert after.feed.status().revision == program.feed.status().revision


async def test_what_the_store_confirms_is_not_told_again(program: Program, tmp_path: Path) -> None:
    """A restart with the store there ends in no change, and writes nothing."""
    async with running(program.feed.save_for_ever):
        await program.hear(listing(vip(1), HOST))
        await program.was_saved.wait()
    after = Program(tmp_path)
    after.feed.load()
    assert await after.hear(listing(vip(1), HOST)) == [FeedChange()]


async def test_what_the_disk_has_is_known(program: Program) -> None:
    """A drain is settled when its Host is on the disk, and not when it is only acted upon."""
    drained = replace(HOST, spec=HostSpec(drain=True))
    async with running(program.feed.save_for_ever):
        await program.hear(listing(vip(1), HOST))
        assert not program.saved(HOST)
        await when(lambda: program.saved(HOST, vip(1)))
        await program.hear(Changes(changed=(drained,)))
        assert (program.saved(vip(1)), program.saved(drained)) == (True, False)
        await when(lambda: program.saved(drained))


async def test_an_object_of_the_cache_that_cannot_be_used_hurts_only_itself(program: Program, tmp_path: Path) -> None:
    """It is said until the store tells what it is; a restart never fails by it."""
    async with running(program.feed.save_for_ever):
        await program.hear(listing(vip(1), vip(2)))
        await program.was_saved.wait()
    connection = sqlite3.connect(tmp_path / "feed.db")
    connection.execute("UPDATE object SET content = '{}' WHERE name = '192.0.2.1'")
    connection.commit()
    connection.close()
    after = Program(tmp_path)
    after.feed.load()
    assert after.objects == refs(vip(2))
    assert after.feed.status().problems == ("VirtualIP 192.0.2.1: what the disk remembers of it cannot be used",)
    async with running(after.feed.save_for_ever):
        await after.hear(listing(vip(2), vip(3)))
        await when(lambda: after.saved(vip(3)))
    again = FeedCache(tmp_path / "feed.db").load()
    assert (set(again.objects), again.unusable, after.feed.status().problems) == (refs(vip(2), vip(3)), (), ())


async def test_a_cache_lost_under_the_program_is_written_anew(program: Program, tmp_path: Path) -> None:
    """Everything is saved again, not only what changes next."""
    async with running(program.feed.save_for_ever):
        await program.hear(listing(vip(1), vip(2)))
        await program.was_saved.wait()
        (tmp_path / "feed.db").unlink()
        await program.hear(Changes(changed=(vip(3),)))
        await when(lambda: program.saved(vip(1), vip(2), vip(3)))
    after = Program(tmp_path)
    after.feed.load()
    assert after.objects == refs(vip(1), vip(2), vip(3))


async def test_a_disk_that_takes_nothing_is_told(program: Program, tmp_path: Path) -> None:
    """Once, and until it takes everything that is held."""
    (tmp_path / "lib").write_text("no folder")
    program = Program(tmp_path / "lib")
    async with running(program.feed.save_for_ever):
        await program.hear(listing(vip(1)))
        await when(lambda: bool(program.feed.status().problems))
        assert program.feed.status().problems[0].startswith("the disk does not take what a restart is to begin with")
        assert not program.saved(vip(1))
        (tmp_path / "lib").unlink()
        await when(lambda: program.saved(vip(1)))
    assert program.feed.status().problems == ()


async def test_a_store_is_followed(program: Program) -> None:
    """From what it holds to what is written to it."""
    store = MemoryStore()
    await store.create(vip(1, version=""), "allocator")
    async with running(lambda: program.feed.follow(store)):
        await when(lambda: program.feed.source is FeedSource.LIVE)
        assert program.objects == refs(vip(1))
        await store.create(vip(2, version=""), "allocator")
        await when(lambda: program.objects == refs(vip(1), vip(2)))
        await store.delete(ref_of(vip(1)))
        await when(lambda: program.objects == refs(vip(2)))
