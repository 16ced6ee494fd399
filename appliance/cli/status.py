"""`pierhead status`: what this host's agent and its forwarder do, on one screen."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from appliance.cli.failure import Exit
from appliance.cli.option import asked, json_option
from appliance.cli.output import Cell, Table, Tone, print_json, print_tables
from appliance.cli.source import agents_options, answers
from appliance.control.client import read_status, watch
from appliance.control.codec import to_json
from appliance.control.error import ControlError
from appliance.control.message import (
    AgentStatus,
    BirdSession,
    FeedStatus,
    ForwardedVirtualIP,
    ForwarderProgram,
    ForwarderStatus,
    NeighborStatus,
    SessionKind,
    VirtualIPVerdict,
)
from appliance.control.topic import ONLY, Topic
from appliance.control.tunnel import forwarder_socket
from appliance.l2.event import Reachability, Role
from appliance.overview.agent import KINDS
from appliance.overview.attention import forwarder_attention, host_attention
from appliance.overview.site import SESSION_UP, Site
from appliance.overview.source import AgentSocket, put_status, reached

_RETRY_SECONDS = 1.0
_AGENT_KINDS: Mapping[Topic, type[object]] = {topic: kind for topic, kind in KINDS.items() if topic is not Topic.EVENTS}
_FORWARDER_KINDS: Mapping[Topic, type[object]] = {
    Topic.PROGRAM: ForwarderProgram,
    Topic.FEED: FeedStatus,
    Topic.VIPS: ForwardedVirtualIP,
}
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


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What a host's agent says, and its forwarder, or why that does not; None where none is to run or be asked."""

    agent: AgentStatus
    forwarder: ForwarderStatus | ControlError | None = None

    def as_json(self) -> dict[str, object]:
        """The agent's own message, and the forwarder's in it."""
        found: dict[str, object] = json.loads(to_json(self.agent))
        match self.forwarder:
            case ForwarderStatus():
                found["forwarder"] = {"answers": True, **json.loads(to_json(self.forwarder))}
            case ControlError():
                found["forwarder"] = {"answers": False, "problem": str(self.forwarder)}
            case None:
                found["forwarder"] = None
        return found


@click.command()
@agents_options
@json_option
@click.option("--check", is_flag=True, help="Exit with 1 where something on this host needs attention.")
@click.option("--watch", "is_watched", is_flag=True, help="Go on after every change, until interrupted; of one agent.")
def status(agents: tuple[AgentSocket, ...], as_json: bool, check: bool, is_watched: bool) -> None:
    """Show what a host's agent does: its feed, the other hosts, each VIP, and the sessions of its BIRD.

    Where a forwarder is to run beside it (the setting `forwarder`), also whether it does, whether its rules are in the
    kernel and what it waits for; with --json that is `forwarder`, null where none is to run. Of several agents, one
    after the other; with --json a list.
    """
    if is_watched:
        if check or len(agents) > 1:
            raise click.UsageError("--watch is of one agent, and goes without --check")
        with suppress(KeyboardInterrupt):
            asked(follow_status(agents[0], partial(_show_again, as_json=as_json)))
        return
    answered = [now for _, now in answers(agents, _read)]
    if as_json:
        written = [now.as_json() for now in answered]
        print_json(written if len(agents) > 1 else written[0])
    else:
        for now in answered:
            _print(now)
    if check and any(map(complaints, answered)):
        raise click.exceptions.Exit(Exit.NO)


async def _read(path: Path) -> HostStatus:
    agent = await read_status(path, AgentStatus, fresh=True)
    socket = forwarder_socket(path)
    if not agent.program.forwarder or socket is None:
        return HostStatus(agent)
    try:
        return HostStatus(agent, await read_status(socket, ForwarderStatus))
    except ControlError as error:
        return HostStatus(agent, error)


async def follow_status(agent: AgentSocket, show: Callable[[HostStatus], None]) -> None:
    """Show a host's status, first and after every change, until its agent ends; raises ControlError then."""
    async with reached(agent) as path:
        followed = _Followed(show)
        socket = forwarder_socket(path)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(followed.follow_agent(path), name="agent")
                if socket is not None:
                    group.create_task(followed.follow_forwarder(socket), name="forwarder")
        except* ControlError as lost:
            first = lost.exceptions[0]
        raise first


