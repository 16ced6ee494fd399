"""`pierhead top`."""

import gc
import sys
from datetime import UTC, datetime

import click

from appliance.cli.failure import Failure
from appliance.cli.source import source_options
from appliance.overview.source import Source


@click.command()
@source_options
def top(source: Source) -> None:
    """Watch the site: who owns each VIP, hosts, BGP sessions, pools, and what needs attention now.

    It reads only. `?` shows the keys.
    """
    if not sys.stdout.isatty():
        raise Failure("top needs a terminal; for scripts there are vips, hosts, peers and pools with --json")
    # Half a second of imports that no other command needs. The collector would go through all of it, now and while
    # somebody types, and find nothing.
    gc.disable()
    from tui.app import PierheadTop

    gc.freeze()
    gc.enable()
    PierheadTop(source, lambda: datetime.now(UTC)).run()
