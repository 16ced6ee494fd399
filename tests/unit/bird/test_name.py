"""The names of BIRD's protocols and tables."""

from dataclasses import replace

from appliance.bird.model import Session
from appliance.bird.name import protocol_name, symbols
from tests.golden.bird.case import TOR


def named(*names: str) -> tuple[Session, ...]:
    """Sessions of these names."""
    return tuple(replace(TOR, name=name) for name in names)


def test_letters_bird_cannot_read_become_underscores() -> None:
    """A Kubernetes name becomes a name BIRD reads."""
    assert symbols(named("tor-router.a")) == {"tor-router.a": "tor_router_a"}


def test_keyword_gets_prefix() -> None:
    """A peer called like one of BIRD's keywords is no problem."""
    assert protocol_name(symbols(named("down"))["down"]) == "bgp_down"


def test_colliding_names_stay_apart() -> None:
    """Two names that look alike to BIRD get two symbols, whatever their order."""
    one, other = symbols(named("a-b", "a.b")), symbols(named("a.b", "a-b"))

    assert one == other
    assert len(set(one.values())) == 2


def test_long_names_fit() -> None:
    """Names of 253 letters that differ only at the end get short symbols that differ."""
    names = ("x" * 252 + "a", "x" * 252 + "b")

    found = symbols(named(*names))

    assert len(set(found.values())) == 2
    assert all(len(symbol) <= 40 for symbol in found.values())
