"""`pierhead events`: what happened on a host lately, and why."""

import json
from contextlib import aclosing, suppress
from pathlib import Path

import click

from appliance.api.text import printable
from appliance.cli.option import asked, json_option
from appliance.cli.source import agents_options, answers, follow_each
from appliance.control.client import read_events, watch_topic
from appliance.control.codec import to_json
from appliance.control.message import HostEvent
from appliance.control.topic import Topic
from appliance.overview.source import AgentSocket


@click.command()
@agents_options
@json_option
@click.option(
    "--follow", "--watch", "follow", is_flag=True, help="Go on with what happens from now on, until interrupted."
)
def events(agents: tuple[AgentSocket, ...], as_json: bool, follow: bool) -> None:
    """Show what happened on a host lately, oldest first, and why: VIPs that moved, hosts that failed, refusals.

    What is shown is of the agent's present run, and of several agents one after the other; `pierhead history` goes
    further back and merges them. The forwarder has events of its own: ask it by --socket /run/pierhead/forwarder.sock,
    on another host by --host NODE:/run/pierhead/forwarder.sock.
    """
    is_labelled = len(agents) > 1
    if follow:
        with suppress(KeyboardInterrupt):
            asked(follow_events(agents, as_json))
        return
    for agent, happened in answers(agents, read_events):
        for event in happened:
            _print(event, str(agent) if is_labelled else "", as_json)


def line(event: HostEvent) -> str:
    """An event in one line."""
    reason = f": {event.reason}" if event.reason else ""
    details = " ".join(f"{name}={content}" for name, content in event.details.items() if content)
    return printable(f"{event.time} {event.event} {event.subject}{reason}{f' ({details})' if details else ''}")


async def follow_events(agents: tuple[AgentSocket, ...], as_json: bool) -> None:
    """Print what happened, then what happens, until a program ends; raises ControlError then."""

    async def follow(agent: AgentSocket, path: Path) -> None:
        label = str(agent) if len(agents) > 1 else ""
        async with aclosing(watch_topic(path, Topic.EVENTS, HostEvent)) as changes:
            async for change in changes:
                for event in change.changed.values():
                    _print(event, label, as_json)

    await follow_each(agents, follow)


def _print(event: HostEvent, label: str, as_json: bool) -> None:
    if as_json:
        source = {"source": label} if label else {}
        click.echo(json.dumps({**source, **json.loads(to_json(event))}))
    else:
        click.echo(f"{label} {line(event)}" if label else line(event))
