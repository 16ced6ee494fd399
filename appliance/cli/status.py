"""`pierhead status`: what this host's agent does, on one screen."""

import json
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from functools import partial

import click

from appliance.cli.failure import Exit
from appliance.cli.option import asked, json_option
from appliance.cli.output import Cell, Table, Tone, print_json, print_tables
from appliance.cli.source import agents_options, answers
from appliance.control.client import read_status, watch
from appliance.control.codec import to_json
from appliance.control.message import (
    AgentStatus,
    BirdSession,
    NeighborStatus,
    SessionKind,
    VirtualIPVerdict,
)
from appliance.control.topic import ONLY, Topic
from appliance.l2.event import Reachability, Role
from appliance.overview.agent import KINDS
from appliance.overview.attention import host_attention
from appliance.overview.site import SESSION_UP, Site
from appliance.overview.source import AgentSocket, put_status, reached

_NEIGHBOR_TONES = {
    Reachability.UNKNOWN: Tone.QUIET,
    Reachability.REACHABLE: Tone.GOOD,
    Reachability.PROBE: Tone.WAITING,
    Reachability.AGENT_DOWN: Tone.WAITING,
    Reachability.FAILED: Tone.BAD,
}
_ROLE_TONES = {
    Role.OWNER: Tone.GOOD,
    Role.PROBING: Tone.WAITING,
    Role.CANDIDATE: Tone.PLAIN,
    Role.NONE: Tone.QUIET,
}


@click.command()
@agents_options
@json_option
@click.option("--check", is_flag=True, help="Exit with 1 where something on this host needs attention.")
@click.option("--watch", "is_watched", is_flag=True, help="Go on after every change, until interrupted; of one agent.")
def status(agents: tuple[AgentSocket, ...], as_json: bool, check: bool, is_watched: bool) -> None:
    """Show what a host's agent does: its feed, the other hosts, each VIP, and the sessions of its BIRD.

    Of several agents, one after the other; with --json a list.
    """
    if is_watched:
        if check or len(agents) > 1:
            raise click.UsageError("--watch is of one agent, and goes without --check")
        with suppress(KeyboardInterrupt):
            asked(follow_status(agents[0], partial(_show_again, as_json=as_json)))
        return
    answered = [now for _, now in answers(agents, partial(read_status, kind=AgentStatus, fresh=True))]
    if as_json:
        written = [json.loads(to_json(now)) for now in answered]
        print_json(written if len(agents) > 1 else written[0])
    else:
        for now in answered:
            _print(now)
    if check and any(map(complaints, answered)):
        raise click.exceptions.Exit(Exit.NO)


async def follow_status(agent: AgentSocket, show: Callable[[AgentStatus], None]) -> None:
    """Show an agent's status, first and after every change, until the agent ends; raises ControlError then."""
    told: dict[Topic, dict[str, object]] = {}
    kinds: dict[Topic, type[object]] = {topic: kind for topic, kind in KINDS.items() if topic is not Topic.EVENTS}
    async with reached(agent) as path, aclosing(watch(path, kinds)) as changes:
        async for change in changes:
            change.fold(told.setdefault(change.topic, {}))
            if len(told) == len(kinds):
                show(_status_of(told))


def _status_of(told: Mapping[Topic, Mapping[str, object]]) -> AgentStatus:
    written = {
        topic.value: entries[ONLY] if topic in (Topic.PROGRAM, Topic.FEED) else tuple(entries.values())
        for topic, entries in told.items()
    }
    return AgentStatus(**written)  # type: ignore[arg-type]  # a topic is a field, and KINDS says of which type


