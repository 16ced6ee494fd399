"""Whatever stands in one object, the allocator goes on for everybody else, and writes what can be read."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.api.address import parse_range
from appliance.api.core import Service, ServicePort, ServiceSpec
from appliance.api.kind import REPORTS, Kind, Object, ref_of
from appliance.api.manifest import decode, encode
from appliance.api.meta import Metadata
from appliance.api.metallb import IPAddressPool, IPAddressPoolSpec, L2Advertisement
from tests.unit.allocation.site import site
from tests.unit.hostile.content import HOSTILE, example, leaves, with_value

ECHO = Service(
    metadata=Metadata(name="zz-echo", namespace="zz-shop"),
    spec=ServiceSpec(type="LoadBalancer", ports=(ServicePort(port=80),)),
)
POOL = IPAddressPool(
    metadata=Metadata(name="zz-pool", namespace="metallb-system"),
    spec=IPAddressPoolSpec(addresses=(parse_range("198.51.100.0/24"),)),
)
BESIDE = (POOL, ECHO, L2Advertisement(metadata=Metadata(name="zz-lan", namespace="metallb-system")))
CLUSTER_KINDS = tuple(kind for kind in Kind if kind not in REPORTS)
# What anybody in the cluster may write, or a host says of itself; the rest is the site's own configuration.
TENANT_KINDS = (Kind.SERVICE, Kind.ENDPOINT_SLICE, Kind.NODE, Kind.NAMESPACE, Kind.HOST)

# A mistake in one of these stops allocation for nobody; another pool may take the address, and a VirtualIP withhold it.
HARMLESS_KINDS = tuple(kind for kind in CLUSTER_KINDS if kind not in (Kind.IP_ADDRESS_POOL, Kind.VIRTUAL_IP))


async def settled(*manifests: Object) -> dict[str, Object]:
    """What the store holds after the allocator looked at it twice."""
    here = site(*manifests)
    await here.settle()
    await here.settle()
    return {str(ref): manifest for ref, manifest in (await here.objects()).items()}


def spoilt(kind: Kind, places: list[tuple[int, object]]) -> Object | None:
    """An object with some hostile values, if it is one."""
    content = example(kind)
    for place, value in places:
        paths = list(leaves(content))
        content = with_value(content, paths[place % len(paths)], value)
    try:
        return decode(kind, content, strict=False)
    except ValidationError:
        return None


PLACES = st.lists(
    st.tuples(st.integers(0, 60), st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20))), min_size=1, max_size=3
)


@pytest.mark.parametrize("kind", CLUSTER_KINDS)
@settings(max_examples=25, deadline=None)
@given(places=PLACES)
def test_one_hostile_object_stops_nobody(kind: Kind, places: list[tuple[int, object]]) -> None:
    """No exception, everything written can be read, and a tenant's object takes nobody's address."""
    hostile = spoilt(kind, places)
    if hostile is None:
        return
    others = (decode(each, example(each), strict=True) for each in TENANT_KINDS)
    objects = asyncio.run(settled(*{ref_of(each): each for each in (*others, *BESIDE, hostile)}.values()))
    for manifest in objects.values():
        read = decode(Kind[_kind_name(manifest)], encode(manifest), strict=True)
        assert read == manifest
    if kind in HARMLESS_KINDS:
        echo = objects[str(ref_of(ECHO))]
        assert isinstance(echo, Service)
        assert echo.status.load_balancer.ingress, hostile


def _kind_name(manifest: Object) -> str:
    return next(kind.name for kind in Kind if isinstance(manifest, kind.cls))


@pytest.mark.parametrize("address", ["2001:db8::5%x", "198.51.100.5%eth0\nx"])
def test_an_address_with_a_scope_id_is_refused_to_its_service_alone(address: str) -> None:
    """As found in review: it raised in the allocator, for everybody and again after every restart."""
    metadata = Metadata(name="evil", namespace="shop", annotations={"metallb.io/loadBalancerIPs": address})
    objects = asyncio.run(settled(*BESIDE, replace(ECHO, metadata=metadata)))
    told = {name: each.status.load_balancer.ingress for name, each in objects.items() if isinstance(each, Service)}
    assert {name: bool(ingress) for name, ingress in told.items()} == {
        "Service shop/evil": False,
        "Service zz-shop/zz-echo": True,
    }
