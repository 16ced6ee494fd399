"""The rules behind the text of BIRD's configuration; the text itself is kept in tests/golden/bird."""

from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from appliance.bird.model import AnnouncedRoute, BirdConfig, Drain
from appliance.bird.render import render
from tests.golden.bird.case import CASES, REFLECTOR, ROUTER_ID, TAGGED, TOR


def blocks(text: str, keyword: str) -> list[str]:
    """The protocols of one kind."""
    return [block for block in text.split("\nprotocol ") if block.startswith(keyword)]


@pytest.mark.parametrize("name", CASES)
def test_order_of_input_does_not_show(name: str) -> None:
    """The same values in another order give the same bytes."""
    config = CASES[name]
    turned = replace(
        config,
        sessions=config.sessions[::-1],
        announcements=config.announcements[::-1],
        watches=config.watches[::-1],
    )

    assert render(config) == render(turned)


def test_local_preference_stays_inside_the_as() -> None:
    """An eBGP session's routes carry no local preference, an iBGP session's do."""
    config = BirdConfig(router_id=ROUTER_ID, sessions=(TOR, REFLECTOR), announcements=(TAGGED,))

    routes = {block.split(" ")[1]: block for block in blocks(render(config), "static route4")}

    assert "bgp_local_pref" not in routes["route4_tor_router"]
    assert "bgp_local_pref = 150;" in routes["route4_route_reflector"]


def test_drain_touches_no_route() -> None:
    """A drain changes export rules only."""
    config = CASES["internal"]

    drained = render(replace(config, drain=Drain.LAST_CHOICE))

    assert blocks(render(config), "static") == blocks(drained, "static")


def test_nothing_reaches_the_main_kernel_table() -> None:
    """Every kernel protocol names its private table, and there is none without something to watch."""
    kernels = blocks(render(CASES["watch"]), "kernel")

    assert len(kernels) == 2
    assert all("kernel table 20600;" in kernel and "import none;" in kernel for kernel in kernels)
    assert blocks(render(CASES["internal"]), "kernel") == []


def test_every_announcement_gets_its_route() -> None:
    """Ten thousand announcements give ten thousand routes to each session of their family."""
    announcements = tuple(AnnouncedRoute(IPv4Network((0x0A000000 + number, 32))) for number in range(10_000))
    config = BirdConfig(router_id=ROUTER_ID, sessions=(TOR, REFLECTOR), announcements=announcements)

    assert render(config).count("\n  route ") == 20_000
