"""`pierhead explain`: why a Service or a VIP is as it is."""

import json
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path

import click

from appliance.api.address import IPAddress
from appliance.cli.completion import Named, names_of
from appliance.cli.failure import meant
from appliance.cli.lazy import LazyCommand, LazyGroup
from appliance.cli.option import ADDRESS, asked, json_option, watch_option
from appliance.cli.output import print_json
from appliance.cli.source import agents_options, answers, follow_each
from appliance.control.client import explain as ask_to_explain
from appliance.control.client import read_status, watch_topic
from appliance.control.codec import to_json
from appliance.control.error import ControlError, ControlFault
from appliance.control.message import AgentStatus, BGPStatus, Layer2Status, VirtualIPVerdict
from appliance.control.topic import Topic
from appliance.l2.event import Role
from appliance.overview.source import AgentSocket

ENTRIES = {
    "service": LazyCommand(
        "appliance.cli.explain_service:service", "Say why a Service has the addresses it has, or none."
    ),
    "vip": LazyCommand("appliance.cli.explain:vip", "Say what this host does for one VIP, and why."),
}


@click.group(cls=LazyGroup, entries=ENTRIES)
def explain() -> None:
    """Say why a Service or a VIP is as it is."""


@click.command()
@click.argument("address", type=ADDRESS, shell_complete=names_of(Named.VIP))
@agents_options
@watch_option
@json_option
def vip(*, address: IPAddress, agents: tuple[AgentSocket, ...], watch: bool, as_json: bool) -> None:
    """Say what a host does for the VIP of an ADDRESS, and why; of several hosts, one after the other.

    Exits 0 where the VIP is known, 1 where there is no such VIP, 2 where no host can be asked.
    """
    if watch:
        with suppress(KeyboardInterrupt):
            asked(follow_vip(agents, address, partial(_show_again, agents, address, as_json)))
        return
    answered = answers(agents, partial(_ask, address=str(address)))
    _show(agents, dict(answered), as_json)


async def follow_vip(
    agents: tuple[AgentSocket, ...], address: IPAddress, show: Callable[[Mapping[AgentSocket, VirtualIPVerdict]], None]
) -> None:
    """Show what agents say of a VIP, first and after every change, until one ends; raises ControlError then."""
    told: dict[AgentSocket, VirtualIPVerdict] = {}
    heard: set[AgentSocket] = set()

    async def follow(agent: AgentSocket, path: Path) -> None:
        async with aclosing(watch_topic(path, Topic.VIPS, VirtualIPVerdict)) as changes:
            async for change in changes:
                before = told.get(agent)
                kept = {} if before is None else {str(address): before}
                change.fold(kept)
                if str(address) in kept:
                    told[agent] = kept[str(address)]
                else:
                    told.pop(agent, None)
                is_first = agent not in heard
                heard.add(agent)
                if len(heard) == len(agents) and (is_first or before != told.get(agent)):
                    show(told)

    await follow_each(agents, follow)


def _show(agents: tuple[AgentSocket, ...], told: Mapping[AgentSocket, VirtualIPVerdict], as_json: bool) -> None:
    """The verdicts in the agents' order."""
    if as_json:
        written = [json.loads(to_json(told[agent])) for agent in agents if agent in told]
        print_json(written if len(agents) > 1 else next(iter(written), None))
        return
    for agent in agents:
        if agent not in told:
            continue
        if len(agents) > 1:
            click.echo(f"{agent}:")
        for line in lines(told[agent]):
            click.echo(line)


def _show_again(
    agents: tuple[AgentSocket, ...], address: IPAddress, as_json: bool, told: Mapping[AgentSocket, VirtualIPVerdict]
) -> None:
    if not as_json:
        click.clear()
        if not told:
            click.echo(f"{address}: there is no such VIP")
    _show(agents, told, as_json)


async def _ask(path: Path, address: str) -> VirtualIPVerdict:
    """An agent's verdict; of an address it does not know it says which are nearly the same."""
    try:
        return await ask_to_explain(path, address)
    except ControlError as error:
        if error.fault is not ControlFault.NOT_FOUND:
            raise
        known = (await read_status(path, AgentStatus)).vips
        near = meant(address, (str(vip.address) for vip in known))
        raise ControlError(error.fault, error.subject, f"{error.detail}{near}") from error


def lines(verdict: VirtualIPVerdict) -> tuple[str, ...]:
    """A verdict in sentences."""
    holders = ", ".join(verdict.services) or "no Service"
    written = [f"{verdict.address} of pool {verdict.pool}, held by {holders}"]
    if verdict.layer2:
        written.append(f"  layer 2: {_layer2_text(verdict.layer2)}")
        written += (
            [f"  candidates in order: {', '.join(verdict.layer2.candidates)}"] if verdict.layer2.candidates else []
        )
    if verdict.bgp:
        written.append(f"  BGP: {_bgp_text(verdict.bgp)}")
    if not verdict.layer2 and not verdict.bgp:
        written.append("  announced nowhere: no advertisement selects it")
    if (moved := verdict.last_move) is not None:
        heard = f"; heard: {moved.heard}" if moved.heard else ""
        origin, target = moved.origin or "nobody", moved.target or "nobody"
        written.append(f"  last move: {moved.time} from {origin} to {target}: {moved.reason}{heard}")
    if (traffic := verdict.traffic) is not None and (traffic.requests or traffic.announcements):
        counted = f"{traffic.requests} questions, {traffic.replies} answers, {traffic.announcements} announcements"
        written.append(f"  since the agent began: {counted}")
    if verdict.conflict:
        seen = verdict.evidence
        how_often = f": heard {seen.count} times, first {seen.first}, last {seen.last}" if seen else ""
        written.append(f"  conflict: {verdict.conflict} answers for this address too{how_often}")
    return tuple(written)


def _layer2_text(verdict: Layer2Status) -> str:
    interfaces = f" on {', '.join(verdict.interfaces)}" if verdict.interfaces else ""
    owner = f"{verdict.owner} answers" if verdict.owner else "nobody is known to answer"
    match verdict.role:
        case Role.OWNER:
            return f"this host answers ARP/NDP{interfaces} ({verdict.reason})"
        case Role.PROBING:
            return f"this host asks whether the address is free{interfaces}, then answers ({verdict.reason})"
        case Role.CANDIDATE:
            return f"this host stands by; {owner} ({verdict.reason})"
        case Role.NONE:
            return f"this host has no part in it; {owner} ({verdict.reason})"


def _bgp_text(verdict: BGPStatus) -> str:
    if not verdict.announced:
        return f"not announced ({verdict.reason})"
    peers = ", ".join(verdict.peers) or "all peers"
    return f"{', '.join(verdict.prefixes)} announced to {peers} ({verdict.reason})"
