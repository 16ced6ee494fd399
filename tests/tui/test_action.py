"""What changes the site from the dashboard: only for who may, and only after it was shown."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from textual.widgets import Static

from appliance.overview.site import Site
from appliance.overview.source import Source
from tests.tui.shown import settle, shown
from tests.tui.site import healthy, troubled
from tests.tui.snapshot import check
from tests.tui.test_app import shown as shown_rows
from tests.tui.test_app import table, until
from tests.unit.cli.conftest import Agent
from tui.app import PierheadTop
from tui.screen import Confirm


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
        (healthy, "1 m", "192.0.2.10 (shop/web) goes from node-a to node-b"),
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
