"""`pierhead top`."""

import sys
from pathlib import Path

import click

from appliance.cli.failure import Failure
from appliance.cli.source import find_source, source_options


@click.command()
@source_options
def top(store: str | None, socket: Path | None) -> None:
    """Watch the site: who owns each VIP, hosts, BGP sessions, pools, and what needs attention now.

    It reads only. `?` shows the keys.
    """
    source = find_source(store, socket)
    if not sys.stdout.isatty():
        raise Failure("top needs a terminal; for scripts there are vips, hosts, peers and pools with --json")
    # Half a second of imports that no other command needs.
    from tui.app import PierheadTop

    PierheadTop(source).run()
