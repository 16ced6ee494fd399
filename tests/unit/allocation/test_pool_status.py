"""Pool statuses."""

from appliance.allocation.cache import WATCHED
from appliance.api.meta import Ref
from appliance.api.metallb import IPAddressPool, IPAddressPoolStatus
from tests.unit.allocation.site import pool, site
from tests.unit.ipam.sample import service


async def test_counts_are_written_once() -> None:
    """The status says what is given and left, and is not written again as long as it is true."""
    here = site(pool("a", "10.0.0.0/30", "fd00::/126"), service("x"))
    await here.settle()
    stored = (await here.objects())[Ref("IPAddressPool", "metallb-system", "a")]
    assert isinstance(stored, IPAddressPool)
    assert stored.status == IPAddressPoolStatus(assigned_ipv4=1, assigned_ipv6=0, available_ipv4=3, available_ipv6=4)
    before = (await here.store.list(WATCHED)).objects
    here.now += 10
    await here.settle()
    assert (await here.store.list(WATCHED)).objects == before
