"""An address that came free is given again only after the time its pool asks for."""

from dataclasses import replace
from datetime import timedelta

from appliance.allocator.view import WATCHED
from appliance.api.core import Service
from appliance.api.kind import Kind
from appliance.api.meta import Ref
from appliance.api.metallb import IPAddressPool
from appliance.api.pierhead import VirtualIP
from tests.unit.allocator.site import Site, delete, pool, site
from tests.unit.ipam.sample import service

RESTING = {"pierhead.io/quarantine": "10m"}
POOL = pool("a", "10.0.0.0/31", annotations=RESTING)
X, FIRST = Ref("Service", "default", "x"), Ref("VirtualIP", "", "10.0.0.0")
TEN_MINUTES = timedelta(minutes=10)


async def freed() -> Site:
    """A site where x had the first of two addresses and is gone."""
    here = site(POOL, service("x"))
    await here.settle()
    await delete(here, [X])
    await here.settle()
    return here


async def pass_time(here: Site, time: timedelta) -> None:
    """Settle later."""
    here.now += time
    await here.settle()


async def test_freed_address_waits_in_the_store() -> None:
    """The VirtualIP stays, lists nobody, is announced nowhere and has no Backends."""
    here = await freed()
    found = (await here.objects())[FIRST]
    assert isinstance(found, VirtualIP)
    assert (found.spec.services, found.spec.layer2, found.spec.bgp) == ((), None, ())
    assert Ref("Backends", "", "10.0.0.0") not in await here.objects()
    assert here.allocator.gate.deadline() == here.now + TEN_MINUTES


async def test_others_get_it_when_the_time_is_over() -> None:
    """Who waits for it is served at that moment, without any other change."""
    here = await freed()
    for name in "yz":
        await here.store.create(service(name), "operator")
    await here.settle()
    assert (await here.told("y"), await here.told("z")) == ("10.0.0.1", "")
    await pass_time(here, TEN_MINUTES - timedelta(seconds=1))
    assert await here.told("z") == ""
    await pass_time(here, timedelta(seconds=1))
    assert await here.told("z") == "10.0.0.0"
    assert "pierhead.io/freed-at" not in (await here.objects())[FIRST].metadata.annotations


async def test_nothing_is_left_when_the_time_is_over() -> None:
    """The VirtualIP goes where nobody wants the address."""
    here = await freed()
    await pass_time(here, TEN_MINUTES)
    assert FIRST not in await here.objects()
    assert here.allocator.gate.deadline() is None


async def test_restart_changes_nothing() -> None:
    """An allocator that knows nothing finds the time in the store."""
    here = await freed()
    here.restart()
    await here.store.create(service("y", wanted="10.0.0.0"), "operator")
    await pass_time(here, TEN_MINUTES / 2)
    assert await here.told("y") == ""
    here.restart()
    await pass_time(here, TEN_MINUTES / 2)
    assert await here.told("y") == "10.0.0.0"


async def test_another_allocator_with_an_old_picture_is_stopped_by_the_name() -> None:
    """Who has not seen the address given and freed cannot give it either."""
    here = site(POOL)
    other = Site(here.store)
    await other.settle()
    await here.store.create(service("x"), "operator")
    await here.settle()
    await delete(here, [X])
    await here.settle()
    await here.store.create(service("y"), "operator")
    picture = await here.store.list(WATCHED - {Kind.VIRTUAL_IP, Kind.BACKENDS})
    await other.allocator.settle(picture)
    assert await here.told("y") == "10.0.0.1"


async def test_last_holder_may_have_it_back_by_name() -> None:
    """A Service that is made anew and names its address need not wait."""
    here = await freed()
    await here.store.create(service("x", wanted="10.0.0.0"), "operator")
    await here.settle()
    assert await here.told("x") == "10.0.0.0"


async def test_reserved_address_is_there_again_at_once() -> None:
    """A quarantine does not stand in the way of the Service an address is reserved for and that had it."""
    reserving = {**RESTING, "pierhead.io/reserved": "10.0.0.1=default/x"}
    here = site(pool("a", "10.0.0.0/31", annotations=reserving), service("x"))
    await here.settle()
    await delete(here, [X])
    await here.settle()
    await here.store.create(service("x"), "operator")
    await here.settle()
    assert await here.told("x") == "10.0.0.1"


async def test_service_that_moves_leaves_its_address_in_quarantine() -> None:
    """Giving back counts, whatever the cause."""
    here = site(POOL, service("x"))
    await here.settle()
    await change(here, {"metallb.io/loadBalancerIPs": "10.0.0.1"})
    assert await here.vips() == {"10.0.0.0": [], "10.0.0.1": ["default/x"]}


async def test_shared_address_rests_after_its_last_holder() -> None:
    """As long as somebody holds it, it is no freed address."""
    here = site(POOL, service("x", key="k"), service("y", key="k", ports=(443,)))
    await here.settle()
    await delete(here, [X])
    await here.settle()
    assert await here.vips() == {"10.0.0.0": ["default/y"]}
    await delete(here, [Ref("Service", "default", "y")])
    await here.settle()
    assert await here.vips() == {"10.0.0.0": []}


async def test_quarantine_taken_off_the_pool_ends_at_once() -> None:
    """What the pool says now counts, also for addresses freed before."""
    here = await freed()
    await here.store.apply(pool("a", "10.0.0.0/31"), "operator")
    await here.settle()
    assert FIRST not in await here.objects()


async def test_quarantine_that_cannot_be_read_stays_as_it_was() -> None:
    """A mistake in the annotation frees nothing."""
    here = await freed()
    await here.store.apply(pool("a", "10.0.0.0/31", annotations={"pierhead.io/quarantine": "ten minutes"}), "operator")
    await here.settle()
    assert FIRST in await here.objects()
    (stored,) = (found for found in (await here.objects()).values() if isinstance(found, IPAddressPool))
    assert stored.metadata.annotations["pierhead.io/quarantine"] == "ten minutes"


async def change(here: Site, annotations: dict[str, str]) -> None:
    """Give x other annotations, and settle."""
    stored = (await here.objects())[X]
    assert isinstance(stored, Service)
    texts = {**stored.metadata.annotations, **annotations}
    await here.store.apply(replace(stored, metadata=replace(stored.metadata, annotations=texts)), "operator")
    await here.settle()
