"""Few moves, even loads, and nothing to a host that is no choice."""

from collections import Counter
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from appliance.advertise.balance import balanced
from appliance.api.address import IPAddress

HOSTS = ("a", "b", "c")
FIRST = IPv4Address("192.0.2.0")


def addresses(owners: str) -> dict[IPAddress, str]:
    """An address for each letter, owned by the host it names."""
    return {FIRST + number: owner for number, owner in enumerate(owners)}


def moves(owners: str, *choices: str, carried: str = "") -> str:
    """Who owns what afterwards; the choices of all addresses, or one text for each."""
    held = addresses(owners)
    each = choices * len(owners) if len(choices) == 1 else choices
    able = {address: tuple(hosts) for address, hosts in zip(held, each, strict=True)}
    return "".join({**held, **balanced(held, able, carried)}.values())


def test_who_carries_two_more_gives_one() -> None:
    """And who carries one more keeps it: one of them has to."""
    assert moves("aaa", "ab") == "baa"
    assert moves("aab", "ab") == "aab"
    assert moves("aaaaaa", "abc") == "bcbcaa"


def test_what_is_at_a_lesser_host_goes_to_a_better_one() -> None:
    """However much that one carries; where there is no choice nothing moves."""
    assert moves("cc", "a") == "aa"
    assert moves("cc", "a", "") == "ac"


def test_what_cannot_move_counts() -> None:
    """A host that carries addresses of another kind is not given more."""
    assert moves("aa", "ab", carried="bb") == "aa"


@given(owners=st.text(st.sampled_from("abc"), max_size=30), data=st.data())
def test_loads_are_as_even_as_they_can_be(owners: str, data: st.DataObject) -> None:
    """With every host as good as any other they differ by one; with fewer choices nobody goes where he may not."""
    held = addresses(owners)
    everywhere = {**held, **balanced(held, dict.fromkeys(held, HOSTS))}
    loads = Counter(dict.fromkeys(HOSTS, 0)) + Counter(everywhere.values())
    assert max(loads.values(), default=0) - min((loads[host] for host in HOSTS), default=0) <= 1
    some = {address: tuple(data.draw(st.sets(st.sampled_from(HOSTS)))) for address in held}
    moved = balanced(held, some)
    assert all(owner in some[address] and owner != held[address] for address, owner in moved.items())
    assert balanced({**held, **moved}, some) == {}
