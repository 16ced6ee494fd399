"""The dashboard on a directory store, by its keys."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from textual.command import CommandList
from textual.pilot import Pilot
from textual.widgets import Static

from appliance.api.address import parse_address
from appliance.cli.explain_service import explained
from appliance.control.event import EventKind
from appliance.overview.row import Mode, VipHealth, VipRow
from appliance.overview.source import Source
from tests.unit.cli.test_history import hosts
from tests.unit.cli.test_site import HOST, SITE
from tui.app import PierheadTop
from tui.column import VIPS
from tui.panel import Panels
from tui.preference import Preferences
from tui.screen import Detail
from tui.table import ROWS_BEGIN, RowTable
from tui.theme import THEMES

WAIT_SECONDS = 120.0


@asynccontextmanager
async def running(store: Path, size: tuple[int, int] = (100, 30)) -> AsyncIterator[tuple[PierheadTop, Pilot[None]]]:
    """The dashboard, once it has read the site."""
    source = Source(f"directory:{store}")
    app = PierheadTop(source, lambda: datetime.now(UTC), explain=partial(explained, source))
    async with app.run_test(size=size) as pilot:
        await until(pilot, partial(has_rows, app, "vips"))
        yield app, pilot


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    """Wait until something holds, drawing meanwhile."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        await pilot.pause(0.02)
    await pilot.pause()


def table(app: PierheadTop, name: str) -> RowTable[object]:
    """A tab's table."""
    return app.query_one(f"#{name}", RowTable)


def has_rows(app: PierheadTop, name: str) -> bool:
    """Whether a tab's table has rows."""
    return table(app, name).counts[1] > 0


def shown(app: PierheadTop, name: str) -> list[str]:
    """What stands on the screen in a tab's table."""
    widget = table(app, name)
    return [widget.render_line(y).text.rstrip() for y in range(ROWS_BEGIN - 1, widget.size.height)]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A site's folder."""
    (tmp_path / "site.yaml").write_text(SITE)
    return tmp_path


async def test_the_overview_says_who_owns_what(store: Path) -> None:
    """Rows, what needs attention, and where it is read."""
    async with running(store) as (app, _):
        lines = shown(app, "vips")
        assert lines[0].split()[:7] == ["Address", "▲", "State", "Owner", "Service", "Since", "Mode"]
        assert lines[1].split()[:4] == ["192.0.2.10", "answered", "a", "d/s"]
        assert lines[2].split()[:3] == ["192.0.2.11", "no", "owner"]
        attention = str(app.query_one("#health", Static).render())
        assert attention.splitlines()[0] == "!! VIP 192.0.2.11: nobody answers for it"
        assert str(store) in str(app.query_one("#source", Static).render())


async def test_every_tab_has_its_rows(store: Path) -> None:
    """By the digit keys."""
    async with running(store) as (app, pilot):
        for key, name, text in (
            ("2", "hosts", "drained"),
            ("3", "matrix", "DOWN"),
            ("3", "sessions", "refused"),
            ("4", "pools", "75%  3/4"),
        ):
            await pilot.press(key)
            await until(pilot, partial(has_rows, app, name))
            assert text in shown(app, name)[1]


async def test_a_filter_narrows_while_it_is_typed(store: Path) -> None:
    """Words in any column; Escape shows all again."""
    async with running(store) as (app, pilot):
        await pilot.press("slash", *"no", "space", *"owner")
        assert table(app, "vips").counts == (1, 2)
        await pilot.press("escape")
        assert table(app, "vips").counts == (2, 2)


async def test_sorting_by_state_puts_the_worst_first(store: Path) -> None:
    """The cursor stays on its row."""
    async with running(store) as (app, pilot):
        await pilot.press("down")
        before = table(app, "vips").chosen
        await pilot.press("s")
        assert shown(app, "vips")[1].startswith("192.0.2.11")
        assert table(app, "vips").chosen == before


