"""An address that came free is given again only after the time its pool asks for."""

from dataclasses import replace

from appliance.allocation.cache import WATCHED
from appliance.allocation.event import ObjectsChanged
from appliance.allocator.program import answered
from appliance.api.core import Service
from appliance.api.meta import Ref
from appliance.api.metallb import IPAddressPool
from appliance.api.pierhead import VirtualIP
from tests.unit.allocation.site import Site, delete, pool, site
from tests.unit.ipam.sample import service

QUARANTINED = {"pierhead.io/quarantine": "10m"}
POOL = pool("a", "10.0.0.0/31", annotations=QUARANTINED)
X, FIRST = Ref("Service", "default", "x"), Ref("VirtualIP", "", "10.0.0.0")
TEN_MINUTES = 600.0


async def freed() -> Site:
    """A site where x had the first of two addresses and is gone."""
    here = site(POOL, service("x"))
    await here.settle()
    await delete(here, [X])
    await here.settle()
    return here


def end(here: Site) -> float:
    """When the quarantine is over, as the allocator knows it."""
    deadline = here.allocator.deadline()
    assert deadline is not None
    return deadline


async def pass_time(here: Site, moment: float) -> None:
    """Settle at a later moment."""
    here.now = moment
    await here.settle()


async def test_freed_address_waits_in_the_store() -> None:
    """The VirtualIP stays, lists nobody, is announced nowhere and has no Backends."""
    here = await freed()
    found = (await here.objects())[FIRST]
    assert isinstance(found, VirtualIP)
    assert (found.spec.services, found.spec.layer2, found.spec.bgp) == ((), None, ())
    assert Ref("Backends", "", "10.0.0.0") not in await here.objects()
    assert TEN_MINUTES - 5 < end(here) - here.now <= TEN_MINUTES


async def test_others_get_it_when_the_time_is_over() -> None:
    """Who waits for it is served at that moment, without any other change."""
    here = await freed()
    over = end(here)
    for name in "yz":
        await here.store.create(service(name), "operator")
    await here.settle()
    assert (await here.told("y"), await here.told("z")) == ("10.0.0.1", "")
    await pass_time(here, over - 60)
    assert await here.told("z") == ""
    await pass_time(here, over)
    assert await here.told("z") == "10.0.0.0"
    found = (await here.objects())[FIRST]
    assert isinstance(found, VirtualIP)
    assert found.spec.freed is None


async def test_nothing_is_left_when_the_time_is_over() -> None:
    """The VirtualIP goes where nobody wants the address."""
    here = await freed()
    await pass_time(here, end(here))
    assert FIRST not in await here.objects()
    assert here.allocator.deadline() is None


async def test_restart_changes_nothing() -> None:
    """An allocator that knows nothing finds the time in the store."""
    here = await freed()
    over = end(here)
    here.restart()
    await here.store.create(service("y", wanted="10.0.0.0"), "operator")
    await pass_time(here, over - TEN_MINUTES / 2)
    assert await here.told("y") == ""
    here.restart()
    await pass_time(here, over)
    assert await here.told("y") == "10.0.0.0"


async def test_another_allocator_with_old_knowledge_is_stopped_by_the_name() -> None:
    """Who has not seen the address given and freed cannot give it either, and learns of it by the refusal."""
    here = await freed()
    other = Site(here.store)
    await here.store.create(service("y"), "operator")
    known = (await here.store.list(WATCHED)).objects
    late = tuple(found for ref, found in known.items() if ref.kind not in ("VirtualIP", "Backends"))
    asked = other.hear(ObjectsChanged(late, listed=WATCHED, is_first=True))
    other.now = here.now
    for _ in range(9):
        asked = [later for write in asked for later in other.hear(await answered(other.store, write))]
    assert await here.told("y") == "10.0.0.1"


async def test_last_holder_may_have_it_back_by_name() -> None:
    """A Service that is made anew and names its address need not wait."""
    here = await freed()
    await here.store.create(service("x", wanted="10.0.0.0"), "operator")
    await here.settle()
    assert await here.told("x") == "10.0.0.0"


async def test_reserved_address_is_there_again_at_once() -> None:
    """A quarantine does not stand in the way of the Service an address is reserved for and that had it."""
    reserving = {**QUARANTINED, "pierhead.io/reserved": "10.0.0.1=default/x"}
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
