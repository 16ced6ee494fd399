"""`pierhead vips`, `hosts`, `peers` and `pools`: a site's rows as tables, or as JSON."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import click

from appliance.api.kind import Kind
from appliance.cli.completion import Named, names_of
from appliance.cli.failure import Failure, unknown
from appliance.cli.option import json_option, watch_option
from appliance.cli.output import Cell, Table, Tone, plain, print_json, print_tables
from appliance.cli.source import source_options
from appliance.overview.row import Health, Severity, VipRow
from appliance.overview.site import Site, Touched
from appliance.overview.source import SITE_KINDS, STORE, Source, SourceError, follow_site, read_site
from appliance.store.protocol import Changes

TONES = {
    Severity.QUIET: Tone.QUIET,
    Severity.GOOD: Tone.GOOD,
    Severity.WAITING: Tone.WAITING,
    Severity.BAD: Tone.BAD,
}
Show = Callable[[Site], tuple[Table, list[object]]]


@click.command()
@click.option("--pool", default=None, shell_complete=names_of(Named.POOL), help="Only those of this pool.")
@click.option("--owner", default=None, shell_complete=names_of(Named.HOST), help="Only those this host answers for.")
@source_options
@watch_option
@json_option
def vips(*, pool: str | None, owner: str | None, source: Source, watch: bool, as_json: bool) -> None:
    """Show every VIP: its Services, its pool, who answers for it, and how it is."""

    def is_wanted(row: VipRow) -> bool:
        return (pool is None or row.pool == pool) and (owner is None or row.owner == owner)

    def check_names(site: Site) -> None:
        pools = {ref.name for ref in site.pools} | {row.pool for row in _vip_rows(site)}
        if pool is not None and pool not in pools:
            raise unknown("pool", pool, pools)
        if owner is not None and owner not in site.host_names():
            raise unknown("host", owner, site.host_names())

    _run(lambda site: vip_table(site, is_wanted), source, watch=watch, as_json=as_json, check=check_names)


@click.command()
@source_options
@watch_option
@json_option
def hosts(source: Source, watch: bool, as_json: bool) -> None:
    """Show every host: how it is, what it answers for and announces, and its agent."""
    _run(host_table, source, watch=watch, as_json=as_json)


@click.command()
@source_options
@watch_option
@json_option
def peers(source: Source, watch: bool, as_json: bool) -> None:
    """Show the BGP sessions of every host, each with its BFD session."""
    _run(session_table, source, watch=watch, as_json=as_json)


@click.command()
@source_options
@watch_option
@json_option
def pools(source: Source, watch: bool, as_json: bool) -> None:
    """Show every pool and how many of its addresses are given."""
    _run(pool_table, source, watch=watch, as_json=as_json)


def vip_table(site: Site, is_wanted: Callable[[VipRow], bool] = lambda _: True) -> tuple[Table, list[object]]:
    """The VIPs of a site; of one of BGP how many hosts announce it, `+` where not all were asked."""
    rows = [row for row in _vip_rows(site) if is_wanted(row)]
    cells = tuple(
        (
            Cell(str(row.address)),
            _health(row.health),
            Cell(row.mode.value),
            Cell(row.owner),
            Cell("" if row.announcers is None else f"{row.announcers}{'+' if row.unasked else ''}"),
            Cell(row.pool),
            Cell(", ".join(row.services)),
            Cell(row.since),
        )
        for row in rows
    )
    columns = ("ADDRESS", "STATE", "MODE", "OWNER", "ANNOUNCING", "POOL", "SERVICES", "SINCE")
    return Table("VIPs", columns, cells), list(rows)


def _vip_rows(site: Site) -> Iterator[VipRow]:
    return (row for address in site.addresses() if (row := site.vip(address)))


def host_table(site: Site) -> tuple[Table, list[object]]:
    """The hosts of a site."""
    rows = [row for name in site.host_names() if (row := site.host(name))]
    cells = tuple(
        (
            Cell(row.name),
            _health(row.health),
            Cell("" if row.owned is None else str(row.owned)),
            Cell("" if row.announced is None else str(row.announced)),
            Cell("yes", Tone.WAITING) if row.drained else Cell("no"),
            Cell(str(row.conflicts), Tone.BAD if row.conflicts else Tone.PLAIN),
            Cell(row.version),
            Cell(row.detail),
        )
        for row in rows
    )
    columns = ("HOST", "STATE", "OWNS", "ANNOUNCES", "DRAINED", "CONFLICTS", "AGENT", "DETAIL")
    return Table("Hosts", columns, cells), list(rows)


def session_table(site: Site) -> tuple[Table, list[object]]:
    """The BGP sessions of a site."""
    rows = [row for name in site.host_names() for row in site.sessions(name)]
    cells = tuple(
        (
            Cell(row.host),
            Cell(row.name),
            Cell(row.peer),
            _health(row.health),
            Cell(row.state),
            Cell(row.bfd),
            _count(row.sent),
            _count(row.accepted),
            _count(row.flaps),
            Cell(row.since),
            Cell(row.message),
        )
        for row in rows
    )
    columns = ("HOST", "PEER", "ADDRESS", "HEALTH", "STATE", "BFD", "SENT", "ACCEPTED", "FLAPS", "SINCE", "MESSAGE")
    return Table("BGP sessions", columns, cells), list(rows)


def pool_table(site: Site) -> tuple[Table, list[object]]:
    """The pools of a site, a row for each family."""
    rows = [row for ref in site.pool_refs() if (row := site.pool(ref))]
    cells = tuple(
        (
            Cell(row.name),
            Cell(f"IPv{version}"),
            Cell(f"{usage.assigned}"),
            Cell(f"{usage.total}"),
            Cell(f"{usage.percent:.0f} %", TONES[usage.severity]),
            Cell("yes" if row.auto_assign else "no"),
            Cell(", ".join(row.addresses)),
        )
        for row in rows
        for version, usage in sorted(row.usage.items())
    )
    columns = ("POOL", "FAMILY", "GIVEN", "OF", "USED", "AUTO", "ADDRESSES")
    return Table("Pools", columns, cells), list(rows)


def _count(number: int | None) -> Cell:
    return Cell("" if number is None else str(number))


def _health(health: Health) -> Cell:
    return Cell(health.text, TONES[health.severity])


def _run(
    show: Show, source: Source, *, watch: bool, as_json: bool, check: Callable[[Site], None] = lambda _: None
) -> None:
    if not watch:
        try:
            site = asyncio.run(read_site(source, partial(click.echo, err=True)))
        except SourceError as error:
            raise Failure(str(error)) from error
        check(site)
        _print(show(site), as_json)
        return

    watched = Watched(source, show, as_json=as_json)
    with suppress(KeyboardInterrupt):
        asyncio.run(follow_site(source, watched.hear, watched.say, note=watched.note))


class Watched:
    """What is shown of a site that goes on: nothing before each part has said what it knows, and nothing twice."""

    def __init__(self, source: Source, show: Show, *, as_json: bool) -> None:
        self._source = source
        self._show = show
        self._as_json = as_json
        self._site = Site()
        self._listed: frozenset[Kind] = frozenset()
        self._troubles: dict[str, str] = {}
        self._shown: tuple[Table, list[object]] | None = None

    def hear(self, site: Site, _touched: Touched) -> None:
        """The site is another."""
        self._site = site
        self._show_whole()

    def say(self, part: str, why: str) -> None:
        """A part cannot be asked, or can."""
        self._troubles[part] = why
        if why:
            click.echo(f"{part}: {why}", err=True)
        self._show_whole()

    def note(self, batch: Changes) -> None:
        """The store says what it has listed."""
        self._listed |= batch.listed

    def _is_whole(self) -> bool:
        if self._source.store and not self._troubles.get(STORE) and not self._listed >= SITE_KINDS:
            return False
        agents = self._site.agents.values()
        # An agent without a feed has no VIPs to list, and says what it waits for.
        are_listed = all(view.are_vips_listed or (view.program and view.program.waits_for) for view in agents)
        return are_listed and all(str(agent) in self._troubles for agent in self._source.agents)

    def _show_whole(self) -> None:
        if not self._is_whole():
            return
        shown = self._show(self._site)
        if shown == self._shown:
            return
        self._shown = shown
        if not self._as_json:
            click.clear()
        _print(shown, self._as_json)


def _print(shown: tuple[Table, list[object]], as_json: bool) -> None:
    table, rows = shown
    if as_json:
        print_json([plain(row) for row in rows])
    else:
        print_tables((table,))
