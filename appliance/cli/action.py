"""`pierhead drain` and `undrain`: what would change is said first, then asked for, then waited for."""

import asyncio
import getpass
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import click

from appliance.advertise.plan import CandidateOrder
from appliance.api.address import IPAddress
from appliance.cli.completion import Named, names_of
from appliance.cli.failure import Denial, Exit, Failure, unknown
from appliance.cli.option import ADDRESS, json_option
from appliance.cli.output import Cell, Table, Tone, plain, print_json, print_tables
from appliance.cli.source import source_options
from appliance.control.error import ControlError
from appliance.overview.action import (
    AcknowledgeConflict,
    Action,
    DrainHost,
    HandOver,
    MoveVip,
    Obstacle,
    Preview,
    Replan,
    UndrainHost,
    preview,
)
from appliance.overview.balance import PLAN_KINDS, replanned
from appliance.overview.execution import ActionError, carry_out, host_behind
from appliance.overview.reach import Inability
from appliance.overview.row import HostRow
from appliance.overview.sentence import title, told
from appliance.overview.site import Site, Touched
from appliance.overview.source import Source, SourceError, follow_site, read_site
from appliance.store.protocol import StoreError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

ORDERS = tuple(order.name.lower() for order in CandidateOrder)
_MOVES_SHOWN = 20
_EXAMPLES = """
\b
pierhead drain node-a --dry-run          what would move where
pierhead drain --wait                    on the host itself; also with the API server gone
pierhead drain node-a --yes --wait --timeout 300 && ssh node-a reboot
"""
_STORE_SECONDS = 5.0


def _action_options(command: Decorated) -> Decorated:
    """`--dry-run` and `--yes`."""
    dry_run = click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
    yes = click.option(
        "--yes", is_flag=True, help="Do not ask; without a terminal: also where something becomes unreachable."
    )
    return dry_run(yes(command))


_MOVE_EXAMPLES = """
\b
pierhead move 192.0.2.10                 on its owner: to the next host of its order
pierhead move 192.0.2.10 --to node-b --host node-a --yes
"""


def _wait_options(command: Decorated) -> Decorated:
    """`--wait` and `--timeout`."""
    wait = click.option("--wait", is_flag=True, help="Return only when it is done.")
    timeout = click.option(
        "--timeout", default=60.0, show_default=True, metavar="SECONDS", help="How long --wait waits."
    )
    return wait(timeout(command))


@click.command(epilog=_EXAMPLES)
@click.argument("host", required=False, shell_complete=names_of(Named.HOST))
@_action_options
@_wait_options
@source_options
@json_option
def drain(
    *,
    host: str | None,
    dry_run: bool,
    yes: bool,
    wait: bool,
    timeout: float,
    source: Source,
    as_json: bool,
) -> None:
    """Move every VIP and route away from a HOST, and keep new ones away until it is undrained.

    HOST is this one where none is named. What would change is said first, and on a terminal you are asked. No request
    fails and no connection is lost: the next host of each VIP claims it before this one lets go, routes are the
    routers' last choice for five seconds before they are withdrawn, and open connections go on until they end.

    Exits 0 when it is done or asked for, 1 where it is not done in time or --dry-run finds a VIP that nobody else would
    answer for, 2 where nobody can be asked.
    """
    _drain(
        source,
        host,
        wanted=True,
        dry_run=dry_run,
        yes=yes,
        timeout=timeout if wait else None,
        as_json=as_json,
    )


@click.command()
@click.argument("host", required=False, shell_complete=names_of(Named.HOST))
@_action_options
@_wait_options
@source_options
@json_option
def undrain(
    *,
    host: str | None,
    dry_run: bool,
    yes: bool,
    wait: bool,
    timeout: float,
    source: Source,
    as_json: bool,
) -> None:
    """Let a HOST take VIPs and announce routes again.

    HOST is this one where none is named. VIPs do not move back by themselves: owners keep what they have.
    """
    _drain(
        source,
        host,
        wanted=False,
        dry_run=dry_run,
        yes=yes,
        timeout=timeout if wait else None,
        as_json=as_json,
    )


