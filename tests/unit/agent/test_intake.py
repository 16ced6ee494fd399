"""The feed as the agent has it."""

import asyncio
import json
from ipaddress import ip_address
from pathlib import Path

from appliance.agent.intake import feed_status, take
from appliance.api.core import BASIC_AUTH, ObjectReference, Secret
from appliance.api.kind import Object, ref_of
from appliance.api.meta import Metadata
from appliance.api.pierhead import BGPSession, BGPSessionSpec, VirtualIP, VirtualIPSpec
from appliance.api.problem import Problem
from appliance.host.cache import FeedCache
from appliance.host.intake import Intake
from appliance.store.picture import Snapshot

VIP = VirtualIP(
    metadata=Metadata(name="192.0.2.1"), spec=VirtualIPSpec(address=ip_address("192.0.2.1"), pool="production")
)
PEER = BGPSession(
    metadata=Metadata(name="tor"),
    spec=BGPSessionSpec(local_asn=1, peer_asn=2, password_secret=ObjectReference(namespace="m", name="md5")),
)
SECRET = Secret(metadata=Metadata(name="md5", namespace="m"), type=BASIC_AUTH, data={"password": b"x"})


def snapshot(*objects: Object, complete: bool = True) -> Snapshot:
    """A store's picture of some objects."""
    problems = () if complete else (Problem(None, "line 1", "not valid YAML"),)
    return Snapshot({ref_of(each): each for each in objects}, problems=problems, is_complete=complete, revision="7")


async def test_a_restart_without_the_store_begins_with_what_was_saved(tmp_path: Path) -> None:
    """What the agent acted upon is what it acts upon after a restart."""
    cache = tmp_path / "feed.json"
    saved: asyncio.Future[tuple[Object, ...]] = asyncio.get_running_loop().create_future()
    before = Intake(FeedCache(cache), saved.set_result)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        saving = group.create_task(before.save_for_ever(), name="saving")
        take(before, snapshot(VIP, PEER))
        assert await saved == (VIP, PEER)
        saving.cancel()
    after = Intake(FeedCache(cache))
    after.load()
    assert (after.objects, feed_status(after).source) == (before.objects, "cache")


def test_a_secret_that_vanishes_is_kept_for_its_session(tmp_path: Path) -> None:
    """Be it deleted or in a file that cannot be read now: a session never loses its password."""
    intake = Intake(FeedCache(tmp_path / "feed.json"))
    take(intake, snapshot(PEER, SECRET))
    take(intake, snapshot(VIP, PEER, complete=False))
    assert [type(manifest) for manifest in intake.objects] == [VirtualIP, BGPSession, Secret]
    take(intake, snapshot(VIP, PEER, SECRET))
    assert intake.objects == (VIP, PEER, SECRET)


def test_problems_are_told(tmp_path: Path) -> None:
    """An operator who asks for the status reads what is wrong."""
    intake = Intake(FeedCache(tmp_path / "feed.json"))
    take(intake, snapshot(complete=False))
    assert feed_status(intake).problems == ("line 1: not valid YAML",)


def test_a_lost_store_changes_nothing_but_the_source(tmp_path: Path) -> None:
    """Fail static."""
    intake = Intake(FeedCache(tmp_path / "feed.json"))
    take(intake, snapshot(VIP, PEER))
    live = intake.objects
    intake.lose()
    assert (intake.objects, feed_status(intake).source) == (live, "cache")


def test_a_torn_cache_is_not_used(tmp_path: Path) -> None:
    """A file that is not whole is passed over, and the agent waits for the store."""
    cache = tmp_path / "feed.json"
    cache.write_text('{"apiVersion": "pierhead.io/v1alpha1", "kind": "Virt')
    intake = Intake(FeedCache(cache))
    intake.load()
    assert (intake.objects, feed_status(intake).source) == ((), "none")


def test_an_object_that_cannot_be_one_is_left_out_of_a_cache_alone(tmp_path: Path) -> None:
    """One host's 20-byte hardware address, taken by an older program, keeps nobody from what else the disk knows."""
    cache = FeedCache(tmp_path / "feed.json")
    cache.save((VIP,))
    wrong = {"interfaces": [{"name": "eth0", "hardwareAddress": ":".join(["02"] * 20)}]}
    with (tmp_path / "feed.json").open("a") as file:
        file.write(json.dumps({"kind": "Host", "metadata": {"name": "node-a"}, "status": wrong}) + "\n")
    assert FeedCache(tmp_path / "feed.json").load() == (VIP,)
