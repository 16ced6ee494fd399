"""What this host says in the store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_interface

import pytest

from appliance.agent.publish import (
    SETTLE_SECONDS,
    HostReport,
    LinkSettling,
    Publisher,
    conditions_of,
    interfaces_of,
)
from appliance.api.address import IPAddress, vip_name
from appliance.api.kind import Kind, Object
from appliance.api.meta import Metadata, Ref
from appliance.api.pierhead import (
    Host,
    HostInterface,
    HostSpec,
    HostStatus,
    Owner,
    VirtualIP,
    VirtualIPSpec,
    VirtualIPStatus,
)
from appliance.api.refusal import StoreRefusal
from appliance.control.message import BirdStatus
from appliance.host.link import Link
from appliance.store.memory import MemoryStore
from appliance.store.protocol import StoreError

DEADLINE_SECONDS = 60.0
VIP = ip_address("192.0.2.240")
OTHER = ip_address("192.0.2.241")


def vip(address: IPAddress, owner: Owner | None = None) -> VirtualIP:
    """A VIP and who is on record for it."""
    return VirtualIP(
        metadata=Metadata(name=vip_name(address)),
        spec=VirtualIPSpec(address=address, pool="p"),
        status=VirtualIPStatus(owner=owner),
    )


class CountingStore(MemoryStore):
    """A store that counts writes of a status, and refuses where a test asks for that."""

    def __init__(self, manifests: Iterable[Object] = ()) -> None:
        super().__init__(manifests)
        self.statuses: list[Object] = []
        self.refuse: Callable[[Object], StoreRefusal | None] = lambda _: None

    async def apply_status(self, manifest: Object, manager: str, *, with_metadata: bool = False) -> Object:
        """Write the status, or refuse."""
        refusal = self.refuse(manifest)
        if refusal is not None:
            raise StoreError(refusal, manifest.metadata.name)
        self.statuses.append(manifest)
        return await super().apply_status(manifest, manager, with_metadata=with_metadata)


@dataclass(slots=True)
class Member:
    """A host with its publisher: what it read last, what it holds that it owns, and what it says of itself."""

    publisher: Publisher
    report: HostReport
    read: dict[IPAddress, VirtualIP] = field(default_factory=dict)
    owns: set[IPAddress] = field(default_factory=set)
    asked: list[IPAddress] = field(default_factory=list)
    looked: asyncio.Event = field(default_factory=asyncio.Event)


def member(store: MemoryStore, name: str, *owns: IPAddress) -> Member:
    """A host that holds that it owns some VIPs."""

    def owned(address: IPAddress) -> VirtualIP | None:
        made.asked.append(address)
        made.looked.set()
        return made.read.get(address) if address in made.owns else None

    publisher = Publisher(store, name, lambda: made.report, owned)
    made = Member(publisher, HostReport({"rack": "1"}, HostStatus(version="1")), owns=set(owns))
    return made


async def follow(store: MemoryStore, one: Member, name: str) -> None:
    """Hand a host what the store says, as its feed does."""
    async for changes in store.watch(frozenset({Kind.VIRTUAL_IP, Kind.HOST})):
        for manifest in changes.changed:
            if isinstance(manifest, VirtualIP):
                one.read[manifest.spec.address] = manifest
                one.publisher.ask_for((manifest.spec.address,))
            elif isinstance(manifest, Host) and manifest.metadata.name == name:
                one.publisher.take_host(manifest)


@asynccontextmanager
async def running(store: MemoryStore, **members: Member) -> AsyncIterator[None]:
    """Publishers at work while the block runs."""
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[None]] = []
        for name, one in members.items():
            tasks += [group.create_task(one.publisher.run(), name=name)]
            tasks += [group.create_task(follow(store, one, name), name=f"follow-{name}")]
        yield
        for task in tasks:
            task.cancel()


async def until(store: MemoryStore, holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds of the store."""
    async for _ in store.watch(frozenset({Kind.VIRTUAL_IP, Kind.HOST})):
        if await holds():
            return


async def owner_of(store: MemoryStore, address: IPAddress = VIP) -> Owner | None:
    """Who is on record for a VIP."""
    stored = await store.get(Ref("VirtualIP", "", vip_name(address)))
    assert isinstance(stored, VirtualIP)
    return stored.status.owner


async def host_of(store: MemoryStore, name: str) -> Host | None:
    """A host's object."""
    try:
        stored = await store.get(Ref("Host", "", name))
    except StoreError:
        return None
    assert isinstance(stored, Host)
    return stored


async def test_an_owner_is_written_once_with_the_next_epoch() -> None:
    """Whoever reads it knows which of two claims is the later one."""
    store = CountingStore([vip(VIP, Owner(host="b", epoch=4)), vip(OTHER)])
    a = member(store, "a", VIP, OTHER)

    async def holds() -> bool:
        found = [await owner_of(store, address) for address in (VIP, OTHER)]
        return [(owner.host, owner.epoch) for owner in found if owner] == [("a", 5), ("a", 1)]

    async with running(store, a=a):
        await until(store, holds)
    assert len(store.statuses) == 2


