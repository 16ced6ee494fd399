"""`pierhead history`: what happened on hosts over restarts, in one line of time, and why."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import click

from appliance.api.address import parse_address
from appliance.api.text import is_object_name, shown
from appliance.cli.failure import Exit
from appliance.cli.option import json_option
from appliance.cli.output import plain, print_json
from appliance.cli.source import agents_options, answers
from appliance.control.client import HostHistory, read_history, read_status
from appliance.control.error import ControlError, ControlFault
from appliance.control.message import AgentStatus
from appliance.control.served import HistoryQuery
from appliance.control.tunnel import RemoteSocket, beside, parse_remote_socket
from appliance.overview.source import AgentSocket
from appliance.overview.timeline import AGENT, EventRow, clock_warnings, merge

LIMIT_MAX = 100_000
_DURATION = re.compile(r"(\d{1,6})\s*(s|min|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_AGO_MAX = timedelta(days=36500)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


class Moment(click.ParamType[datetime]):
    """A moment in the past: how long ago, a time of the day, or a date and time; local where no zone is written."""

    name = "2h|HH:MM|TIMESTAMP"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it; a usage error for anything else."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_moment(str(value), datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def parse_moment(text: str, now: datetime) -> datetime:
    """A moment as an operator writes it; a time of the day is the last one that has passed. Raises ValueError."""
    if duration := _DURATION.fullmatch(text):
        return now - min(timedelta(seconds=int(duration[1]) * _SECONDS[duration[2]]), _AGO_MAX)
    local = now.astimezone()
    if clock := _CLOCK.fullmatch(text):
        hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
        moment = local.replace(hour=hour, minute=minute, second=second, microsecond=0)
        return moment if moment <= local else moment - timedelta(days=1)
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise ValueError(
            f"{shown(text)} is neither a time ago (90s, 10min, 2h, 3d), nor a time of the day (03:12), nor a date and "
            "time (2026-11-21T03:12)"
        ) from None


@click.command(short_help="Show what happened on hosts, over restarts, and why.")
@click.argument("about", nargs=-1, metavar="[vip ADDRESS | host NAME]")
@click.option("--since", type=Moment(), help="Only what happened from then on.")
@click.option("--until", type=Moment(), help="Only what happened before.")
@click.option(
    "--limit", type=click.IntRange(1, LIMIT_MAX), default=200, show_default=True, help="The last so many events."
)
@click.option("--all", "everywhere", is_flag=True, help="Ask every host that these agents know of too, over SSH.")
@agents_options
@json_option
def history(
    *,
    about: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    limit: int,
    everywhere: bool,
    agents: tuple[AgentSocket, ...],
    as_json: bool,
) -> None:
    """Show what happened, oldest first: why a VIP moved, who answered for it too, which sessions went down.

    Each host keeps its last 10,000 events over restarts. Those of all agents that are named by --host or --socket, else
    of this host's, and of the forwarders beside them, are shown in one line of time, by the clock of this machine: a
    host's clock is asked, and what it is ahead or behind now is taken from its times. `vip ADDRESS` shows what concerns
    one VIP, `host NAME` one host: its own events, and what the others say of it.

    Exits 0, 1 where nothing is known of what was asked for, 2 where no host can be asked.
    """
    vip, host = _subject(about)
    query = HistoryQuery(
        since=since.timestamp() if since else float("-inf"),
        until=until.timestamp() if until else float("inf"),
        about=vip,
    )
    others = _others(agents, click.get_current_context().params["ssh_config"]) if everywhere else ()
    answered = answers(agents + others, partial(_read, query=query, host=host, at_most=limit))
    histories = [history for _, each in answered for history in each]
    for warning in (*clock_warnings(histories), *_complaints(histories)):
        click.echo(warning, err=True)
    rows = merge(histories)[-limit:]
    if as_json:
        print_json([plain(row) for row in rows])
    else:
        for row in rows:
            click.echo(line(row))
    if not rows:
        click.echo("nothing is known of that", err=True)
        raise click.exceptions.Exit(Exit.NO)


def _others(agents: tuple[AgentSocket, ...], config: Path | None) -> tuple[RemoteSocket, ...]:
    """The other hosts that some agents know of, as ssh reaches them by their names."""
    statuses = [status for _, status in answers(agents, partial(read_status, kind=AgentStatus))]
    asked = {status.program.host for status in statuses}
    known = {neighbor.name for status in statuses for neighbor in status.hosts}
    return tuple(parse_remote_socket(name, config) for name in sorted(known - asked) if is_object_name(name))


async def _read(path: Path, query: HistoryQuery, host: str | None, at_most: int) -> tuple[HostHistory, ...]:
    """What a host's agent recorded, and its forwarder where one runs; of another host, what they say of it."""
    forwarder = beside(path)
    if forwarder is None:
        return (await _read_one(path, query, host, at_most),)
    found: list[HostHistory] = []
    errors: list[ControlError] = []
    for program in (path, forwarder):
        try:
            found.append(await _read_one(program, query, host, at_most))
        except ControlError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    for complaint in errors:
        # Of a socket that is not there, as where kube-proxy delivers, ssh only says that it was shut.
        if (complaint.subject, complaint.fault) != (str(forwarder), ControlFault.LOST):
            click.echo(f"Error: {complaint}", err=True)
    return tuple(found)


async def _read_one(path: Path, query: HistoryQuery, host: str | None, at_most: int) -> HostHistory:
    if host is not None:
        told = await read_history(path, replace(query, about=host), at_most)
        if told.host != host:
            return told
    return await read_history(path, query, at_most)


def line(row: EventRow) -> str:
    """An event in one line, its time as this machine writes it."""
    moment = row.moment.astimezone().isoformat(sep=" ", timespec="milliseconds")
    program = f" ({row.program})" if row.program != AGENT else ""
    return f"{moment} {row.host}{program}: {row.text}"


def _subject(about: tuple[str, ...]) -> tuple[str | None, str | None]:
    """The VIP or the host that is asked about; a usage error for anything else."""
    match about:
        case ():
            return None, None
        case ("vip", written):
            try:
                return str(parse_address(written)), None
            except ValueError as error:
                raise click.BadParameter(str(error), param_hint="ADDRESS") from None
        case ("host", name):
            return None, name
        case _:
            raise click.UsageError("what is asked about is `vip ADDRESS`, `host NAME` or nothing")


def _complaints(histories: list[HostHistory]) -> list[str]:
    """What keeps a history from being whole, a sentence each."""
    found = [f"{history.host}: not on disk: {history.problem}" for history in histories if history.problem]
    found += [
        f"{history.host}: {history.unreadable} lines of its history cannot be read"
        for history in histories
        if history.unreadable
    ]
    return found
