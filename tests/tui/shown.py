"""The dashboard on a site that is there already, without a source that could change it."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input

from appliance.overview.action import Replan
from appliance.overview.site import Site
from appliance.overview.source import Source
from tests.tui.site import NOW
from tui.app import PierheadTop
from tui.message import SiteChanged
from tui.panel import ALL, Panels
from tui.preference import Preferences
from tui.table import RowTable

Size = tuple[int, int]
WAIT_SECONDS = 120.0


@asynccontextmanager
async def shown(
    site: Site,
    size: Size = (140, 40),
    preferences: Preferences | None = None,
    *,
    may_write: bool = False,
    plan: Callable[[], Awaitable[Replan | str]] | None = None,
) -> AsyncIterator[tuple[PierheadTop, Pilot[None]]]:
    """A site on a screen, its clock standing still."""
    app = PierheadTop(Source(), lambda: NOW, preferences, may_write=may_write, plan=plan)
    async with app.run_test(size=size) as pilot:
        app.post_message(SiteChanged(site, site.everything()))
        await settle(pilot)
        yield app, pilot


async def settle(pilot: Pilot[None], holds: Callable[[], bool] = lambda: True) -> None:
    """Wait until everything that is known is drawn, the keys are where they belong, and something holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    await pilot.pause()
    while not (_is_settled(pilot.app) and holds()):
        assert time.monotonic() < deadline
        await pilot.pause(0.01)
    await pilot.pause()


def _is_settled(app: App[None]) -> bool:
    assert isinstance(app, PierheadTop)
    shown_panel = app.screen_stack[0].query_one(Panels).shown
    match app.focused:
        case RowTable(panel=panel):
            return not app.is_drawing and shown_panel in (ALL, panel)
        case focused:
            return not app.is_drawing and (app.screen.is_modal or isinstance(focused, Input))
