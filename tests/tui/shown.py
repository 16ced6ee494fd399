"""The dashboard on a site that is there already, without a source that could change it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from appliance.overview.site import Site
from appliance.overview.source import Source
from tests.tui.site import NOW
from tui.app import PierheadTop
from tui.message import SiteChanged
from tui.preference import Preferences

Size = tuple[int, int]


@asynccontextmanager
async def shown(
    site: Site, size: Size = (140, 40), preferences: Preferences | None = None, *, may_write: bool = False
) -> AsyncIterator[tuple[PierheadTop, Pilot[None]]]:
    """A site on a screen, its clock standing still."""
    app = PierheadTop(Source(), lambda: NOW, preferences, may_write=may_write)
    async with app.run_test(size=size) as pilot:
        app.post_message(SiteChanged(site, site.everything()))
        await settle(pilot)
        yield app, pilot


async def settle(pilot: Pilot[None]) -> None:
    """Wait until everything that is known is drawn."""
    app = pilot.app
    assert isinstance(app, PierheadTop)
    await pilot.pause()
    while app.is_drawing:
        await pilot.pause()
    await pilot.pause()
