"""`pierhead top`."""

import asyncio
import gc
import getpass
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.cli.failure import Failure, unknown
from appliance.cli.source import may_be_there, source_options
from appliance.daemon.settings import SettingsError, read_settings
from appliance.overview.source import Source

if TYPE_CHECKING:
    from appliance.overview.action import Replan
    from tui.preference import Preferences

# As tui.theme has them: they are named here so that --help need not load half a second of Textual.
THEMES = ("dark", "light", "dark-colour-blind", "light-colour-blind")
# Consoles whose fonts have no lines, bars or triangles.
_ASCII_TERMINALS = ("linux", "vt", "ansi", "cons25")

# Objects more than before, from when on the collector goes through those: at rest, and whatever happens.
_YOUNG_AT_REST, _YOUNG_MAX = 2_000, 10_000
_OLDER_EVERY = 10


@click.command()
@source_options
@click.option("--theme", type=click.Choice(THEMES), help="The colours. Default: dark, or what the file says.")
@click.option(
    "--ascii/--unicode",
    "is_plain",
    default=None,
    help="Draw in ASCII alone, or not. Default: where the locale is not UTF-8 or the terminal is a console.",
)
@click.option("--write", is_flag=True, help="Have keys that change the site; each shows first what it would do.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="PIERHEAD_TOP",
    show_envvar=True,
    help="Theme, keys and columns as YAML. Default: ~/.config/pierhead/top.yaml, where there is one.",
)
def top(*, source: Source, theme: str | None, is_plain: bool | None, write: bool, config: Path | None) -> None:
    """Watch the site: who owns each VIP, hosts, BGP sessions, pools, and what needs attention now.

    It only reads, unless --write is given. `?` shows the keys.
    """
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        raise Failure(
            "top needs a terminal with a cursor; for scripts there are vips, hosts, peers and pools with --json"
        )
    # Half a second of imports that no other command needs. The collector would go through all of it, now and while
    # somebody types, and find nothing.
    gc.disable()
    from tui.app import PierheadTop

    gc.freeze()
    gc.set_threshold(_YOUNG_MAX, 3, 1000)
    gc.enable()
    preferences = read_preferences(config)
    chosen = is_plain if is_plain is not None else preferences.ascii
    preferences = replace(
        preferences,
        theme=theme or preferences.theme,
        ascii=wants_ascii(os.environ) if chosen is None else chosen,
    )

    async def explain(service: str) -> tuple[str, ...]:
        # All that an allocator knows: nobody waits for it before the first screen.
        from appliance.cli.explain_service import explained

        return await explained(source, service)

    async def plan() -> "Replan | str":
        from appliance.cli.action import planned_anew

        # With ten thousand VIPs seconds of work, on a site of its own: nothing of it is shared with the dashboard.
        return await asyncio.to_thread(planned_anew, source)

    PierheadTop(
        source,
        lambda: datetime.now(UTC),
        preferences,
        explain=explain,
        plan=plan,
        may_write=write,
        user=getpass.getuser(),
        # Rows stay, so the collector need not go through them; and while keys are pressed it has to wait.
        on_many_rows=gc.freeze,
        at_rest=_collect,
    ).run()


def _collect() -> None:
    """Free what is held by cycles alone while nobody waits for a key; Textual makes thousands of those a key."""
    young, _, older = gc.get_count()
    if young > _YOUNG_AT_REST:
        gc.collect(2 if older >= _OLDER_EVERY else 1)


def wants_ascii(environment: Mapping[str, str]) -> bool:
    """Whether a terminal asks for ASCII: a console by its name, or a locale that is not UTF-8.

    LC_CTYPE=C.UTF-8 says nothing: Python sets it itself where the locale is C (PEP 538).
    """
    if environment.get("TERM", "").startswith(_ASCII_TERMINALS):
        return True
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    told = [
        locale for name in names if (locale := environment.get(name, "")) and (name, locale) != ("LC_CTYPE", "C.UTF-8")
    ]
    return "utf8" not in (told[0] if told else "").casefold().replace("-", "")


def read_preferences(config: Path | None) -> "Preferences":
    """What the file says; a Failure for a mistake in it, or where one that was named is not there."""
    from tui.app import PierheadTop
    from tui.column import CHOOSABLE
    from tui.preference import Preferences

    folder = Path(os.environ.get("XDG_CONFIG_HOME", "") or Path.home() / ".config")
    path = config or folder / "pierhead" / "top.yaml"
    if config is None and not may_be_there(path):
        return Preferences()
    try:
        found = read_settings(path, Preferences)
    except SettingsError as error:
        raise Failure(str(error)) from error
    _check(path, "theme", (found.theme,), THEMES)
    _check(path, "keys", found.keys, PierheadTop.binding_ids())
    _check(path, "columns", found.columns, CHOOSABLE)
    for table, titles in found.columns.items():
        _check(path, f"columns.{table}", titles, (column.title for column in CHOOSABLE[table]))
    return found


def _check(path: Path, field: str, written: Iterable[str], known: Iterable[str]) -> None:
    names = frozenset(known)
    for name in written:
        if name not in names:
            raise Failure(f"{path}: {field}: {unknown('name', name, names).message}")
