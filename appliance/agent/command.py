"""`pierhead agent`."""

import asyncio
import sys
from pathlib import Path

import click

from appliance.daemon.garbage import begin_without_collector
from appliance.daemon.settings import (
    DEFAULT_PATH,
    SETTINGS_EXIT_STATUS,
    SettingsError,
    load_settings,
    settings_schema,
)


@click.command(short_help="Answer ARP/NDP and announce over BGP on this host.")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_PATH,
    show_default=True,
    help="The settings file.",
)
@click.option("--print-schema", is_flag=True, help="Print the JSON schema of the settings file, and stop.")
@click.option("--check", is_flag=True, help="Read the settings file, say what is wrong with it, and stop.")
def agent(config: Path, print_schema: bool, check: bool) -> None:
    """Run this host's agent until it is told to stop (SIGTERM).

    It follows the site's store, answers ARP and NDP for the addresses this host owns, takes addresses over from hosts
    that died, and keeps BIRD's configuration. Needs CAP_NET_RAW, and the right to use BIRD's control socket.
    SIGHUP has it read the settings again. Exits 78 where they are wrong at the start (1 with --check), naming the file
    and every field.
    """
    if print_schema:
        click.echo(settings_schema())
        return
    try:
        settings = load_settings(config)
    except SettingsError as error:
        for problem in error.problems:
            click.echo(f"pierhead agent: {problem}", err=True)
        sys.exit(1 if check else SETTINGS_EXIT_STATUS)
    if not check:
        begin_without_collector()
        from appliance.agent.program import run

        asyncio.run(run(settings, config))