async def test_who_only_answers_in_a_doubt_or_not_at_all_writes_nothing() -> None:
    """A VIP that this host does not own is none of its business."""
    store = CountingStore([vip(VIP, Owner(host="b", epoch=4))])
    a = member(store, "a")
    async with running(store, a=a):
        await a.looked.wait()
    assert store.statuses == []


async def test_hosts_that_disagree_do_not_write_without_end() -> None:
    """Three hosts that hold that they own a VIP say so ever more rarely, and the one that goes on has the last word."""
    store = CountingStore([vip(VIP)])
    members = {name: member(store, name, VIP) for name in "abc"}
    async with running(store, **members):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await until(store, lambda: asyncio.sleep(0, result=False))
        written = len(store.statuses)
        for name in "bc":
            members[name].owns.clear()

        async def holds() -> bool:
            owner = await owner_of(store)
            return owner is not None and owner.host == "a"

        if not await holds():
            await until(store, holds)
    assert 3 <= written <= 9


async def test_a_refused_vip_holds_up_no_other() -> None:
    """One that the store does not take is said to be so, and the others are written."""
    store = CountingStore([vip(VIP), vip(OTHER)])
    store.refuse = lambda manifest: StoreRefusal.FORBIDDEN if manifest.metadata.name == vip_name(VIP) else None
    a = member(store, "a", VIP, OTHER)

    async def holds() -> bool:
        return await owner_of(store, OTHER) is not None

    async with running(store, a=a):
        await until(store, holds)
    assert await owner_of(store, VIP) is None


async def test_a_store_that_comes_back_is_told() -> None:
    """What could not be written is written later, and nothing is forgotten."""
    store = CountingStore([vip(VIP)])
    refusals = iter([StoreRefusal.UNAVAILABLE, StoreRefusal.THROTTLED])
    store.refuse = lambda manifest: next(refusals, None) if isinstance(manifest, VirtualIP) else None
    a = member(store, "a", VIP)

    async def holds() -> bool:
        return await owner_of(store) is not None

    async with running(store, a=a):
        await until(store, holds)


async def test_one_claim_among_ten_thousand_vips_looks_at_one() -> None:
    """The cost is that of what changed."""
    store = CountingStore([vip(VIP)])
    a = member(store, "a", VIP)
    a.read = {VIP: vip(VIP)} | {at: vip(at) for at in (ip_address(0x0A000000 + n) for n in range(10_000))}
    async with asyncio.timeout(DEADLINE_SECONDS), asyncio.TaskGroup() as group:
        task = group.create_task(a.publisher.run(), name="publish")
        a.publisher.ask_for((VIP,))
        await until(store, lambda: asyncio.sleep(0, result=bool(store.statuses)))
        task.cancel()
    assert a.asked == [VIP]


async def test_a_host_registers_itself_and_says_how_it_is() -> None:
    """Labels of its settings and its status; what it has said it does not say again."""
    store = CountingStore()
    a = member(store, "a")

    async def holds() -> bool:
        host = await host_of(store, "a")
        return host is not None and (host.metadata.labels, host.status) == ({"rack": "1"}, HostStatus(version="1"))

    async with running(store, a=a):
        a.publisher.ask()
        await until(store, holds)
        a.publisher.ask(at_once=True)
    assert len(store.statuses) == 1


async def test_the_last_word_is_written_before_the_end() -> None:
    """Whatever was said a moment ago; a store that does not answer holds up nobody."""
    store = CountingStore()
    a = member(store, "a")
    async with running(store, a=a):
        await a.publisher.finish(DEADLINE_SECONDS)
        a.report = replace(a.report, status=HostStatus(version="2"))
        await a.publisher.finish(DEADLINE_SECONDS)
        host = await host_of(store, "a")
        store.refuse = lambda _: StoreRefusal.UNAVAILABLE
        a.report = replace(a.report, status=HostStatus(version="3"))
        await a.publisher.finish(0.05)
    assert host is not None
    assert host.status.version == "2"


async def test_a_drain_asked_here_is_recorded() -> None:
    """The site and every other host know of it."""
    store = CountingStore([Host(metadata=Metadata(name="a", labels={"theirs": "1"}))])
    a = member(store, "a")
    a.report = replace(a.report, drain=True)

    async def holds() -> bool:
        host = await host_of(store, "a")
        return host is not None and host.spec.drain and host.status.version == "1"

    async with running(store, a=a):
        a.publisher.ask()
        await until(store, holds)
    host = await host_of(store, "a")
    assert host is not None
    assert (host.metadata.labels, host.spec) == ({"theirs": "1", "rack": "1"}, HostSpec(drain=True))