@pytest.mark.parametrize(("announcers", "unasked", "told"), [(1, 0, "1 host"), (3, 0, "3 hosts"), (1, 2, "1+ hosts")])
def test_who_announces_is_said_of_those_that_were_asked(announcers: int, unasked: int, told: str) -> None:
    """The agent of one host of three knows of no other's routes."""
    address = parse_address("192.0.2.1")
    row = VipRow(address, VipHealth.ANNOUNCED, Mode.BGP, announcers=announcers, unasked=unasked)
    assert [column.cell(row).text for column in VIPS if column.title == "Owner"] == [told]


async def test_details_of_a_vip_and_of_a_host(store: Path) -> None:
    """Enter opens them, Escape closes them."""
    async with running(store) as (app, pilot):
        await pilot.press("enter")
        assert isinstance(app.screen, Detail)
        text = str(app.screen.query_one("#detail-text", Static).render())
        assert text.startswith("State      answered")
        await pilot.press("escape", "2", "enter")
        assert isinstance(app.screen, Detail)
        assert "host a: it is drained already" in str(app.screen.query_one("#detail-text", Static).render())


async def test_what_changes_is_drawn(store: Path) -> None:
    """A host that comes, and the store that goes."""
    async with running(store) as (app, pilot):
        (store / "more.yaml").write_text(HOST)
        await until(pilot, lambda: table(app, "hosts").counts[1] == 2)
        store.rename(store.with_name("away"))
        await until(pilot, lambda: "STALE" in str(app.query_one("#source", Static).render()))
        assert table(app, "vips").counts[1] == 2
        store.with_name("away").rename(store)
        await until(pilot, lambda: "live" in str(app.query_one("#source", Static).render()))


async def test_a_small_screen_keeps_what_matters(store: Path) -> None:
    """80 columns by 24 lines: address, state, owner and Service, and no line longer than the screen."""
    async with running(store, (80, 24)) as (app, _):
        lines = shown(app, "vips")
        assert lines[0].split()[:4] == ["Address", "▲", "State", "Owner"]
        assert "Service" in lines[0]
        assert max(map(len, lines)) <= 80


PENDING = """
apiVersion: v1
kind: Service
metadata: {name: waiting, namespace: d}
spec: {type: LoadBalancer, clusterIP: 10.0.0.9, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: wants, namespace: d, annotations: {metallb.io/address-pool: other}}
spec: {type: LoadBalancer, clusterIP: 10.0.0.8, ports: [{port: 80}]}
"""


async def test_why_a_service_is_pending(store: Path) -> None:
    """From its row: the chain, as `explain service` tells it, and what to do."""
    (store / "services.yaml").write_text(PENDING)
    async with running(store) as (app, pilot):
        await pilot.press("5")
        await until(pilot, lambda: "d/wants" in table(app, "services").rows)
        await pilot.press("G", "enter")
        assert isinstance(app.screen, Detail)
        await until(pilot, lambda: "What to do" in told(app))
        assert "BROKEN pool" in told(app)
        assert "What to do: correct the annotation metallb.io/address-pool" in told(app)


async def test_keys_can_be_given_others(store: Path) -> None:
    """By the name of what they do; the old key does it no longer, and the list of keys says so."""
    app = PierheadTop(Source(f"directory:{store}"), lambda: datetime.now(UTC), Preferences(keys={"show.hosts": "h"}))
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, partial(has_rows, app, "vips"))
        await pilot.press("2")
        assert app.query_one(Panels).shown == "vips"
        await pilot.press("h")
        assert app.query_one(Panels).shown == "hosts"
        await pilot.press("question_mark")
        assert any(line.split()[:2] == ["h", "Hosts:"] for line in told(app).splitlines())