def _show_again(now: AgentStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(json.loads(to_json(now)))
    else:
        click.clear()
        _print(now)


def _print(now: AgentStatus) -> None:
    print_tables(tables(now))
    for complaint in complaints(now):
        click.echo(f"! {complaint}")


def tables(now: AgentStatus) -> tuple[Table, ...]:
    """A status as tables, the most general first."""
    return (
        _host_table(now),
        _feed_table(now),
        Table("Neighbors", ("HOST", "STATE", "DRAINED"), tuple(_neighbor_row(neighbor) for neighbor in now.hosts)),
        Table(
            "VIPs",
            ("ADDRESS", "POOL", "SERVICES", "LAYER 2", "BGP"),
            tuple(_vip_row(vip) for vip in _in_order(now.vips)),
        ),
        _session_table("BGP sessions", now, SessionKind.BGP),
        _session_table("BFD sessions", now, SessionKind.BFD),
    )


def complaints(now: AgentStatus) -> tuple[str, ...]:
    """What on this host needs somebody's attention, a sentence each."""
    site = Site()
    put_status(site, now)
    found = host_attention(site, now.program.host)
    return tuple(f"{each.kind} {each.name}: {each.sentence}" for each in found)


def _host_table(now: AgentStatus) -> Table:
    program = now.program
    state = Cell("active", Tone.GOOD)
    if program.drained:
        state = Cell("drained", Tone.WAITING)
    if program.isolated_links:
        state = Cell(f"isolated on {', '.join(program.isolated_links)}", Tone.BAD)
    bird = Cell("no answer", Tone.BAD)
    if program.bird.reachable:
        bird = Cell(program.bird.version or "answers", Tone.GOOD)
    if program.bird.refused:
        bird = Cell("refused its configuration", Tone.BAD)
    row = (Cell(program.host), state, Cell(program.version), bird)
    return Table("Host", ("NAME", "STATE", "AGENT", "BIRD"), (row,))


def _feed_table(now: AgentStatus) -> Table:
    feed = now.feed
    source = Cell(feed.source, Tone.GOOD if feed.source == "live" else Tone.BAD)
    problems = Cell(str(len(feed.problems)), Tone.BAD if feed.problems else Tone.GOOD)
    row = (source, Cell(feed.revision), Cell(_age(feed.age_seconds)), problems)
    return Table("Feed", ("SOURCE", "REVISION", "AGE", "PROBLEMS"), (row,))


def _neighbor_row(neighbor: NeighborStatus) -> tuple[Cell, ...]:
    drained = Cell("yes", Tone.WAITING) if neighbor.drained else Cell("no")
    return Cell(neighbor.name), Cell(neighbor.state.value, _NEIGHBOR_TONES[neighbor.state]), drained


def _in_order(vips: tuple[VirtualIPVerdict, ...]) -> list[VirtualIPVerdict]:
    return sorted(vips, key=lambda vip: (vip.address.version, int(vip.address)))


def _vip_row(vip: VirtualIPVerdict) -> tuple[Cell, ...]:
    return Cell(str(vip.address)), Cell(vip.pool), Cell(", ".join(vip.services)), _layer2_cell(vip), _bgp_cell(vip)


def _layer2_cell(vip: VirtualIPVerdict) -> Cell:
    if vip.layer2 is None:
        return Cell("", Tone.QUIET)
    if vip.conflict:
        return Cell(f"conflict with {vip.conflict}", Tone.BAD)
    role = vip.layer2.role
    elsewhere = f" (owner {vip.layer2.owner})" if vip.layer2.owner and role is not Role.OWNER else ""
    return Cell(f"{role.value}{elsewhere}", _ROLE_TONES[role])


def _bgp_cell(vip: VirtualIPVerdict) -> Cell:
    if vip.bgp is None:
        return Cell("", Tone.QUIET)
    if not vip.bgp.announced:
        return Cell(vip.bgp.reason, Tone.QUIET)
    return Cell(f"announced to {', '.join(vip.bgp.peers) or 'all peers'}", Tone.GOOD)


def _session_table(title: str, now: AgentStatus, kind: SessionKind) -> Table:
    rows = tuple(
        (
            Cell(session.name),
            Cell(session.peer),
            Cell(session.state, Tone.GOOD if _is_up(session) else Tone.BAD),
            Cell(session.since),
            Cell(session.message),
        )
        for session in now.sessions
        if session.kind is kind
    )
    return Table(title, ("NAME", "PEER", "STATE", "SINCE", "MESSAGE"), rows)


def _is_up(session: BirdSession) -> bool:
    return session.state.lower() in SESSION_UP


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
