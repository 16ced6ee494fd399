"""`pierhead events`: what happened on this host lately, and why."""

import json
from contextlib import aclosing
from pathlib import Path

import click

from appliance.cli.option import asked, json_option, socket_option
from appliance.control.client import read_events, watch_topic
from appliance.control.codec import to_json
from appliance.control.message import HostEvent
from appliance.control.topic import Topic


@click.command()
@socket_option
@json_option
@click.option("--follow", is_flag=True, help="Go on with what happens from now on, until interrupted.")
def events(socket: Path, as_json: bool, follow: bool) -> None:
    """Show what happened on this host lately, oldest first, and why: VIPs that moved, hosts that failed, refusals.

    The forwarder has events of its own: ask it by --socket /run/pierhead/forwarder.sock.
    """
    if follow:
        asked(follow_events(socket, as_json))
        return
    for event in asked(read_events(socket)):
        _print(event, as_json)


def line(event: HostEvent) -> str:
    """An event in one line."""
    reason = f": {event.reason}" if event.reason else ""
    details = " ".join(f"{name}={content}" for name, content in event.details.items() if content)
    return f"{event.time} {event.event} {event.subject}{reason}{f' ({details})' if details else ''}"


async def follow_events(socket: Path, as_json: bool) -> None:
    """Print what happened, then what happens, until the program ends; raises ControlError then."""
    async with aclosing(watch_topic(socket, Topic.EVENTS, HostEvent)) as changes:
        async for change in changes:
            for event in change.changed.values():
                _print(event, as_json)


def _print(event: HostEvent, as_json: bool) -> None:
    click.echo(json.dumps(json.loads(to_json(event))) if as_json else line(event))
