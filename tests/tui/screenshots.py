"""Pictures of the dashboard's main screens, taken from a lab that runs for it.

usage, as root: python -m tests.tui.screenshots [FOLDER]
"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from textual.pilot import Pilot

from appliance.cli.explain_service import explained
from appliance.lab import lifecycle
from appliance.lab.place import Place
from appliance.lab.site import FolderCluster, example
from appliance.overview.row import HostHealth, SessionHealth, VipHealth
from appliance.overview.site import Site
from appliance.overview.source import Source
from tui.app import PierheadTop
from tui.preference import Preferences

FOLDER = Path(__file__).parents[2] / "docs" / "images"
MANIFESTS = Path(__file__).parent / "manifests"
SIZE = (150, 42)
WAIT_SECONDS = 60.0
# Pictures name no server to fetch a font from; whoever shows them has one of equal widths.
CELL_WIDTH = 12.2
_INDENTED = re.compile(
    r'x="(?P<x>[\d.]+)" y="(?P<y>[\d.]+)" textLength="(?P<length>[\d.]+)"(?P<rest>[^>]*)>(?P<spaces>(&#160;)+)(?=[^<&])'
)
_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)


async def take(folder: Path) -> None:
    """Build a lab, take the pictures, take the lab down."""
    place = Place("screenshots")
    topology = await lifecycle.up(place, 3, lambda text: print(text, file=sys.stderr))
    try:
        cluster = FolderCluster(place, topology)
        names = ("lab-l2.yaml", "production-bgp.yaml", "production-bgp-ipv6.yaml", "production-bfd.yaml")
        services = ("echo-service.yaml", "production-services.yaml")
        cluster.apply([*map(example, (*names, *services)), MANIFESTS / "edge.yaml"])
        sockets = tuple(place.machine(host.name) / "run" / "agent.sock" for host in topology.hosts)
        source = Source(cluster.allocator_store, sockets)
        await _pictures(folder, source, partial(lifecycle.plug, place))
    finally:
        await lifecycle.down(place)


async def _pictures(folder: Path, source: Source, plug: Callable[[str, bool], object]) -> None:
    app = PierheadTop(source, lambda: datetime.now(UTC), Preferences(), explain=partial(explained, source))
    async with app.run_test(size=SIZE) as pilot:
        await _until(pilot, _is_well)
        await _picture(pilot, folder / "overview.svg")
        await pilot.press("1", "G", "enter", "h")
        await _until(pilot, lambda _: "as hosts keep it" in str(app.screen.query_one("#detail-text").render()))
        await _until(pilot, _is_well)
        await _picture(pilot, folder / "vip.svg")
        await pilot.press("escape", "2", "enter")
        await _until(pilot, _is_well)
        await _picture(pilot, folder / "host.svg")
        await pilot.press("escape", "4", "enter")
        await _picture(pilot, folder / "pool.svg")
        await pilot.press("escape", "5", "enter")
        await _until(pilot, lambda _: "What to do" in str(app.screen.query_one("#detail-text").render()))
        await _picture(pilot, folder / "service.svg")
        await pilot.press("escape", "0")
        owners = [row.owner for address in app.site.addresses() if (row := app.site.vip(address)) and row.owner]
        lost = max(set(owners), key=owners.count)
        await plug(lost, False)  # type: ignore[misc]  # awaitable
        await _until(pilot, partial(_is_over, lost))
        await _picture(pilot, folder / "takeover.svg")
        app.theme = "light-colour-blind"
        await pilot.press("3")
        await _picture(pilot, folder / "peers-light.svg")


def _is_well(site: Site) -> bool:
    """Whether all hosts are heard, all sessions are up, and every VIP is answered or announced."""
    rows = [row for address in site.addresses() if (row := site.vip(address))]
    sessions = [row for name in site.host_names() for row in site.sessions(name)]
    return (
        len(rows) >= 10
        and len(sessions) >= 6
        and all(row.health in (VipHealth.ANSWERED, VipHealth.ANNOUNCED) for row in rows)
        and all(session.health is SessionHealth.UP for session in sessions)
        and all(pool.usage for ref in site.pool_refs() if (pool := site.pool(ref)))
    )


def _is_over(lost: str, site: Site) -> bool:
    """Whether a host is known to have failed, and owns nothing."""
    row = site.host(lost)
    vips = (site.vip(address) for address in site.addresses())
    is_known = row is not None and row.health in (HostHealth.FAILED, HostHealth.ISOLATED)
    return is_known and all(vip.owner != lost for vip in vips if vip)


async def _until(pilot: Pilot[None], holds: Callable[[Site], bool]) -> None:
    app, deadline = pilot.app, time.monotonic() + WAIT_SECONDS
    assert isinstance(app, PierheadTop)
    while not holds(app.site):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain; on the screen:\n{app.export_screenshot()}")
        await pilot.pause(0.1)


async def _picture(pilot: Pilot[None], path: Path) -> None:
    await pilot.pause(1.2)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = _FONTS.sub("", pilot.app.export_screenshot(title="pierhead top"))
    drawn = _INDENTED.sub(_placed, drawn)
    path.write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n")
    print(path, file=sys.stderr)


def _placed(text: re.Match[str]) -> str:
    """A text without the spaces it begins with, further right: not every program that shows SVG keeps those."""
    width = CELL_WIDTH * text["spaces"].count("&#160;")
    x, length = float(text["x"]) + width, float(text["length"]) - width
    return f'x="{x:g}" y="{text["y"]}" textLength="{length:g}"{text["rest"]}>'


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    asyncio.run(take(parser.parse_args().folder))
