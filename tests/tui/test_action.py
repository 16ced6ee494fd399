"""What changes the site from the dashboard: only for who may, and only after it was shown."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from textual.widgets import Static

from appliance.api.address import parse_address
from appliance.control.message import NeighborStatus
from appliance.l2.event import Reachability
from appliance.overview.action import HandOver, Replan
from appliance.overview.site import Site
from appliance.overview.source import Source
from tests.tui.shown import settle, shown
from tests.tui.site import healthy, large, troubled
from tests.tui.snapshot import cells, check
from tests.tui.test_app import shown as shown_rows
from tests.tui.test_app import table, until
from tests.unit.cli.conftest import Agent
from tests.unit.control.sample import LAN
from tui.app import PierheadTop
from tui.screen import Choose, Confirm


def said(app: PierheadTop) -> str:
    """What the dialog says."""
    assert isinstance(app.screen, Confirm)
    return str(app.screen.query_one(Static).render())


async def test_who_may_not_write_has_no_such_keys() -> None:
    """Neither on the lines nor among the keys."""
    async with shown(healthy()) as (app, pilot):
        await pilot.press("2", "d", "1", "m")
        await settle(pilot)
        assert not isinstance(app.screen, Confirm)
        assert "Drain" not in str(app.query_one("#keys", Static).render())


@pytest.mark.parametrize(
    ("site", "keys", "sentence"),
    [
        (healthy, "2 d", "node-a answers for 1 VIP, of which go 1 to node-b"),
        (healthy, "1 m enter", "192.0.2.10 (shop/web) goes from node-a to node-b"),
        (healthy, "1 m down enter", "192.0.2.10 (shop/web) goes from node-a to node-c"),
        (troubled, "1 down n", "02:00:5e:00:53:01 answers for it too"),
        (troubled, "1 down down m", "VIP 198.51.100.1: no host owns it: it is not announced on layer 2"),
    ],
)
async def test_an_action_is_shown_first(site: Callable[[], Site], keys: str, sentence: str) -> None:
    """What would change, or why nothing can."""
    async with shown(site(), may_write=True) as (app, pilot):
        for key in keys.split():
            await pilot.press(key)
            await settle(pilot)
        assert sentence in said(app)


async def test_a_move_is_to_a_host_of_ones_choice() -> None:
    """In the VIP's order; those that cannot take it say why, and cannot be chosen."""
    async with shown(troubled(), may_write=True) as (app, pilot):
        for key in ("1", "m"):
            await pilot.press(key)
            await settle(pilot)
        await check(pilot, "choose")
        await pilot.press("down", "enter")
        await settle(pilot)
        assert "192.0.2.10 (shop/web) goes from node-a to node-b" in said(app)


async def test_a_new_plan_is_shown_first() -> None:
    """What was planned elsewhere, less what cannot be done any more; or why there is no plan."""
    site = healthy()
    moves = (
        HandOver(parse_address("192.0.2.10"), ("shop/web",), "node-a", "node-c"),
        HandOver(parse_address("192.0.2.11"), ("shop/cart",), "node-a", "node-c"),
    )
    answers: list[Replan | str] = ["the store cannot be asked", Replan(moves)]

    async def plan() -> Replan | str:
        return answers.pop(0)

    async with shown(site, may_write=True, plan=plan) as (app, pilot):
        await pilot.press("p")
        await until(pilot, lambda: "the store cannot be asked" in said(app))
        await pilot.press("y", "escape")
        await until(pilot, lambda: not app.screen.is_modal)
        await pilot.press("p")
        await until(pilot, lambda: "1 VIP change hands" in said(app))
        assert said(app).splitlines()[-1].split() == ["192.0.2.10", "node-a", "→", "node-c", "shop/web"]


async def test_keys_are_heard_while_it_is_found_out_what_a_drain_would_move() -> None:
    """Of many VIPs it is told how far that is; Escape ends it."""
    async with shown(large(3_000), may_write=True) as (app, pilot):
        await pilot.press("2")
        await settle(pilot)
        app.action_drain()
        screen = app.screen
        assert isinstance(screen, Confirm)
        # Each turn of the loop counts.
        while "VIPs looked at" not in "".join(str(text.render()) for text in screen.query(Static)):  # noqa: ASYNC110
            await asyncio.sleep(0)
        screen.action_confirm()
        assert app.screen is screen
        await until(pilot, lambda: "node-a answers for 3000 VIPs" in said(app))


async def test_what_was_refused_is_said(tmp_path: Path) -> None:
    """In the words of the agent that refused it."""
    socket = tmp_path / "agent.sock"
    agent = Agent(socket)
    assert LAN.layer2
    everywhere = replace(LAN, layer2=replace(LAN.layer2, candidates=("node-a", "node-c")))
    reachable = NeighborStatus(name="node-c", state=Reachability.REACHABLE)
    agent.status = replace(agent.status, vips=(everywhere,), hosts=(reachable,))
    app = PierheadTop(Source(agents=(socket,)), lambda: datetime.now(UTC), may_write=True)
    async with agent.server.serving(), app.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: table(app, "vips").counts == (1, 1) and "node-c" in table(app, "hosts").rows)
        await until(pilot, lambda: app.focused is table(app, "vips"))
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, Choose))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Confirm) and "goes from node-a to node-c" in said(app))
        await pilot.press("y")
        await until(pilot, lambda: "Move 192.168.1.240 to node-c" in on_screen(app))
        assert "node-c did not take it, so it stays here" in " ".join(on_screen(app).split())


def on_screen(app: PierheadTop) -> str:
    """Everything that stands there, without the lines of boxes."""
    return "\n".join("".join(sign for sign, _ in line if sign not in "▌▐│") for line in cells(app))


async def test_the_preview_of_a_drain() -> None:
    """As it was reviewed, over the screen it is asked on."""
    async with shown(healthy(), may_write=True) as (_, pilot):
        await pilot.press("2", "d")
        await check(pilot, "drain")


async def test_a_drain_is_asked_for(tmp_path: Path) -> None:
    """Escape changes nothing; y asks the host's own agent, and what it tells then is what is shown."""
    socket = tmp_path / "agent.sock"
    agent = Agent(socket)
    app = PierheadTop(Source(agents=(socket,)), lambda: datetime.now(UTC), may_write=True)
    async with agent.server.serving(), app.run_test(size=(100, 30)) as pilot:
        await pilot.press("2")
        await until(pilot, lambda: "node-a" in table(app, "hosts").rows)
        await until(pilot, lambda: app.focused is table(app, "hosts"))
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("escape")
        await until(pilot, lambda: app.focused is table(app, "hosts"))
        assert not agent.was_asked.is_set()
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, agent.was_asked.is_set)
        await until(pilot, lambda: "drained" in shown_rows(app, "hosts")[1])


async def test_what_was_seen_needs_no_line_on_top() -> None:
    """Until it is chosen again; everything else stays."""
    async with shown(troubled()) as (app, pilot):
        before = str(app.query_one("#health", Static).render())
        await pilot.press("a")
        await settle(pilot)
        await pilot.press("x")
        after = str(app.query_one("#health", Static).render())
        assert before.splitlines()[0].lstrip().startswith("!! VIP 192.0.2.11")
        assert "192.0.2.11" not in after
        await pilot.press("x")
        assert str(app.query_one("#health", Static).render()) == before
