"""Whole screens, as they were reviewed (`UPDATE_SCREENS=1` writes them anew), and their contrast in every theme."""

from collections.abc import Callable
from functools import partial

import pytest

from appliance.api.address import parse_address
from appliance.api.kind import ref_of
from appliance.control.client import TopicChange
from appliance.control.message import AgentProgram
from appliance.control.topic import ONLY, Topic
from appliance.overview.row import HostRow, VipHealth, VipRow
from appliance.overview.site import Site, Touched
from tests.tui.contrast import LEAST_RATIO, hexadecimal, ratio
from tests.tui.shown import Size, settle, shown
from tests.tui.site import HOSTS, healthy, large, troubled
from tests.tui.snapshot import cells, check
from tui.message import SiteChanged, SourceTold
from tui.preference import Preferences
from tui.table import RowTable
from tui.theme import THEMES

WIDE, SMALL = (140, 40), (80, 24)
SCREENS: dict[str, tuple[Callable[[], Site], Size, str]] = {
    "empty": (Site, WIDE, ""),
    "healthy": (healthy, WIDE, ""),
    "troubled": (troubled, WIDE, ""),
    "troubled-80x24": (troubled, SMALL, ""),
    "overview-80x24": (troubled, SMALL, "0"),
    "peers-80x24": (troubled, SMALL, "3"),
    "attention": (troubled, WIDE, "a"),
    "events": (healthy, WIDE, "6"),
    "keys": (healthy, WIDE, "question_mark"),
    "columns": (healthy, WIDE, "c"),
    "filter": (healthy, WIDE, "slash w e b"),
    "vip": (troubled, WIDE, "1 down enter"),
    "vip-80x24": (healthy, SMALL, "1 enter"),
    "host": (troubled, WIDE, "2 enter"),
    "session": (troubled, WIDE, "3 tab enter"),
    "pool": (healthy, WIDE, "4 enter"),
    "from-attention": (troubled, WIDE, "a down down enter"),
    "10000": (partial(large, 10_000), WIDE, "1 G"),
}


@pytest.mark.parametrize("name", SCREENS)
async def test_a_screen_is_as_it_was_reviewed(name: str) -> None:
    """Every sign and its colours."""
    site, size, keys = SCREENS[name]
    async with shown(site(), size) as (_, pilot):
        for key in keys.split():
            await pilot.press(key)
            await settle(pilot)
        await check(pilot, name)


async def test_a_source_that_is_lost_is_said() -> None:
    """What is known stays, faded, under the reason."""
    async with shown(healthy()) as (app, pilot):
        app.post_message(SourceTold("store", "kubernetes: cannot be reached"))
        await settle(pilot)
        await check(pilot, "lost")
        app.post_message(SourceTold("store", ""))
        await settle(pilot)
        await check(pilot, "healthy")


async def test_ascii_where_the_terminal_asks_for_it() -> None:
    """Not one sign beyond it, whatever is opened."""
    async with shown(troubled(), preferences=Preferences(ascii=True)) as (app, pilot):
        await check(pilot, "ascii")
        for key in ("question_mark", "c", "enter", "ctrl+p"):
            await pilot.press(key)
            await settle(pilot)
            text = "".join(sign for line in cells(app) for sign, _ in line)
            assert text.isascii()
            await pilot.press("escape")


@pytest.mark.parametrize("theme", [theme.name for theme in THEMES])
async def test_every_text_stands_out(theme: str) -> None:
    """By the ratio that WCAG asks of text, on each screen of each theme; lines and bars are no text."""
    async with shown(troubled(), preferences=Preferences(theme=theme)) as (app, pilot):
        panels = ("0", "a", "3", "question_mark", "escape", "c", "escape", "slash", "escape")
        details = ("1", "down", "enter", "escape", "2", "enter", "escape", "3", "tab", "enter", "escape", "4", "enter")
        for key in (*panels, *details):
            await pilot.press(key)
            await settle(pilot)
            # Below a dialog everything fades on purpose.
            box = app.screen.children[0].region if app.screen.is_modal else app.screen.region
            for y, line in enumerate(cells(app)):
                for x, (sign, style) in enumerate(line):
                    if sign.isspace() or "\u2500" <= sign <= "\u259f" or not box.contains(x, y):
                        continue
                    assert style.color
                    assert style.bgcolor
                    ground, text = style.bgcolor, style.color
                    found = f"{hexadecimal(text)} on {hexadecimal(ground)}"
                    assert ratio(text, ground) >= LEAST_RATIO, (key, found, y, x, "".join(s for s, _ in line))


async def test_how_much_arp_there_is_stands_beside_the_hosts() -> None:
    """Frames of all hosts, minute by minute; an agent that began anew counts from there."""
    site = healthy()
    async with shown(site) as (app, pilot):
        hosts: RowTable[HostRow] = app.query_one("#hosts", RowTable)
        for host, frames in (("node-a", 500), ("node-b", 40), ("node-a", 30), ("node-a", 90)):
            program = AgentProgram(host=host, version="0.1.0", frames=frames)
            app.post_message(SiteChanged(site, site.hear(host, TopicChange(Topic.PROGRAM, {ONLY: program}))))
            await settle(pilot)
        assert app.frames_a_minute() == (600.0,)
        await settle(pilot, lambda: "ARP/NDP a minute █" in hosts.render_line(0).text)


async def test_changes_in_quick_succession_are_all_drawn() -> None:
    """A later message stands for an earlier one that nobody has looked at, its rows included."""
    site = healthy()
    async with shown(site) as (app, pilot):
        vips: RowTable[VipRow] = app.query_one("#vips", RowTable)
        addresses = [parse_address(text) for text in ("192.0.2.10", "192.0.2.11")]
        assert {vips.rows[str(address)].health for address in addresses} == {VipHealth.ANSWERED}
        site.absorb((), [ref_of(site.vips[address]) for address in addresses])
        for host in HOSTS:
            site.lose(host)
        for address in addresses:
            app.post_message(SiteChanged(site, Touched(vips={address})))
        await settle(pilot)
        assert {vips.rows[str(address)].health for address in addresses} == {VipHealth.UNKNOWN}
