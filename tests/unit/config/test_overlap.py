"""The sweep finds what comparing every pair finds."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from appliance.api.address import AddressRange
from appliance.api.meta import Ref
from appliance.config.model import Pool
from appliance.config.overlap import Overlaps, overlap_problems


def run_of(first: int, length: int, is_v6: bool) -> AddressRange:
    """A range by numbers."""
    make = IPv6Address if is_v6 else IPv4Address
    return AddressRange(make(first), make(first + length), f"{make(first)}-{make(first + length)}")


RUNS = st.builds(run_of, st.integers(0, 200), st.integers(0, 40), st.booleans())
POOLS = st.lists(st.lists(RUNS, min_size=1, max_size=3), max_size=6)
NETWORKS = st.lists(
    st.integers(0, 255).flatmap(
        lambda first: st.sampled_from([24, 28, 30, 32]).map(lambda length: ip_network((first, length), strict=False))
    ),
    max_size=6,
)


def meet(one: AddressRange, other: AddressRange) -> bool:
    """Whether two ranges have an address in common, asked the long way."""
    return one.family is other.family and int(one.first) <= int(other.last) and int(other.first) <= int(one.last)


@given(POOLS)
def test_sweep_agrees_with_pairs(lists: list[list[AddressRange]]) -> None:
    """There is a problem if and only if two entries overlap, and each problem is about one that does."""
    pools = [Pool(Ref("IPAddressPool", "m", f"p{index}"), tuple(runs)) for index, runs in enumerate(lists)]
    places = {(pool.ref, index): run for pool in pools for index, run in enumerate(pool.ranges)}
    guilty = {one for one in places for other in places if one != other and meet(places[one], places[other])}
    found = {
        (problem.ref, int(problem.path.removeprefix("spec.addresses[").removesuffix("]")))
        for problem in overlap_problems(pools)
    }
    assert bool(found) == bool(guilty)
    assert found <= guilty


@given(NETWORKS, RUNS)
def test_networks_are_found(networks: list[IPv4Network], run: AddressRange) -> None:
    """A network is found if and only if one overlaps, and it is one that does."""
    overlapping = [network for network in networks if meet(run, AddressRange(network[0], network[-1], ""))]
    found = Overlaps(networks).widest(run)
    assert found in overlapping if overlapping else found is None