@click.command(epilog=_MOVE_EXAMPLES)
@click.argument("address", type=ADDRESS, metavar="VIP", shell_complete=names_of(Named.VIP))
@click.option(
    "--to", default="", metavar="HOST", shell_complete=names_of(Named.HOST), help="Default: the next able one."
)
@_action_options
@source_options
@json_option
def move(*, address: IPAddress, to: str, dry_run: bool, yes: bool, source: Source, as_json: bool) -> None:
    """Hand one VIP over to another host.

    Its owner is asked, so it has to be this host or one of those named by --host. The owner answers until the other
    host has claimed the VIP: no request fails, and at no time do two hosts go on answering. Where the other host does
    not take it within five seconds, it stays where it is. Nothing is remembered: an owner keeps a VIP until it fails,
    is drained or is asked again.

    Exits 0 when it was moved or is there already, 1 where it cannot be, 2 where the owner cannot be asked.
    """
    site = _site(source)
    action = MoveVip(address, to)
    planned = preview(site, action)
    match planned.obstacle:
        case Obstacle.UNKNOWN_VIP:
            raise unknown("VIP", str(address), map(str, site.addresses()))
        case Inability.UNKNOWN_HOST:
            raise unknown("host", to, site.host_names())
        case Obstacle.OWNS_IT | None:
            is_there = planned.obstacle is not None
        case obstacle:
            raise Denial(f"{address}{f' to {to}' if to else ''}: {obstacle.value}")
    if not as_json:
        _show(planned)
    if not dry_run and not is_there:
        _confirm(planned, yes=yes)
        _carry_out(source, action)
    if as_json:
        print_json({"preview": plain(planned), "isDone": is_there or not dry_run})
    elif not dry_run and not is_there:
        click.echo(f"{address} was moved.")


@click.command()
@click.option(
    "--candidate-order",
    type=click.Choice(ORDERS),
    default=ORDERS[0],
    show_default=True,
    help="The order by which the allocator was told to choose owners.",
)
@_action_options
@source_options
@json_option
def replan(*, candidate_order: str, dry_run: bool, yes: bool, source: Source, as_json: bool) -> None:
    """Hand VIPs over until each is on a host that a new plan would choose, and hosts carry them evenly.

    Owners keep what they have, so after failures some hosts carry more than others, and preferred hosts less than they
    are to. A VIP moves only to a host that is as good a choice for it, and only from one that carries two more; one
    after the other, without a failed request. It needs the store, and --host for each owner that is to let go.

    Exits 0 when it is done or nothing is to be done, 1 where a host refused, 2 where somebody could not be asked.
    """
    site = _site(source)
    action = asyncio.run(_planned(source, site, CandidateOrder[candidate_order.upper()]))
    planned = preview(site, action)
    is_so = planned.obstacle is not None
    if not as_json:
        _show(planned)
    if not dry_run and not is_so:
        _confirm(planned, yes=yes)
        _carry_out(source, Replan(planned.moves))
    if as_json:
        print_json({"moves": plain(planned.moves), "isDone": is_so or not dry_run})
    elif not dry_run and not is_so:
        click.echo(f"{len(planned.moves)} VIPs were moved.")


def planned_anew(source: Source) -> Replan | str:
    """What a new plan would hand over, or why that cannot be known; reads the site anew, in a loop of its own."""

    async def planned() -> Replan:
        return await _planned(source, await read_site(source, lambda _: None), CandidateOrder.SPREAD)

    try:
        return asyncio.run(planned())
    except SourceError as error:
        return str(error)
    except Failure as error:
        return error.message


async def _planned(source: Source, site: Site, order: CandidateOrder) -> Replan:
    if not source.store:
        raise Failure("a plan is made from what operators wrote: name the site's store")
    try:
        listing = await source.opened().list(PLAN_KINDS)
    except StoreError as error:
        raise Failure(str(error)) from error
    return replanned(site, listing.objects.values(), order)


@click.command()
@click.argument("address", type=ADDRESS, metavar="VIP", shell_complete=names_of(Named.VIP))
@click.option("--by", default=None, metavar="NAME", help="Who takes note. Default: you, as this machine knows you.")
@_action_options
@source_options
@json_option
def acknowledge(*, address: IPAddress, by: str | None, dry_run: bool, yes: bool, source: Source, as_json: bool) -> None:
    """Say that somebody has taken note of the conflict of a VIP: of the machine that is no host and answers for it too.

    Who and when stands on the VIP, in every list, and the conflict is no alarm of `pierhead` any more. Nothing else
    changes: its owner goes on defending it, Prometheus' alert is silenced where alerts are. Another machine, or this
    one when it has gone and come back, is an alarm again.

    Exits 0 when it was noted or is already, 1 where there is no conflict, 2 where the store cannot be asked.
    """
    site = _site(source)
    action = AcknowledgeConflict(address, by or getpass.getuser())
    planned = preview(site, action)
    match planned.obstacle:
        case Obstacle.UNKNOWN_VIP:
            raise unknown("VIP", str(address), map(str, site.addresses()))
        case Obstacle.ACKNOWLEDGED | None:
            is_noted = planned.obstacle is not None
        case obstacle:
            raise Denial(f"{address}: {obstacle.value}")
    if not as_json:
        _show(planned)
    if not dry_run and not is_noted:
        _confirm(planned, yes=yes)
        _carry_out(source, action)
    if as_json:
        print_json({"preview": plain(planned), "isDone": is_noted or not dry_run})