async def test_columns_are_those_of_the_file_and_can_be_chosen(store: Path) -> None:
    """What is named is shown; c shows and hides."""
    wanted = Preferences(columns={"vips": ("Address", "Pool")})
    app = PierheadTop(Source(f"directory:{store}"), lambda: datetime.now(UTC), wanted)
    async with app.run_test(size=(100, 30)) as pilot:
        await until(pilot, partial(has_rows, app, "vips"))
        assert shown(app, "vips")[0].split() == ["Address", "▲", "Pool"]
        await until(pilot, lambda: app.focused is table(app, "vips"))
        await pilot.press("c", "down", "enter", "escape")
        await until(pilot, lambda: shown(app, "vips")[0].split() == ["Address", "▲", "State", "Pool"])


async def test_the_mouse_does_what_keys_do(store: Path) -> None:
    """A tab, a head, a row and, with a second click, its details."""
    async with running(store) as (app, pilot):
        await pilot.click("#tabs", offset=(2, 0))
        assert app.query_one(Panels).shown == "overview"
        await pilot.click("#tabs", offset=(14, 0))
        assert app.query_one(Panels).shown == "vips"
        await until(pilot, lambda: table(app, "vips").is_on_screen)
        await pilot.click("#vips", offset=(17, 1))
        await until(pilot, lambda: shown(app, "vips")[1].startswith("192.0.2.11"))
        await pilot.click("#vips", offset=(3, 3), times=2)
        await until(pilot, lambda: isinstance(app.screen, Detail))
        assert "192.0.2.10" in str(app.screen.query_one("VerticalScroll").border_title)


async def test_the_palette_finds_rows(store: Path) -> None:
    """By any word that stands in one; Enter opens its details."""
    async with running(store) as (app, pilot):
        await pilot.press("ctrl+p", *"d/t")
        await until(pilot, lambda: bool(app.screen.query(CommandList).first(CommandList).option_count))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        assert "192.0.2.11" in str(app.screen.query_one("VerticalScroll").border_title)


async def test_themes_follow_one_another(store: Path) -> None:
    """t goes through all of them; only ours are there."""
    async with running(store) as (app, pilot):
        seen = {app.theme}
        for _ in THEMES:
            await pilot.press("t")
            seen.add(app.theme)
        assert seen == {theme.name for theme in THEMES} == set(app.available_themes)


async def test_the_history_of_a_vip_is_read_from_the_hosts(tmp_path: Path) -> None:
    """h shows what hosts keep on their disks, in one line of time, and which of them could not be asked."""
    async with hosts(tmp_path, "node-a", "node-b") as servers:
        servers["node-a"].events.record(EventKind.VIP_MOVED, "192.168.1.240", "no link", **{"from": "node-a", "to": ""})
        servers["node-b"].events.record(
            EventKind.VIP_MOVED, "192.168.1.240", "the owner was found dead", **{"from": "node-a", "to": "node-b"}
        )
        servers["node-b"].events.record(EventKind.VIP_MOVED, "192.0.2.1", "no link", **{"from": "node-b", "to": ""})
        agents = tuple(tmp_path / name for name in ("node-a.sock", "node-b.sock", "gone.sock"))
        app = PierheadTop(Source(agents=agents), lambda: datetime.now(UTC))
        async with app.run_test(size=(120, 50)) as pilot:
            await until(pilot, partial(has_rows, app, "vips"))
            await until(pilot, lambda: app.focused is table(app, "vips"))
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, Detail))
            await pilot.press("h")
            await until(pilot, lambda: "as hosts keep it" in told(app))
            kept = told(app).partition("as hosts keep it: ")[2].splitlines()
            assert kept[0] == "2 events"
            assert {line.split("  ", 1)[1] for line in kept[1:3]} == {
                "node-a: VIP 192.168.1.240 went from node-a to nobody: no link",
                "node-b: VIP 192.168.1.240 went from node-a to node-b: the owner was found dead",
            }
            assert "gone.sock" in kept[3]


def told(app: PierheadTop) -> str:
    """What the dialog says."""
    return str(app.screen.query_one("#detail-text", Static).render())
