"""Actions carried out on a directory store."""

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import (
    DRAINED,
    AddressConflict,
    Condition,
    Host,
    HostStatus,
    Layer2,
    VirtualIP,
    VirtualIPSpec,
)
from appliance.overview.action import AcknowledgeConflict, DrainHost, HandOver, MoveVip, Replan, UndrainHost
from appliance.overview.execution import ActionError, carry_out
from appliance.overview.row import VipHealth, VipRow
from appliance.overview.site import Site
from appliance.overview.source import SITE_KINDS, Source
from appliance.store.directory.store import DirectoryStore
from tests.unit.cli.conftest import Agent
from tests.unit.control.sample import LAN, ROUTED

REF = Ref("Host", "", "a")


async def drained(store: DirectoryStore) -> bool:
    """What the store says of host a."""
    host = await store.get(REF)
    assert isinstance(host, Host)
    return host.spec.drain


async def test_a_drain_is_written_and_taken_back(tmp_path: Path) -> None:
    """In spec.drain, labels and status untouched."""
    store, source = DirectoryStore(tmp_path), Source(f"directory:{tmp_path}")
    registered = Host(metadata=Metadata(name="a", labels={"rack": "1"}), status=HostStatus(owned=3))
    await store.create(registered, "pierhead-agent")
    await store.apply_status(registered, "pierhead-agent")
    await carry_out(source, DrainHost("a"))
    host = await store.get(REF)
    assert isinstance(host, Host)
    assert (host.spec.drain, host.metadata.labels, host.status.owned) == (True, {"rack": "1"}, 3)
    await carry_out(source, UndrainHost("a"))
    assert not await drained(store)


async def test_what_was_asked_on_the_host_is_not_ended_elsewhere(tmp_path: Path) -> None:
    """The store does not ask for the drain, so the store cannot end it."""
    store = DirectoryStore(tmp_path)
    told = Host(metadata=Metadata(name="a"), status=HostStatus(conditions=(Condition(type=DRAINED, status="True"),)))
    await store.create(told, "pierhead-agent")
    await store.apply_status(told, "pierhead-agent")
    with pytest.raises(ActionError, match="was drained on the host itself"):
        await carry_out(Source(f"directory:{tmp_path}"), UndrainHost("a"))


@pytest.mark.parametrize("url", ["directory:", "directory:/nowhere/at/all"])
async def test_a_store_that_cannot_be_asked_is_no_refusal(url: str) -> None:
    """The one is not known to have said no."""
    with pytest.raises(ActionError) as error:
        await carry_out(Source(url), DrainHost("a"))
    assert not error.value.is_refused


async def test_the_owner_is_found_among_the_agents(tmp_path: Path) -> None:
    """One is not there, one owns it; what the owner refuses, and who was asked in vain, is told."""
    agent = Agent(tmp_path / "agent.sock")
    source = Source(agents=(tmp_path / "nobody.sock", tmp_path / "agent.sock"))
    async with agent.server.serving():
        await carry_out(source, MoveVip(LAN.address, "node-b"))
        assert agent.was_asked.is_set()
        with pytest.raises(ActionError, match="node-c did not take it") as refused:
            await carry_out(source, MoveVip(LAN.address, "node-c"))
        with pytest.raises(ActionError, match=r"nobody\.sock: nothing answers.*only its owner can") as unasked:
            await carry_out(source, MoveVip(ROUTED.address))
    assert (refused.value.is_refused, unasked.value.is_refused) == (True, False)


async def test_a_plan_is_carried_out_until_somebody_refuses(tmp_path: Path) -> None:
    """How many were moved is told with the refusal."""
    agent = Agent(tmp_path / "agent.sock")
    source = Source(agents=(tmp_path / "agent.sock",))
    first, second = (HandOver(LAN.address, (), "node-a", to) for to in ("node-b", "node-c"))
    async with agent.server.serving():
        await carry_out(source, Replan((first, first)))
        with pytest.raises(ActionError, match=r"1 of 3 VIPs were moved, then: .*node-c did not take it") as refused:
            await carry_out(source, Replan((first, second, first)))
    assert refused.value.is_refused


SEEN = AddressConflict(
    address=LAN.address,
    hardware_address=bytes.fromhex("020000000099"),
    interface="eth0",
    since="2026-01-01T00:00:00+00:00",
)


async def conflict(store: DirectoryStore, seen: AddressConflict) -> VipRow:
    """A VIP for which a machine answers, as host a saw it; how the VIP is now."""
    host = Host(metadata=Metadata(name="a"), status=HostStatus(conflicts=(seen,)))
    if not (await store.list(SITE_KINDS)).objects:
        await store.create(host, "pierhead-agent")
        spec = VirtualIPSpec(address=LAN.address, pool="lan", layer2=Layer2(candidates=("a",)))
        await store.create(VirtualIP(metadata=Metadata(name=str(LAN.address)), spec=spec), "pierhead-allocator")
    await store.apply_status(host, "pierhead-agent")
    site = Site()
    site.begin((await store.list(SITE_KINDS)).objects.values())
    row = site.vip(LAN.address)
    assert row is not None
    return row


async def test_a_conflict_is_acknowledged(tmp_path: Path) -> None:
    """Who took note of it stands on the VIP; the same machine come again, or another one, is an alarm once more."""
    store, source = DirectoryStore(tmp_path), Source(f"directory:{tmp_path}")
    row = await conflict(store, SEEN)
    assert (row.health, row.acknowledged) == (VipHealth.CONFLICT, "")
    await carry_out(source, AcknowledgeConflict(LAN.address, "ann"))
    row = await conflict(store, SEEN)
    assert (row.health, row.acknowledged.startswith("by ann at 2")) == (VipHealth.ACKNOWLEDGED, True)
    again = replace(SEEN, since="2999-01-01T00:00:00+00:00")
    other = replace(SEEN, hardware_address=bytes.fromhex("020000000098"))
    for seen in (again, other):
        assert (await conflict(store, seen)).health is VipHealth.CONFLICT
    assert (await conflict(store, SEEN)).health is VipHealth.ACKNOWLEDGED


async def test_what_the_store_knows_nothing_of_is_not_acknowledged(tmp_path: Path) -> None:
    """There is nothing to write; nor is there without a store."""
    with pytest.raises(ActionError, match="knows of no machine"):
        await carry_out(Source(f"directory:{tmp_path}"), AcknowledgeConflict(LAN.address, "ann"))
    with pytest.raises(ActionError, match="so name that"):
        await carry_out(Source(agents=(tmp_path / "agent.sock",)), AcknowledgeConflict(LAN.address, "ann"))