def _drain(
    source: Source, named: str | None, *, wanted: bool, dry_run: bool, yes: bool, timeout: float | None, as_json: bool
) -> None:
    host = named or _this_host(source)
    site = _site(source)
    action: Action = DrainHost(host) if wanted else UndrainHost(host)
    planned = preview(site, action)
    if planned.obstacle is Inability.UNKNOWN_HOST:
        raise unknown("host", host, site.host_names())
    if not as_json:
        _show(planned)
    if dry_run:
        if as_json:
            print_json(plain(planned))
        raise click.exceptions.Exit(Exit.NO if _is_harmful(planned) else Exit.OK)
    if planned.obstacle is None:
        _confirm(planned, yes=yes)
        _carry_out(source, action)
    row = (_site(source) if timeout is None else asyncio.run(_followed(source, host, wanted, timeout))).host(host)
    if as_json:
        counts = {"owned": row.owned, "announced": row.announced} if row else {}
        print_json({"host": host, "drained": bool(row and row.drained), **counts})
    elif row is not None:
        click.echo(_state(row, wanted))
    if timeout is not None and not (row and _is_done(row, wanted)):
        raise Denial(f"not done after {timeout:g} s")


def _this_host(source: Source) -> str:
    if len(source.agents) != 1:
        raise Failure("no agent runs here, so name the HOST" if not source.agents else "name the HOST")
    try:
        return asyncio.run(host_behind(source.agents[0]))
    except ControlError as error:
        raise Failure(str(error)) from error


def _site(source: Source) -> Site:
    """The site as it is; a store that does not answer soon is left out where an agent can be asked."""

    async def read() -> Site:
        if source.store and source.agents:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STORE_SECONDS):
                    return await read_site(source, say)
            say(f"{source.store}: no answer within {_STORE_SECONDS:g} s")
            return await read_site(Source(agents=source.agents), say)
        return await read_site(source, say)

    def say(text: str) -> None:
        click.echo(text, err=True)

    try:
        return asyncio.run(read())
    except SourceError as error:
        raise Failure(str(error)) from error


def _show(planned: Preview) -> None:
    click.echo(f"{title(planned.action)}:")
    for line in told(planned):
        click.echo(f"  {line}")
    if planned.moves:
        print_tables((moves_table(planned.moves),))


def moves_table(moves: Iterable[HandOver]) -> Table:
    """The first of some moves as a table."""
    listed = list(moves)
    rows = tuple(
        (
            Cell(str(move.address)),
            Cell(", ".join(move.services)),
            Cell(move.owner),
            Cell(move.successor) if move.successor else Cell("stays", Tone.WAITING),
        )
        for move in listed[:_MOVES_SHOWN]
    )
    more = f" (the first {_MOVES_SHOWN} of {len(listed)})" if len(listed) > _MOVES_SHOWN else ""
    return Table(f"VIPs that move{more}", ("ADDRESS", "SERVICES", "FROM", "TO"), rows)


def _is_harmful(planned: Preview) -> bool:
    return bool(planned.staying or planned.unreachable)


def _confirm(planned: Preview, *, yes: bool) -> None:
    """Ask on a terminal; elsewhere go on, unless something would be lost."""
    if yes:
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        if not click.confirm(f"{title(planned.action)}?"):
            raise Denial("nothing was changed")
    elif _is_harmful(planned):
        raise Denial("nothing was changed: not every VIP has another host (--yes does it all the same)")


def _carry_out(source: Source, action: Action) -> None:
    try:
        asyncio.run(carry_out(source, action))
    except ActionError as error:
        raise (Denial if error.is_refused else Failure)(str(error)) from error


async def _followed(source: Source, host: str, wanted: bool, seconds: float) -> Site:
    """The site once a host is drained, or is no longer, or as it is after some seconds."""
    latest = Site()
    changed = asyncio.Event()

    def hear(site: Site, _touched: Touched) -> None:
        nonlocal latest
        latest = site
        changed.set()

    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow_site(source, hear, lambda _part, _why: None), name="follow")
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                # The next owner of a VIP tells of it before this host does, so that a change may undo what another did.
                while (row := latest.host(host)) is None or not _is_done(row, wanted):
                    changed.clear()
                    await changed.wait()
        following.cancel()
    return latest


def _is_done(row: HostRow, wanted: bool) -> bool:
    return row.drained == wanted and (not wanted or (row.owned, row.announced) == (0, 0))


def _state(row: HostRow, wanted: bool) -> str:
    if not wanted:
        return f"{row.name} takes VIPs again." if not row.drained else f"{row.name} was told to take VIPs again."
    if _is_done(row, wanted):
        return f"{row.name} is drained: it answers for no VIP and announces none."
    if row.owned is None:
        return f"{row.name} is draining: what it answers for is not known yet."
    return f"{row.name} is draining: it answers for {row.owned or 0} VIPs and announces {row.announced or 0}."