async def test_a_refusal_that_passes_is_asked_again() -> None:
    """A server that has just started knows nobody's rights for a moment; what it refused then is written soon."""
    store = CountingStore([vip(VIP)])
    a = member(store, "a", VIP)
    refused: list[str] = []

    def refuse(manifest: Object) -> StoreRefusal | None:
        if manifest.metadata.name in refused:
            return None
        refused.append(manifest.metadata.name)
        return StoreRefusal.FORBIDDEN

    store.refuse = refuse

    async def holds() -> bool:
        host, owner = await host_of(store, "a"), await owner_of(store)
        return host is not None and host.status.version == "1" and owner is not None and owner.host == "a"

    async with running(store, a=a):
        a.publisher.ask()
        await until(store, holds)
    assert sorted(refused) == sorted(["a", vip_name(VIP)])


class GuardedStore(CountingStore):
    """A store in which a host may write neither labels nor its drain, as a policy of the site has it."""

    async def apply(self, manifest: Object, manager: str) -> Object:
        """Refuse."""
        raise StoreError(StoreRefusal.FORBIDDEN, manifest.metadata.name, f"spec.drain: is not for {manager}")

    async def apply_metadata(self, manifest: Object, manager: str) -> Object:
        """Refuse."""
        raise StoreError(StoreRefusal.FORBIDDEN, manifest.metadata.name, f"metadata.labels: are not for {manager}")


async def test_what_a_host_may_not_write_keeps_it_from_nothing_else() -> None:
    """A host that is refused its labels and its drain is registered all the same, and says how it is."""
    store = GuardedStore()
    a = member(store, "a")
    a.report = replace(a.report, drain=True, labels={"node-restriction.kubernetes.io/rack": "1"})

    async def is_told(version: str) -> bool:
        host = await host_of(store, "a")
        return host is not None and host.status.version == version

    async with running(store, a=a):
        a.publisher.ask()
        await until(store, lambda: is_told("1"))
        a.report = replace(a.report, status=replace(a.report.status, version="2"))
        a.publisher.ask(at_once=True)
        await until(store, lambda: is_told("2"))


def link(up: bool, index: int = 2) -> Link:
    """An interface with or without carrier."""
    return Link(
        name="eth0",
        index=index,
        hardware_address=bytes.fromhex("020000000001"),
        up=up,
        resolves=True,
        enslaved=False,
        addresses=(ip_interface("192.0.2.1/24"), ip_interface("fe80::1/64")),
    )


def told(settling: LinkSettling, up: bool, now: float, index: int = 2) -> bool:
    """Whether other hosts are told that the link is up."""
    (only,) = settling.told((link(up, index),), now)
    return only.up


def test_a_link_that_was_up_at_the_start_has_settled() -> None:
    """An agent that restarts takes its host out of nothing."""
    settling = LinkSettling()
    assert (settling.update((link(True),), 10.0), told(settling, True, 10.0)) == (False, True)


def test_a_link_that_comes_up_is_told_late() -> None:
    """Its host is sent traffic once the kernel can resolve its neighbours again."""
    settling = LinkSettling()
    settling.update((link(False),), 10.0)
    came_up = settling.update((link(True),), 20.0)
    assert (came_up, told(settling, True, 20.0), told(settling, True, 20.0 + SETTLE_SECONDS)) == (True, False, True)


def test_a_link_that_goes_down_is_told_at_once_and_begins_anew() -> None:
    """A flapping link never settles, and one made anew under its name is another link."""
    settling = LinkSettling()
    settling.update((link(True),), 10.0)
    settling.update((link(False),), 20.0)
    down = told(settling, False, 20.0)
    settling.update((link(True),), 20.1)
    again = told(settling, True, 20.2)
    settling.update((link(True, index=3),), 30.0)
    assert (down, again, told(settling, True, 30.1, index=3)) == (False, False, False)


def test_interfaces_are_told_without_link_local_addresses() -> None:
    """Those mean nothing on another host."""
    expected = HostInterface(
        name="eth0", hardware_address=bytes.fromhex("020000000001"), addresses=(ip_interface("192.0.2.1/24"),), up=True
    )
    assert tuple(interfaces_of((link(True),), ())) == (expected,)


def test_what_is_wrong_stands_in_the_conditions() -> None:
    """A BIRD that refused, a forwarder that has said nothing yet."""
    found = conditions_of(BirdStatus(reachable=True, refused="syntax error"), drained=False, awaits_forwarder=True)
    assert [(condition.type, condition.status, condition.message) for condition in found] == [
        ("BirdReachable", "True", "BIRD answers"),
        ("ConfigurationAccepted", "False", "syntax error"),
        ("Delivering", "False", "the forwarder has not said that it has rules"),
        ("Drained", "False", ""),
    ]
