"""The next free address, and how many there are."""

import pytest

from appliance.api.address import parse_address, parse_range
from appliance.ipam.space import INT64_MAX, Space, address_at, number_of


def space(*ranges: str, avoid: bool = False, taken: set[int] | None = None) -> Space:
    """A space that looks at a set the test changes."""
    return Space(tuple(parse_range(text) for text in ranges), avoid, taken if taken is not None else set(), ())


@pytest.mark.parametrize(
    ("ranges", "avoid", "capacity"),
    [
        (("10.0.0.0/24",), False, 256),
        (("10.0.0.0/24",), True, 254),
        (("10.0.0.0/22",), True, 1016),
        (("10.0.0.0/25",), True, 127),
        (("10.0.0.128/25",), True, 127),
        (("10.0.0.64/26",), True, 64),
        (("10.0.0.254-10.0.1.1",), True, 2),
        (("10.0.0.0/32",), True, 0),
        (("fd00::/66",), True, INT64_MAX),
        (("fd00::/67",), False, 2**61),
        (("fd00::/64",), False, INT64_MAX),
    ],
)
def test_capacity(ranges: tuple[str, ...], avoid: bool, capacity: int) -> None:
    """Only addresses that can be given count, and what does not fit counts as the largest int64."""
    assert space(*ranges, avoid=avoid).capacity == capacity


def test_positions_follow_the_order_written() -> None:
    """Runs keep their order whatever their addresses, and positions lead back to them."""
    found = space("10.0.1.0/31", "10.0.0.4/31")
    numbers = [found.number_at(position) for position in range(found.length)]
    assert [str(address_at(number)) for number in numbers] == ["10.0.1.0", "10.0.1.1", "10.0.0.4", "10.0.0.5"]
    assert [found.position_of(number) for number in numbers] == [0, 1, 2, 3]


def test_returned_address_comes_first() -> None:
    """What comes back is given before what was never given."""
    taken: set[int] = set()
    found = space("10.0.0.0/29", taken=taken)
    for _ in range(4):
        taken.add(found.number_at(found.lowest_free() or 0))
    number = found.number_at(2)
    taken.discard(number)
    assert found.offer(number) is False
    assert found.lowest_free() == 2


def test_full_space_says_that_it_has_room_again() -> None:
    """The first return after a refusal is told apart."""
    taken = {number_of(parse_address("10.0.0.1"))}
    found = space("10.0.0.1/32", taken=taken)
    assert found.lowest_free() is None
    number = taken.pop()
    assert found.offer(number) is True
    assert found.lowest_free() == 0


def test_families_have_numbers_of_their_own() -> None:
    """An IPv6 address with the value of an IPv4 address is another number."""
    one, other = parse_address("0.0.0.1"), parse_address("::1")
    assert number_of(one) != number_of(other)
    assert (address_at(number_of(one)), address_at(number_of(other))) == (one, other)