class _Followed:
    """What an agent and its forwarder have told, shown once both have, and after every change."""

    def __init__(self, show: Callable[[HostStatus], None]) -> None:
        self._show = show
        self._agent: dict[Topic, dict[str, object]] = {}
        self._forwarder: dict[Topic, dict[str, object]] = {}
        self._silence: ControlError | None = None
        self._is_expected = asyncio.Event()

    async def follow_agent(self, path: Path) -> None:
        """Hear the agent until it ends; raises ControlError then."""
        async with aclosing(watch(path, _AGENT_KINDS)) as changes:
            async for change in changes:
                change.fold(self._agent.setdefault(change.topic, {}))
                self._show_whole()

    async def follow_forwarder(self, socket: Path) -> None:
        """Hear the forwarder for ever, if one is to run."""
        await self._is_expected.wait()
        while True:
            try:
                async with aclosing(watch(socket, _FORWARDER_KINDS)) as changes:
                    async for change in changes:
                        self._silence = None
                        change.fold(self._forwarder.setdefault(change.topic, {}))
                        self._show_whole()
            except ControlError as error:
                is_news, self._silence = self._silence is None, error
                self._forwarder.clear()
                if is_news:
                    self._show_whole()
            await asyncio.sleep(_RETRY_SECONDS)

    def _show_whole(self) -> None:
        if len(self._agent) < len(_AGENT_KINDS):
            return
        agent = AgentStatus(**_fields_of(self._agent))  # type: ignore[arg-type]  # a topic is a field, and KINDS its type
        if not agent.program.forwarder:
            self._show(HostStatus(agent))
            return
        self._is_expected.set()
        if self._silence is not None:
            self._show(HostStatus(agent, self._silence))
        elif {Topic.PROGRAM, Topic.FEED} <= self._forwarder.keys():
            # Of VIPs it tells nothing before it has rules.
            told = ForwarderStatus(**_fields_of(self._forwarder))  # type: ignore[arg-type]  # likewise
            self._show(HostStatus(agent, told))


def _fields_of(told: Mapping[Topic, Mapping[str, object]]) -> dict[str, object]:
    return {
        topic.value: entries[ONLY] if topic in (Topic.PROGRAM, Topic.FEED) else tuple(entries.values())
        for topic, entries in told.items()
    }


def _show_again(now: HostStatus, *, as_json: bool) -> None:
    if as_json:
        print_json(now.as_json())
    else:
        click.clear()
        _print(now)


def _print(now: HostStatus) -> None:
    print_tables(tables(now))
    for complaint in complaints(now):
        click.echo(f"! {complaint}")


def tables(status: HostStatus) -> tuple[Table, ...]:
    """A status as tables, the most general first."""
    now = status.agent
    return (
        _host_table(now),
        _feed_table(now),
        _forwarder_table(status.forwarder),
        Table("Neighbors", ("HOST", "STATE", "DRAINED"), tuple(_neighbor_row(neighbor) for neighbor in now.hosts)),
        Table(
            "VIPs",
            ("ADDRESS", "POOL", "SERVICES", "LAYER 2", "BGP"),
            tuple(_vip_row(vip) for vip in _in_order(now.vips)),
        ),
        _session_table("BGP sessions", now, SessionKind.BGP),
        _session_table("BFD sessions", now, SessionKind.BFD),
    )


def complaints(now: HostStatus) -> tuple[str, ...]:
    """What on this host needs somebody's attention, a sentence each."""
    site, host = Site(), now.agent.program.host
    put_status(site, now.agent)
    found = host_attention(site, host)
    if now.forwarder is not None:
        found += forwarder_attention(host, now.forwarder)
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


def _forwarder_table(heard: ForwarderStatus | ControlError | None) -> Table:
    """Whether its rules are in the kernel: those of one that does not answer are there as it left them."""
    rows: tuple[tuple[Cell, ...], ...] = ()
    match heard:
        case ControlError():
            rows = ((Cell("no answer", Tone.BAD), *(Cell("") for _ in range(5))),)
        case ForwarderStatus(program=program, vips=vips):
            state = Cell("active", Tone.GOOD)
            if program.waits_for:
                state = Cell("not ready", Tone.WAITING)
            rules = Cell("in the kernel", Tone.GOOD) if program.revision else Cell("none", Tone.WAITING)
            if program.refused:
                rules = Cell("refused", Tone.BAD)
            left_out = Cell(", ".join(program.failed_hosts), Tone.WAITING)
            rows = ((state, Cell(program.version), rules, Cell(str(len(vips))), Cell(str(program.rings)), left_out),)
    return Table("Forwarder", ("STATE", "FORWARDER", "RULES", "VIPS", "RINGS", "LEFT OUT"), rows)


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
